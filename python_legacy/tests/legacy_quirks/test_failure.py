"""What counts as a failure."""

from __future__ import annotations

import http
from typing import TYPE_CHECKING, Any

import pytest

from .driver import LazyDict

if TYPE_CHECKING:
    from .driver import Load

RETRYABLE = '{"status_code": 503}'


class Indexable:
    """An integer by `__index__` alone."""

    def __index__(self) -> int:
        """Be 503."""
        return 503


@pytest.mark.parametrize("flag", [1, "true", 1.0, [True], None, False])
def test_only_the_object_true_is_an_error_flag(load_on: Load, flag: object) -> None:
    """A flag counts when it is `True` itself, not when it is true."""
    assert load_on().delay({"isError": flag}) == 0


@pytest.mark.parametrize("status", [503, http.HTTPStatus.SERVICE_UNAVAILABLE])
def test_integer_statuses_count(load_on: Load, status: int) -> None:
    """A status counts when it is an int, enums included."""
    assert load_on().delay({"structuredContent": {"status_code": status}}) == 200


@pytest.mark.parametrize("status", [503.0, "503", Indexable(), None, [503]])
def test_other_statuses_do_not_count(load_on: Load, status: object) -> None:
    """A status that is no int is no status, whatever it could be converted to."""
    assert load_on().delay({"structuredContent": {"status_code": status}}) == 0
    assert load_on().delay({"isError": True, "structuredContent": {"status_code": status}}) == 200


def test_true_is_the_status_1(load_on: Load) -> None:
    """A bool is an int: `True` matches a configured 1."""
    plugin = load_on(retry_on_status=[1])
    assert plugin.delay({"structuredContent": {"status_code": True}}) == 200


def test_an_error_with_a_status_fails_by_its_status(load_on: Load) -> None:
    """The outer flag is a failure only with a retryable status, or with none."""
    plugin = load_on()
    assert plugin.delay({"isError": True, "structuredContent": {"status_code": 404}}) == 0
    assert plugin.delay({"isError": True, "structuredContent": {"status_code": 503}}) == 200


def test_a_structured_error_beside_a_status_is_read_differently_by_the_paths(load: Load) -> None:
    """The Python path ignores the status beside a structured flag, the fast path goes by it."""
    result = {"structuredContent": {"isError": True, "status_code": 404}}
    assert load(native=True).delay(result) == 0
    assert load(native=False).delay(result) == 200


@pytest.mark.parametrize("result", [None, "x", 5, [("isError", True)], object()])
def test_what_is_no_dict_is_no_failure(load_on: Load, result: object) -> None:
    """Only dicts are judged."""
    assert load_on().delay(result) == 0


def test_a_dict_with_empty_storage_is_read_through_get(load_on: Load) -> None:
    """A gateway's dict subclass may keep its values outside of its storage."""
    structured = LazyDict({"status_code": 503})
    result = LazyDict({"isError": False, "structuredContent": structured})
    assert load_on().delay(result) == 200


@pytest.mark.parametrize(
    "text",
    [
        RETRYABLE,
        '{"isError": true}',
        '{"status_code": 503, "latency": NaN}',
        '{"status_code": 503, "low": -Infinity}',
        '{"status_code": 503, "name": "\\ud800"}',
        '{"status_code": 200, "status_code": 503}',
        '{"status_code": 503, "big": 100000000000000000000000000}',
        b'{"isError": true}',
    ],
)
def test_text_that_says_so_is_a_failure(load: Load, text: object) -> None:
    """Text is read by Python's own JSON rules."""
    assert load(check_text_content=True).text(text) == 200


@pytest.mark.parametrize("text", ["", "oops", "[]", '{"status_code": "503"}', None, 5, {}])
def test_other_text_is_no_failure(load: Load, text: object) -> None:
    """What does not parse to a dict with a signal is passed over."""
    assert load(check_text_content=True).text(text) == 0


def test_a_later_item_counts_after_one_that_does_not_parse(load: Load) -> None:
    """A text that does not parse is skipped, not the end of the search."""
    assert load(check_text_content=True).text("oops", RETRYABLE) == 200


def test_an_item_without_its_text_is_skipped(load: Load) -> None:
    """A missing "text" is no signal."""
    result = {"content": [{"type": "text"}, {"type": "text", "text": RETRYABLE}]}
    assert load(check_text_content=True).delay(result) == 200


@pytest.mark.parametrize("structured", [{}, [], "x", False])
def test_text_is_not_read_beside_structured_content(load: Load, structured: object) -> None:
    """Text is read only where structured content is absent or None."""
    items = [{"type": "text", "text": RETRYABLE}]
    plugin = load(check_text_content=True)
    assert plugin.delay({"content": items, "structuredContent": structured}) == 0
    assert plugin.delay({"content": items}) == 200


def test_text_is_not_read_unless_asked_for(load_on: Load) -> None:
    """`check_text_content` is off by default, on the Python path too."""
    assert load_on().text(RETRYABLE) == 0


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[" * 100_000, RecursionError),
        ('{"n": ' + "9" * 4301 + "}", ValueError),
        (b"\xff", UnicodeDecodeError),
    ],
    ids=["nested_too_deep", "too_many_digits", "no_text_encoding"],
)
def test_some_text_raises(load: Load, text: object, error: type[Exception]) -> None:
    """Only a JSON syntax error is skipped; the others fail the tool call (ledger: text-raises)."""
    with pytest.raises(error):
        load(check_text_content=True).text(text)


@pytest.mark.parametrize("content", [None, 5, True])
def test_content_that_cannot_be_walked_raises(load: Load, content: Any) -> None:
    """Content that is not iterable fails the tool call (ledger: content-shape)."""
    with pytest.raises(TypeError):
        load(check_text_content=True).delay({"content": content})
