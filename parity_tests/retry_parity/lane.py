"""Both sides under one config, and what becomes of a call that is not seen to agree at a glance.

Who decides and which answer the caller gets is up to `_native.Desk`; it asks here for the sides,
and hands over what it cannot be certain about.

INVARIANT: nothing here reaches the caller. Everything after an answer is guarded, and a step that
fails names itself.
"""

from __future__ import annotations

import contextlib
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from cpex.framework import ResourcePostFetchResult, ToolPostInvokeResult

from retry_parity import candidates
from retry_parity._native import Desk
from retry_parity.compare import Difference, Kind, Outcome, same_plain
from retry_parity.evidence import CHAINS, Comparison, Step
from retry_parity.flag import COMPARING, Implementation
from retry_parity.judging import Judge
from retry_parity.ledger import Ledger, shipped_ledger
from retry_parity.load_predicates import is_config_error
from retry_parity.loading import compare_loads
from retry_parity.migration import migration_of, number_of
from retry_parity.observation import (
    Call,
    Hook,
    Observation,
    Raised,
    Returned,
    Side,
    attempt,
    ends,
    observe,
    raised_by,
    returned,
)
from retry_parity.plain import snapshot
from retry_parity.reference import stores
from retry_parity.refusal import one_line
from retry_parity.sampling import sample_of
from retry_parity.settings import MigrationSettings
from retry_parity.sides import Sides, error_of, longest_delay_ms, raise_again

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cpex.framework import PluginConfig, PluginContext

    from retry_parity._native import Playback, Setting
    from retry_parity.migration import Migration
    from retry_parity.reference import Reference
    from retry_parity.sides import Loaded
    from retry_parity.traces.calls import Batch

#: What the desk hands over of one side: its answer or exception, whether it raised, nanoseconds.
Deed: TypeAlias = tuple[object, bool, int]

_NANOSECONDS: Final = 1_000_000
#: The candidate's error of taking too long, as `candidate_failed` is told of it.
SLOW: Final = "slow"


class Verdict(IntEnum):
    """What became of a call; `_native.Desk` takes the numbers."""

    MATCH = 0
    ACCEPTED = 1
    DIVERGENT = 2
    NOT_COMPARED = 3


class Lane:
    """The sides of one plugin object."""

    def __init__(  # noqa: PLR0913 - what tests and replays put in place
        self,
        config: PluginConfig,
        *,
        flag: Implementation = Implementation.SHADOW,
        settings: MigrationSettings | None = None,
        load: Callable[[PluginConfig], candidates.Candidate] | None = None,
        observer: Callable[[Comparison], None] | None = None,
        check_payload: bool = False,
    ) -> None:
        """Load what the flag asks for; the rest is loaded when a call needs it.

        Where both sides are asked for, the candidate may fail to load; then every call counts as
        not compared.

        Args:
            config: The plugin config without ``migration:``.
            flag: The value in force for this object, where no service sets another one.
            settings: The ``migration:`` section; ``None`` means its defaults.
            load: Makes the candidate; ``None`` means the one that the settings name.
            observer: Told of every comparison, also of those that agree at a glance.
            check_payload: Whether to verify that neither side changes the payload. This copies
                every result, so it is for replays.

        Raises:
            BaseException: Whatever the hybrid raises, where it is asked for.
            Exception: Whatever the candidate raises, where it alone is asked for.
        """
        settings = settings or MigrationSettings()
        #: The candidate's line on a wrong config that the hybrid takes; ``None`` where there is
        #: none, and where no entry of the ledger says that it is the config that is wrong.
        self.refusal: str | None = None
        self._settings = settings
        self._migration: Migration = migration_of(config.name)
        self._evidence = self._migration.evidence
        self._ledger: Ledger = self._guarded_ledger()
        self._observer = observer
        self._check_payload = check_payload
        self._before: object = None
        self._changes: list[Difference] = []
        self._sides = Sides(
            config, load or (lambda inner: candidates.load(settings.candidate, inner))
        )
        self._judge: Judge | None = None
        self._loads_are_compared = False
        self._desk = Desk(
            self,
            self._migration.switch,
            self._evidence.book,
            ToolPostInvokeResult,
            [CHAINS.joined, CHAINS.drifted_keys],
            mode=number_of(flag),
            canary_percent=settings.canary_percent,
            compare_percent=settings.compare_percent,
            time_limit_ns=int(settings.time_limit_ms * _NANOSECONDS),
            judge_all=observer is not None or check_payload,
        )
        self._load_now(flag)
        self._evidence.shapes = self._sides.shapes() or self._evidence.shapes
        self._migration.admit(self)
        #: The hook: takes payload, context and extensions, gives the answer.
        self.decide: Callable[[object, object, object], Any] = self._desk.decide

    # --- what the flag asks for ------------------------------------------------------------------

    @property
    def implementation(self) -> Implementation:
        """The value of the flag in force for this object, before the guard."""
        return tuple(Implementation)[self._desk.mode]

    @property
    def candidates_error(self) -> BaseException | None:
        """What the candidate raised when it was loaded."""
        refusal = self._sides.candidates_refusal
        return None if refusal is None else error_of(refusal)

    @property
    def reference(self) -> Reference:
        """The hybrid, for questions that change nothing."""
        return self._sides.reference

    def flag_has_changed(self) -> None:
        """Do what a flip needs besides the switch; called outside of any hook."""
        self._load_for(self.implementation)
        self._set_quiet()

    def _set_quiet(self) -> None:
        if self._sides.candidate is None:
            return
        with self._guarded(Step.LOAD_CANDIDATE):
            # A side that does not decide must not say that it gives up: the other one has said it.
            self._sides.candidate.set_quiet(self.implementation is not Implementation.RUST)

    def load_reference(self) -> Loaded | None:
        """Load the hybrid; ``None`` where it cannot be."""
        loaded = self._sides.load_hybrid()
        self._compare_loads()
        return loaded

    def load_candidate(self) -> Loaded | None:
        """Load the candidate; ``None`` where it cannot be."""
        loaded = self._sides.load_candidate()
        self._set_quiet()
        self._compare_loads()
        return loaded

    def hybrid_stores(self) -> list[tuple[Callable[[], int], Callable[[str, str], int]]]:
        """Give what reads the hybrid's counts."""
        return stores()

    def setting(self, tool: str) -> Setting:
        """Give what is known of a tool's effective config; raises as the hybrid does at a call."""
        return self._sides.setting(tool)

    def no_retry(self) -> ToolPostInvokeResult:
        """Answer where no side has an answer."""
        return ToolPostInvokeResult()

    def longest_delay_ms(self) -> int:
        """Give the longest delay that the config allows for any tool, milliseconds.

        Raises:
            ConfigError: The Rust core refuses the config.
        """
        return longest_delay_ms(self._sides.config.config)

    def candidate_rests(self) -> bool:
        """Say whether the candidate is not to be asked for now."""
        return self._migration.rest.is_on()

    # --- calls -----------------------------------------------------------------------------------

    async def tool_post_invoke(
        self, payload: object, context: PluginContext, extensions: object
    ) -> object:
        """Decide on a tool result; the candidate, not the hybrid, gets the extensions."""
        return self.decide(payload, context, extensions)

    def play(
        self,
        playback: Playback,
        context: PluginContext,
        make_payload: Callable[[str, object], object],
        batch: Batch,
    ) -> None:
        """Decide on recorded calls, one after the other; see `_native.Playback.play`."""
        playback.play(self._desk, context, make_payload, batch)

    def judge(  # noqa: PLR0913, PLR0917 - the facts of one call
        self,
        payload: object,
        context: PluginContext,
        extensions: object,
        ours: Deed,
        theirs: Deed,
        internal_errors: int,
    ) -> Verdict:
        """Compare two answers that are not seen to agree; explain, count, note trouble.

        Raises:
            BaseException: Only what ends the process or the task.
        """
        call, step = Call(Hook.TOOL_POST_INVOKE), Step.CALL_CANDIDATE
        reference: Observation | None = None
        try:
            reference = Observation(Side.REFERENCE, _outcome(Side.REFERENCE, ours), ours[2])
            outcome = _outcome(Side.CANDIDATE, theirs)
            candidate = Observation(
                Side.CANDIDATE, outcome, theirs[2], internal_errors, self._cause(internal_errors)
            )
            call = _call(payload, context, extensions)
            step = Step.SNAPSHOT
            changes = self._take_changes(call.result)
            step = Step.COMPARE
            self._count_candidate_errors(candidate)
            comparison = self._judgement.decision(call, reference, candidate, changes)
            step = Step.RECORD
            return self._conclude(comparison, payload, context)
        except BaseException as error:
            if ends(error):
                raise
            self._failed(step, error, call, reference)
            # Nobody knows what the candidate's answer is worth.
            with _contained():
                self._trouble(f"harness-error:{step.value}")
            return Verdict.NOT_COMPARED

    def candidate_failed(
        self,
        kind: str,
        error: BaseException | None,
        is_slow: bool,  # noqa: FBT001 - the desk calls by position
        is_trouble: bool,  # noqa: FBT001 - as above
    ) -> None:
        """Count a failure of a candidate that was not compared.

        Args:
            kind: ``raised``, ``internal`` (it turned an error into an answer), ``nonsense`` (its
                answer is none) or ``slow``.
            error: What it raised.
            is_slow: Whether it took too long, whatever else it did.
            is_trouble: Whether the guard is told.

        Raises:
            BaseException: The error itself, where it ends the process or the task.
        """
        name = kind if error is None else f"{kind}:{raised_by(Side.CANDIDATE, error).name}"
        with self._guarded(Step.RECORD):
            self._evidence.candidate_error(name, error)
            if is_slow and kind != SLOW:
                self._evidence.candidate_error(SLOW)
        with self._guarded(Step.RECORD):
            if is_slow:
                self._migration.rest.note_slow()
            if is_trouble or is_slow:
                self._trouble(name)

    def not_compared(
        self,
        reason: str,
        payload: object,
        context: PluginContext,
        extensions: object,
        ours: Deed | None,
    ) -> None:
        """Count a call that was not compared."""
        call, reference = Call(Hook.TOOL_POST_INVOKE), None
        with self._guarded(Step.RECORD):
            if ours is not None:
                reference = Observation(Side.REFERENCE, _outcome(Side.REFERENCE, ours), ours[2])
            call = _call(payload, context, extensions)
            self._record(Comparison(Outcome.IGNORED, call, reference, reason=reason))

    def before_call(self, payload: object) -> None:
        """Keep what the payload is, where it is checked."""
        self._changes, self._before = [], None
        if self._check_payload:
            with self._guarded(Step.SNAPSHOT):
                self._before = snapshot(getattr(payload, "result", None))

    def between_sides(self, payload: object) -> None:
        """See whether the hybrid changed the payload, where it is checked."""
        with self._guarded(Step.SNAPSHOT):
            self._check_untouched(getattr(payload, "result", None), Side.REFERENCE)

    async def resource_post_fetch(self, payload: object, context: PluginContext) -> object:
        """Answer as the side that decides does; both are asked where they are compared."""
        call, decider = Call(Hook.RESOURCE_POST_FETCH), self._decider()
        rests = self._migration.switch.resting and self.candidate_rests()
        compares = not rests and self.implementation in COMPARING
        reference: Observation | None = None
        candidate: Observation | None = None
        if (compares or decider is Side.REFERENCE) and self.load_reference() is not None:
            hook = self._sides.hybrid.resource_post_fetch
            reference = await observe(Side.REFERENCE, hook, payload, context)
        if compares or decider is Side.CANDIDATE or reference is None:
            candidate = await self._ask_candidate(call, payload, context)
        if compares:
            self._compare_resource(call, reference, candidate, payload, context)
        theirs = None if candidate is None else candidate.outcome
        if isinstance(theirs, Returned) and (decider is Side.CANDIDATE or reference is None):
            return theirs.value
        return ResourcePostFetchResult() if reference is None else _answer(reference)

    def to_rust_native_policy(self, tool_name: str, ceiling: int) -> dict[str, object] | None:
        """Give the policy of the side that decides alone; compare them where both run.

        See `MigrationPlugin`.
        """
        flag, sides = self.implementation, self._sides
        alone: candidates.DecidingPlugin | None = None
        if flag is Implementation.LEGACY:
            alone = sides.hybrid if self.load_reference() is not None else None
        elif self._decider() is Side.CANDIDATE and not self._settings.compare_percent:
            alone = sides.candidate.plugin if sides.candidate is not None else None
        if alone is not None:
            return alone.to_rust_native_policy(tool_name, ceiling)
        self._compare_policies(tool_name, ceiling)
        return None

    def _decider(self) -> Side:
        """Say who decides what belongs to no chain."""
        switch = self._migration.switch
        if self.implementation is not Implementation.RUST or switch.tripped or switch.resting:
            return Side.REFERENCE
        return Side.REFERENCE if self.load_candidate() is None else Side.CANDIDATE

    # --- loading ---------------------------------------------------------------------------------

    def _load_now(self, flag: Implementation) -> None:
        """Load what the object's own flag asks for, so that a wrong config is refused at load."""
        sides = self._sides
        if flag is not Implementation.RUST and self.load_reference() is None:
            if flag is not Implementation.LEGACY:
                self.load_candidate()
            raise_again(sides.hybrids_refusal)
        is_missing = flag is not Implementation.LEGACY and self.load_candidate() is None
        if is_missing and flag is Implementation.RUST:
            error = error_of(sides.candidates_refusal)
            if isinstance(error, Exception):
                raise error
            # The framework would let it end the process.
            message = f"the candidate cannot be loaded: {type(error).__name__}"
            raise RuntimeError(message) from error
        # What a service asks for besides may fail to load: the other side decides then.
        self._load_for(self.implementation)

    def _load_for(self, flag: Implementation) -> None:
        """Load what a value of the flag needs. Never raises."""
        with self._guarded(Step.LOAD_CANDIDATE):
            if flag is not Implementation.LEGACY:
                self.load_candidate()
            if flag is not Implementation.RUST or self._settings.compare_percent:
                self.load_reference()

    @property
    def _judgement(self) -> Judge:
        if self._judge is None:
            self._judge = Judge(self.reference, self._ledger, CHAINS, self._failed)
        return self._judge

    def _compare_loads(self) -> None:
        """Compare two attempts to load, once both were made. Never raises.

        One mistake of the operator is one report: the exception where the hybrid refuses too, else
        one line in the log.
        """
        sides = self._sides
        candidate = sides.candidates_refusal or sides.candidate
        hybrid = sides.hybrids_refusal or sides.hybrid
        if hybrid is None or candidate is None or self._loads_are_compared:
            return
        self._loads_are_compared = True
        with self._guarded(Step.LOAD_CANDIDATE):
            reference = sides.hybrids_refusal or sides.reference
            comparison = compare_loads(
                sides.config.config,
                reference,
                candidate,
                lambda changed: sides.load_other(dict(changed)),
                self._ledger,
            )
            if comparison is None:
                return
            is_refused = isinstance(candidate, Raised)
            if isinstance(candidate, Raised) and not isinstance(reference, Raised):
                self._count_refusal(candidate, comparison)
            self._record(comparison, quiet=is_refused)

    def _count_refusal(self, candidate: Raised, comparison: Comparison) -> None:
        if not is_config_error(candidate):
            self._evidence.candidate_error(f"load:{candidate.name}", candidate.error)
            return
        line = one_line(error_of(candidate))
        self._evidence.candidate_refusal(f"load:{candidate.name}", line)
        if not comparison.unexplained:
            self.refusal = line

    def _guarded_ledger(self) -> Ledger:
        loaded = attempt(shipped_ledger, Side.CANDIDATE)
        if isinstance(loaded, Raised):
            self._failed(Step.LEDGER, error_of(loaded))
            return Ledger(())
        return loaded

    # --- comparing -------------------------------------------------------------------------------

    async def _ask_candidate(
        self, call: Call, payload: object, context: PluginContext
    ) -> Observation | None:
        """Ask the candidate about a fetched resource; ``None`` where it is not loaded."""
        self.load_candidate()
        loaded = self._sides.candidate
        if loaded is None:
            return None
        candidate = await observe(
            Side.CANDIDATE,
            loaded.hook(call.hook.value),
            payload,
            context,
            internal_errors=loaded.internal_errors,
            last_internal_error=loaded.last_internal_error,
        )
        with self._guarded(Step.RECORD):
            self._count_candidate_errors(candidate)
        return candidate

    def _compare_resource(
        self,
        call: Call,
        reference: Observation | None,
        candidate: Observation | None,
        payload: object,
        context: PluginContext,
    ) -> None:
        """Compare the answers to a fetched resource."""
        with self._guarded(Step.COMPARE, call, reference):
            if reference is None or candidate is None:
                missing = "candidate" if candidate is None else "hybrid"
                reason = f"{missing}-not-loaded"
                self._record(Comparison(Outcome.IGNORED, call, reference, reason=reason))
                return
            comparison = self._judgement.decision(call, reference, candidate, ())
            self._conclude(comparison, payload, context)

    def _compare_policies(self, tool_name: str, ceiling: int) -> None:
        with self._guarded(Step.POLICY):
            hybrid, candidate = self._sides.hybrid, self._sides.candidate
            if hybrid is None or candidate is None:
                return
            plugin = candidate.plugin
            ours = attempt(lambda: hybrid.to_rust_native_policy(tool_name, ceiling))
            theirs = attempt(
                lambda: plugin.to_rust_native_policy(tool_name, ceiling), Side.CANDIDATE
            )
            comparison = self._judgement.policy(tool_name, ceiling, ours, theirs)
            if comparison is not None:
                self._record(comparison)

    def _conclude(self, comparison: Comparison, payload: object, context: PluginContext) -> Verdict:
        """Count a comparison, note trouble, and take a sample of what is new."""
        self._record(comparison)
        is_slow = comparison.candidate is not None and self._is_slow(comparison.candidate)
        if is_slow:
            self._migration.rest.note_slow()
        if comparison.unexplained or is_slow:
            self._trouble(comparison.signature or SLOW)
        if comparison.outcome is Outcome.MATCH:
            return Verdict.MATCH
        if comparison.outcome is Outcome.IGNORED:
            return Verdict.NOT_COMPARED
        if not comparison.unexplained:
            return Verdict.ACCEPTED
        with self._guarded(Step.RECORD):
            if self._evidence.wants_sample(comparison.signature):
                capture = self._settings.evidence.capture
                self._evidence.add_sample(sample_of(comparison, payload, context, capture))
        return Verdict.DIVERGENT

    def _trouble(self, name: str) -> None:
        """Tell the guard, where the candidate may be deciding."""
        if self.implementation in {Implementation.CANARY, Implementation.RUST}:
            self._migration.guard.note(name)

    def _cause(self, internal_errors: int) -> str | None:
        if not internal_errors or self._sides.candidate is None:
            return None
        return self._sides.candidate.last_internal_error()

    def _count_candidate_errors(self, candidate: Observation) -> None:
        if isinstance(candidate.outcome, Raised):
            self._evidence.candidate_error(
                f"raised:{candidate.outcome.name}", candidate.outcome.error
            )
        if candidate.internal_errors:
            self._evidence.candidate_error("internal")
        if self._is_slow(candidate):
            self._evidence.candidate_error(SLOW)

    def _is_slow(self, candidate: Observation) -> bool:
        return candidate.duration_ns > self._settings.time_limit_ms * _NANOSECONDS

    def _take_changes(self, result: object) -> Sequence[Difference]:
        self._check_untouched(result, Side.CANDIDATE)
        changes, self._changes, self._before = self._changes, [], None
        return changes

    def _check_untouched(self, result: object, side: Side) -> None:
        if self._before is not None and not same_plain(self._before, result):
            self._changes.append(Difference(Kind.PAYLOAD_MUTATED, side.value))
            self._before = snapshot(result)

    def _record(self, comparison: Comparison, *, quiet: bool = False) -> None:
        self._evidence.record(comparison, quiet=quiet)
        if self._observer is not None:
            self._observer(comparison)

    @contextlib.contextmanager
    def _guarded(
        self, step: Step, call: Call | None = None, reference: Observation | None = None
    ) -> Any:
        """Let nothing out of a step but what ends the process or the task."""
        try:
            yield
        except BaseException as error:
            if ends(error):
                raise
            self._failed(step, error, call, reference)

    def _failed(
        self,
        step: Step,
        error: BaseException,
        call: Call | None = None,
        reference: Observation | None = None,
    ) -> None:
        """Count a failure of the harness; a failure of counting itself ends here too."""
        with _contained():
            self._evidence.harness_error(step, error)
            if call is not None and step is not Step.RECORD:
                reason = f"harness-error:{step.value}"
                self._record(Comparison(Outcome.IGNORED, call, reference, reason=reason))


@contextlib.contextmanager
def _contained() -> Any:
    """Let nothing out, and count nothing: for what is done about a failure."""
    try:
        yield
    except BaseException as error:
        if ends(error):
            raise


def _outcome(side: Side, deed: Deed) -> Returned | Raised:
    """Take what a side did apart; an odd answer can raise when it is read."""
    value, is_raised, _ = deed
    if is_raised:
        return raised_by(side, cast("BaseException", value))
    try:
        return returned(value)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the side made it
        return raised_by(side, error)


def _call(payload: object, context: PluginContext, extensions: object) -> Call:
    return Call(
        Hook.TOOL_POST_INVOKE,
        tool=getattr(payload, "name", None),
        request_id=context.global_context.request_id,
        result=getattr(payload, "result", None),
        trace_id=getattr(getattr(extensions, "request", None), "trace_id", None),
    )


def _answer(observation: Observation) -> object:
    if isinstance(observation.outcome, Raised):
        raise_again(observation.outcome)
    return observation.outcome.value
