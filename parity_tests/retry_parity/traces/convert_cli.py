"""`retry-parity convert`: a recording as Parquet, which is smaller and read many times faster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from retry_parity import arguments
from retry_parity.output import console
from retry_parity.traces.calls import TraceError
from retry_parity.traces.progress import progress
from retry_parity.traces.reading import open_trace, parquet
from retry_parity.traces.targets import check_target

if TYPE_CHECKING:
    import argparse

_HELP: Final = (
    "Write a recorded trace as Parquet (zstd), with its calls, times, header and gaps as they are. "
    "Needs the extra 'traces'. Exit status: 0 = written, 2 = bad input."
)


def add_convert(commands: Any) -> None:
    """Add the command to the command line.

    Args:
        commands: The subparsers.
    """
    command = commands.add_parser("convert", help="write a trace as Parquet", description=_HELP)
    command.add_argument(
        "trace", type=arguments.path, metavar="TRACE", help="a trace: JSON lines, or a run's folder"
    )
    command.add_argument(
        "--out",
        type=arguments.path,
        required=True,
        metavar="FILE",
        help="the file to write, *.parquet",
    )


def convert_command(options: argparse.Namespace) -> int:
    """Do as the command line says.

    Args:
        options: What `add_convert` read.

    Returns:
        The exit status.

    Raises:
        TraceError: The trace cannot be used, or the file cannot be written.
    """
    trace = open_trace([options.trace])
    if len(trace.files) > 1:
        # One file is one clock, and request ids are unique in it.
        message = f"{options.trace}: has {len(trace.files)} traces; convert them one by one"
        raise TraceError(message)
    check_target(options.out, trace)
    parquet(options.out)
    from retry_parity.traces.converting import convert

    say = console(stderr=True)
    with progress(say, f"converting {options.trace}", trace.size_bytes) as advance:
        calls = convert(trace.files[0], options.out, advance)
    size = options.out.stat().st_size
    say.print(
        f"{options.out}: {calls:,} calls, {size:,} bytes (was {trace.size_bytes:,})",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    return 0
