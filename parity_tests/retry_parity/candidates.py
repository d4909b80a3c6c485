"""The candidates by name, each imported only when it is asked for."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cpex.framework import PluginConfig

RUST: Final = "rust"

_PATHS: Final = {
    RUST: "retry_with_backoff:RetryWithBackoffPlugin",
    "broken-example": "retry_parity.broken_example:BrokenExamplePlugin",
    "never-retries": "retry_parity.broken_example:NeverRetriesPlugin",
}
_ERROR_RECORD: Final = "retry_with_backoff._core"

#: The names `--candidate` takes.
NAMES: Final = tuple(_PATHS)


class DecidingPlugin(Protocol):
    """What both implementations offer besides the cpex plugin interface."""

    def to_rust_native_policy(self, tool_name: str, ceiling: int) -> dict[str, object] | None:
        """Describe a tool's policy."""
        ...  # pragma: no cover


@dataclass(frozen=True, slots=True)
class Candidate:
    """A loaded candidate.

    Attributes:
        plugin: The plugin object.
        takes_extensions: Whether its tool hook takes extensions as a third argument.
        internal_errors: Reads how many internal errors it has turned into answers so far.
        last_internal_error: Reads the latest of them, as "hook: exception class"; ``None`` where
            there is none yet, or the candidate does not say.
        set_quiet: Says whether giving up on a call goes unlogged, as it should where the other
            side decides and has said it.
    """

    plugin: DecidingPlugin
    takes_extensions: bool
    internal_errors: Callable[[], int] = lambda: 0
    last_internal_error: Callable[[], str | None] = lambda: None
    set_quiet: Callable[[bool], None] = lambda _: None

    def hook(self, name: str) -> Callable[..., Awaitable[object]]:
        """Give one of the plugin's hooks."""
        return cast("Callable[..., Awaitable[object]]", getattr(self.plugin, name))


def load(name: str, config: PluginConfig) -> Candidate:
    """Import a candidate and build it.

    Raises:
        ImportError: It cannot be imported.
        BaseException: Whatever its constructor raises.
    """
    module_name, _, class_name = _PATHS[name].partition(":")
    plugin = getattr(importlib.import_module(module_name), class_name)(config)
    # The record of errors belongs to the core, which all candidates of this package end in.
    core = importlib.import_module(_ERROR_RECORD)
    return Candidate(
        plugin,
        takes_extensions=True,
        internal_errors=core.internal_errors,
        last_internal_error=core.last_internal_error,
        set_quiet=plugin._core.set_quiet,  # noqa: SLF001 - the shim is all interface, this is below
    )
