"""What the user named: traces, and evidence with traces or samples beside it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from retry_parity import candidates
from retry_parity.deciding.loaded_runs import load
from retry_parity.deciding.problems import Problems
from retry_parity.deciding.run_files import (
    LONGEST_LINE,
    MERGED,
    Found,
    Guards,
    count_files,
    parsed,
    scan,
)
from retry_parity.evidence_files import COUNTS, config_hash
from retry_parity.flag import without_section
from retry_parity.input import trouble_with
from retry_parity.minimizing.rehearsal import MinimizeError
from retry_parity.replay import read_plugin_config
from retry_parity.traces.reading import TRACE, TraceFile, is_recording, open_trace
from retry_parity.walk import CEILING_VARIABLE, PLUGIN_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from cpex.framework import PluginConfig

#: The plugins file that counts for a trace beside it, unless another one is named.
CONFIG_NAME: Final = "plugins.yaml"
_EVIDENCE: Final = ("run", MERGED)


@dataclass(frozen=True, slots=True)
class Traffic:
    """Recorded calls.

    Attributes:
        file: The recording.
        candidate: Whom the recording's own run compared; empty where nobody says.
    """

    file: TraceFile
    candidate: str = ""


@dataclass(frozen=True, slots=True)
class Sampled:
    """A run of evidence without its trace.

    Attributes:
        run: Where it is.
        problems: What was odd about it.
    """

    run: Found
    problems: Problems

    @property
    def candidate(self) -> str:
        """Whom the run compared."""
        return self.run.traits.candidate

    def samples(self) -> Iterator[Mapping[str, Any]]:
        """Give the samples that are kept of it, by signature, the smallest first.

        Raises:
            EvidenceError: It is not there any more.
        """
        loaded = load(self.run, self.problems, with_samples=True)
        for samples in loaded.samples.by_signature().values():
            yield from samples


def find_sources(paths: Sequence[Path]) -> list[Traffic | Sampled]:
    """Find what there is under paths, in a fixed order.

    Raises:
        TraceError: A trace cannot be opened.
        EvidenceError: Evidence cannot be read.
        MinimizeError: Evidence is of a format that is not known.
    """
    found: list[Traffic | Sampled] = []
    traces: list[Path] = []
    problems, guards = Problems(), Guards()
    for path in paths:
        if not _is_evidence(path):
            traces.append(path)
            continue
        for counts in sorted(count_files([path], guards)):
            for run in scan(counts, problems, guards):
                recorded = None if run.merged else counts.with_name(TRACE)
                if recorded is not None and is_recording(recorded):
                    found += [
                        Traffic(file, run.traits.candidate) for file in open_trace([recorded]).files
                    ]
                else:
                    found.append(Sampled(run, problems))
    if traces:
        found += [Traffic(file) for file in open_trace(traces).files]
    if not found:
        said = "; ".join(problems.lines()) or "nothing was found"
        message = f"{', '.join(map(str, paths))}: {said}"
        raise MinimizeError(message)
    return found


def candidate_of(source: Traffic | Sampled, named: str | None) -> str:
    """Give the candidate to run: the one that was named, or that the evidence names, or Rust."""
    if named is not None:
        return named
    return source.candidate if source.candidate in candidates.NAMES else candidates.RUST


def config_of(source: Traffic | Sampled, named: Path | None) -> PluginConfig | None:
    """Give the plugin config without ``migration:``.

    Args:
        source: What it is for.
        named: The plugins file; ``None`` takes what the trace says, then the plugins file beside
            it.

    Returns:
        The plugin's entry; ``None`` for samples without a named file.

    Raises:
        ReplayError: The plugins file cannot be used.
        MinimizeError: It is not the config of the evidence.
    """
    if named is not None:
        config = _entry(without_section(read_plugin_config(named).config))
        if isinstance(source, Sampled):
            _check_same(source, config, named)
        return config
    if isinstance(source, Sampled):
        return None
    if source.file.header.config is not None:
        return _entry(without_section(dict(source.file.header.config)))
    beside = source.file.path.parent / CONFIG_NAME
    return _entry(without_section(read_plugin_config(beside).config))


def ceiling() -> int | None:
    """Give the gateway's limit on retries, as this process's environment has it.

    Raises:
        MinimizeError: It is no number.
    """
    text = os.environ.get(CEILING_VARIABLE)
    if not text:
        return None
    try:
        return int(text)
    except ValueError as error:
        message = f"{CEILING_VARIABLE}: {text!r} given, a whole number is allowed"
        raise MinimizeError(message) from error


def _check_same(source: Sampled, config: PluginConfig, named: Path) -> None:
    wanted = source.run.traits.config
    if wanted and config_hash(config.config) != wanted:
        message = (
            f"{named}: is not the config that {source.run.path} was gathered with "
            f"(SHA-256 {wanted[:12]}..)"
        )
        raise MinimizeError(message)


def _entry(config: object) -> PluginConfig:
    from cpex.framework import PluginConfig

    return PluginConfig.model_construct(name=PLUGIN_NAME, kind="retry_parity", config=config)


def _is_evidence(path: Path) -> bool:
    if path.is_dir():
        return next(path.rglob(COUNTS), None) is not None
    if path.name == COUNTS:
        return True
    try:
        if trouble_with(path, parquet=True):
            return False
        with path.open("rb") as file:
            first = parsed(file.readline(LONGEST_LINE))
    except OSError:
        return False  # whoever opens it as a trace says what is wrong
    return first is not None and first.get("kind") in _EVIDENCE
