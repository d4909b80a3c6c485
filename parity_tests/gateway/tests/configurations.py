"""The stacks under test, and what they have in common."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from gateway.flags import FlagsFile
from gateway.stack import EVIDENCE, FLAGS, IMPLEMENTATIONS, Settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gateway.stack import Stack

#: The plugin's budget, and the gateway's own, which is larger.
BUDGET: Final = 3
CEILING: Final = 4
#: Ordinary calls end far below it, on a busy machine too. All timeouts of the longest slow call
#: together are over before a plugin object is too old.
TOOL_TIMEOUT_S: Final = 6

#: The gateway builds its plugin objects anew when they are older than 30 s.
REBUILT_AFTER_S: Final = 30

#: A tool whose retry comes after its plugin object has become too old.
SLOW_TOOL: Final = "rest-slow"
#: A tool of a team, which has a plugin object of its own.
TEAM_TOOL: Final = "rest-of-a-team"
#: A tool whose chains are open long enough for a flip between two attempts, or a worker's end.
LONG_TOOL: Final = "rest-long"
LONG_BUDGET: Final = 2

#: What no evidence, no log line of the plugin and no metric may repeat. It is in the arguments and
#: in every answer of nearly all calls that are made here.
SECRET: Final = "5ecret-b0b-1234"  # noqa: S105 - planted

#: More tools, each with a policy of its own, by name. The number of attempts has to be the same
#: under every implementation, whatever it is.
POLICIES: Final = {
    "rest-never": {"max_retries": 0},
    "rest-once": {"max_retries": 1},
    "rest-above-the-ceiling": {"max_retries": CEILING + 3},
    "rest-other-status": {"retry_on_status": [404, 429]},
    "rest-no-status": {"retry_on_status": []},
    "rest-text-checked": {"check_text_content": True},
    "rest-cap-below-base": {"backoff_base_ms": 20, "max_backoff_ms": 1},
}

#: With one of these on, gateway 1.0.7 makes the plugins' context before it has read the header
#: X-Correlation-ID, and a request's id is one that nobody knows beforehand.
_IDS_OF_CALLERS: Final = {
    "SECURITY_LOGGING_ENABLED": "false",
    "PASSWORD_CHANGE_ENFORCEMENT_ENABLED": "false",
}


def _delayed(max_retries: int, delay_ms: int) -> dict[str, int]:
    return {
        "max_retries": max_retries,
        "backoff_base_ms": delay_ms,
        "max_backoff_ms": delay_ms,
    }


_PLUGIN: Final = {
    "max_retries": BUDGET,
    "backoff_base_ms": 10,
    "max_backoff_ms": 20,
    # The hybrid draws delays from 0 on, and the gateway takes 0 for no retry (docs/DIVERGENCES.md);
    # numbers of attempts are exact only without jitter.
    "jitter": False,
    "tool_overrides": POLICIES
    | {
        SLOW_TOOL: _delayed(1, (REBUILT_AFTER_S + 1) * 1000),
        TEAM_TOOL: _delayed(2, 1000),
        LONG_TOOL: _delayed(LONG_BUDGET, 3000),
    },
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Configuration:
    """One stack.

    Attributes:
        name: Of the test case.
        migration: The section of that name, without what is in the stack's own folder.
        workers: How many processes serve.
        has_flags: Whether it follows a flags file, which begins with ``legacy``.
        has_folder: Whether the evidence has a folder; otherwise there is a file in its place.
        has_background: Whether the calls of `calls` are made in it.
    """

    name: str
    migration: Mapping[str, Any] = field(repr=False)
    workers: int = 1
    has_flags: bool = False
    has_folder: bool = True
    has_background: bool = False

    def __str__(self) -> str:
        """Name the test case."""
        return self.name

    def settings(self, folder: Path) -> Settings:
        """Give the stack's settings, and put the files that they name into its folder."""
        migration = dict(self.migration) | {"evidence": {"directory": str(folder / EVIDENCE)}}
        folder.mkdir(parents=True)
        if self.has_flags:
            FlagsFile(folder / FLAGS).write("legacy")
            migration["flags"] = {"path": str(folder / FLAGS)}
        if not self.has_folder:
            (folder / EVIDENCE).touch()
        return Settings(
            plugin=_PLUGIN,
            migration=migration,
            environment=_IDS_OF_CALLERS,
            workers=self.workers,
            tool_timeout_s=TOOL_TIMEOUT_S,
            max_tool_retries=CEILING,
        )


#: The values of the flag as the config sets them. Under ``canary`` the Rust core has all chains.
ONE_WORKER: Final = tuple(
    Configuration(
        name=value,
        migration={"implementation": value, "canary_percent": 100},
        has_folder=value != "shadow",
        has_background=True,
    )
    for value in IMPLEMENTATIONS
)
#: Two workers that follow a flags file. The config says something else than the file will.
LIVE: Final = Configuration(
    name="live", migration={"implementation": "legacy"}, workers=2, has_flags=True
)
#: Two workers whose candidate loses every retry, and is to decide all the same.
GUARD_LIMIT: Final = 2
DRILL: Final = Configuration(
    name="drill",
    migration={
        "implementation": "canary",
        "canary_percent": 100,
        "candidate": "never-retries",
        "guard": {"limit": GUARD_LIMIT},
    },
    workers=2,
)
EVERY: Final = (LIVE, DRILL, *ONE_WORKER)


def register_tools(stack: Stack) -> None:
    """Register what the tests need besides the tools that every stack has."""
    for tool in (*POLICIES, SLOW_TOOL, LONG_TOOL):
        stack.register_rest_tool(tool)
    stack.register_rest_tool(TEAM_TOOL, team=stack.team())
