"""Which results are failures: text that reports one, for tools that are asked to look."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .results import result, text

if TYPE_CHECKING:
    from .harness import Retry

REPORTS = ({"isError": True}, {"status_code": 503}, {"isError": True, "status_code": 404})
"""Bodies that report a failure."""


def test_text_that_reports_a_failure_is_one(retry: Retry) -> None:
    """Each text item that is a JSON object with isError or a retryable status is a failure."""
    plugin = retry.plugin(check_text_content=True)
    plugin.expect_failure(
        *(result(content=(text(report),)) for report in REPORTS),
        *(result(content=(text("all well"), text({}), text(report))) for report in REPORTS),
        {"content": [text({"status_code": 429})]},
    )


def test_text_is_read_only_when_checked_and_nothing_is_structured(retry: Retry) -> None:
    """Text is silent without check_text_content, and beside any structuredContent but null."""
    structures: tuple[object, ...] = ({}, {"rows": 1}, [], "", 0)
    for report in REPORTS:
        item = text(report)
        retry.plugin(check_text_content=False).expect_no_failure(result(content=(item,)))
        retry.plugin(check_text_content=True).expect_no_failure(
            *(result(content=(item,), structured=shape) for shape in structures)
        )


def test_flags_and_statuses_in_text_are_as_strict_as_elsewhere(retry: Retry) -> None:
    """In parsed text, too, only ``true`` is a flag and only an integer is a status."""
    plugin = retry.plugin(check_text_content=True)
    flags: tuple[object, ...] = (None, False, 1, 1.0, "true", [True])
    codes: tuple[object, ...] = (None, 503.0, "503", [503], 404, 200, -503)
    plugin.expect_no_failure(
        *(result(content=(text({"isError": flag}),)) for flag in flags),
        *(result(content=(text({"status_code": code}),)) for code in codes),
        result(content=(text({"error": {"isError": True, "status_code": 503}}),)),
    )


def test_items_that_report_nothing_are_skipped(retry: Retry) -> None:
    """What is no text, does not parse, or is no JSON object, hides no later report."""
    speechless: tuple[object, ...] = (
        text(""),
        text("status_code: 503"),
        text('{"isError": true'),
        text("{'isError': true}"),
        text('{"isError": True}'),
        text('\ufeff{"isError": true}'),
        text('{"isError": true} trailing'),
        text([{"isError": True}]),
        text("503"),
        text("null"),
        text('"isError"'),
        {"type": "text"},
        {"type": "text", "text": None},
        {"type": "text", "text": 503},
        {"type": "text", "text": {"isError": True}},
        {"type": "image", "text": '{"isError": true}'},
        {"type": "TEXT", "text": '{"isError": true}'},
        {"text": '{"isError": true}'},
        {},
        "isError",
        '{"isError": true}',
        None,
        503,
    )
    plugin = retry.plugin(check_text_content=True)
    plugin.expect_no_failure(*(result(content=(item,)) for item in speechless))
    plugin.expect_failure(
        *(result(content=(item, text({"status_code": 503}))) for item in speechless),
        result(content=(*speechless, text({"isError": True}))),
    )


def test_text_is_read_in_the_json_dialect_of_python(retry: Retry) -> None:
    """NaN, infinities, lone surrogates and big integers parse; of equal keys the last counts.

    A service that answers ``{"status_code": 503, "latency": NaN}`` is to be retried.
    """
    plugin = retry.plugin(check_text_content=True)
    failures = (
        '{"status_code": 503, "latency": NaN}',
        '{"latency": [Infinity, -Infinity], "status_code": 503}',
        '{"status_code": 503, "name": "\\ud800"}',
        '{"\\udfff": 1, "isError": true}',
        f'{{"id": {10**40}, "status_code": 503, "ratio": 1e999}}',
        '{"status_code": 200, "status_code": 503}',
        '{"isError": false, "isError": true}',
        '{"is\\u0045rror": true}',
        ' \t\r\n{"isError":true}\n ',
    )
    successes = (
        '{"status_code": 503, "status_code": 200}',
        '{"isError": true, "isError": false}',
        f'{{"status_code": {10**40}}}',
        '{"status_code": NaN}',
        '{"status_code": 5.03e2}',
        '{"status_code": 503, "latency": nan}',
        '{"status_code": 0503}',
        '{"status_code": 503,}',
    )
    plugin.expect_failure(*(result(content=(text(body),)) for body in failures))
    plugin.expect_no_failure(*(result(content=(text(body),)) for body in successes))
