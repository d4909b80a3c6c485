"""When an accepted difference is what loading a config shows: one function per ledger entry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeAlias

from retry_parity.observation import Raised

if TYPE_CHECKING:
    from retry_parity.reference import Reference

#: What follows the key in the core's message: the value, a tool's name, an item's index.
_AFTER_KEY: Final = (":", "[")


@dataclass(frozen=True, slots=True)
class LoadCase:
    """A config that the candidate refuses.

    Attributes:
        config: The plugin config without ``migration:``, as both sides got it.
        error: The candidate's refusal.
        reference: The hybrid, loaded with this config; or the exception with which it refuses it.
        load: Loads the candidate with another config; gives the exception where that fails too.
    """

    config: object
    error: Raised
    reference: Reference | Raised
    load: Callable[[Mapping[str, object]], object | Raised]


LoadPredicate: TypeAlias = Callable[[LoadCase], bool]


def override_at_load(case: LoadCase) -> bool:
    """Hold when the overrides under which the hybrid raises at every call are the only cause.

    The candidate must name one of the tools, and must load without those overrides.
    """
    if isinstance(case.reference, Raised) or not is_config_error(case.error):
        return False
    overrides = case.reference.config.get("tool_overrides")
    if not isinstance(overrides, Mapping):
        return False
    bad = [tool for tool in overrides if case.reference.raises_for(tool)]
    if not any(_as_named(tool) == case.error.attributes.get("tool") for tool in bad):
        return False
    good = {tool: value for tool, value in overrides.items() if tool not in bad}
    return not isinstance(case.load({**case.reference.config, "tool_overrides": good}), Raised)


def error_family_at_load(case: LoadCase) -> bool:
    """Hold when the hybrid's fast path refuses a value, and the core's ConfigError says which."""
    return (
        isinstance(case.reference, Raised)
        and case.reference.name in {"TypeError", "OverflowError"}
        and is_config_error(case.error)
        and _names_a_place(case.error.message, case.config)
    )


def _as_named(tool: str) -> str:
    """Give a tool's name as the core's exception has it: lone surrogates cannot be said there."""
    return tool.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def is_config_error(error: Raised) -> bool:
    """Whether an exception is the core's refusal of a config."""
    return error.name == "ConfigError" and error.is_a("ValueError")


def _names_a_place(message: str, config: object) -> bool:
    """Whether a refusal begins with a key of the config, or says that it has no such keys."""
    if not isinstance(config, Mapping) or not all(isinstance(key, str) for key in config):
        return message.startswith("config:")
    return any(
        key and message.startswith(tuple(key + after for after in _AFTER_KEY)) for key in config
    )


LOAD_PREDICATES: Final[Mapping[str, LoadPredicate]] = MappingProxyType(
    {"error_family_at_load": error_family_at_load, "override_at_load": override_at_load}
)
