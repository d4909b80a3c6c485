"""Is a tool result a failure?

Flags count only when they are the object `True`; a status only when it is an `int`, which lets
`True` and `http.HTTPStatus` in and keeps floats, text and things with `__index__` out. What is no
`dict` is no failure. Results are read through their methods: in a gateway they are dict subclasses
whose own storage may be empty. All is read through `get` but the text of an item, which is read by
item access (ledger: missing-text).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retry_legacy.config import RetryConfig


def read_signals(result: object) -> tuple[bool, int | None]:
    """Read the error flag (outer or structured) and the structured status, for the fast path.

    Reads inline, as the published plugin does: this is the hot half of the reference's fast path,
    and a slower one would flatter whatever is measured against it.
    """
    if not isinstance(result, dict):
        return False, None
    is_error = result.get("isError") is True
    structured = result.get("structuredContent")
    if not isinstance(structured, dict):
        return is_error, None
    if structured.get("isError") is True:
        is_error = True
    status = structured.get("status_code")
    return is_error, status if isinstance(status, int) else None


def is_failure(result: object, config: RetryConfig) -> bool:
    """Decide by the rules of the Python path, where text counts if the config says so.

    They differ from the fast path's in one case: an error flag inside the structured content is a
    failure whatever the status beside it.

    Raises:
        Exception: Text is read as the published plugin reads it. Content that is not iterable,
            JSON nested too deep, integers of too many digits and bytes that are not text raise.
    """
    if not isinstance(result, dict):
        return False
    is_error = _flagged(result)
    structured = result.get("structuredContent")
    if is_error:
        status = _status(structured) if isinstance(structured, dict) else None
        return status is None or status in config.retry_on_status
    if isinstance(structured, dict) and _signals_failure(structured, config):
        return True
    if config.check_text_content and structured is None:
        return _any_text_signals_failure(result.get("content", []), config)
    return False


def _any_text_signals_failure(content: Any, config: RetryConfig) -> bool:
    for item in content:
        if not isinstance(item, dict) or item.get("type") != "text":
            continue
        try:
            parsed = json.loads(item["text"])
        except (json.JSONDecodeError, KeyError, TypeError):
            continue
        if isinstance(parsed, dict) and _signals_failure(parsed, config):
            return True
    return False


def _signals_failure(values: dict[Any, Any], config: RetryConfig) -> bool:
    if _flagged(values):
        return True
    status = _status(values)
    return status is not None and status in config.retry_on_status


def _flagged(values: dict[Any, Any]) -> bool:
    return values.get("isError") is True


def _status(values: dict[Any, Any]) -> int | None:
    status = values.get("status_code")
    return status if isinstance(status, int) else None
