"""The command line `retry-parity`.

Exit status: 0 = everything was compared and nothing unexplained was found (no guard is tripped, a
verdict is "ready"), 1 = it was not so, 2 = bad input or a build that cannot be run (of a verdict:
insufficient evidence), 3 = bad evidence, 130 = interrupted, 141 = whoever read the output has gone.
"""

from __future__ import annotations

import argparse
import errno
import signal
import sys
from typing import TYPE_CHECKING, Final, NoReturn

from retry_parity.corpus import CorpusError
from retry_parity.deciding.merge_cli import add_merge, merge_command
from retry_parity.deciding.report_cli import add_report, report_command
from retry_parity.deciding.run_files import EvidenceError
from retry_parity.deciding.verdict_cli import add_verdict, verdict_command
from retry_parity.differential.builds import BuildError
from retry_parity.differential.cli import add_compare, compare_command
from retry_parity.guard_cli import add_guard, guard_command
from retry_parity.minimizing.minimize_cli import add_minimize, minimize_command
from retry_parity.output import OutputError, discard_output, occupy_standard_streams, refuse
from retry_parity.recorded import add_trace, subject_of
from retry_parity.replay import ReplayError
from retry_parity.replaying.generate_cli import add_generate, generate_command
from retry_parity.replaying.playing import ReplayRefusedError
from retry_parity.replaying.replay_cli import add_replay, replay_command
from retry_parity.run_cli import add_run, run_command
from retry_parity.traces.calls import TraceError
from retry_parity.traces.convert_cli import add_convert, convert_command
from retry_parity.traces.synthesize_cli import add_synthesize, synthesize_command

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from _typeshed import SupportsWrite

SUCCESS: Final = 0
DIVERGENT: Final = 1
BAD_INPUT: Final = 2
BAD_EVIDENCE: Final = 3
INTERRUPTED: Final = 130
#: As of a program that the closed pipe ends: no verdict.
PIPE_CLOSED: Final = 141

#: What a person reads about in this order.
_ADD: Final = (
    add_run,
    lambda commands: add_trace(add_compare(commands)),
    add_guard,
    add_verdict,
    add_report,
    add_minimize,
    add_replay,
    add_generate,
    add_merge,
    add_synthesize,
    add_convert,
)

#: Whose 2 says that evidence is insufficient, or who take evidence as these do.
_JUDGING: Final = frozenset({"verdict", "report", "minimize"})

_COMMANDS: Final[Mapping[str, Callable[[argparse.Namespace], int]]] = {
    "run": lambda options: DIVERGENT - run_command(options),
    "compare": lambda options: DIVERGENT - compare_command(options, subject_of(options)),
    "guard": lambda options: DIVERGENT - guard_command(options),
    "verdict": verdict_command,
    "report": report_command,
    "minimize": minimize_command,
    "replay": replay_command,
    "generate": generate_command,
    "merge": merge_command,
    "synthesize": synthesize_command,
    "convert": convert_command,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: The arguments; ``None`` means this process's.

    Returns:
        The exit status.
    """
    occupy_standard_streams()
    arguments = sys.argv[1:] if arguments is None else arguments
    bad_input = BAD_EVIDENCE if _JUDGING.intersection(arguments[:1]) else BAD_INPUT
    try:
        try:
            return _run(arguments)
        finally:
            # What help and usage say is output too.
            sys.stdout.flush()
    except EvidenceError as error:
        return refuse(str(error), BAD_EVIDENCE)
    except _BAD_INPUT as error:
        return refuse(str(error), BAD_INPUT)
    except KeyboardInterrupt:
        return refuse("interrupted", INTERRUPTED)
    except BrokenPipeError:
        discard_output()
        return PIPE_CLOSED
    except OSError as error:
        # A full disk behind standard output, or one that was closed, mostly.
        discard_output()
        where = error.filename or "output"
        what = (error.strerror or type(error).__name__).lower()
        if error.errno == errno.EBADF:
            what = "is closed; > /dev/null discards it"
        return refuse(f"{where}: {what}", bad_input)


def _run(arguments: Sequence[str]) -> int:
    parser = _parser()
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        # A command's own parser knows what its exit status means.
        getattr(options, "parser", parser).error(f"unrecognized arguments: {' '.join(unknown)}")
    signal.signal(signal.SIGTERM, _end)  # so that what was started is ended
    return _COMMANDS[options.command](options)


_BAD_INPUT: Final = (
    BuildError,
    CorpusError,
    OutputError,
    ReplayError,
    ReplayRefusedError,
    TraceError,
)


def _end(number: int, _frame: object) -> NoReturn:
    sys.exit(128 + number)


class _Parser(argparse.ArgumentParser):
    """A parser whose help that cannot be written is an error; argparse's own says nothing."""

    def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> None:
        (file or sys.stderr).write(message)


def _parser() -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = _Parser(
        prog="retry-parity",
        description="Run two implementations side by side; say whether they decide alike.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in _ADD:
        add(commands)
    return parser
