"""When an accepted difference is what a call shows: one function per ledger entry.

A predicate is as narrow as it can be: it names the cause in the input, and it checks that the
candidate's decision is the right one in spite of the difference. For the latter it asks the
hybrid about the same call without the offending part (`View.opinion`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeAlias

from retry_parity.compare import Difference, Kind, same_plain
from retry_parity.observation import Raised, Side
from retry_parity.view import TRACE_KEY, View

if TYPE_CHECKING:
    from retry_parity.reference import Opinion

Predicate: TypeAlias = Callable[[View, Difference], bool]

#: Kinds of difference that a chain with unlike counts shows.
CHAIN_KINDS: Final = frozenset({Kind.RETRY_LOST, Kind.RETRY_EXTRA, Kind.DELAY})

_SMALLEST_STATUS: Final = -(2**31)
_LARGEST_STATUS: Final = 2**31 - 1
_PROBE_TOOL: Final = "retry-parity-probe"
_OPENING: Final = frozenset("[{")
_CLOSING: Final = frozenset("]}")


def jitter_zero(view: View, difference: Difference) -> bool:
    """Hold when the reference counted the failure, is within its budget, and drew 0."""
    del difference
    return (
        view.policy is not None
        and view.traits.jitter
        and 1 <= view.reference_failures <= view.policy.max_retries
        and view.candidate_decides(failure=True)
    )


def key_collision(view: View, difference: Difference) -> bool:
    """Hold when two pairs seen share the joined key and the candidate counts this one alone."""
    del difference
    return view.shares_key and follows_its_own_count(view)


def status_range(view: View, difference: Difference) -> bool:
    """Hold when the status is an integer outside 32 bits and the rest is decided right."""
    del difference
    if not _raised(view, OverflowError) or view.traits.text_path:
        return False
    healed = _with_harmless_status(view)
    return healed is not view.call.result and _decides_as(view, _opinion(view, healed))


def text_raises(view: View, difference: Difference) -> bool:
    """Hold when a text that no ``json.loads`` survives is there and the others decide right."""
    del difference
    if not view.traits.text_path or not _raised(
        view, RecursionError, ValueError, UnicodeDecodeError
    ):
        return False
    content = _get(view.call.result, "content")
    if not isinstance(content, Iterable):
        return False
    items = list(content)
    kept = [item for item in items if not _unparsable(item)]
    if len(kept) == len(items):
        return False
    return _decides_as(view, view.opinion(_with_content(view, kept)))


def missing_text(view: View, difference: Difference) -> bool:
    """Hold when the hybrid alone changed the payload: the text an item makes up when asked."""
    if difference.detail != Side.REFERENCE.value or not view.traits.text_path:
        return False
    content = _get(view.call.result, "content")
    return isinstance(content, Iterable) and any(
        hasattr(type(item), "__missing__") and _get(item, "type") == "text" for item in content
    )


def content_shape(view: View, difference: Difference) -> bool:
    """Hold when the content cannot be iterated and the candidate takes it for no signal."""
    del difference
    if not view.traits.text_path or not _raised(view, TypeError):
        return False
    try:
        iter(_get(view.call.result, "content"))  # type: ignore[call-overload] # that is the test
    except TypeError:
        return _decides_as(view, view.opinion(_with_content(view, [])))
    return False


def name_encoding(view: View, difference: Difference) -> bool:
    """Hold when a name has a lone surrogate and the candidate decides as for any other name."""
    del difference
    if view.traits.text_path or not _raised(view, UnicodeEncodeError) or view.pair is None:
        return False
    if _encodable(view.pair.tool) and _encodable(view.pair.request_id):
        return False
    return _decides_as(view, _opinion(view, _with_harmless_status(view)))


def error_wrapper(view: View, difference: Difference) -> bool:
    """Hold when the result's own objects raise, and the candidate says so and asks for no retry.

    The hybrid must have raised what reading the result raises. A status, a text, a content or a
    name that the hybrid cannot take raises nothing when it is read: those have their own entries,
    and the candidate has to decide on them. Where the candidate names its internal error, it is
    of the same class.
    """
    del difference
    error = _raised_by_reading(view.call.result, text_path=view.traits.text_path)
    cause = view.candidate.internal_cause
    return (
        error is not None
        and _raised(view, type(error))
        and (cause is None or cause.rpartition(": ")[2] == type(error).__name__)
        and view.candidate.internal_errors > 0
        and view.answer is not None
        and type(view.answer.delay_ms) is int
        and view.answer.delay_ms == 0
        and not view.answer.rest
        and view.policy is not None
    )


def trace_metrics(view: View, difference: Difference) -> bool:
    """Hold when the metadata differ by the well-formed metrics of a traced call only."""
    del difference
    outcome = view.reference.outcome
    if isinstance(outcome, Raised) or view.answer is None:
        return False
    metadata = view.answer.metadata
    return (
        isinstance(metadata, Mapping)
        and TRACE_KEY in metadata
        and same_plain(_untraced(view), outcome.metadata)
    )


def beyond_one_decision(view: View, difference: Difference) -> bool:
    """Never hold: the difference shows over a process's life, not in a decision."""
    del view, difference
    return False


def follows_its_own_count(view: View) -> bool:
    """Whether the candidate decides right on a chain that it counts unlike the reference."""
    if view.failure is None:
        return False
    return view.candidate_decides(failure=view.failure)


DECISION_PREDICATES: Final[Mapping[str, Predicate]] = MappingProxyType(
    {
        "beyond_one_decision": beyond_one_decision,
        "content_shape": content_shape,
        "error_wrapper": error_wrapper,
        "jitter_zero": jitter_zero,
        "key_collision": key_collision,
        "missing_text": missing_text,
        "name_encoding": name_encoding,
        "status_range": status_range,
        "text_raises": text_raises,
        "trace_metrics": trace_metrics,
    }
)


def _get(value: object, key: str) -> object:
    return value.get(key) if isinstance(value, dict) else None


def _raised(view: View, *errors: type[BaseException]) -> bool:
    outcome = view.reference.outcome
    return isinstance(outcome, Raised) and outcome.name in {each.__name__ for each in errors}


def _raised_by_reading(result: object, *, text_path: bool) -> Exception | None:
    """Read a result as both sides do, judge nothing, and give what its own objects raise."""
    try:
        if not isinstance(result, dict):
            return None
        result.get("isError")
        structured = result.get("structuredContent")
        if isinstance(structured, dict):
            structured.get("isError")
            structured.get("status_code")
        content = result.get("content") if text_path else None
        for item in content if isinstance(content, Iterable) else ():
            if isinstance(item, dict):
                item.get("type")
                item.get("text")
    except Exception as error:  # noqa: BLE001 - that is the question
        return error
    return None


def _decides_as(view: View, opinion: Opinion | None) -> bool:
    return (
        opinion is not None
        and view.answer is not None
        and not view.answer.rest
        and view.candidate.internal_errors == 0
        and same_plain(_untraced(view), opinion.metadata)
        and view.candidate_decides(failure=opinion.failure)
    )


def _untraced(view: View) -> object:
    """Give the candidate's metadata without the metrics of a traced call, if they are right."""
    metadata = view.answer.metadata if view.answer else None
    if not isinstance(metadata, Mapping) or TRACE_KEY not in metadata:
        return metadata
    if not _traced_right(view, metadata[TRACE_KEY]):
        return metadata
    return {key: value for key, value in metadata.items() if key != TRACE_KEY}


def _traced_right(view: View, metrics: object) -> bool:
    trace_id = view.call.trace_id
    if not isinstance(trace_id, str) or not trace_id or view.answer is None or not view.policy:
        return False
    count = metrics.get("retry_count") if isinstance(metrics, Mapping) else None
    expected = {"retry_count": count, "retry_delay_ms": view.answer.delay_ms}
    if type(count) is not int or not same_plain(metrics, expected):
        return False
    if view.answer.retries:
        return count == view.candidate_failures_before + 1
    exhausted = count == view.policy.max_retries + 1
    if count != 0 and not exhausted:
        return False
    if _plain_success(view):
        return not exhausted
    # A budget of 0 leaves no trace of a failure that the hybrid could be asked about.
    return view.policy.max_retries == 0 or view.failure in (None, exhausted)


def _plain_success(view: View) -> bool:
    """Whether a result carries no signal at all, so that the hybrid need not be asked."""
    result = view.call.result
    return (
        not view.traits.text_path
        and _get(result, "isError") is not True
        and _get(result, "structuredContent") is None
    )


def _opinion(view: View, result: object) -> Opinion | None:
    """Ask the hybrid's fast path, under a name that it can encode."""
    if _encodable(view.call.tool or ""):
        return view.opinion(result)
    if not view.same_traits(_PROBE_TOOL):
        return None
    return view.opinion(result, tool=_PROBE_TOOL)


def _with_harmless_status(view: View) -> object:
    """Give the result with a status that is not retryable in place of one outside 32 bits.

    A result without such a status is given as it is.
    """
    structured = _get(view.call.result, "structuredContent")
    status = _get(structured, "status_code")
    if (
        not isinstance(status, int)
        or _SMALLEST_STATUS <= status <= _LARGEST_STATUS
        or view.policy is None
    ):
        return view.call.result
    retryable = frozenset(view.policy.retry_on_status)
    harmless = next(code for code in range(len(retryable) + 1) if code not in retryable)
    return {
        "isError": _get(view.call.result, "isError"),
        "structuredContent": {"isError": _get(structured, "isError"), "status_code": harmless},
    }


def _with_content(view: View, content: list[object]) -> dict[str, object]:
    return {
        "content": content,
        "isError": _get(view.call.result, "isError"),
        "structuredContent": _get(view.call.result, "structuredContent"),
    }


def _unparsable(item: object) -> bool:
    """Whether ``json.loads`` raises on an item's text something other than "this is no JSON"."""
    text = _get(item, "text")
    if _get(item, "type") != "text" or not isinstance(text, str | bytes | bytearray):
        return False
    try:
        json.loads(text)
    except json.JSONDecodeError:
        return False
    except (ValueError, RecursionError):
        return True
    return isinstance(text, str) and _depth(text) > sys.getrecursionlimit() // 2


def _depth(text: str) -> int:
    """Give the deepest nesting of a JSON text; how deep is too deep depends on the stack."""
    deepest = depth = 0
    inside = escaped = False
    for character in text:
        if escaped:
            escaped = False
        elif inside:
            escaped = character == "\\"
            inside = character != '"'
        elif character == '"':
            inside = True
        elif character in _OPENING:
            depth += 1
            deepest = max(deepest, depth)
        elif character in _CLOSING:
            depth -= 1
    return deepest


def _encodable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
