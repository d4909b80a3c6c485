"""Scenarios as data: a config and what happens under it.

Also runs inside other environments: the standard library, and modules that do the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from retry_parity.recipes import Recipe


@dataclass(frozen=True, slots=True)
class Call:
    """A tool result arrives.

    Attributes:
        plugin: Which of the plugin objects gets it.
        tool: Tool name.
        request_id: Request id.
        result: Recipe of the result.
        trace_id: ``extensions.request.trace_id``; ``None`` without extensions.
    """

    plugin: int
    tool: str
    request_id: str
    result: Recipe
    trace_id: str | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """Time passes.

    Attributes:
        seconds: How long.
    """

    seconds: float


@dataclass(frozen=True, slots=True)
class Rebuild:
    """A plugin object is thrown away and built anew, as the gateway does every 30 s.

    Attributes:
        plugin: Which one.
    """

    plugin: int


@dataclass(frozen=True, slots=True)
class Policy:
    """The gateway asks for the policy of its own Rust path.

    Attributes:
        tool: Tool name.
        ceiling: The most retries the gateway allows.
        plugin: Which of the plugin objects is asked.
    """

    tool: str
    ceiling: int
    plugin: int = 0


@dataclass(frozen=True, slots=True)
class Fetch:
    """A resource arrives.

    Attributes:
        plugin: Which of the plugin objects gets it.
    """

    plugin: int


Step: TypeAlias = Call | Wait | Rebuild | Policy | Fetch


@dataclass(frozen=True, slots=True)
class Scenario:
    """A config and what happens under it.

    Attributes:
        config: Recipe of the plugin's config.
        ceiling: The gateway's limit on retries; ``None`` for none.
        steps: What happens, in order.
        other: Recipe of another config for all plugin objects but the first; ``None`` for the same.
    """

    config: Recipe
    ceiling: int | None
    steps: tuple[Step, ...]
    other: Recipe = None
