"""The command line `retry-parity`.

Exit status: 0 = everything was compared and nothing unexplained was found (no guard is tripped, a
verdict is "ready"), 1 = it was not so, 2 = bad input or a build that cannot be run (of a verdict:
insufficient evidence), 3 = bad evidence, 130 = interrupted, 141 = whoever read the output has gone.
"""

from __future__ import annotations

import argparse
import io
import os
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
from retry_parity.output import OutputError
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
    parser = _parser()
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        # A command's own parser knows what its exit status means.
        getattr(options, "parser", parser).error(f"unrecognized arguments: {' '.join(unknown)}")
    signal.signal(signal.SIGTERM, _end)  # so that what was started is ended
    for stream in (sys.stdout, sys.stderr):
        # Tool names are of any script; a terminal that cannot show one must not end the run.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        status = _COMMANDS[options.command](options)
        sys.stdout.flush()
    except EvidenceError as error:
        return _refuse(str(error), BAD_EVIDENCE)
    except _BAD_INPUT as error:
        return _refuse(str(error))
    except KeyboardInterrupt:
        return _refuse("interrupted", INTERRUPTED)
    except BrokenPipeError:
        # Whoever read the output has gone. Python would say so again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except OSError as error:
        # A full disk behind standard output, mostly; it would be full again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        where = error.filename or "output"
        what = (error.strerror or type(error).__name__).lower()
        status = BAD_EVIDENCE if options.command in _JUDGING else BAD_INPUT
        return _refuse(f"{where}: {what}", status)
    return status


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


def _refuse(message: str, status: int = BAD_INPUT) -> int:
    sys.stderr.write(f"retry-parity: {message}\n")
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="retry-parity",
        description="Run two implementations side by side; say whether they decide alike.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in _ADD:
        add(commands)
    return parser
