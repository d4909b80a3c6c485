"""`retry-parity generate`: evidence from generated scenarios, for what no traffic shows."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any, Final

from retry_parity.arguments import whole_number
from retry_parity.deciding.thresholds import read_thresholds
from retry_parity.options import add_comparison
from retry_parity.output import console
from retry_parity.replaying.evidence import make_directory, write_generated
from retry_parity.replaying.generating import about_generated, generate
from retry_parity.replaying.local import cores
from retry_parity.replaying.playing import ReplayRefusedError

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from rich.console import Console

    from retry_parity.replaying.generating import Generated

ALIKE: Final = 0
DIVERGENT: Final = 1

_SCENARIOS: Final = 2000
_MOST_SHOWN: Final = 10
#: Seconds between two lines of progress.
_LINE_S: Final = 10.0


def add_generate(commands: Any) -> None:
    """Add the command to a parser's."""
    command = commands.add_parser(
        "generate",
        help="run generated scenarios through the hybrid and a candidate; leaves evidence",
        description=(
            "Run generated scenarios through the hybrid and a candidate as in shadow mode, until "
            "every stratum was met often enough, and write evidence. Exit status: 0 = no "
            "unexplained divergences, 1 = some, or strata that were not met, 2 = bad input."
        ),
    )
    add_comparison(command)
    command.add_argument(
        "--scenarios",
        type=whole_number,
        default=_SCENARIOS,
        metavar="COUNT",
        help="scenarios of all kinds, before those that aim at what is missing (default: "
        "%(default)s)",
    )
    command.add_argument(
        "--at-least",
        type=whole_number,
        metavar="COUNT",
        help="comparisons in each stratum (default: as many as a verdict requires)",
    )
    command.add_argument(
        "--seed", metavar="SEED", help="series of scenarios (default: a new one each time)"
    )


def generate_command(options: argparse.Namespace) -> int:
    """Run the command.

    Returns:
        The exit status.

    Raises:
        ReplayRefusedError: An option cannot be used, or a worker died.
        OutputError: The evidence cannot be written.
    """
    seed = options.seed or str(random.SystemRandom().randrange(10**6))
    if not seed.isprintable():
        message = f"--seed {seed!r}: a text that can be printed is allowed"
        raise ReplayRefusedError(message)
    make_directory(options.out)
    at_least = options.at_least or read_thresholds().coverage.per_stratum
    progress = _Progress(console(stderr=True))
    found = generate(
        seed,
        options.candidate,
        scenarios=options.scenarios,
        at_least=at_least,
        workers=options.workers or cores(),
        advance=progress.advance,
    )
    folder = write_generated(
        options.out, about_generated(seed, options.candidate, found.scenarios), found.counts
    )
    counts = found.counts
    for line in _told(found, seed, at_least, folder):
        console(stderr=False).print(line, markup=False, highlight=False, soft_wrap=True)
    is_bad = counts["divergent"] or counts["harness_errors"] or found.missing
    return DIVERGENT if is_bad else ALIKE


def _told(found: Generated, seed: str, at_least: int, folder: Path) -> list[str]:
    counts = found.counts
    compared = sum(sum(verdicts.values()) for verdicts in counts["strata"].values())
    lines = [f"generated  {found.scenarios:,} scenarios, {compared:,} decisions (seed {seed})"]
    for key, name in (
        ("divergent", "divergent"),
        ("accepted", "accepted"),
        ("harness_errors", "harness errors"),
    ):
        lines += [f"{name:<10} {what}: {count:,}" for what, count in sorted(counts[key].items())]
    lines += [
        f"missing    {stratum}: less than {at_least:,}" for stratum in found.missing[:_MOST_SHOWN]
    ]
    if len(found.missing) > _MOST_SHOWN:
        lines.append(f"missing    and {len(found.missing) - _MOST_SHOWN:,} more strata")
    return [*lines, f"evidence   {folder}"]


class _Progress:
    """A line now and then; how far it is to go is not known before."""

    def __init__(self, out: Console) -> None:
        self._console = out
        self._said = time.monotonic()

    def advance(self, scenarios: int, missing: int) -> None:
        now = time.monotonic()
        if now - self._said < _LINE_S:
            return
        self._said = now
        self._console.print(
            f"{scenarios:,} scenarios, {missing} strata are still to be met", highlight=False
        )
