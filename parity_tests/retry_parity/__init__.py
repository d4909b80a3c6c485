"""The migration harness: the flag between the hybrid and the Rust core, and their comparison.

Importing this package imports neither implementation, and nothing of cpex before the plugin is
asked for: pytest imports it in every run, for its plugin that adds to the behaviour suite.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retry_parity.plugin import MigrationPlugin

__all__ = ["MigrationPlugin"]


def __getattr__(name: str) -> object:
    """Import the plugin when it is asked for."""
    if name == "MigrationPlugin":
        from retry_parity import plugin

        return plugin.MigrationPlugin
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
