"""Which implementation decides: the migration flag, as environment and plugin config have it.

A feature-flag service goes before both; see `flag_service`. Nothing here imports an implementation.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

ENVIRONMENT_VARIABLE: Final = "RETRY_IMPLEMENTATION"
CONFIG_SECTION: Final = "migration"
CONFIG_KEY: Final = f"{CONFIG_SECTION}.implementation"


class Implementation(StrEnum):
    """The values of the flag; DESIGN.md, "The flag", says who decides under each."""

    LEGACY = "legacy"
    SHADOW = "shadow"
    CANARY = "canary"
    RUST = "rust"


#: The values under which every call is compared.
COMPARING: Final = frozenset({Implementation.SHADOW, Implementation.CANARY})


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
) -> Flag:
    """Read the flag: the environment wins over the plugin config, ``legacy`` is the default.

    Args:
        plugin_config: The plugin's ``config`` as the operator wrote it. What is no mapping
            carries no flag; whether it is acceptable at all is for the implementations to say.
        environ: The environment; ``None`` means this process's. A blank variable counts as unset.

    Returns:
        The value in force and its source.

    Raises:
        FlagError: An unknown value in either place, the one that does not win included.
    """
    configured = _configured(plugin_config)
    variable = (os.environ if environ is None else environ).get(ENVIRONMENT_VARIABLE, "").strip()
    flag = Flag(Implementation.LEGACY, "default")
    if configured is not None:
        flag = Flag(_known(configured, CONFIG_KEY), CONFIG_KEY)
    if variable:
        flag = Flag(_known(variable, ENVIRONMENT_VARIABLE), ENVIRONMENT_VARIABLE)
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
    # What else is wrong with the section is for `settings` to say.
    return section.get("implementation") if isinstance(section, dict) else None


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
