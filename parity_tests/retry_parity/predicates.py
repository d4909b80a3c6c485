"""When an accepted difference is what a call shows: one function per ledger entry.

A predicate is as narrow as it can be: it names the cause in the input, and it checks that the
candidate's decision is the right one in spite of the difference. For the latter it asks the
hybrid about the same call without the offending part (`View.opinion`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from enum import Enum, auto
from types import MappingProxyType
from typing import Final, TypeAlias

from retry_parity.compare import TRACE_KEY, Difference, Kind, same_plain
from retry_parity.observation import Raised, Returned, Side, attempt
from retry_parity.reference import Opinion
from retry_parity.view import View

Predicate: TypeAlias = Callable[[View, Difference], bool]

#: Kinds of difference that a chain with unlike counts shows.
CHAIN_KINDS: Final = frozenset({Kind.RETRY_LOST, Kind.RETRY_EXTRA, Kind.DELAY})

_SMALLEST_STATUS: Final = -(2**31)
_LARGEST_STATUS: Final = 2**31 - 1
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
    return healed is not view.call.result and _decides_as(view, healed)


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
    readings = [_reading(item) for item in items]
    both = list(zip(items, readings, strict=True))
    read = [item for item, reading in both if reading is not _Reading.RAISES]
    kept = [item for item, reading in both if reading is _Reading.CERTAIN]
    if len(kept) == len(items):
        return False
    if _decides_as(view, _with_content(view, kept)):
        return True
    # Beside a text that nobody can read, one that is deep may be read by one side only.
    return len(kept) < len(read) < len(items) and _decides_as(view, _with_content(view, read))


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
        return _decides_as(view, _with_content(view, []))
    return False


def name_encoding(view: View, difference: Difference) -> bool:
    """Hold when a name has a lone surrogate and the candidate decides as for any other name."""
    del difference
    if view.traits.text_path or not _raised(view, UnicodeEncodeError) or view.pair is None:
        return False
    if _encodable(view.pair.tool) and _encodable(view.pair.request_id):
        return False
    return _decides_as(view, _with_harmless_status(view))


def error_wrapper(view: View, difference: Difference) -> bool:
    """Hold when the result's own objects raise, and the candidate says so and asks for no retry.

    The hybrid must have raised what reading the result raises. A status, a text, a content or a
    name that the hybrid cannot take raises nothing when it is read: those have their own entries,
    and the candidate has to decide on them. Where the candidate names its internal error, it is
    of the same class. The metadata are those of any other answer for the tool, without a trace.
    """
    del difference
    error = raised_by_reading(view.call.result, text_path=view.traits.text_path)
    cause = view.candidate.internal_cause
    if (
        error is None
        or not _raised(view, type(error))
        or not (cause is None or cause.rpartition(": ")[2] == type(error).__name__)
        or view.candidate.internal_errors == 0
        or view.answer is None
        or type(view.answer.delay_ms) is not int
        or view.answer.delay_ms != 0
        or view.answer.rest
    ):
        return False
    plain = _opinion(view, None)
    return plain is not None and same_plain(view.answer.metadata, plain.metadata)


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
        and same_plain(_untraced(view, view.call.result), outcome.metadata)
    )


def follows_its_own_count(view: View) -> bool:
    """Whether the candidate decides right on a chain that it counts unlike the reference."""
    if view.failure is None:
        return False
    return view.candidate_decides(failure=view.failure)


DECISION_PREDICATES: Final[Mapping[str, Predicate]] = MappingProxyType(
    {
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


def raised_by_reading(result: object, *, text_path: bool) -> Exception | None:
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


def _decides_as(view: View, result: object) -> bool:
    """Whether the candidate answers as the hybrid's rules want it for another result."""
    opinion = _opinion(view, result)
    return (
        opinion is not None
        and view.answer is not None
        and not view.answer.rest
        and view.candidate.internal_errors == 0
        and same_plain(_untraced(view, result), opinion.metadata)
        and view.candidate_decides(failure=opinion.failure)
    )


def _untraced(view: View, result: object) -> object:
    """Give the candidate's metadata without the metrics of a traced call, if they are right.

    Args:
        view: The call.
        result: The result by which the candidate decides.
    """
    metadata = view.answer.metadata if view.answer else None
    if not isinstance(metadata, Mapping) or TRACE_KEY not in metadata:
        return metadata
    if not _traced_right(view, metadata[TRACE_KEY], result):
        return metadata
    return {key: value for key, value in metadata.items() if key != TRACE_KEY}


def _traced_right(view: View, metrics: object, result: object) -> bool:
    trace_id = view.call.trace_id
    if not isinstance(trace_id, str) or not trace_id or view.answer is None or not view.policy:
        return False
    failure = view.answer.retries or _fails(view, result)
    if failure is None:
        return False
    count = 0
    if failure:
        count = (
            view.candidate_failures_before + 1 if _counted(view) else view.policy.max_retries + 1
        )
    return same_plain(metrics, {"retry_count": count, "retry_delay_ms": view.answer.delay_ms})


def _counted(view: View) -> bool:
    """Whether it is known how the candidate counts this failure, or else that it is beyond budget.

    The hybrid keeps nothing of a failure beyond the budget, nor of one with a budget of 0.
    """
    answered = isinstance(view.reference.outcome, Returned)
    return (
        not answered
        or view.reference_failures > 0
        or view.drift is not None
        or view.shares_key
        or (view.answer is not None and view.answer.retries)
    )


def _fails(view: View, result: object) -> bool | None:
    """Whether a result is a failure; ``None`` when the hybrid cannot say.

    `View.failure` and an opinion cannot tell where the budget is 0: the hybrid answers a failure
    as it does a success then, and keeps nothing of it. So its rules are asked by themselves.
    """
    if view.policy is None:
        return None
    if not view.traits.text_path and _plain_success(result):
        return False
    statuses = list(view.policy.retry_on_status)
    judge = _fails_on_the_text_path if view.traits.text_path else _fails_on_the_fast_path
    failure = attempt(lambda: judge(result, statuses))
    return None if isinstance(failure, Raised) else failure


def _fails_on_the_text_path(result: object, statuses: list[int]) -> bool:
    from retry_legacy import RetryConfig
    from retry_legacy.failure import is_failure

    return is_failure(result, RetryConfig(check_text_content=True, retry_on_status=statuses))


def _fails_on_the_fast_path(result: object, statuses: list[int]) -> bool:
    from retry_legacy import NATIVE_AVAILABLE, RetryConfig
    from retry_legacy.failure import is_failure, read_signals
    from retry_legacy.native import manager

    if not NATIVE_AVAILABLE:
        return is_failure(result, RetryConfig(retry_on_status=statuses))
    rules = manager(0, 1, 1, jitter=False, retry_on_status=statuses)
    return rules.check_failure(*read_signals(result))


def _plain_success(result: object) -> bool:
    """Whether a result carries no signal on the fast path, so that nobody need be asked."""
    return _get(result, "isError") is not True and _get(result, "structuredContent") is None


def _opinion(view: View, result: object) -> Opinion | None:
    """Ask the hybrid; for a name that its fast path cannot encode, its rules and its config."""
    from retry_legacy.config import policy_metadata

    if view.traits.text_path or _encodable(view.call.tool or ""):
        return view.opinion(result)
    config = view.effective_config()
    statuses = list(config.retry_on_status)
    failure = attempt(lambda: _fails_on_the_fast_path(result, statuses))
    return None if isinstance(failure, Raised) else Opinion(failure, policy_metadata(config))


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


class _Reading(Enum):
    """What becomes of an item of the content."""

    CERTAIN = auto()
    #: Nested so deep that ``json.loads`` raises or not, depending on the stack.
    DEEP = auto()
    #: ``json.loads`` raises something other than "this is no JSON".
    RAISES = auto()


def _reading(item: object) -> _Reading:
    text = _get(item, "text")
    if _get(item, "type") != "text" or not isinstance(text, str | bytes | bytearray):
        return _Reading.CERTAIN
    try:
        json.loads(text)
    except json.JSONDecodeError:
        return _Reading.CERTAIN
    except (ValueError, RecursionError):
        return _Reading.RAISES
    deep = isinstance(text, str) and _depth(text) > sys.getrecursionlimit() // 2
    return _Reading.DEEP if deep else _Reading.CERTAIN


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
