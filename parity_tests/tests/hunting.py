"""The hunt for holes: a fault is injected into the right core's answers while the ledger watches.

The core keeps its own chains right; a fault changes what is said of them, on some of the calls.
Wherever that changed the answer, the ledger must not excuse it: either the changed answer happens
to be the reference's, or something about it is left unexplained. An accepted comparison of a
changed answer is a hole in the ledger. On a chain where a fault was found it stops: the run has
failed there, and how such a candidate counts that chain is anybody's guess.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache, partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from faults import TRACE, Told

from retry_parity import candidates
from retry_parity.compare import Outcome, same_plain
from retry_parity.evidence import Step
from retry_parity.observation import Hook, Returned, returned
from retry_parity.source import Seeded
from retry_parity.trial import Trial
from retry_parity.walk import CEILING_VARIABLE, finish
from retry_with_backoff import ConfigError, _core

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cpex.framework import PluginConfig
    from faults import Fault

    from retry_parity.evidence import Comparison
    from retry_parity.scenarios import Scenario
    from retry_parity.source import Source

#: What accepts a changed answer that was not compared.
NOT_COMPARED: Final = "(not compared)"
#: The entry that is there or not by a draw, in each run anew.
DRAWN: Final = "jitter-zero"
#: The answers that no entry has to explain.
NO_ENTRY: Final = "(equal)"
#: The harness itself fails, and so does every run. A candidate that takes a config under which the
#: hybrid raises at every call is met like this: there is no setting by which to judge it.
_LOUD: Final = frozenset({f"harness-error:{Step.COMPARE}"})


@dataclass
class Catch:
    """What became of the answers that a fault changed.

    Attributes:
        found: Answers about which something is left unexplained.
        equal: Answers that are the reference's as well.
        holes: Answers that are accepted, by the entries that accept them.
        exposed: All of them, by the entries that explain the right answer.
        examples: How to see a hole of each kind again.
    """

    found: int = 0
    equal: int = 0
    holes: Counter[str] = field(default_factory=Counter)
    exposed: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    @property
    def changed(self) -> int:
        """All of them."""
        return self.found + self.equal + self.holes.total()


class _Record:
    """When the fault fires, and what it did to the answer that is about to be compared."""

    def __init__(self, source: Source) -> None:
        self.source = source
        # Where it fires at once, it never meets what only shows later on a chain.
        self._rarity = source.pick((2, 4, 8))
        self.changed = False
        #: Whether the right answer is a retry.
        self.retries = False
        self.internal_errors = 0
        self.cause: str | None = None
        self.broken: Exception | None = None
        #: The tool whose overrides were taken though they are wrong, if any.
        self.taken: str | None = None
        #: Chains, by the hybrid's key, on which a fault was found.
        self.found_on: set[str] = set()

    def fires(self) -> bool:
        """Whether this call is one of those that the fault changes."""
        return self.source.one_in(self._rarity)


class _Faulty:
    """The core's plugin with one fault, on some of the calls."""

    def __init__(self, config: PluginConfig, fault: Fault, record: _Record) -> None:
        self._plugin: Any = candidates.load(candidates.RUST, config).plugin
        self._settings = _core.RetryConfig.from_dict(config.config, ceiling=_ceiling())
        self._fault = fault
        self._record = record

    async def tool_post_invoke(self, payload: Any, context: Any, extensions: Any = None) -> Any:
        """Decide on a tool result."""
        before = _core.internal_errors()
        request_id = context.global_context.request_id
        trace_id = getattr(getattr(extensions, "request", None), "trace_id", None)
        told = self._ask(payload, request_id, traced=bool(trace_id))
        internal_errors = _core.internal_errors() - before
        self._record.changed = payload.name == self._record.taken
        self._record.cause = None
        self._record.retries = told.delay_ms > 0
        if _key(payload.name, request_id) in self._record.found_on:
            return told.answer
        return self._answer(told, internal_errors)

    async def resource_post_fetch(self, payload: Any, context: Any) -> Any:
        """Answer for a resource."""
        answer = await self._plugin.resource_post_fetch(payload, context)
        told = Told(
            answer, payload, None, self._settings.to_dict(), self._record.source, traced=False
        )
        self._record.changed = False
        return self._answer(told, 0) if self._fault.resources else answer

    def to_rust_native_policy(self, tool_name: str, ceiling: int) -> Any:
        """Describe a policy."""
        self._record.changed = False
        right = self._plugin.to_rust_native_policy(tool_name, ceiling)
        if self._fault.policy is None or right is None or not self._record.fires():
            return right
        wrong = self._fault.policy(right)
        self._record.changed = not same_plain(right, wrong)
        if isinstance(wrong, BaseException):
            raise wrong
        return wrong

    def _ask(self, payload: Any, request_id: str, *, traced: bool) -> Told:
        """Ask the core, as if every call were traced: that is where it says its count."""
        context = SimpleNamespace(global_context=SimpleNamespace(request_id=request_id))
        extensions = SimpleNamespace(request=SimpleNamespace(trace_id="t"))
        answer = finish(self._plugin.tool_post_invoke(payload, context, extensions))
        metrics = answer.metadata.get(TRACE)
        if metrics is not None and not traced:
            del answer.metadata[TRACE]
        return Told(
            answer,
            payload,
            None if metrics is None else metrics["retry_count"],
            self._settings.to_dict(payload.name),
            self._record.source,
            lambda name: self._ask(payload, name, traced=traced),
            traced=traced,
        )

    def _answer(self, told: Told, internal_errors: int) -> Any:
        """Give the wrong answer where there is one, else the right one."""
        record, fault = self._record, self._fault
        if fault.change is None or not record.fires():
            return told.answer
        try:
            wrong = fault.change(told)
        except Exception as error:
            record.broken = error  # a fault that fails must not pass for one that was found
            raise
        if wrong is None:
            return told.answer
        if isinstance(wrong, BaseException):
            record.changed = True
            raise wrong
        record.changed = fault.mutates or not _same(told.answer, wrong)
        if fault.hides_internal_errors:
            record.changed = internal_errors > 0
            record.internal_errors -= internal_errors
        if fault.cause is not None and not internal_errors:
            record.changed = True
            record.internal_errors += 1
            record.cause = fault.cause
        return wrong


def _same(left: Any, right: Any) -> bool:
    ours, theirs = returned(left), returned(right)
    return (
        same_plain(ours.delay_ms, theirs.delay_ms)
        and same_plain(ours.metadata, theirs.metadata)
        and ours.rest == theirs.rest
    )


def _load(config: PluginConfig, fault: Fault, record: _Record) -> candidates.Candidate:
    """Load the core with a fault, or fail to."""
    refusal: ConfigError | None = None
    record.changed = False
    try:
        _core.RetryConfig.from_dict(config.config, ceiling=_ceiling())
    except ConfigError as error:
        refusal = error
    wrong = fault.load(config.config, refusal) if fault.load else None
    if wrong is not None and not _same_refusal(refusal, wrong):
        record.changed = True
        if isinstance(wrong, BaseException):
            raise wrong
        record.taken = None if refusal is None else refusal.tool
        config = config.model_copy(update={"config": wrong})
    faulty: Any = _Faulty(config, fault, record)
    return candidates.Candidate(
        faulty,
        takes_extensions=True,
        internal_errors=lambda: _core.internal_errors() + record.internal_errors,
        last_internal_error=lambda: record.cause or _core.last_internal_error(),
    )


def _ceiling() -> int | None:
    text = os.environ.get(CEILING_VARIABLE)
    return None if text is None else int(text)


def _same_refusal(right: ConfigError | None, wrong: object) -> bool:
    return isinstance(wrong, ConfigError) and right is not None and _place(right) == _place(wrong)


def _place(error: ConfigError) -> tuple[str | None, str | None, str]:
    return error.tool, error.key, str(error).partition(":")[0]


def hunt(fault: Fault, scenarios: Mapping[str, Scenario]) -> Catch:
    """Run scenarios, by name, with a fault; say what became of the answers that it changed."""
    catch = Catch()
    for name, scenario in scenarios.items():
        record = _Record(Seeded(f"{fault.name}, {name}"))
        right = explained(scenario)

        def note(
            step: int,
            comparison: Comparison,
            record: _Record = record,
            name: str = name,
            right: Mapping[tuple[int, Hook], tuple[str, ...]] = right,
        ) -> None:
            changed, record.changed = record.changed, False
            call = comparison.call
            if comparison.unexplained and call.hook is Hook.TOOL_POST_INVOKE:
                # From here on nobody knows how the candidate counts this chain.
                record.found_on.add(_key(call.tool, call.request_id))
            if not changed:
                return
            catch.exposed.update(
                _explaining(right.get((step, call.hook), ()), record, comparison) or {NO_ENTRY}
            )
            if comparison.outcome is Outcome.MATCH:
                catch.equal += 1
            elif comparison.unexplained or comparison.reason in _LOUD:
                catch.found += 1
            else:
                hole = "+".join(comparison.accepted) or NOT_COMPARED
                catch.holes[hole] += 1
                catch.examples.setdefault(hole, f"{name}, step {step}")

        load = partial(_load, fault=fault, record=record)
        counts = Trial(scenario, candidate=load, observer=note).run()
        if record.broken is not None:
            raise record.broken
        assert not counts.harness_errors or record.taken, f"{name}: {counts.harness_errors}"
    return catch


def _explaining(right: Iterable[str], record: _Record, comparison: Comparison) -> set[str]:
    """Give the entries that explain the right answer here, where the draws are others again."""
    entries = set(right) - {DRAWN}
    ours = comparison.reference and comparison.reference.outcome
    if record.retries and isinstance(ours, Returned) and not ours.retries:
        entries |= {"key-collision"} & entries or {DRAWN}
    return entries


def _key(tool: object, request_id: object) -> str:
    return f"{tool}:{request_id}"


@lru_cache(maxsize=4096)
def explained(scenario: Scenario) -> Mapping[tuple[int, Hook], tuple[str, ...]]:
    """Give the entries that explain the right core's answers, by step and hook."""
    found: dict[tuple[int, Hook], tuple[str, ...]] = {}

    def note(step: int, comparison: Comparison) -> None:
        if comparison.accepted:
            found[step, comparison.call.hook] = comparison.accepted

    Trial(scenario, observer=note).run()
    return found
