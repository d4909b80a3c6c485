"""`retry-parity replay`: recorded traffic through the hybrid and a candidate."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from retry_parity import arguments
from retry_parity.arguments import worker_count
from retry_parity.evidence_files import config_hash
from retry_parity.options import add_comparison
from retry_parity.output import STDOUT, check_json_target, console, write_json
from retry_parity.recorded import plugin_of
from retry_parity.replaying.evidence import about_replay, make_directory, write_replay
from retry_parity.replaying.local import cores, play_locally
from retry_parity.replaying.playing import ReplayRefusedError, Task, salt_of
from retry_parity.run import CONFIG_NAME
from retry_parity.traces.calls import Part
from retry_parity.traces.reading import open_trace

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from rich.console import Console

    from retry_parity.replaying.playing import Played

ALIKE: Final = 0
DIVERGENT: Final = 1

_ENGINES: Final = ("local", "ray")
#: Parts for each worker of a cluster: what is lost with a worker is small.
_RAY_PARTS: Final = 4
#: Of a trace that names no plugin, as the corpus.
_NO_NAME: Final = "replay"
#: Seconds between two lines where there is no terminal.
_LINE_S: Final = 10.0


def add_replay(commands: Any) -> None:
    """Add the command to a parser's."""
    command = commands.add_parser(
        "replay",
        help="play recorded traffic through the hybrid and a candidate; leaves evidence",
        description=(
            "Play recorded traffic through the hybrid and a candidate, with the recorded clock and "
            "order, on all cores, and write the same evidence as a live run: the same trace gives "
            "the same bytes. Exit status: 0 = no unexplained divergences, 1 = some, or calls that "
            "were not compared, 2 = bad input."
        ),
    )
    command.add_argument(
        "trace",
        nargs="+",
        type=arguments.path,
        metavar="TRACE",
        help="JSON lines or Parquet: a corpus, a recorded trace.jsonl, or a folder of traces",
    )
    add_comparison(command)
    command.add_argument(
        "--config",
        type=arguments.path,
        metavar="FILE",
        help="plugins file with the retry plugin's config (default: what the trace says, else "
        f"{CONFIG_NAME} beside it)",
    )
    command.add_argument(
        "--engine", choices=_ENGINES, default=_ENGINES[0], help="where (default: %(default)s)"
    )
    command.add_argument(
        "--address", metavar="ADDRESS", help="of a Ray cluster; without it one is started here"
    )
    command.add_argument(
        "--parts",
        type=worker_count,
        metavar="COUNT",
        help="shares of the chains, one after the other on a worker (default: as many as workers); "
        "the evidence is the same with any number",
    )
    command.add_argument(
        "--json", metavar="FILE", help="write the outcome as JSON; - writes it to stdout"
    )


def replay_command(options: argparse.Namespace) -> int:
    """Run the command.

    Returns:
        The exit status.

    Raises:
        TraceError: A trace cannot be used.
        ReplayError: The plugins file cannot be used.
        ReplayRefusedError: An implementation refuses the config, or an option cannot be used.
        OutputError: The evidence or the JSON file cannot be written.
    """
    check_json_target(options.json)
    make_directory(options.out)
    if options.address is not None and options.engine != "ray":
        message = f"--address {options.address}: is for --engine ray"
        raise ReplayRefusedError(message)
    trace = open_trace(options.trace)
    plugin, config = plugin_of(trace, options.config)
    plugin = plugin or _NO_NAME
    workers = options.workers or cores()
    parts = options.parts or workers * (_RAY_PARTS if options.engine == "ray" else 1)
    about = about_replay(
        plugin,
        config_hash(config),
        options.candidate,
        {"sha256": trace.sha256, "files": len(trace.files)},
    )
    tasks = [
        Task(
            trace.files,
            Part(number, parts),
            plugin,
            config,
            options.candidate,
            salt_of(about["run"]),
        )
        for number in range(parts)
    ]
    progress = console(stderr=True)
    for path in trace.twice:
        progress.print(f"{path}: is given twice; counted once", markup=False, highlight=False)
    begun = time.monotonic()
    with _advancing(progress, trace.calls) as advance:
        if options.engine == "ray":
            from retry_parity.replaying.ray_engine import play_on_ray

            played = play_on_ray(tasks, options.workers, options.address, advance)
        else:
            played = play_locally(tasks, workers, advance)
    seconds = time.monotonic() - begun
    measured = {
        "seconds": round(seconds, 3),
        "busy_seconds": round(played.seconds, 3),
        "decisions": played.calls,
        "workers": workers,
        "engine": options.engine,
        "latency": played.latency,
        "memory": played.memory,
        "peak_rss_bytes": played.peak_rss_bytes,
    }
    folder = write_replay(options.out, about, played, measured)
    outcome = _outcome(about, played, measured, folder)
    _show(outcome, progress if options.json == STDOUT else console(stderr=False))
    write_json(options.json, outcome)
    counts = played.counts
    is_bad = counts["divergent"] or counts["not_compared"] or counts["harness_errors"]
    return DIVERGENT if is_bad or played.mutated or not played.calls else ALIKE


def _outcome(
    about: Mapping[str, Any], played: Played, measured: Mapping[str, Any], folder: Path
) -> dict[str, Any]:
    counts = played.counts
    seconds = max(measured["busy_seconds"], 1e-9)
    return {
        "evidence": str(folder),
        "run": about["run"],
        "calls": played.calls,
        "matches": counts["matches"],
        "accepted": counts["accepted"],
        "divergent": counts["divergent"] | ({"payload-mutated": 1} if played.mutated else {}),
        "not_compared": counts["not_compared"],
        "harness_errors": counts["harness_errors"],
        "candidate_errors": counts["candidate_errors"],
        "lost": played.lost,
        "cut_off": played.cut_off,
        "seconds": measured["seconds"],
        "pairs_per_second": round(played.calls / max(measured["seconds"], 1e-9)),
        "pairs_per_second_and_core": round(played.calls / seconds),
        "peak_rss_mib": round(played.peak_rss_bytes / 1024 / 1024),
    }


def _show(outcome: Mapping[str, Any], out: Console) -> None:
    table = Table(show_header=False, box=None, pad_edge=False)
    divergent = sum(outcome["divergent"].values())
    found = f"{divergent:,} unexplained" if divergent else "no unexplained divergences"
    rows = [("replayed", f"{outcome['calls']:,} calls, {found}")]
    rows += [("divergent", f"{name}: {count:,}") for name, count in outcome["divergent"].items()]
    rows += [("accepted", f"{name}: {count:,}") for name, count in outcome["accepted"].items()]
    for key, name in (
        ("not_compared", "not compared"),
        ("harness_errors", "harness errors"),
        ("candidate_errors", "candidate errors"),
        ("lost", "not recorded"),
    ):
        rows += [(name, f"{reason}: {count:,}") for reason, count in outcome[key].items()]
    rows += [("cut off", path) for path in outcome["cut_off"]]
    rows += [
        ("took", f"{outcome['seconds']:,.1f} s, {outcome['peak_rss_mib']:,} MiB in a worker"),
        ("a second", f"{outcome['pairs_per_second']:,} decision pairs"),
        ("and core", f"{outcome['pairs_per_second_and_core']:,}"),
        ("evidence", outcome["evidence"]),
    ]
    for name, told in rows:
        table.add_row(name, told)
    out.print(table, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def _advancing(out: Console, calls: int | None) -> Iterator[Callable[[int], None]]:
    """Show progress: a bar on a terminal, a line now and then elsewhere."""
    begun = time.monotonic()
    if not out.is_terminal:
        said = begun

        def say(done: int) -> None:
            nonlocal said
            now = time.monotonic()
            if now - said >= _LINE_S:
                said = now
                of = f" of {calls:,}" if calls else ""
                rate = done / (now - begun)
                out.print(f"{done:,}{of} calls, {rate:,.0f} a second", highlight=False)

        yield say
        return
    columns = (TextColumn("replaying"), BarColumn(), TextColumn("{task.fields[told]}"))
    with Progress(*columns, TimeElapsedColumn(), console=out, transient=True) as bar:
        task = bar.add_task("", total=calls, told="")

        def draw(done: int) -> None:
            rate = done / max(time.monotonic() - begun, 1e-9)
            bar.update(task, completed=done, told=f"{done:,} calls, {rate:,.0f} a second")

        yield draw
