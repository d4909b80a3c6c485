"""What hostile payloads may write into the log: little, and on one line."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from alone import alone
from hostile import answer, plain
from plain_plugins import (
    FAILURE,
    PLUGINS,
    plugin_of,
    raising,
)

from retry_with_backoff import _core

if TYPE_CHECKING:
    from collections.abc import Callable

    Record = Callable[[str, object], None]

pytestmark = pytest.mark.usefixtures("hostile_world")


def test_a_log_line_is_short_and_one_line_whatever_raises(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Class, message, causes and notes of an exception are somebody else's words."""
    caplog.set_level(logging.ERROR)
    name = "Forged\nERROR root: all is lost" + "x" * 1_000_000
    error = type(name, (Exception,), {})("a\nb" + "x" * 1_000_000)
    error.add_note("a note\nERROR root: all is lost")
    error.__cause__ = ValueError("the cause\nERROR root: all is lost")
    assert answer(PLUGINS[False], plain(raising(error))).retry_delay_ms == 0
    (record,) = caplog.records
    told = logging.Formatter("%(message)s").format(record)
    assert len(record.getMessage()) < 600
    assert len(told) < 4_000
    assert "\nERROR root" not in told
    assert len(_core.last_internal_error() or "") < 200
    assert "Traceback" in told
    assert ", in get" in told


def test_exceptions_of_ever_new_classes_are_logged_a_bounded_number_of_times(
    record_property: Record,
) -> None:
    """All are counted."""

    def work() -> tuple[int, int]:
        lines = 0

        class Counting(logging.Handler):
            def emit(self, _: logging.LogRecord) -> None:
                nonlocal lines
                lines += 1

        logger = logging.getLogger("retry_with_backoff")
        logger.propagate = False
        logger.setLevel(logging.ERROR)
        logger.addHandler(Counting())
        before = _core.internal_errors()
        for number in range(3_000):
            error = type(f"New{number}", (Exception,), {})()
            answer(PLUGINS[False], plain(raising(error)))
        return lines, _core.internal_errors() - before

    lines, errors = alone(work)
    record_property("tried", errors)
    record_property("lost", 3_000 - errors)
    assert errors == 3_000
    assert 900 < lines <= 1_024


def test_a_handler_that_panics_costs_the_line() -> None:
    """Also where what it raises is no Exception."""

    class Panic(BaseException):
        pass

    class Panicking(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise Panic(record)

    class Unheard(Exception):  # noqa: N818  the name is what the log would show
        pass

    logger = logging.getLogger("retry_with_backoff")
    handler = Panicking()
    logger.addHandler(handler)
    logger.setLevel(logging.WARNING)
    quiet = plugin_of(text_path=False, max_retries=0)
    before = _core.internal_errors()
    try:
        assert answer(PLUGINS[False], plain(raising(Unheard()))).retry_delay_ms == 0
        assert answer(quiet, plain(FAILURE)).retry_delay_ms == 0
        plugin_of(text_path=False, no_such_setting=id(handler))
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
    assert _core.internal_errors() - before == 1
