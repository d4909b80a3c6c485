"""The stacks under test, and what they have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.stack import IMPLEMENTATIONS, Settings

if TYPE_CHECKING:
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
TEAM_DELAY_MS: Final = 1000

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

_PLUGIN: Final = {
    "max_retries": BUDGET,
    "backoff_base_ms": 10,
    "max_backoff_ms": 20,
    # The hybrid draws delays from 0 on, and the gateway takes 0 for no retry (docs/DIVERGENCES.md);
    # numbers of attempts are exact only without jitter.
    "jitter": False,
    "tool_overrides": POLICIES
    | {
        SLOW_TOOL: {
            "max_retries": 1,
            "backoff_base_ms": (REBUILT_AFTER_S + 1) * 1000,
            "max_backoff_ms": (REBUILT_AFTER_S + 1) * 1000,
        },
        TEAM_TOOL: {
            "max_retries": 2,
            "backoff_base_ms": TEAM_DELAY_MS,
            "max_backoff_ms": TEAM_DELAY_MS,
        },
    },
}


class Configuration(NamedTuple):
    """One stack.

    Attributes:
        implementation: Who decides.
        workers: How many processes serve.
    """

    implementation: str
    workers: int

    def __str__(self) -> str:
        """Name the test case."""
        if self.workers == 1:
            return self.implementation
        return f"{self.implementation}-{self.workers}-workers"

    def settings(self) -> Settings:
        """Give the stack's settings."""
        return Settings(
            plugin=_PLUGIN,
            migration={"implementation": self.implementation},
            workers=self.workers,
            tool_timeout_s=TOOL_TIMEOUT_S,
            max_tool_retries=CEILING,
        )


ONE_WORKER: Final = tuple(Configuration(value, 1) for value in IMPLEMENTATIONS)
TWO_WORKERS: Final = tuple(
    Configuration(value, 2) for value in IMPLEMENTATIONS if value != "legacy"
)
EVERY: Final = (*ONE_WORKER, *TWO_WORKERS)


def register_tools(stack: Stack) -> None:
    """Register what the tests need besides the tools that every stack has."""
    for tool in (*POLICIES, SLOW_TOOL):
        stack.register_rest_tool(tool)
    stack.register_rest_tool(TEAM_TOOL, team=stack.team())
