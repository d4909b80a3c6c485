"""`retry-parity synthesize`: as much traffic as wanted, drawn from a recording."""

from __future__ import annotations

import argparse
from typing import Any, Final

from retry_parity import arguments
from retry_parity.output import console
from retry_parity.traces.progress import progress
from retry_parity.traces.reading import open_trace, parquet
from retry_parity.traces.targets import check_target, number_of_calls

_DEFAULT_CALLS: Final = "1,000,000"
#: Calls per second, all chains together; docs/TRACES.md says why.
DEFAULT_RATE: Final = 25.0
_RATES: Final = (0.001, 1_000_000.0)
_LONGEST_SEED: Final = 18
_HELP: Final = (
    "Draw whole chains from a recorded trace, with replacement, until there are enough calls; they "
    "begin at random (a Poisson process) and keep the waits within them. The same seed gives the "
    "same traffic. Needs the extra 'traces'. Exit status: 0 = written, 2 = bad input."
)


def add_synthesize(commands: Any) -> None:
    """Add the command to the command line.

    Args:
        commands: The subparsers.
    """
    command = commands.add_parser(
        "synthesize", help="make much traffic from a recorded trace", description=_HELP
    )
    command.add_argument(
        "--from",
        dest="source",
        type=arguments.path,
        nargs="+",
        required=True,
        metavar="TRACE",
        help="traces to draw from: files, or folders of evidence",
    )
    command.add_argument(
        "--calls",
        type=number_of_calls,
        default=_DEFAULT_CALLS,
        metavar="N",
        help="how many calls (default: %(default)s)",
    )
    command.add_argument(
        "--seed", type=_seed, default=1, metavar="N", help="which traffic (default: %(default)s)"
    )
    command.add_argument(
        "--rate",
        type=_rate,
        default=DEFAULT_RATE,
        metavar="N",
        help="calls per second (default: %(default)g)",
    )
    command.add_argument(
        "--out",
        type=arguments.path,
        required=True,
        metavar="FILE",
        help="the file to write, *.parquet",
    )


def synthesize_command(options: argparse.Namespace) -> int:
    """Do as the command line says.

    Args:
        options: What `add_synthesize` read.

    Returns:
        The exit status.

    Raises:
        TraceError: The recording cannot be used, what is wanted cannot be made, or the file cannot
            be written.
    """
    source = open_trace(options.source)
    check_target(options.out, source)
    parquet(options.out)
    from retry_parity.traces.synthetic import Wanted, synthesize

    wanted = Wanted(options.calls, options.seed, options.rate)
    say = console(stderr=True)
    with progress(say, f"making {wanted.calls:,} calls", wanted.calls) as advance:
        calls = synthesize(source, wanted, options.out, advance)
    say.print(
        f"{options.out}: {calls:,} calls, {options.out.stat().st_size:,} bytes",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    return 0


def _seed(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _LONGEST_SEED):
        allowed = f"a whole number of up to {_LONGEST_SEED} digits"
        message = f"{text!r:.40} is no seed; {allowed} is allowed"
        raise argparse.ArgumentTypeError(message)
    return int(text)


def _rate(text: str) -> float:
    lowest, highest = _RATES
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not lowest <= rate <= highest:
        message = f"{text!r:.40} is no rate; {lowest:g} to {highest:,.0f} a second is allowed"
        raise argparse.ArgumentTypeError(message)
    return rate
