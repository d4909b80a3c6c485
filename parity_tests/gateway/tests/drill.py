"""The stack whose candidate loses every retry, and is to decide all the same."""

from __future__ import annotations

import subprocess
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.stack import PLUGIN_NAME, Tool
from gateway.tests.configurations import BUDGET, DRILL, SECRET
from gateway.tests.evidence import Evidence
from gateway.tests.live import wait_for_lines
from gateway.tests.page import page_when
from retry_parity.guard import guard_file, mark_reset, tripped_guards

if TYPE_CHECKING:
    from gateway.client import Client
    from gateway.stack import Stack

TRIPPED_HERE: Final = "the guard has tripped"
TRIPPED_ELSEWHERE: Final = "the guard is tripped since"
_RESET: Final = "the guard has been reset"


class Told(NamedTuple):
    """What the command said."""

    status: int
    output: str
    errors: str


class Drill:
    """The stack and its guard."""

    def __init__(self, stack: Stack) -> None:
        """Take the stack."""
        self.stack = stack
        self.evidence = Evidence(stack)

    def guard(self, *options: str) -> Told:
        """Run ``retry-parity guard`` on the stack's evidence."""
        script = Path(sys.executable).with_name("retry-parity")
        ended = subprocess.run(  # noqa: S603 - our own command
            [script, "guard", self.evidence.folder, *options],
            capture_output=True,
            text=True,
            check=False,
        )
        return Told(ended.returncode, ended.stdout, ended.stderr)

    def make_ready(self) -> None:
        """Reset the guard on all workers, where an earlier test has tripped it."""
        # The folder is made with the first line of evidence.
        page_when(self.stack.gateway, lambda page: page.total("evidence_bytes") > 0)
        if PLUGIN_NAME in tripped_guards(self.evidence.folder):
            self.reset()

    def reset(self) -> None:
        """Reset the guard as the command does, and wait until every worker says that it knows."""
        before = len(self.stack.said())
        trip = tripped_guards(self.evidence.folder)[PLUGIN_NAME]
        mark_reset(guard_file(self.evidence.folder, PLUGIN_NAME), trip)
        self.wait_until_reset(before)

    def wait_until_reset(self, before: int) -> None:
        """Wait until every worker has said so, since the plugin had logged so many lines."""
        wait_for_lines(self.stack, before, (_RESET,), DRILL.workers)

    def trip(self) -> None:
        """Have the guard trip by one call, and wait until every worker says that it knows."""
        before = len(self.stack.said())
        self.recovers(BUDGET)
        self.wait_until_tripped(before)

    def wait_until_tripped(self, before: int) -> None:
        """Wait until every worker has said so, since the plugin had logged so many lines."""
        trips = (TRIPPED_HERE, TRIPPED_ELSEWHERE)
        wait_for_lines(self.stack, before, trips, DRILL.workers)

    def recovers(
        self, failures: int, through: Client | None = None, *, manner: str = "error"
    ) -> None:
        """Make a call that has to recover from failures, with as many attempts as it takes."""
        case = uuid.uuid4().hex
        answer = self.stack.call(Tool.MCP, case, failures, manner, note=SECRET, through=through)
        assert not answer.failed, answer
        assert self.stack.attempts(case) == failures + 1
