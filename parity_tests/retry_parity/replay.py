"""One pass of a corpus through the real plugin framework, with both implementations compared."""

from __future__ import annotations

import logging
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cpex.framework import (
    ConfigLoader,
    GlobalContext,
    PluginConfig,
    PluginContext,
    PluginError,
    TenantPluginManager,
    ToolHookType,
    ToolPostInvokePayload,
    ToolPostInvokeResult,
)
from cpex.framework.hooks.policies import HookPayloadPolicy
from cpex.framework.manager import PayloadSizeError
from cpex.framework.models import Config

from retry_parity import _native, candidates
from retry_parity.compare import Outcome
from retry_parity.containers import Container, installed_kind, wrap
from retry_parity.evidence import Comparison, Counts, evidence_of, reset
from retry_parity.flag import CONFIG_KEY, Flag, Implementation, read_flag
from retry_parity.input import trouble_with
from retry_parity.lane import Lane
from retry_parity.plugin import MigrationPlugin
from retry_parity.refusal import ConfigRefusedError, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from cpex.framework.extensions import Extensions

    from retry_parity._native import Latency
    from retry_parity.corpus import Record
    from retry_parity.observation import Side
    from retry_parity.settings import MigrationSettings

#: As the gateway has it (`mcpgateway.plugins.policy`): a policy for the hook is what makes the
#: framework hand every plugin an isolated payload.
_HOOK_POLICIES: Final = {
    ToolHookType.TOOL_POST_INVOKE.value: HookPayloadPolicy(writable_fields=frozenset({"result"}))
}

#: Classes whose plugin config can be replayed, whatever package they are in.
_REPLAYABLE_CLASSES: Final = ("MigrationPlugin", "RetryWithBackoffPlugin")
_MILLISECONDS: Final = 1000.0

#: What these log of a replay (an exhausted budget, an exception of the hybrid, a divergence) is in
#: its outcome, call by call.
_QUIET_LOGGERS: Final = ("cpex", "retry_legacy", "retry_parity", "retry_with_backoff")


class ReplayError(ValueError):
    """The replay cannot begin; the message is one line."""


@dataclass(frozen=True, slots=True)
class Call:
    """One replayed call.

    Attributes:
        record: The corpus line.
        comparison: What became of it; ``None`` when the framework did not call the plugin.
        retry_delay_ms: What the framework's caller got; ``None`` when it got an exception.
    """

    record: Record
    comparison: Comparison | None
    retry_delay_ms: int | None


@dataclass(frozen=True, slots=True)
class Pass:
    """The outcome of one pass over the corpus.

    Attributes:
        container: In which kind of dict the results came.
        as_installed: Whether that is what the installed cpex delivers by itself.
        calls: The calls, in corpus order.
        counts: The counters of this pass.
        latency: Time per call of either side.
        load: Unexplained divergences and explanations of loading itself.
    """

    container: Container
    as_installed: bool
    calls: tuple[Call, ...]
    counts: Counts
    latency: dict[Side, Latency]
    load: tuple[Comparison, ...]


@dataclass(slots=True)
class _Recording:
    """What the plugin of the running pass is to do, and what it saw."""

    candidate: str
    container: Container | None
    comparisons: list[Comparison] = field(default_factory=list)
    load_error: BaseException | None = None


_recording: ContextVar[_Recording] = ContextVar("retry_parity_recording")


class ReplayPlugin(MigrationPlugin):
    """The migration plugin in shadow mode, whatever flag the config or environment has."""

    def __init__(self, config: PluginConfig) -> None:
        """Load; keep the cause of a failure, which the framework reduces to a log line."""
        self._recording = _recording.get()
        try:
            super().__init__(config)
        except BaseException as error:
            self._recording.load_error = error
            raise

    async def tool_post_invoke(
        self,
        payload: ToolPostInvokePayload,
        context: PluginContext,
        extensions: Extensions | None = None,
    ) -> ToolPostInvokeResult:
        """Put the result in the pass's kind of dict, then do as the migration plugin does."""
        container = self._recording.container
        if container is not None and isinstance(payload.result, dict):
            payload = payload.model_copy(update={"result": wrap(container, payload.result)})
        return await super().tool_post_invoke(payload, context, extensions)

    def _read_flag(self, config: PluginConfig) -> Flag:
        # What the gateway would refuse must not pass here, but its environment is not this one.
        read_flag(config.config, {})
        return Flag(Implementation.SHADOW, CONFIG_KEY)

    def _make_lane(self, config: PluginConfig, settings: MigrationSettings) -> Lane:
        name = self._recording.candidate
        lane = Lane(
            config,
            settings=settings,
            load=lambda inner: candidates.load(name, inner),
            observer=self._recording.comparisons.append,
            check_payload=True,
        )
        if lane.refusal is not None:
            raise ConfigRefusedError(lane.refusal)
        return lane

    def _make_recorder(self, config: PluginConfig, settings: MigrationSettings) -> None:
        """Record nothing: it is a recording that is played."""

    async def initialize(self) -> None:
        """Follow no service and write nothing: a replay is its own evidence."""


def read_plugin_config(path: Path) -> PluginConfig:
    """Read the retry plugin's entry from a plugins file of the gateway's format.

    Raises:
        ReplayError: The file cannot be read, or has not exactly one retry plugin.
    """
    try:
        trouble = trouble_with(path)
    except OSError as error:
        is_missing = isinstance(error, FileNotFoundError)
        reason = "no such config file" if is_missing else f"cannot be read: {error.strerror}"
        trouble = f"{reason}; name one with --config"
    if trouble:
        message = f"{path}: {trouble}"
        raise ReplayError(message)
    try:
        plugins = ConfigLoader.load_config(str(path)).plugins or []
    except Exception as error:
        cause = " ".join(str(error).split())
        message = f"{path}: is no plugins file: {cause}"
        raise ReplayError(message) from error
    found = [plugin for plugin in plugins if plugin.kind.rpartition(".")[2] in _REPLAYABLE_CLASSES]
    if len(found) != 1:
        message = (
            f"{path}: has {len(found)} retry plugins, exactly one is needed; a retry plugin's "
            f"kind ends in {' or '.join(_REPLAYABLE_CLASSES)}"
        )
        raise ReplayError(message)
    return found[0]


async def replay(
    records: Sequence[Record],
    config: PluginConfig,
    candidate: str,
    container: Container,
    advance: Callable[[], None] = lambda: None,
) -> Pass:
    """Replay a corpus once, in its order and with its clock, from a state of nothing.

    Args:
        records: The corpus.
        config: The plugin's entry; its kind is replaced.
        candidate: A name of `candidates.NAMES`.
        container: In which kind of dict the plugin gets the results.
        advance: Called after each call.

    Returns:
        What happened.

    Raises:
        ReplayError: The plugin could not be loaded with this config.
    """
    as_installed = container is installed_kind()
    recording = _Recording(candidate, None if as_installed else container)
    reset(config.name)
    with ExitStack() as stack:
        clock = stack.enter_context(_recorded_clock())
        for logger in _QUIET_LOGGERS:
            stack.enter_context(_quiet(logger))
        token = _recording.set(recording)
        stack.callback(_recording.reset, token)
        manager = TenantPluginManager(
            config=_framework_config(config), hook_policies=_HOOK_POLICIES
        )
        await _initialize(manager, recording)
        load = tuple(recording.comparisons)
        recording.comparisons.clear()
        calls = []
        for record in records:
            clock.now_s = record.t_ms / _MILLISECONDS
            calls.append(await _invoke(manager, record, recording))
            advance()
        await manager.shutdown()
    evidence = evidence_of(config.name)
    return Pass(container, as_installed, tuple(calls), evidence.counts(), evidence.latency, load)


def not_compared(calls: Sequence[Call]) -> int:
    """Count the calls that were not compared, for whatever reason."""
    return sum(
        call.comparison is None or call.comparison.outcome is Outcome.IGNORED for call in calls
    )


async def _initialize(manager: TenantPluginManager, recording: _Recording) -> None:
    """Load the plugin; the framework may skip one that fails, a replay may not."""
    try:
        await manager.initialize()
    except RuntimeError as error:
        raise _refused(recording.load_error or error) from error
    if recording.load_error is not None or manager.plugin_count != 1:
        raise _refused(recording.load_error)


def _refused(error: BaseException | None) -> ReplayError:
    cause = "the framework skipped it" if error is None else one_line(error)
    return ReplayError(f"the plugin cannot be loaded with this config: {cause}")


async def _invoke(manager: TenantPluginManager, record: Record, recording: _Recording) -> Call:
    payload = ToolPostInvokePayload(name=record.tool, result=record.result)
    delay_ms: int | None = None
    try:
        result, _ = await manager.invoke_hook(
            ToolHookType.TOOL_POST_INVOKE, payload, GlobalContext(request_id=record.request_id)
        )
        delay_ms = result.retry_delay_ms
    except (PluginError, PayloadSizeError):
        # The hybrid's exception, which the comparison has too; or a result that the framework hands
        # to no plugin because it is too large, which is a call not compared.
        pass
    comparison = recording.comparisons.pop() if recording.comparisons else None
    recording.comparisons.clear()
    return Call(record, comparison, delay_ms)


def _framework_config(config: PluginConfig) -> Config:
    kind = f"{ReplayPlugin.__module__}.{ReplayPlugin.__qualname__}"
    return Config(plugins=[config.model_copy(update={"kind": kind})], plugin_dirs=[])


@dataclass(slots=True)
class _Clock:
    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


@contextmanager
def _recorded_clock() -> Iterator[_Clock]:
    """Give both sides the recording's time and no chains, and nothing of it afterwards."""
    import retry_legacy
    from retry_with_backoff import _core

    def set_clocks(clock: _Clock | None) -> None:
        retry_legacy.clear_state()
        _core.clear_state()
        retry_legacy.set_clock(clock)
        _core.set_clock(clock)
        _native.set_clock(clock)

    clock = _Clock()
    set_clocks(clock)
    try:
        yield clock
    finally:
        set_clocks(None)


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Keep the framework from logging what the result tells better."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
