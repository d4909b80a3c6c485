"""Which implementation decides: the migration flag, read once when the plugin is built.

This module does not follow a feature-flag service and does not import either implementation.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

ENVIRONMENT_VARIABLE: Final = "RETRY_IMPLEMENTATION"
CONFIG_SECTION: Final = "migration"
CONFIG_KEY: Final = f"{CONFIG_SECTION}.implementation"
_SECTION_KEYS: Final = ("implementation",)


class Implementation(StrEnum):
    """The values of the flag; DESIGN.md, "The flag", says who decides under each."""

    LEGACY = "legacy"
    SHADOW = "shadow"
    CANARY = "canary"
    RUST = "rust"


_NOT_AVAILABLE_YET: Final = frozenset({Implementation.CANARY})


class FlagError(ValueError):
    """The flag or its section cannot be used; the message is one line for the operator."""


@dataclass(frozen=True, slots=True)
class Flag:
    """A value of the flag and where it came from.

    Attributes:
        implementation: Who decides.
        source: ``RETRY_IMPLEMENTATION``, ``migration.implementation`` or ``default``.
    """

    implementation: Implementation
    source: str


def read_flag(
    plugin_config: object,
    environ: Mapping[str, str] | None = None,
    *,
    not_available: Collection[Implementation] = _NOT_AVAILABLE_YET,
) -> Flag:
    """Read the flag: the environment wins over the plugin config, ``legacy`` is the default.

    Args:
        plugin_config: The plugin's ``config`` as the operator wrote it. What is no mapping
            carries no flag; whether it is acceptable at all is for the implementations to say.
        environ: The environment; ``None`` means this process's. A blank variable counts as unset.
        not_available: Values that are known and refused all the same.

    Returns:
        The value in force and its source.

    Raises:
        FlagError: An unknown value in either place (the one that does not win included), a value
            that this version does not offer yet, or an unknown key under ``migration:``.
    """
    configured = _configured(plugin_config)
    variable = (os.environ if environ is None else environ).get(ENVIRONMENT_VARIABLE, "").strip()
    flag = Flag(Implementation.LEGACY, "default")
    if configured is not None:
        flag = Flag(_known(configured, CONFIG_KEY), CONFIG_KEY)
    if variable:
        flag = Flag(_known(variable, ENVIRONMENT_VARIABLE), ENVIRONMENT_VARIABLE)
    if flag.implementation in not_available:
        offered = ", ".join(value for value in Implementation if value not in not_available)
        message = (
            f"{flag.source}: '{flag.implementation}' is not available yet in this version; "
            f"use one of {offered}"
        )
        raise FlagError(message)
    return flag


def without_section(plugin_config: object) -> object:
    """Give the config as the implementations take it: a copy without ``migration:``.

    Mappings and lists are copied, so that neither implementation can change what the other (or
    the operator) sees; every other value is passed on as it is.
    """
    if not isinstance(plugin_config, dict):
        return plugin_config
    return {key: _copied(value) for key, value in plugin_config.items() if key != CONFIG_SECTION}


def _configured(plugin_config: object) -> object:
    if not isinstance(plugin_config, dict):
        return None
    section = plugin_config.get(CONFIG_SECTION)
    if section is None:
        return None
    if not isinstance(section, dict):
        message = f"{CONFIG_SECTION}: {section!r} is not a mapping with the key 'implementation'"
        raise FlagError(message)
    for key in section:
        if key not in _SECTION_KEYS:
            message = (
                f"{CONFIG_SECTION}: unknown key {key!r}; known keys are {', '.join(_SECTION_KEYS)}"
            )
            raise FlagError(message)
    value: object = section.get("implementation")
    return value


def _known(value: object, source: str) -> Implementation:
    for implementation in Implementation:
        if isinstance(value, str) and value == implementation.value:
            return implementation
    message = f"{source}: {value!r} is not one of {', '.join(Implementation)}"
    raise FlagError(message)


def _copied(value: object) -> object:
    if type(value) is dict:
        return {key: _copied(item) for key, item in value.items()}
    if type(value) is list:
        return [_copied(item) for item in value]
    return value
