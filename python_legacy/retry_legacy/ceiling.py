"""The gateway's limit on retries, and what it does to a config.

The published plugin asks the wrong settings object and so never finds the gateway's limit; it takes
the base's own max_retries for it, so that no override can raise them. This is the one place where
this package does what was meant instead of what was published.
"""

from __future__ import annotations

import logging
import math
import os
import reprlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retry_legacy.config import RetryConfig

logger = logging.getLogger("retry_legacy")

VARIABLE = "MAX_TOOL_RETRIES"
GATEWAY_SETTING = "mcpgateway.config.settings.max_tool_retries"
NO_CEILING = math.inf


def find_ceiling() -> float:
    """Look up the most retries the gateway allows.

    The gateway's own settings count when the gateway is loaded in this process, else the
    environment variable `MAX_TOOL_RETRIES` (blank is unset).

    Returns:
        An integer >= 0, or `NO_CEILING`.

    Raises:
        ValueError: The value found is not an integer >= 0.
    """
    gateway = sys.modules.get("mcpgateway.config")
    allowed = getattr(getattr(gateway, "settings", None), "max_tool_retries", None)
    if allowed is not None:
        if isinstance(allowed, int) and allowed >= 0:
            return allowed
        raise _refusal(GATEWAY_SETTING, allowed)
    text = os.environ.get(VARIABLE, "").strip()
    if not text:
        return NO_CEILING
    try:
        number = int(text)
    except ValueError:
        raise _refusal(VARIABLE, text) from None
    if number < 0:
        raise _refusal(VARIABLE, text)
    return number


def clamp(config: RetryConfig, ceiling: float) -> RetryConfig:
    """Lower max_retries of the base and of every override to the ceiling, warning of each.

    Args:
        config: The parsed config. Its overrides are Pydantic's copies, never the operator's own
            objects, and are changed in place.
        ceiling: The most retries allowed; `NO_CEILING` changes nothing.

    Returns:
        The config to use.

    Raises:
        TypeError: An override's max_retries cannot be compared with a number.
    """
    if config.max_retries > ceiling:
        _warn("max_retries", config.max_retries, ceiling)
        config = config.model_copy(update={"max_retries": ceiling})
    for tool, override in config.tool_overrides.items():
        wanted = override.get("max_retries", 0)
        if wanted > ceiling:
            _warn(f"tool_overrides[{tool!r}].max_retries", wanted, ceiling)
            override["max_retries"] = ceiling
    return config


def _warn(key: str, wanted: object, ceiling: float) -> None:
    logger.warning("%s=%r is more than the gateway allows, using %r", key, wanted, ceiling)


def _refusal(source: str, value: object) -> ValueError:
    shown = reprlib.repr(value)
    return ValueError(f"{source}: {shown} given, an integer of at least 0 is allowed")
