"""When an accepted difference is what loading a config shows: one function per ledger entry."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias

from retry_parity.observation import Raised, attempt
from retry_parity.reference import Reference, as_called, stored_failures

#: The key with which the core's message begins: the value follows, a tool's name, an index.
_PLACE: Final = re.compile(r"[^:\[]+(?=[:\[])")
_OVERRIDES: Final = "tool_overrides"


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

    The candidate must name a setting of one of them under which alone the hybrid raises too, and
    must load without those overrides.
    """
    if isinstance(case.reference, Raised) or not is_config_error(case.error):
        return False
    overrides = case.reference.config.get(_OVERRIDES)
    if not isinstance(overrides, Mapping):
        return False
    bad = [tool for tool in overrides if case.reference.raises_for(as_called(tool))]
    if case.error.attributes.get("tool") is None or not _names_the_cause(case.error, case.config):
        return False
    good = {tool: value for tool, value in overrides.items() if tool not in bad}
    return not isinstance(case.load({**case.reference.config, _OVERRIDES: good}), Raised)


def error_family_at_load(case: LoadCase) -> bool:
    """Hold when the hybrid refuses a value that is out of its fast path's or its ceiling's reach.

    The core's ConfigError must say which.
    """
    return (
        isinstance(case.reference, Raised)
        and case.reference.name in {"TypeError", "OverflowError", "InvalidOperation"}
        and is_config_error(case.error)
        and _names_the_cause(case.error, case.config)
    )


def _as_named(tool: object) -> str:
    """Give a tool's name as the core's exception has it: lone surrogates cannot be said there."""
    return as_called(tool).encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def is_config_error(error: Raised) -> bool:
    """Whether an exception is the core's refusal of a config."""
    return error.name == "ConfigError" and error.is_a("ValueError")


def _names_the_cause(error: Raised, config: object) -> bool:
    """Whether the hybrid minds what a refusal names, with nothing else in the config.

    A refusal of the config as a whole names the cause where the config has no text keys.
    """
    if not isinstance(config, Mapping) or not all(isinstance(key, str) for key in config):
        return error.message.startswith("config:")
    named = _named_part(error, config)
    return named is not None and _hybrid_minds(named)


def _named_part(error: Raised, config: Mapping[str, object]) -> dict[str, object] | None:
    """Give the part of the config that a refusal names; ``None`` where there is no such part."""
    tool, key = error.attributes.get("tool"), error.attributes.get("key")
    overrides = config.get(_OVERRIDES)
    if tool is None:
        said = _PLACE.match(error.message)
        place = said[0] if said else ""
        return {place: config[place]} if place in config and key in {None, place} else None
    if not error.message.startswith(f"{_OVERRIDES}[") or not isinstance(overrides, Mapping):
        return None
    kept = {name: overrides[name] for name in overrides if _as_named(name) == tool}
    if key is not None:
        kept = {
            name: found
            for name, override in kept.items()
            if isinstance(override, Mapping)
            and (found := {each: override[each] for each in override if as_called(each) == key})
        }
    return {_OVERRIDES: kept} if kept else None


def _hybrid_minds(config: dict[str, object]) -> bool:
    """Whether the hybrid refuses a config, or raises at every call of a tool it has overrides of.

    The clamping of a value is judged under the ceiling that is in force now.
    """
    from cpex.framework import PluginConfig

    from retry_legacy import RetryWithBackoffPlugin

    plugin_config = PluginConfig.model_construct(name="probe", kind="probe", config=config)
    loaded = attempt(lambda: RetryWithBackoffPlugin(plugin_config))
    if isinstance(loaded, Raised):
        return True
    reference = Reference(loaded, plugin_config, stored_failures)
    overrides = config.get(_OVERRIDES)
    tools = list(overrides) if isinstance(overrides, Mapping) else []
    return any(reference.raises_for(as_called(tool)) for tool in tools)


LOAD_PREDICATES: Final[Mapping[str, LoadPredicate]] = MappingProxyType(
    {"error_family_at_load": error_family_at_load, "override_at_load": override_at_load}
)
