"""A config that cannot be used, said in one line whatever the implementations make of it."""

from __future__ import annotations

from typing import Final

_MOST_SHOWN: Final = 300


class ConfigRefusedError(ValueError):
    """The plugin's config cannot be used.

    The message is one line: key, tool, the value given, what is allowed. The exception of the
    implementation that refused it is the ``__cause__``.
    """


def refused(error: Exception, config: object) -> ConfigRefusedError:
    """Say why the hybrid refuses a config, in the words of the Rust core.

    The core is imported for this, under ``legacy`` too: on the way to a failure only.

    Args:
        error: What the hybrid raised.
        config: The plugin config without ``migration:``.

    Returns:
        The exception to raise. Where the core has no objection, or cannot be asked, its message is
        the hybrid's own on one line.
    """
    return ConfigRefusedError(_objection(config) or one_line(error))


def one_line(error: BaseException) -> str:
    """Give an exception's message on one line, shortened; its class where it has none."""
    from pydantic import ValidationError

    if isinstance(error, ValidationError):
        return "; ".join(
            f"{'.'.join(map(str, each['loc'])) or 'config'}: "
            f"{_shortened(repr(each['input']))} given; {_shortened(each['msg'])}"
            for each in error.errors(include_url=False)
        )
    return _shortened(str(error)) or type(error).__name__


def _objection(config: object) -> str | None:
    """Ask the core what is wrong with a config; ``None`` where it knows of nothing."""
    try:
        from retry_with_backoff import ConfigError, RetryConfig
    except ImportError:
        return None
    try:
        RetryConfig.from_dict(config, ceiling=_ceiling())  # type: ignore[arg-type] # may be wrong
    except ConfigError as objection:
        return str(objection)
    except Exception:  # noqa: BLE001 - a value that raises when it is read: the hybrid has said so
        return None
    return None


def _ceiling() -> int | None:
    from retry_legacy.ceiling import NO_CEILING, find_ceiling
    from retry_with_backoff._core import LARGEST_RETRIES

    try:
        ceiling = find_ceiling()
    except ValueError:
        # The ceiling is wrong, and the hybrid's message says so on one line.
        return None
    return None if ceiling == NO_CEILING else min(int(ceiling), LARGEST_RETRIES)


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MOST_SHOWN else f"{line[:_MOST_SHOWN]}.."
