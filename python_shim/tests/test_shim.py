"""The shim: no error of the core reaches the gateway, and nothing of it is swallowed silently."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import defaultdict
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from cpex.framework import PluginConfig
from hook_calls import Call, context, payload

from retry_with_backoff import ConfigError, RetryWithBackoffPlugin, _core

POLICY = {
    "retry_policy": {
        "max_retries": 2,
        "backoff_base_ms": 200,
        "max_backoff_ms": 5000,
        "retry_on_status": [429, 500, 502, 503, 504],
    }
}
FAILURE: dict[str, Any] = {"isError": True, "structuredContent": None, "content": []}


class RustPanic(BaseException):
    """As PyO3's PanicException: no Exception."""


class Raising(dict[str, Any]):
    """A result whose reading fails."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def get(self, *_: Any) -> Any:
        """Fail, as a hostile or broken container does."""
        raise self.error


def test_an_internal_error_means_no_retry_and_keeps_the_metadata(call: Call) -> None:
    """Ledger error-wrapper: the tool call goes on, with the policy in its metadata."""
    result = call({}, Raising(ValueError("broken")))
    assert (result.retry_delay_ms, result.metadata) == (0, POLICY)


def test_a_rust_panic_does_not_reach_the_gateway(call: Call) -> None:
    """PyO3's PanicException derives from BaseException; the shim stops it all the same."""
    result = call({}, Raising(RustPanic("out of nowhere")))
    assert (result.retry_delay_ms, result.metadata) == (0, POLICY)


def test_a_rust_panic_at_load_is_an_ordinary_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The framework skips a plugin that raises an Exception; a BaseException would end it."""

    def panicking(_: object) -> None:
        raise RustPanic("while loading")

    monkeypatch.setattr("retry_with_backoff.plugin.RetryPluginCore", panicking)
    with pytest.raises(RuntimeError, match="while loading"):
        RetryWithBackoffPlugin(PluginConfig(name="r", kind="k"))


def test_a_rust_panic_in_the_policy_means_that_the_hook_is_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without a policy the gateway calls the hook, where the error is dealt with."""

    def panicking(*_: object) -> None:
        raise RustPanic("in the policy")

    plugin = RetryWithBackoffPlugin(PluginConfig(name="r", kind="k"))
    monkeypatch.setattr(plugin, "_core", SimpleNamespace(to_rust_native_policy=panicking))
    assert plugin.to_rust_native_policy("search", 3) is None


@pytest.mark.parametrize(("ceiling", "retries"), [(2**70, 2), (1, 1), (-(2**70), -(2**63))])
def test_a_ceiling_of_any_size_bounds_the_policy(ceiling: int, retries: int) -> None:
    """A ceiling beyond 64 bits bounds nothing, or everything."""
    plugin = RetryWithBackoffPlugin(PluginConfig(name="r", kind="k"))
    policy = plugin.to_rust_native_policy("search", ceiling)
    assert policy is not None
    assert policy["maxRetries"] == retries


def test_a_panic_with_the_lock_held_does_not_take_later_calls_down(call: Call) -> None:
    """A poisoned lock is emptied and used again; the next calls are counted as usual."""
    with pytest.raises(BaseException, match="lock held") as panic:
        _core.panic_for_tests()
    assert not isinstance(panic.value, Exception)
    delays = [call({"jitter": False}, FAILURE).retry_delay_ms for _ in range(3)]
    assert delays == [200, 400, 0]


@pytest.mark.parametrize(
    "error", [asyncio.CancelledError(), KeyboardInterrupt(), SystemExit(), GeneratorExit()]
)
def test_what_ends_a_task_is_passed_on(call: Call, error: BaseException) -> None:
    """Cancellation and interruption are not errors of the core."""
    with pytest.raises(type(error)):
        call({}, Raising(error))


def test_each_kind_of_error_is_counted_every_time_and_logged_once(
    call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    """The cause is in the log, on one line, and a flood of it is not."""

    class OnlyHere(Exception):  # noqa: N818  the name is what the log shows
        pass

    before = _core.internal_errors()
    for number in range(5):
        call({}, Raising(OnlyHere(f"number {number}\nforged line")))
    records = [record for record in caplog.records if "OnlyHere" in record.getMessage()]
    assert _core.internal_errors() - before == 5
    assert len(records) == 1
    assert records[0].levelno == logging.ERROR
    assert records[0].getMessage().endswith("OnlyHere: (message not shown)")
    assert "\n" not in records[0].getMessage()


def test_an_error_that_no_strangers_code_has_raised_says_what_was_wrong(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What a payload's code says may repeat a secret; what the core says may not."""
    try:
        _core.RetryPluginCore({"max_retries": -1})
    except ValueError as error:
        _core.report_internal_error("this test", error)
    assert "internal error in this test: ConfigError: " in caplog.text
    assert "-1" in caplog.messages[0]


def test_an_exception_that_cannot_be_shown_is_reported_all_the_same(call: Call) -> None:
    """A hostile exception raises again from its own __str__."""

    class Unprintable(Exception):  # noqa: N818  the name is what the log shows
        def __str__(self) -> str:
            raise RuntimeError

    before = _core.internal_errors()
    assert call({}, Raising(Unprintable())).retry_delay_ms == 0
    assert _core.internal_errors() - before == 1


def test_a_broken_log_handler_does_not_reach_the_gateway(call: Call) -> None:
    """Logging is the last step of dealing with an error; its own error ends there."""

    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise RuntimeError(record)

    class UnheardOf(Exception):  # noqa: N818  the name is what the log shows
        pass

    logger = logging.getLogger("retry_with_backoff")
    handler = Broken()
    logger.addHandler(handler)
    try:
        assert call({}, Raising(UnheardOf())).retry_delay_ms == 0
    finally:
        logger.removeHandler(handler)


def test_an_exception_that_lies_about_its_class_is_an_error_like_any_other(call: Call) -> None:
    """What ends a task is told by the type, not by what the object says of itself."""

    class Liar(Exception):  # noqa: N818  it is no error by name
        __class__ = property(lambda _: KeyboardInterrupt)

    assert call({}, Raising(Liar())).retry_delay_ms == 0


def test_a_failure_is_counted_only_where_it_is_answered(call: Call) -> None:
    """Reading the trace can fail; it comes before the count, so no retry of the budget is lost."""

    class Untraceable:
        @property
        def request(self) -> object:
            raise RuntimeError

    plugin = RetryWithBackoffPlugin(PluginConfig(name="r", kind="k", config={"jitter": False}))
    hook = plugin.tool_post_invoke(payload("t", FAILURE), context("u"), Untraceable())
    assert asyncio.run(hook).retry_delay_ms == 0
    delays = [
        call({"jitter": False}, FAILURE, tool="t", request_id="u").retry_delay_ms for _ in range(3)
    ]
    assert delays == [200, 400, 0]


def test_a_payload_that_calls_the_hook_again_ends(call: Call) -> None:
    """Re-entrance is answered up to a depth; beyond it, it is an internal error."""
    calls = 0

    class Recursive(dict[str, Any]):
        def get(self, *_: Any) -> Any:
            nonlocal calls
            calls += 1
            hook = RetryWithBackoffPlugin(PluginConfig(name="r", kind="k")).tool_post_invoke(
                payload("t", self), context("again")
            )
            with pytest.raises(StopIteration):
                hook.send(None)

    assert call({}, Recursive()).retry_delay_ms == 0
    assert calls < 100


def test_a_text_is_found_where_only_item_access_knows_it(call: Call) -> None:
    """A dict subclass may overlay [] alone; the hybrid takes an item's text that way."""

    class Overlay(dict[str, Any]):
        def __getitem__(self, key: str) -> Any:
            return '{"isError": true}' if key == "text" else super().__getitem__(key)

    result = {"content": [Overlay(type="text")]}
    settings = {"check_text_content": True, "jitter": False}
    assert call(settings, result).retry_delay_ms == 200


def test_reading_a_result_leaves_it_as_it_was(call: Call) -> None:
    """A defaultdict gains no key: reading goes through get()."""
    result: defaultdict[str, Any] = defaultdict(list, isError=False)
    item: defaultdict[str, Any] = defaultdict(list, type="text")
    result["content"] = [item]
    call({"check_text_content": True}, result)
    assert dict(result) == {"isError": False, "content": [item]}
    assert dict(item) == {"type": "text"}


def test_a_list_that_grows_while_it_is_read_is_read_to_its_end(call: Call) -> None:
    """Python's own walk over a list meets what is appended on the way."""
    content: list[Any] = []

    class Growing(dict[str, Any]):
        def get(self, key: str, default: Any = None) -> Any:
            if len(content) == 1:
                content.append({"type": "text", "text": '{"isError": true}'})
            return super().get(key, default)

    content.append(Growing(type="image"))
    settings = {"check_text_content": True, "jitter": False}
    assert call(settings, {"content": content}).retry_delay_ms == 200


def test_a_text_is_taken_by_item_access_where_the_key_is_there(call: Call) -> None:
    """Also of a class that makes up missing keys, and has an item access of its own."""

    class Making(dict[str, Any]):
        def __missing__(self, key: str) -> str:
            raise AssertionError(key)

        def __getitem__(self, key: str) -> Any:
            return '{"isError": true}' if key == "text" else super().__getitem__(key)

    settings = {"check_text_content": True, "jitter": False}
    present = {"content": [Making(type="text", text="fine")]}
    assert call(settings, present).retry_delay_ms == 200
    absent = {"content": [Making(type="text")]}
    assert call(settings, absent, request_id="another").retry_delay_ms == 0
    assert "Assertion" not in (_core.last_internal_error() or "")


def test_a_get_that_changes_is_asked_each_time(call: Call) -> None:
    """Only a class that leaves `get` to dicts is read from its storage."""

    class Changing(dict[str, Any]):
        asked = 0

        def __getattribute__(self, name: str) -> Any:
            if name == "get" and type(self).asked:
                return lambda key: True if key == "isError" else None
            if name == "get":
                type(self).asked += 1
            return super().__getattribute__(name)

    result = {"isError": False, "structuredContent": Changing(isError=False)}
    assert call({"jitter": False}, result).retry_delay_ms == 0
    assert call({"jitter": False}, result).retry_delay_ms == 200


def test_metadata_is_a_new_dict_each_time(call: Call) -> None:
    """A caller that changes what it got changes nobody else's."""
    first = call({}, {}).metadata
    assert first is not None
    first["retry_policy"]["retry_on_status"].append(1)
    assert call({}, {}).metadata == POLICY


def test_surprising_settings_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """The gateway builds the plugin anew every 30 seconds; a notice appears the first time."""
    settings = {"max_retries_typed_wrong": 1}
    for _ in range(3):
        RetryWithBackoffPlugin(PluginConfig(name="r", kind="k", config=settings))
    notices = [r.getMessage() for r in caplog.records if "typed_wrong" in r.getMessage()]
    assert len(notices) == 1
    assert '"max_retries_typed_wrong" is no setting and is ignored' in notices[0]


def test_a_wrong_setting_is_one_line_that_names_tool_key_value_and_what_is_allowed() -> None:
    """The operator reads one line at load, not a traceback at the first call."""
    settings = {"tool_overrides": {"pay": {"max_retries": "three"}}}
    with pytest.raises(ConfigError) as refused:
        RetryWithBackoffPlugin(PluginConfig(name="r", kind="k", config=settings))
    assert (refused.value.tool, refused.value.key) == ("pay", "max_retries")
    assert str(refused.value) == (
        'tool_overrides["pay"].max_retries: "three" given; '
        "allowed: an integer from 0 to 4294967295, not as text or float"
    )


def test_the_operators_configuration_is_not_changed() -> None:
    """Clamping and merging happen in the core's own copy."""
    overrides = {"pay": {"max_retries": 9}}
    settings: dict[str, Any] = {"max_retries": 9, "tool_overrides": overrides}
    _core.RetryConfig.from_dict(settings, ceiling=1)
    assert settings == {"max_retries": 9, "tool_overrides": {"pay": {"max_retries": 9}}}


@pytest.mark.parametrize(("variable", "least"), [("MAX_TOOL_RETRIES", 0), ("RETRY_MAX_CHAINS", 1)])
@pytest.mark.parametrize("given", ["many", "-1", "1.5"])
def test_a_wrong_environment_variable_is_refused_at_load(
    monkeypatch: pytest.MonkeyPatch, variable: str, given: str, least: int
) -> None:
    """The line names the variable, the value and what is allowed."""
    monkeypatch.setenv(variable, given)
    with pytest.raises(ConfigError) as refused:
        _core.RetryPluginCore({})
    assert str(refused.value) == (
        f'{variable}: "{given}" given; allowed: an integer of at least {least}'
    )


@pytest.mark.parametrize(
    ("given", "retries"), [("", 5), ("  ", 5), (" 3 ", 3), ("1_0", 5), ("0", 0)]
)
def test_the_environment_bounds_retries_where_no_gateway_is_loaded(
    monkeypatch: pytest.MonkeyPatch, given: str, retries: int
) -> None:
    """A blank variable is not set; a number is read by Python's rules."""
    monkeypatch.setenv("MAX_TOOL_RETRIES", given)
    core = _core.RetryPluginCore({"max_retries": 5})
    assert core.metadata_of(None)["retry_policy"]["max_retries"] == retries


@pytest.mark.parametrize("ceiling", [2**32, 2**40, 2**70])
def test_a_ceiling_wider_than_any_setting_lets_none_pass_that_is_too_wide(
    monkeypatch: pytest.MonkeyPatch, ceiling: int
) -> None:
    """It was cut to 32 bits, and retries beyond them to it: they are refused, as without one."""
    monkeypatch.setenv("MAX_TOOL_RETRIES", str(ceiling))
    for retries in (2**32, ceiling + 1):
        with pytest.raises(ConfigError, match="max_retries"):
            _core.RetryPluginCore({"max_retries": retries})
    assert _core.RetryConfig.from_dict({"max_retries": 2**32}, ceiling=2**32 - 1)


class NoNumber:
    """An object that cannot say what number it is."""

    def __index__(self) -> int:
        """Fail."""
        raise AttributeError


def test_an_object_that_is_no_number_is_refused_like_any_other_and_only_where_it_is_read() -> None:
    """What it raises is no affair of the operator's, who reads which setting is wrong."""
    assert _core.RetryConfig.from_dict({"no_setting": NoNumber()})
    with pytest.raises(ConfigError, match="max_retries: an object of type NoNumber given"):
        _core.RetryConfig.from_dict({"max_retries": NoNumber()})


def test_the_gateways_own_setting_goes_before_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where the gateway is loaded in the process, its settings are the ceiling."""
    gateway = ModuleType("mcpgateway.config")
    monkeypatch.setattr(gateway, "settings", SimpleNamespace(max_tool_retries=1), raising=False)
    monkeypatch.setitem(sys.modules, "mcpgateway.config", gateway)
    monkeypatch.setenv("MAX_TOOL_RETRIES", "4")
    core = _core.RetryPluginCore({"max_retries": 5})
    assert core.metadata_of(None)["retry_policy"]["max_retries"] == 1


def test_an_exhausted_chain_is_logged_and_a_name_cannot_forge_a_line(
    call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    """One warning when the plugin gives up, as the hybrid's fast path writes one."""
    for _ in range(3):
        call({"max_retries": 1}, FAILURE, tool="pay\nforged", request_id="r-1")
    assert [record.getMessage() for record in caplog.records] == [
        'tool "pay\\nforged", request "r-1": gave up after 2 failures'
    ]
    (record,) = caplog.records
    assert (record.name, record.pathname) == ("retry_with_backoff", "retry_with_backoff._core")
    assert record.funcName == "retry_with_backoff"


def test_a_quiet_core_gives_up_without_a_line(caplog: pytest.LogCaptureFixture) -> None:
    """Where another implementation decides, this one's giving up is no news to the operator."""
    core = _core.RetryPluginCore({"max_retries": 0})
    core.set_quiet(True)
    core.tool_post_invoke(payload("search", FAILURE), context("quiet"))
    assert not caplog.records


def test_a_traced_call_carries_the_counters_the_gateway_reads(call: Call) -> None:
    """Ledger trace-metrics: with a trace id the metadata also has count and delay."""
    result = call({"jitter": False}, FAILURE, trace_id="4bf92f3577b34da6")
    assert result.metadata == {
        **POLICY,
        "retry_with_backoff": {"retry_count": 1, "retry_delay_ms": 200},
    }
    for no_trace in (None, ""):
        assert call({}, FAILURE, trace_id=no_trace).metadata == POLICY


def test_names_may_hold_lone_surrogates(call: Call) -> None:
    """Ledger name-encoding: such a name is a name like any other."""
    delays = [
        call({"jitter": False}, FAILURE, tool="\ud800", request_id="\udfff").retry_delay_ms
        for _ in range(3)
    ]
    assert delays == [200, 400, 0]


def test_a_name_that_is_no_text_is_an_internal_error() -> None:
    """cpex cannot make one; if something else does, the call goes on without a retry."""
    plugin = RetryWithBackoffPlugin(PluginConfig(name="r", kind="k"))
    before = _core.internal_errors()
    hook = plugin.tool_post_invoke(payload(5, FAILURE), context("r"))
    assert asyncio.run(hook).retry_delay_ms == 0
    assert _core.internal_errors() - before == 1
