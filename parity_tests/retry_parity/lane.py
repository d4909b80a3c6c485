"""Shadow mode: the hybrid answers, the candidate runs after it, and the two are compared.

INVARIANT: what the caller gets is the hybrid's result object or the hybrid's exception, whatever
the candidate, the ledger or the counters do. Everything after the hybrid's answer is guarded, and
a step that fails names itself.
"""

from __future__ import annotations

import contextlib
from time import perf_counter_ns
from typing import TYPE_CHECKING, Final, NoReturn

from retry_parity import candidates
from retry_parity.compare import Difference, Kind, Outcome, same_plain
from retry_parity.evidence import BEGINNINGS, CHAINS, Comparison, Evidence, Step, evidence_of
from retry_parity.judging import Judge
from retry_parity.ledger import Ledger, shipped_ledger
from retry_parity.load_predicates import is_config_error
from retry_parity.loading import compare_loads
from retry_parity.observation import (
    PASS_THROUGH,
    Call,
    Hook,
    Observation,
    Raised,
    Returned,
    Side,
    attempt,
    observe,
    raised_by,
    returned,
)
from retry_parity.plain import snapshot
from retry_parity.reference import (
    Reference,
    counted_failures,
    live_counters,
    stored_failures,
)
from retry_parity.refusal import one_line

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from cpex.framework import PluginConfig, PluginContext


NOT_LOADED: Final = "candidate-not-loaded"


class Shadow:
    """Both implementations under one config."""

    def __init__(
        self,
        config: PluginConfig,
        *,
        load: Callable[[PluginConfig], candidates.Candidate] | None = None,
        observer: Callable[[Comparison], None] | None = None,
        check_payload: bool = False,
    ) -> None:
        """Load both. The candidate may fail to load; then every call counts as not compared.

        Args:
            config: The plugin config without ``migration:``.
            load: Makes the candidate; ``None`` means the Rust core.
            observer: Told of every comparison.
            check_payload: Whether to verify that neither side changes the payload. This copies
                every result, so it is for replays.

        Raises:
            BaseException: Whatever the hybrid's constructor raises, unchanged.
        """
        from retry_legacy import RetryWithBackoffPlugin

        #: The candidate's line on a wrong config that the hybrid takes; ``None`` where there is
        #: none, and where no entry of the ledger says that it is the config that is wrong.
        self.refusal: str | None = None
        self._evidence: Evidence = evidence_of(config.name)
        self._ledger: Ledger = self._guarded_ledger()
        self._observer = observer
        self._check_payload = check_payload
        self._candidate: candidates.Candidate | None = None
        loader = load or _load_rust
        loaded = attempt(lambda: RetryWithBackoffPlugin(config))
        if isinstance(loaded, Raised):
            self._compare_loads(loaded, attempt(lambda: loader(config)), loader, config)
            _raise(loaded)
        self._plugin = loaded
        self._ask_hybrid: Callable[..., Awaitable[object]] = loaded.tool_post_invoke
        self._reference = Reference(loaded, config, stored_failures)
        self._judging = Judge(self._reference, self._ledger, CHAINS, BEGINNINGS, self._failed)
        self._candidate = self._load_candidate(loader, config)
        self._seen: Callable[..., bool] | None = None
        if self._candidate is not None:
            self._internal_errors = self._candidate.internal_errors
            self._last_internal_error = self._candidate.last_internal_error
            self._ask_candidate = self._candidate.hook(Hook.TOOL_POST_INVOKE.value)
            # Whoever wants to be told of every comparison has every call judged.
            if observer is None and not check_payload and self._candidate.takes_extensions:
                agreement = self._evidence.agreement(live_counters(), counted_failures)
                self._seen = agreement.seen

    @property
    def reference(self) -> Reference:
        """The hybrid, for questions that change nothing."""
        return self._reference

    async def tool_post_invoke(
        self, payload: object, context: PluginContext, extensions: object
    ) -> object:
        """Answer as the hybrid does; the candidate, not the hybrid, gets the extensions."""
        if self._seen is None:
            return await self._judged(payload, context, extensions)
        begun = perf_counter_ns()
        try:
            ours = await self._ask_hybrid(payload, context)
        except BaseException as error:
            raised = raised_by(Side.REFERENCE, error)
            reference = Observation(Side.REFERENCE, raised, perf_counter_ns() - begun)
            await self._judge(Hook.TOOL_POST_INVOKE, reference, payload, context, extensions, None)
            raise
        between = perf_counter_ns()
        step = Step.CALL_CANDIDATE
        answered: Observation | None = None
        try:
            errors_before = self._internal_errors()
            outcome: Returned | Raised | None = None
            try:
                theirs = await self._ask_candidate(payload, context, extensions)
                ended = perf_counter_ns()
            except BaseException as error:  # noqa: BLE001 - what is to be passed on is raised again
                ended = perf_counter_ns()
                outcome = raised_by(Side.CANDIDATE, error)
            errors = self._internal_errors() - errors_before
            step = Step.COMPARE
            if outcome is None:
                if not errors and self._seen(payload, context, ours, theirs, begun, between, ended):
                    return ours
                outcome = _read(theirs)
            cause = self._last_internal_error() if errors else None
            answered = Observation(Side.REFERENCE, returned(ours), between - begun)
            candidate = Observation(Side.CANDIDATE, outcome, ended - between, errors, cause)
            step = Step.CALL_CANDIDATE
            call = _call(Hook.TOOL_POST_INVOKE, payload, context, extensions)
            self._look_closer(call, answered, candidate)
        except PASS_THROUGH:
            raise
        except BaseException as error:  # noqa: BLE001 - the harness never reaches the caller
            self._failed(step, error, Call(Hook.TOOL_POST_INVOKE), answered)
        return ours

    async def _judged(self, payload: object, context: PluginContext, extensions: object) -> object:
        before = self._snapshot(payload)
        reference = await observe(Side.REFERENCE, self._ask_hybrid, payload, context)
        await self._judge(Hook.TOOL_POST_INVOKE, reference, payload, context, extensions, before)
        return _answer(reference)

    async def resource_post_fetch(self, payload: object, context: PluginContext) -> object:
        """Answer as the hybrid does."""
        reference = await observe(
            Side.REFERENCE, self._plugin.resource_post_fetch, payload, context
        )
        await self._judge(Hook.RESOURCE_POST_FETCH, reference, payload, context, None, None)
        return _answer(reference)

    def to_rust_native_policy(self, tool_name: str, ceiling: int) -> None:
        """Compare the two sides' policies and give none; see `MigrationPlugin`."""
        try:
            ours = attempt(lambda: self._plugin.to_rust_native_policy(tool_name, ceiling))
            if self._candidate is None:
                return
            plugin = self._candidate.plugin
            theirs = attempt(lambda: plugin.to_rust_native_policy(tool_name, ceiling))
            comparison = self._judging.policy(tool_name, ceiling, ours, theirs)
            if comparison is not None:
                self._record(comparison)
        except PASS_THROUGH:
            raise
        except BaseException as error:  # noqa: BLE001 - the harness never reaches the caller
            self._failed(Step.POLICY, error)

    async def _judge(  # noqa: PLR0913, PLR0917 - the facts of one call
        self,
        hook: Hook,
        reference: Observation,
        payload: object,
        context: PluginContext,
        extensions: object,
        before: object,
    ) -> None:
        """Run the candidate on the same payload, compare, explain, count. Never raises."""
        call = Call(hook)
        step = Step.CALL_CANDIDATE
        try:
            call = _call(hook, payload, context, extensions)
            if self._candidate is None:
                step = Step.RECORD
                self._record(Comparison(Outcome.IGNORED, call, reference, reason=NOT_LOADED))
                return
            extra: list[Difference] = []
            if before is not None:
                step = Step.SNAPSHOT
                before = self._check_untouched(before, call.result, Side.REFERENCE, extra)
                step = Step.CALL_CANDIDATE
            arguments = [payload, context]
            if hook is Hook.TOOL_POST_INVOKE and self._candidate.takes_extensions:
                arguments.append(extensions)
            candidate = await observe(
                Side.CANDIDATE,
                self._candidate.hook(hook.value),
                *arguments,
                internal_errors=self._candidate.internal_errors,
                last_internal_error=self._candidate.last_internal_error,
            )
            if before is not None:
                step = Step.SNAPSHOT
                self._check_untouched(before, call.result, Side.CANDIDATE, extra)
            step = Step.COMPARE
            self._look_closer(call, reference, candidate, extra)
        except PASS_THROUGH:
            raise
        except BaseException as error:  # noqa: BLE001 - the harness never reaches the caller
            self._failed(step, error, call, reference)

    def _look_closer(
        self,
        call: Call,
        reference: Observation,
        candidate: Observation,
        extra: Sequence[Difference] = (),
    ) -> None:
        """Compare, explain, count. Never raises but for what is passed on."""
        step = Step.COMPARE
        try:
            self._count_candidate_errors(candidate)
            comparison = self._judging.decision(call, reference, candidate, extra)
            step = Step.RECORD
            self._record(comparison)
        except PASS_THROUGH:
            raise
        except BaseException as error:  # noqa: BLE001 - the harness never reaches the caller
            self._failed(step, error, call, reference)

    def _guarded_ledger(self) -> Ledger:
        loaded = attempt(shipped_ledger)
        if isinstance(loaded, Raised):
            self._failed(Step.LEDGER, _error(loaded))
            return Ledger(())
        return loaded

    def _load_candidate(
        self, loader: Callable[[PluginConfig], candidates.Candidate], config: PluginConfig
    ) -> candidates.Candidate | None:
        loaded = attempt(lambda: loader(config))
        if not isinstance(loaded, Raised):
            return loaded
        self._compare_loads(self._reference, loaded, loader, config)
        return None

    def _compare_loads(
        self,
        reference: Reference | Raised,
        candidate: candidates.Candidate | Raised,
        loader: Callable[[PluginConfig], candidates.Candidate],
        config: PluginConfig,
    ) -> None:
        """Compare two attempts to load of which at least one failed. Never raises.

        One mistake of the operator is one report: the exception where the hybrid refuses too, else
        one line in the log.
        """

        def reload(changed: Mapping[str, object]) -> object | Raised:
            other = config.model_copy(update={"config": dict(changed)})
            return attempt(lambda: loader(other))

        try:
            comparison = compare_loads(config.config, reference, candidate, reload, self._ledger)
            if comparison is None:
                return
            refused = isinstance(candidate, Raised)
            if isinstance(candidate, Raised) and not isinstance(reference, Raised):
                self._count_refusal(candidate, comparison)
            self._record(comparison, quiet=refused)
        except PASS_THROUGH:
            raise
        except BaseException as error:  # noqa: BLE001 - the harness never reaches the caller
            self._failed(Step.LOAD_CANDIDATE, error)

    def _count_refusal(self, candidate: Raised, comparison: Comparison) -> None:
        if not is_config_error(candidate):
            self._evidence.candidate_error(f"load:{candidate.name}", candidate.error)
            return
        line = one_line(_error(candidate))
        self._evidence.candidate_refusal(f"load:{candidate.name}", line)
        if not comparison.unexplained:
            self.refusal = line

    def _snapshot(self, payload: object) -> object:
        if not self._check_payload:
            return None
        try:
            return snapshot(getattr(payload, "result", None))
        except PASS_THROUGH:
            raise
        except BaseException as error:  # noqa: BLE001 - the harness never reaches the caller
            self._failed(Step.SNAPSHOT, error)
            return None

    @staticmethod
    def _check_untouched(
        before: object, result: object, side: Side, found: list[Difference]
    ) -> object:
        if same_plain(before, result):
            return before
        found.append(Difference(Kind.PAYLOAD_MUTATED, side.value))
        return snapshot(result)

    def _count_candidate_errors(self, candidate: Observation) -> None:
        if isinstance(candidate.outcome, Raised):
            self._evidence.candidate_error(
                f"raised:{candidate.outcome.name}", candidate.outcome.error
            )
        if candidate.internal_errors:
            self._evidence.candidate_error("internal")

    def _record(self, comparison: Comparison, *, quiet: bool = False) -> None:
        self._evidence.record(comparison, quiet=quiet)
        if self._observer is not None:
            self._observer(comparison)

    def _failed(
        self,
        step: Step,
        error: BaseException,
        call: Call | None = None,
        reference: Observation | None = None,
    ) -> None:
        """Count a failure of the harness; a failure of counting itself ends here too."""
        with contextlib.suppress(Exception):
            self._evidence.harness_error(step, error)
            if call is not None and step is not Step.RECORD:
                reason = f"harness-error:{step.value}"
                self._record(Comparison(Outcome.IGNORED, call, reference, reason=reason))


def _read(value: object) -> Returned | Raised:
    """Take a candidate's answer apart; an odd one can raise when it is read."""
    try:
        return returned(value)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the candidate made it
        return raised_by(Side.CANDIDATE, error)


def _load_rust(config: PluginConfig) -> candidates.Candidate:
    return candidates.load(candidates.RUST, config)


def _call(hook: Hook, payload: object, context: PluginContext, extensions: object) -> Call:
    if hook is not Hook.TOOL_POST_INVOKE:
        return Call(hook)
    return Call(
        hook,
        tool=getattr(payload, "name", None),
        request_id=context.global_context.request_id,
        result=getattr(payload, "result", None),
        trace_id=getattr(getattr(extensions, "request", None), "trace_id", None),
    )


def _answer(observation: Observation) -> object:
    if isinstance(observation.outcome, Raised):
        _raise(observation.outcome)
    return observation.outcome.value


def _raise(raised: Raised) -> NoReturn:
    raise _error(raised)


def _error(raised: Raised) -> BaseException:
    """Give the very exception, which an observation of this process always has."""
    if raised.error is None:
        message = f"{raised.name} was observed in another process"
        raise TypeError(message)
    return raised.error
