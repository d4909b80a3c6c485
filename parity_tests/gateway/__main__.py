"""`make gateway`: the real gateway with the migration plugin, some traffic, and where to look.

Starts an MCP server, a REST service and the gateway, registers the one with the other, and sends
tool calls of all kinds until Ctrl-C, which ends everything. Needs the environment that the make
target makes.
"""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from gateway.client import RequestError
from gateway.flags import FlagsFile
from gateway.programs import INTERRUPTS, StartError
from gateway.stack import (
    EVIDENCE,
    FLAGS,
    IMPLEMENTATIONS,
    TOKEN,
    Settings,
    Stack,
    check_installed,
    prepare,
    running,
)
from gateway.traffic import Mixed, Outcome, Traffic

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.traffic import Source

#: The share of chains in which the Rust core decides under ``canary``: both sides soon have calls.
_CANARY: Final = "half"
_MIXED: Final = "mixed"
_CORPUS: Final = "corpus"
#: As `retry_parity.settings` has them; this program tells in one line where that is missing.
_CAPTURES: Final = ("redacted", "full")
#: As many calls as it takes to see all kinds.
_ALL: Final = 0
_MOST_CALLS_PER_S: Final = 1000
_STARTED: Final = 0
_NOT_AS_IT_HAS_TO: Final = 1
_NOT_STARTED: Final = 2
_INTERRUPTED: Final = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it.

    Args:
        arguments: The command line; ``None`` means this process's.

    Returns:
        0 after an ordinary end, 1 when ``--once`` saw a call that did not end as it has to, 2 when
        something did not start, 130 after Ctrl-C before that.
    """
    options = _parser().parse_args(arguments)
    # Whoever ends this program by a signal wants its servers ended too.
    for number in INTERRUPTS:
        # nohup stays what it is.
        if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    try:
        return _run(options)
    except (StartError, RequestError) as error:
        sys.stderr.write(f"gateway: {error}\n")
        return _NOT_STARTED
    except KeyboardInterrupt:
        return _INTERRUPTED


def _run(options: argparse.Namespace) -> int:
    check_installed()
    with ExitStack() as resources:
        folder: Path | None = options.folder
        if folder is None:
            folder = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="gateway-")))
        folder = prepare(folder)
        source = _source(options.traffic)
        settings = Settings(
            plugin_name=source.plugin_name,
            plugin=source.plugin,
            migration=_migration(options, folder),
            workers=options.workers,
            port=options.port,
            tool_timeout_s=10,
            # One line for each request would fill the disk of a gateway that is left running.
            log_level="WARNING",
        )
        _say(f"starting in {folder} (some 10 s)")
        stack = resources.enter_context(running(settings, folder, source.behind))
        if options.once is not None:
            traffic = Traffic(stack, source.calls(options.once or None), _complain)
            traffic.send()
            _say(*traffic.summary())
            return _NOT_AS_IT_HAS_TO if traffic.counts[Outcome.WRONG] else _STARTED
        _say(*_where_to_look(stack, folder))
        traffic = Traffic(stack, source.endless(), _complain)
        _stay(stack, None if options.no_traffic else traffic, options.rate)
    return _STARTED


def _source(name: str) -> Source:
    if name == _CORPUS:
        from gateway.recorded_traffic import Recording

        return Recording()
    return Mixed()


def _stay(stack: Stack, traffic: Traffic | None, rate: float) -> None:
    """Stay until Ctrl-C, or until the gateway ends by itself."""
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        flow = pool.submit(traffic.flow, rate, stop) if traffic is not None else None
        try:
            with suppress(KeyboardInterrupt):
                stack.program.wait_until(lambda: False, threading.TIMEOUT_MAX)
        finally:
            stop.set()
    if traffic is not None and flow is not None:
        flow.result()
        _say("", *traffic.summary())


def _migration(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Give the plugin's section, and put the files that it names into the work folder."""
    flags = FlagsFile(folder / FLAGS)
    flags.write(options.implementation, _CANARY)
    section: dict[str, Any] = {
        "implementation": options.implementation,
        "flags": {"resolver": "file", "path": str(flags.path)},
        "evidence": {"directory": str(folder / EVIDENCE), "capture": options.capture},
    }
    if options.candidate is not None:
        section["candidate"] = options.candidate
    if options.require_certificate is not None:
        section["require_certificate"] = str(options.require_certificate.absolute())
    return section


def _where_to_look(stack: Stack, folder: Path) -> list[str]:
    from retry_parity.flag_provider import IMPLEMENTATION_FLAG

    token, evidence = folder / TOKEN, folder / EVIDENCE
    curl = f'curl -s -H "Authorization: Bearer $(cat {token})" {stack.gateway.url}'
    return [
        f"gateway   {stack.gateway.url}",
        f"token     {token}",
        f"metrics   {curl}/metrics/prometheus",
        f"log       {stack.program.log}",
        f"plugins   {folder / 'plugins.yaml'}",
        f"flag      {folder / FLAGS}: edit the defaultVariant of {IMPLEMENTATION_FLAG}",
        f"evidence  {evidence}",
        f"guard     {shlex.join([_console_script(), 'guard', str(evidence)])}",
        f"verdict   {shlex.join([_console_script(), 'verdict', str(evidence)])}",
        "Ctrl-C ends all of it",
    ]


def _console_script() -> str:
    """Give the plugin's command, as short as it can be typed here."""
    script, here = Path(sys.executable).with_name("retry-parity"), Path.cwd()
    return str(script.relative_to(here) if script.is_relative_to(here) else script)


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def _complain(line: str) -> None:
    sys.stderr.write(f"traffic: {line}\n")


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gateway", description=(__doc__ or "").partition("\n\n")[2]
    )
    parser.add_argument(
        "--implementation",
        choices=IMPLEMENTATIONS,
        default="shadow",
        help="who decides at the start (default shadow)",
    )
    parser.add_argument(
        "--traffic",
        choices=(_MIXED, _CORPUS),
        default=_MIXED,
        help="mixed: calls that fail as they are told; corpus: the calls of "
        "parity_tests/corpus/tool_results.jsonl, behind the plugin's config of that folder "
        f"(default {_MIXED})",
    )
    parser.add_argument("--candidate", metavar="NAME", help="what is compared with the hybrid")
    parser.add_argument(
        "--capture",
        choices=_CAPTURES,
        default=_CAPTURES[0],
        help="full: the evidence keeps results as they are, and the whole traffic "
        f"(default {_CAPTURES[0]})",
    )
    parser.add_argument(
        "--require-certificate",
        type=Path,
        metavar="FILE",
        help="the certificate without which the flag's value rust is refused",
    )
    parser.add_argument(
        "--workers", type=_positive, default=1, help="processes that serve (default 1)"
    )
    parser.add_argument("--port", type=_positive, help="the gateway's port (default: a free one)")
    parser.add_argument(
        "--folder", type=Path, help="work folder (default: a temporary one, removed at the end)"
    )
    parser.add_argument("--rate", type=_rate, default=2.0, help="tool calls a second (default 2)")
    traffic = parser.add_mutually_exclusive_group()
    traffic.add_argument("--no-traffic", action="store_true", help="send no tool calls")
    traffic.add_argument(
        "--once",
        type=_positive,
        nargs="?",
        const=_ALL,
        metavar="CALLS",
        help="send so many calls (default: mixed 28, corpus all), say what became of them, and end",
    )
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        message = f"{text} is less than 1"
        raise argparse.ArgumentTypeError(message)
    return number


def _rate(text: str) -> float:
    number = float(text)
    if not 0 < number <= _MOST_CALLS_PER_S:
        message = f"{text} is not above 0 and up to {_MOST_CALLS_PER_S}"
        raise argparse.ArgumentTypeError(message)
    return number


if __name__ == "__main__":
    sys.exit(main())
