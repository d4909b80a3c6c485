"""Recorded chains in the place of generated scenarios, for a comparison of any two builds."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from retry_parity import arguments
from retry_parity.flag import without_section
from retry_parity.minimizing.fixtures import recipe_of
from retry_parity.replay import read_plugin_config
from retry_parity.run import CONFIG_NAME
from retry_parity.scenarios import Call, Scenario, Wait
from retry_parity.subject import RetrySubject
from retry_parity.traces.calls import WHOLE, Gaps, TraceError
from retry_parity.traces.reading import open_trace

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from retry_parity.scenarios import Step
    from retry_parity.traces.reading import Trace, TraceFile

#: Calls that are held in memory, as each build runs in an interpreter of its own; `replay` bounds
#: nothing, and takes the builds of this environment.
MOST_CALLS: Final = 1_000_000
_MILLISECONDS: Final = 1000.0


class RecordedSubject(RetrySubject):
    """The retry plugin, with chains of a trace as its scenarios: each seed's number is a chain's.

    Args:
        chains: What was recorded.
    """

    def __init__(self, chains: Sequence[Scenario]) -> None:
        """Start with nothing compared."""
        super().__init__()
        self.chains = chains

    def scenario(self, seed: str, *, with_time: bool) -> Scenario:
        """Give a chain; without time, nothing in it waits."""
        made = self.chains[int(seed.rpartition(":")[2])]
        if with_time:
            return made
        return replace(made, steps=tuple(step for step in made.steps if not isinstance(step, Wait)))


def add_trace(command: argparse.ArgumentParser) -> None:
    """Add the options to the command `compare`."""
    command.add_argument(
        "--trace",
        nargs="+",
        type=arguments.path,
        metavar="TRACE",
        help="recorded chains in the place of generated scenarios",
    )
    command.add_argument(
        "--config",
        type=arguments.path,
        metavar="FILE",
        help="plugins file for --trace (default: what the trace says, else "
        f"{CONFIG_NAME} beside it)",
    )


def subject_of(options: argparse.Namespace) -> RetrySubject:
    """Give what `compare` is to compare by, and bound it by the trace where there is one.

    Raises:
        TraceError: The trace cannot be used, or is too long for this.
        ReplayError: The plugins file cannot be used.
    """
    if options.trace is None:
        return RetrySubject()
    trace = open_trace(options.trace)
    _, config = plugin_of(trace, options.config)
    chains = [chain for file in trace.files for chain in chains_of(file, config)]
    options.seed, options.scenarios = "trace", len(chains)
    return RecordedSubject(chains)


def plugin_of(trace: Trace, chosen: Path | None) -> tuple[str, Mapping[str, Any]]:
    """Give the plugin's name, empty where nothing says it, and its config without ``migration:``.

    Args:
        trace: May say both.
        chosen: A plugins file; ``None`` means what the trace says, else the one beside it.

    Raises:
        TraceError: Nothing says the config.
        ReplayError: The plugins file cannot be used.
    """
    header, first = trace.header, trace.files[0].path
    if chosen is None and header.config is not None:
        return header.plugin, header.config
    beside = first.parent / CONFIG_NAME
    if chosen is None and not beside.is_file():
        message = (
            f"{first}: has no plugin config, or not the other traces' one, and no {CONFIG_NAME} is "
            "beside it; name a plugins file with --config"
        )
        raise TraceError(message)
    config = read_plugin_config(chosen or beside)
    settings: Any = without_section(config.config)
    return config.name, settings or {}


def chains_of(file: TraceFile, config: Mapping[str, Any]) -> list[Scenario]:
    """Give a file's chains, in the order in which they began.

    Raises:
        TraceError: The file cannot be used, or has too many calls.
    """
    steps: dict[tuple[str, str], list[Step]] = {}
    last_ms: dict[tuple[str, str], float] = {}
    calls = 0
    for batch in file.batches(WHOLE, Gaps()):
        calls += len(batch)
        if calls > MOST_CALLS:
            message = f"{file.path}: has more than {MOST_CALLS:,} calls; `replay` takes any number"
            raise TraceError(message)
        columns = zip(
            batch.tool_of, batch.result_of, batch.request_ids, batch.times_ms, strict=True
        )
        for tool_at, result_at, request_id, t_ms in columns:
            tool = batch.tools[tool_at]
            chain = steps.setdefault((tool, request_id), [])
            if (before_ms := last_ms.get((tool, request_id))) is not None and t_ms > before_ms:
                chain.append(Wait((t_ms - before_ms) / _MILLISECONDS))
            last_ms[tool, request_id] = t_ms
            chain.append(Call(0, tool, request_id, recipe_of(batch.results[result_at])))
    recipe = recipe_of(config)
    return [Scenario(recipe, None, tuple(chain)) for chain in steps.values()]
