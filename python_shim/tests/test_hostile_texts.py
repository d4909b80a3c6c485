"""Texts, names and numbers of a size or form that nobody expects: linear work, bounded memory."""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from alone import alone, memory_of
from cpex.framework import PluginConfig
from hostile import answer, plain, snapshot, text_result
from hypothesis import given
from hypothesis import strategies as st
from long_texts import LONG_TEXTS, behind, nests

from retry_with_backoff import RetryWithBackoffPlugin, _core

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Record = Callable[[str, object], None]

RETRY_MS = 200
MIB = 1 << 20
#: Characters of a large text.
LARGE = 50_000_000
#: What the process may take on besides: the allocator's slack, a stack, the objects of a call.
SLACK = 12 * MIB

FAILURE: dict[str, Any] = {"isError": True}


def plugin_of(**settings: object) -> RetryWithBackoffPlugin:
    """A plugin that reads texts."""
    given = {"jitter": False, "check_text_content": True, **settings}
    return RetryWithBackoffPlugin(PluginConfig(name="r", kind="k", config=given))


PLUGIN = plugin_of()


@pytest.fixture(autouse=True)
def no_chains() -> Iterator[None]:
    """Begin and end without chains."""
    _core.clear_state()
    yield
    _core.clear_state()


def delay_of(result: object, plugin: RetryWithBackoffPlugin = PLUGIN) -> int:
    """What the hook says to a first result."""
    _core.clear_state()
    return int(answer(plugin, plain(result)).retry_delay_ms)


@pytest.mark.parametrize("name", LONG_TEXTS)
def test_a_text_of_50_mb_is_read_in_linear_time_and_without_being_built_up(
    name: str, record_property: Record
) -> None:
    """At most one copy, where Python does not hold the text as UTF-8, and none that stays."""
    text = LONG_TEXTS[name]

    def work() -> tuple[list[int], list[float], int, int]:
        delays, times = [], []
        for size in (LARGE // 16, LARGE):
            result = text_result(text.of(size))
            before = snapshot(result)
            best = float("inf")
            for _ in range(2 if size < LARGE else 1):
                begun = time.process_time()
                delays.append(delay_of(result))
                best = min(best, time.process_time() - begun)
            times.append(best)
            assert snapshot(result) == before
        result = text_result(text.of(LARGE))
        taken = memory_of(lambda: delay_of(result))
        return delays, times, taken.peak, taken.kept

    delays, times, peak, kept = alone(work)
    record_property("tried", len(delays))
    lost = sum(delay != (RETRY_MS if text.fails else 0) for delay in delays)
    record_property("lost", lost)
    assert lost == 0
    assert peak <= text.width * LARGE + SLACK
    assert kept <= SLACK
    # 16 times the text: 16 times as long, or 256 times by a reader that is not linear.
    assert times[1] <= 80 * max(times[0], 0.005)


@pytest.mark.parametrize("limit", ["as it is", "out of the way"])
def test_json_nested_a_million_deep_is_skipped(limit: str, record_property: Record) -> None:
    """Also where the process has moved Python's own limit, and the stack is small.

    `json.loads` takes 130 bytes of the stack a level: with the limit out of the way a stranger's
    text ended the process.
    """

    def work() -> list[list[int]]:
        if limit == "out of the way":
            sys.setrecursionlimit(10**8)
        delays: list[list[int]] = []

        def read() -> None:
            for text in nests(1_000_000).values():
                forms = (text, text.encode(), "\ud800" + text, text + "\ud800")
                delays.append([delay_of(text_result(form)) for form in forms])

        threading.stack_size(512 << 10)
        thread = threading.Thread(target=read)
        thread.start()
        thread.join()
        return delays

    delays = [delay for of_text in alone(work) for delay in of_text]
    record_property("tried", len(delays))
    record_property("lost", sum(map(bool, delays)))
    assert len(delays) == len(nests(2)) * 4
    assert not any(delays)


def test_an_item_behind_one_that_cannot_be_read_still_counts() -> None:
    """Ledger text-raises: that item is skipped, the others are read."""
    told = '{"isError": true}'
    for text in (nests(1_000_000)["mixed"], behind("7" * 1_000_000)):
        assert delay_of(text_result(text, told)) == RETRY_MS


@pytest.mark.parametrize("text", ["arrays", "objects", "mixed"])
def test_how_deep_is_too_deep_is_pythons_own_say(text: str) -> None:
    """Between this reader's limit and the most that anybody is asked for, as `json.loads` does."""
    for depth in (200, 254, 256, 300, 600, 800):
        nest = nests(depth)[text]
        assert json.loads(nest)["isError"] is True
        assert delay_of(text_result(nest)) == RETRY_MS
    nest = nests(1_500)[text]
    with pytest.raises(RecursionError):
        json.loads(nest)
    assert delay_of(text_result(nest)) == 0


@pytest.mark.parametrize("limit", [0, 640, 4_300, 10**9])
def test_numbers_of_a_million_digits(limit: int, record_property: Record) -> None:
    """What reading an integer takes grows with the square of its digits: nobody is asked to."""
    digits = "7" * 1_000_000
    numbers = {
        digits: 0,
        f"-{digits}": 0,
        f"[[{digits}]]": 0,
        f"0.{digits}": RETRY_MS,
        f"-{digits}.{digits}": RETRY_MS,
        f"{digits}e{digits}": RETRY_MS,
        f"1e-{digits}": RETRY_MS,
        f"1E+{digits}": RETRY_MS,
        f"0{digits}": 0,
        f"-0.{digits}e": 0,
        f"{digits}.": 0,
        f"+{digits}": 0,
        "0." + "0" * 1_000_000 + "1": RETRY_MS,
    }

    def work() -> list[int]:
        sys.set_int_max_str_digits(limit)
        return [delay_of(text_result(behind(number))) for number in numbers]

    delays = alone(work)
    lost = sum(delay != right for delay, right in zip(delays, numbers.values(), strict=True))
    record_property("tried", len(delays))
    record_property("lost", lost)
    assert lost == 0


@pytest.mark.parametrize(("limit", "digits", "fails"), [(640, 641, False), (4_300, 4_300, True)])
def test_how_many_digits_are_too_many_is_pythons_own_say(
    limit: int, digits: int, *, fails: bool
) -> None:
    """Up to Python's own limit as it comes."""

    def work() -> int:
        sys.set_int_max_str_digits(limit)
        return delay_of(text_result(behind("7" * digits)))

    assert alone(work) == (RETRY_MS if fails else 0)


def test_a_status_of_a_million_digits_is_not_retryable() -> None:
    """As an object it is one integer, and looking at it costs the same as at any other."""
    for status in (1 << 3_400_000, -(1 << 3_400_000)):
        for flag, delay in ((False, 0), (True, 0)):
            result = {"isError": flag, "structuredContent": {"status_code": status}}
            assert delay_of(result) == delay


@st.composite
def _spelled(draw: st.DrawFn) -> str:
    """A key in any spelling, or nearly."""
    key = draw(st.sampled_from(["isError", "status_code", "iserror", "isErro", "status_code_"]))
    spelled = []
    for letter in key:
        code = f"{ord(letter):04x}"
        forms = [letter, f"\\u{code}", f"\\u{code.upper()}", f"\\u{code.title()}"]
        near = [f"\\u0{code[1:]}", f"\\ud800\\udc{code[2:]}", f"\\u01{code[2:]}", f"\\U{code}"]
        near += [f"\\x{code[2:]}", f"\\\\u{code}", f"\\u{code[1:]}", "\\u0000", "\\ud800", "\0"]
        spelled.append(draw(st.sampled_from([*forms * 8, *near])))
    return "".join(spelled)


@given(
    st.lists(
        st.tuples(_spelled(), st.sampled_from(["true", "503", "false", "null", '"\\u0074rue"'])),
        max_size=4,
    )
)
def test_keys_are_spelled_as_json_loads_spells_them(pairs: list[tuple[str, str]]) -> None:
    """Escapes of any case, surrogate pairs that spell something else, and near misses."""
    text = "{" + ", ".join(f'"{key}": {value}' for key, value in pairs) + "}"
    try:
        read = json.loads(text)
    except ValueError:
        read = {}
    fails = read.get("isError") is True or read.get("status_code") == 503
    for form in (text, text.encode(), text.encode("utf-16")):
        assert delay_of(text_result(form)) == (RETRY_MS if fails else 0)


@given(st.text(st.sampled_from('{}[]"\\:,u0069isErorstau_cd true503\ud800\udfff\0\xe9\U0001d11e')))
def test_any_text_is_read_as_json_loads_reads_it(text: str) -> None:
    """Whatever stands around a signal."""
    for form in (text, f'{{"isError": true, "a": {text}}}', f'{{"{text}": 1, "isError": true}}'):
        try:
            read = json.loads(form)
        except ValueError:
            read = None
        fails = isinstance(read, dict) and (
            read.get("isError") is True or read.get("status_code") == 503
        )
        assert delay_of(text_result(form)) == (RETRY_MS if fails else 0)


# --- names ---------------------------------------------------------------------------------------

NAMES: dict[str, tuple[str, int]] = {
    "ASCII": ("x", 0),
    "NUL": ("\0", 0),
    "line breaks": ("\n", 0),
    # Python keeps the UTF-8 of a name beside it, as long as the name lives.
    "Latin": ("\xe9", 4),
    "lone surrogates": ("\ud800", 6),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_50_mb_is_a_name_and_its_log_line_is_short(
    name: str, record_property: Record
) -> None:
    """Of the tool and of the request; a chain keeps 128 bits of them."""
    pattern, width = NAMES[name]

    def work() -> tuple[list[int], int, int, list[int]]:
        lines: list[int] = []

        class Measuring(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                lines.append(len(record.getMessage()))

        logging.getLogger("retry_with_backoff").addHandler(Measuring())
        plugin = plugin_of(max_retries=2)
        long = pattern * LARGE
        calls = [plain(FAILURE, long, "r"), plain(FAILURE, "search", long)]
        delays: list[int] = []

        def ask() -> None:
            for call in calls:
                delays.extend(answer(plugin, call).retry_delay_ms for _ in range(3))

        taken = memory_of(ask)
        return delays, taken.peak, _core.store_bytes(), lines

    delays, peak, store_bytes, lines = alone(work)
    record_property("tried", len(delays))
    record_property("lost", sum(a != b for a, b in zip(delays, [200, 400, 0] * 2, strict=True)))
    assert delays == [200, 400, 0] * 2
    assert peak <= width * LARGE + SLACK
    assert store_bytes < MIB
    assert len(lines) == 2
    assert max(lines) < 4_000


def test_a_name_is_read_whatever_its_class_makes_of_it() -> None:
    """Its own methods are not asked, also where it has no UTF-8."""
    asked = []

    class Name(str):
        __slots__ = ()

        def encode(self, *_: str) -> bytes:
            asked.append("encode")
            return b""

        def isascii(self) -> bool:
            asked.append("isascii")
            return True

    call = plain(FAILURE, Name("\ud800"), Name("\udfff"))
    assert [answer(PLUGIN, call).retry_delay_ms for _ in range(3)] == [200, 400, 0]
    assert delay_of(text_result(Name('{"isError": true, "a": "\ud800"}'))) == RETRY_MS
    assert delay_of(text_result(Name(behind('"' + "\xe9" * 100_000 + '"')))) == RETRY_MS
    assert not asked


# --- request ids ---------------------------------------------------------------------------------


def test_a_million_requests_that_fail_at_once_take_at_most_100_mib(record_property: Record) -> None:
    """And those beyond the limit take nothing more: the oldest goes (ledger: bounded-state)."""
    most, beyond = 1_000_000, 100_000

    def work() -> tuple[int, int, int, int, int, int]:
        core = _core.RetryPluginCore({"jitter": False})
        call = plain(FAILURE)
        request = call.context.global_context
        retried = 0

        def ask(first: int, last: int) -> None:
            nonlocal retried
            for number in range(first, last):
                request.request_id = f"{number:x}"
                retried += core.tool_post_invoke(*call).retry_delay_ms == RETRY_MS

        evicted = _core.evicted_chains()
        taken = memory_of(lambda: ask(0, most))
        full = _core.store_bytes()
        over = memory_of(lambda: ask(most, most + beyond))
        assert _core.store_bytes() <= full + MIB
        evicted = _core.evicted_chains() - evicted
        return retried, _core.live_chains(), evicted, full, taken.kept, over.kept

    retried, live, evicted, store_bytes, kept, more = alone(work)
    record_property("tried", most + beyond)
    record_property("lost", most + beyond - retried)
    record_property("store_bytes", store_bytes)
    record_property("rss_growth", kept)
    assert (retried, live, evicted) == (most + beyond, most, beyond)
    assert store_bytes <= 100 * MIB
    assert kept <= 100 * MIB
    assert more <= 2 * MIB
