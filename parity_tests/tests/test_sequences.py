"""Sequences on the real plugin objects: whatever the order of events, the decisions hold.

Two machines. `UnderShadow` has the whole input space and one value of the flag; a plain hybrid that
is driven alike says what the answer has to be. `UnderFlips` changes the flag between calls, and has
a few results on which there can be no two opinions; a model of BEHAVIOUR.md, "The chain", says what
the answer has to be.

Chains are the process's, plugin objects come and go, time is virtual and stops at, before and after
the age at which a chain is forgotten.
"""

from __future__ import annotations

import itertools
import os
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple, TypeVar

import pytest
from cpex.framework import (
    GlobalContext,
    PluginConfig,
    PluginContext,
    ResourcePostFetchPayload,
    ToolPostInvokePayload,
)
from cpex.framework.extensions.extensions import Extensions
from cpex.framework.extensions.request import RequestExtension
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from laboratory import FAILURE, NAME, POLICY, SUCCESS, texts

import retry_legacy
import retry_with_backoff
from retry_parity import MigrationPlugin, _native, evidence
from retry_parity.configs import valid_config
from retry_parity.flag import Implementation
from retry_parity.observation import Raised, Side, attempt
from retry_parity.recipes import build, mapping
from retry_parity.results import result
from retry_parity.source import Drawn
from retry_parity.strategies import REQUESTS, TOOLS, TRACE_IDS, WAITS
from retry_parity.walk import CEILING_VARIABLE, finish, set_ceiling
from retry_with_backoff import _core

if TYPE_CHECKING:
    from types import ModuleType

    from cpex.framework import ToolPostInvokeResult
    from hypothesis.strategies import DrawFn, SearchStrategy

    from retry_parity.recipes import Recipe
    from retry_parity.source import Source

STEPS: Final = settings(stateful_step_count=30)
START_S: Final = 1000.0
#: Written down once more on purpose: a model that reads the rule from the code proves nothing.
REMEMBERED_S: Final = 300.0

OBJECTS: Final = st.integers(0, 2)
#: Between two calls: as long as the plugin asks for, or up to a chain's end of life.
PAUSES: Final = st.one_of(st.just(WAITS[0]), st.sampled_from(WAITS))
CEILINGS: Final = st.sampled_from((None, None, None, None, 3, 1, 0))


Item = TypeVar("Item")


class Chain(NamedTuple):
    """What ties the attempts of a call together."""

    tool: str
    request_id: str


#: What is called again before anything was called.
FIRST: Final = Chain(TOOLS[0], REQUESTS[0])


class Answer(NamedTuple):
    """What a hook call gave the gateway."""

    delay_ms: int
    metadata: Any


def source(draw: DrawFn) -> Source:
    """Choices that Hypothesis draws, and shrinks."""
    return Drawn(lambda low, high: draw(st.integers(low, high)))


@st.composite
def results(draw: DrawFn) -> Recipe:
    """Every result that the generated scenarios know."""
    return result(source(draw))


@st.composite
def configs(draw: DrawFn) -> Recipe:
    """Every config that both sides take."""
    return valid_config(source(draw))


def names(every: tuple[str, ...]) -> SearchStrategy[str]:
    """A name; the odd ones come seldom, so that chains grow."""
    plain = st.sampled_from(every[:2])
    return st.one_of(plain, plain, plain, st.sampled_from(every))


def several(items: SearchStrategy[Item]) -> SearchStrategy[list[Item]]:
    """One or a few: enough to go beyond most budgets."""
    return st.lists(items, min_size=1, max_size=4)


def ask(
    plugin: Any, chain: Chain, result: object, trace_id: str | None = None
) -> Answer | type[BaseException]:
    """Tell a plugin object of a result, as cpex does; give its answer, or what it raised."""
    # Not validated: Pydantic refuses names that have to be reached as well.
    payload = ToolPostInvokePayload.model_construct(name=chain.tool, result=result)
    request = GlobalContext.model_construct(request_id=chain.request_id)
    arguments: list[Any] = [payload, PluginContext.model_construct(global_context=request)]
    if trace_id is not None:
        arguments.append(Extensions(request=RequestExtension(trace_id=trace_id)))
    answer = attempt(lambda: finish(plugin.tool_post_invoke(*arguments)))
    if isinstance(answer, Raised):
        assert answer.error is not None
        return type(answer.error)
    return Answer(answer.retry_delay_ms, answer.metadata)


class Machine(RuleBasedStateMachine):
    """What both machines have: a clock, and plugin objects that come and go."""

    #: How much faster than time the clock of a side goes. A fault, for tests of the machines.
    haste: ClassVar[dict[ModuleType, float]] = {}

    def __init__(self) -> None:
        """Begin without chains and counters."""
        super().__init__()
        self.now_s = START_S
        self.plugins: dict[int, Any] = {}
        self._ceiling_before = os.environ.get(CEILING_VARIABLE)
        for module in (retry_legacy, _core):
            module.clear_state()
            module.set_clock(partial(self._read_clock, self.haste.get(module, 0.0)))
        _native.set_clock(self._read_clock)
        evidence.reset(NAME)

    def teardown(self) -> None:
        """Put everything back."""
        for module in (retry_legacy, _core):
            module.clear_state()
            module.set_clock(None)
        _native.set_clock(None)
        evidence.reset(NAME)
        if self._ceiling_before is None:
            os.environ.pop(CEILING_VARIABLE, None)
        else:
            os.environ[CEILING_VARIABLE] = self._ceiling_before

    def _read_clock(self, haste: float = 0.0) -> float:
        return self.now_s * (1 + haste)

    @rule(seconds=PAUSES)
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.now_s += seconds

    @rule(number=OBJECTS)
    def rebuild(self, number: int) -> None:
        """A plugin object is thrown away; the next call makes another one."""
        self.plugins.pop(number, None)


class UnderShadow(Machine):
    """Every input, in every order, while the flag says shadow.

    The plain hybrid has its chains in the same stores, since there is one for the process; its
    request ids have a suffix that no other request id ends in, so that the two never meet, and
    that joins names to keys as the originals do.
    """

    SUFFIX: ClassVar = "#plain"

    def __init__(self) -> None:
        """Begin without a config."""
        super().__init__()
        self.config: Recipe = None
        self.traced = False
        self.last: tuple[Chain, Recipe, str | None] = FIRST, mapping({"isError": True}), None
        #: Retries asked for in a row, and when the last one was, by the hybrid's joined key.
        self.asked: dict[str, tuple[int, float]] = {}

    @initialize(config=configs(), ceiling=CEILINGS, traced=st.booleans())
    def load(self, config: Recipe, ceiling: int | None, *, traced: bool) -> None:
        """The operator has written a config."""
        self.config = config
        self.traced = traced
        set_ceiling(ceiling)

    @rule(
        number=OBJECTS,
        chain=st.builds(Chain, names(TOOLS), names(REQUESTS)),
        result=results(),
        trace_id=st.sampled_from(TRACE_IDS),
    )
    def call(self, number: int, chain: Chain, result: Recipe, trace_id: str | None) -> None:
        """A tool result arrives: the answer is the plain hybrid's, the budget is kept."""
        trace_id = trace_id if self.traced else None
        self.last = chain, result, trace_id
        plugin, plain = self._objects(number)
        twin = Chain(chain.tool, chain.request_id + self.SUFFIX)
        answer = ask(plugin, chain, build(result), trace_id)
        expected = ask(plain, twin, build(result))
        config = plain.effective_config(chain.tool)
        if not config.jitter or not isinstance(answer, Answer):
            assert answer == expected
        else:
            assert isinstance(expected, Answer)
            assert answer.metadata == expected.metadata
        native = not config.check_text_content
        assert self._failures(chain, native=native) == self._failures(twin, native=native)
        if isinstance(answer, Answer):
            self._count(":".join(chain), answer.delay_ms, config.max_retries)

    @rule(attempts=several(st.tuples(PAUSES, OBJECTS)))
    def call_again(self, attempts: list[tuple[float, int]]) -> None:
        """The gateway calls again, once or more, and each time gets the same result."""
        for pause_s, number in attempts:
            self.wait(pause_s)
            self.call(number, *self.last)

    @rule(number=OBJECTS, result=results())
    def call_again_with_another_result(self, number: int, result: Recipe) -> None:
        """The gateway calls again and gets another result."""
        chain, _, trace_id = self.last
        self.call(number, chain, result, trace_id)

    @rule(number=OBJECTS, tool=names(TOOLS), ceiling=st.sampled_from((3, 0, 10**6, -1)))
    def ask_for_a_policy(self, number: int, tool: str, ceiling: int) -> None:
        """There is none, so that the gateway calls the hook and the comparison sees the call."""
        assert self._objects(number)[0].to_rust_native_policy(tool, ceiling) is None

    @rule(number=OBJECTS)
    def fetch(self, number: int) -> None:
        """A resource arrives: the metadata are the plain hybrid's."""
        payload = ResourcePostFetchPayload(uri="file:///resource", content=None)
        context = PluginContext(global_context=GlobalContext(request_id="r1"))
        answer, expected = (
            finish(each.resource_post_fetch(payload, context)) for each in self._objects(number)
        )
        assert answer.metadata == expected.metadata

    @invariant()
    def nothing_is_unexplained(self) -> None:
        """No difference without its entry, no call left out, no step of the harness failed."""
        counts = evidence.evidence_of(NAME).counts()
        assert counts.divergent == {}
        assert counts.ignored == {}
        assert counts.harness_errors == {}

    def _objects(self, number: int) -> tuple[Any, Any]:
        """Give a plugin object and the plain hybrid beside it, built at first use."""
        if number not in self.plugins:
            config = {**build(self.config), "migration": {"implementation": "shadow"}}
            self.plugins[number] = (
                MigrationPlugin(PluginConfig(name=NAME, kind="x", config=config)),
                retry_legacy.RetryWithBackoffPlugin(
                    PluginConfig(name=NAME, kind="x", config=build(self.config))
                ),
            )
        objects: tuple[Any, Any] = self.plugins[number]
        return objects

    @staticmethod
    def _failures(chain: Chain, *, native: bool) -> int | None:
        """Give the hybrid's count; ``None`` for names that its fast path cannot encode."""
        try:
            return retry_legacy.chain_failures(*chain, native_path=native)
        except UnicodeEncodeError:
            return None

    def _count(self, key: str, delay_ms: int, budget: int) -> None:
        """No more retries in a row, each remembered at the next, than the budget has."""
        count, at_s = self.asked.pop(key, (0, self.now_s))
        if delay_ms:
            count = count + 1 if self.now_s - at_s <= REMEMBERED_S else 1
            assert count <= budget
            self.asked[key] = count, self.now_s


# --- flips ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Known:
    """A result on which there can be no two opinions.

    Attributes:
        result: The result.
        by_signals: Whether it is a failure where flags and status alone count.
        by_text: Whether it is one where text counts too.
    """

    result: dict[str, Any]
    by_signals: bool
    by_text: bool


def structured(**fields: Any) -> dict[str, Any]:
    """Make a result with structured content."""
    return SUCCESS | {"structuredContent": fields}


FAILED: Final = Known(FAILURE, by_signals=True, by_text=True)
KNOWN: Final = (
    Known(SUCCESS, by_signals=False, by_text=False),
    FAILED,
    Known(structured(status_code=503), by_signals=True, by_text=True),
    Known(structured(status_code=404) | {"isError": True}, by_signals=False, by_text=False),
    Known(structured(status_code=404, isError=True), by_signals=False, by_text=True),
    Known(texts('{"status_code": 503}'), by_signals=False, by_text=True),
)
FLAGS: Final = tuple(Implementation)
#: Under ``canary``, and of what is compared under ``rust``.
SHARE_PERCENT: Final = 50.0
POLICY_METADATA: Final = {"retry_policy": POLICY}
SMALLEST_DRAW_MS: Final = {Side.REFERENCE: 0, Side.CANDIDATE: 1}


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings in force for a tool; BEHAVIOUR.md, "Config"."""

    max_retries: int
    backoff_base_ms: int
    max_backoff_ms: int
    jitter: bool
    check_text_content: bool

    def delays_ms(self, failures: int, smallest_draw: int) -> range:
        """Give the delays that are right after so many failures."""
        if not 0 < failures <= self.max_retries:
            return range(1)
        longest = min(self.max_backoff_ms, self.backoff_base_ms * 2 ** (failures - 1))
        return range(smallest_draw if self.jitter else longest, longest + 1)

    def below(self, ceiling: int | None) -> Policy:
        """Give the same settings under the gateway's limit on retries."""
        if ceiling is None:
            return self
        return replace(self, max_retries=min(self.max_retries, ceiling))


def policies() -> SearchStrategy[Policy]:
    """The settings of a tool."""
    return st.builds(
        Policy,
        max_retries=st.sampled_from((2, 4, 3, 1, 0)),
        backoff_base_ms=st.sampled_from((100, 1, 7)),
        max_backoff_ms=st.sampled_from((5000, 250, 1)),
        jitter=st.booleans(),
        check_text_content=st.booleans(),
    )


@dataclass(slots=True)
class Owned:
    """DESIGN.md: a chain is decided by one implementation from its first failure to its end.

    Attributes:
        owner: Which one.
        failures: Its count; 0 once the chain is over and the other side has not seen that.
        at_s: When the last call was.
        whole: Whether both sides have seen all of it.
        known_to_both: Whether both sides have seen a part of it.
    """

    owner: Side
    failures: int = 0
    at_s: float = 0.0
    whole: bool = True
    known_to_both: bool = False


class UnderFlips(Machine):
    """The flag flips between calls, for one plugin object or for all of them.

    Names that collide when they are joined, or that the fast path cannot encode, are left out:
    `UnderShadow` has them.
    """

    #: Whether jitter may be on. The hybrid's draws cannot be repeated, nor can a failure with them.
    jitter: ClassVar = True

    def __init__(self) -> None:
        """Begin without a config, and with every object under legacy."""
        super().__init__()
        self.config: dict[str, Any] = {}
        self.policies: dict[str, Policy] = {}
        self.flags = dict.fromkeys(range(3), Implementation.LEGACY)
        self.last = FIRST
        self.chains: dict[Chain, Owned] = {}

    @initialize(search=policies(), pay=policies(), ceiling=CEILINGS, flag=st.sampled_from(FLAGS))
    def load(self, search: Policy, pay: Policy, ceiling: int | None, flag: Implementation) -> None:
        """The operator has written a config: a base, overrides for one tool, and a flag."""
        search, pay = (
            replace(policy, jitter=policy.jitter and self.jitter) for policy in (search, pay)
        )
        self.config = asdict(search) | {"tool_overrides": {"pay": asdict(pay)}}
        self.policies = {"search": search.below(ceiling), "pay": pay.below(ceiling)}
        set_ceiling(ceiling)
        self.flip_all(flag)

    @rule(number=OBJECTS, flag=st.sampled_from(FLAGS))
    def flip(self, number: int, flag: Implementation) -> None:
        """One object is built anew with another flag, the others live on."""
        self.flags[number] = flag
        self.rebuild(number)

    @rule(flag=st.sampled_from(FLAGS))
    def flip_all(self, flag: Implementation) -> None:
        """Every object is built anew with another flag."""
        for number in self.flags:
            self.flip(number, flag)

    @rule(
        number=OBJECTS,
        chain=st.builds(Chain, st.sampled_from(("search", "pay")), st.sampled_from(("r1", "r2"))),
        known=st.sampled_from(KNOWN),
    )
    def call(self, number: int, chain: Chain, known: Known) -> None:
        """A tool result arrives: the answer, and who decides, is the model's."""
        self.last = chain
        flag, policy = self.flags[number], self.policies[chain.tool]
        failure = known.by_text if policy.check_text_content else known.by_signals
        known_chain = self._known(chain)
        owned = known_chain or Owned(self._decider(chain, flag))
        both = self._both(chain, flag, known_chain)
        before = evidence.evidence_of(NAME)
        counts, decisions = before.counts(), before.decisions()
        answer = ask(self._object(number), chain, deepcopy(known.result))
        assert isinstance(answer, Answer)
        failures = owned.failures + 1 if failure and owned.failures < policy.max_retries else 0
        assert answer.delay_ms in policy.delays_ms(failures, SMALLEST_DRAW_MS[owned.owner])
        after = evidence.evidence_of(NAME)
        assert self._decided(decisions, after.decisions()) is owned.owner
        assert after.counts().divergent == counts.divergent
        compared = after.counts().matches - counts.matches
        compared += after.counts().accepted_calls - counts.accepted_calls
        assert compared == both
        self._note(chain, owned, failures, both=both)

    def _known(self, chain: Chain) -> Owned | None:
        """Give what is known of a chain: what is older than 300 s counts as absent."""
        owned = self.chains.get(chain)
        if owned is not None and self.now_s - owned.at_s > REMEMBERED_S:
            del self.chains[chain]
            return None
        return owned

    @staticmethod
    def _decider(chain: Chain, flag: Implementation) -> Side:
        """Say who decides a chain that begins now."""
        if flag is Implementation.RUST:
            return Side.CANDIDATE
        in_canary = _native.canary_bucket(*chain) < SHARE_PERCENT * 100
        if flag is Implementation.CANARY and in_canary:
            return Side.CANDIDATE
        return Side.REFERENCE

    @staticmethod
    def _both(chain: Chain, flag: Implementation, owned: Owned | None) -> bool:
        """Say whether both sides take part in a call."""
        if owned is not None:
            alone = flag is Implementation.LEGACY and owned.owner is Side.REFERENCE
            return owned.whole and not alone
        if flag is Implementation.RUST:
            return _native.sample_bucket(*chain) < SHARE_PERCENT * 100
        return flag is not Implementation.LEGACY

    def _note(self, chain: Chain, owned: Owned, failures: int, *, both: bool) -> None:
        """Note what a call did to its chain."""
        self.chains.pop(chain, None)
        owned.whole &= both
        owned.known_to_both |= both
        owned.failures, owned.at_s = failures, self.now_s
        if failures:
            self.chains[chain] = owned
        elif not both and owned.known_to_both:
            # The other side has seen a part of it, and not its end.
            owned.whole = False
            self.chains[chain] = owned

    @staticmethod
    def _decided(before: dict[tuple[Side, str], int], after: dict[tuple[Side, str], int]) -> Side:
        """Say who decided the one call between two readings."""
        (side,) = (key[0] for key, count in after.items() if count != before[key])
        return side

    @rule(
        attempts=several(st.tuples(PAUSES, OBJECTS, st.one_of(st.none(), st.sampled_from(FLAGS))))
    )
    def call_again(self, attempts: list[tuple[float, int, Implementation | None]]) -> None:
        """The gateway calls again, once or more, perhaps after a flip, and the tool fails."""
        for pause_s, number, flag in attempts:
            self.wait(pause_s)
            if flag is not None:
                self.flip_all(flag)
            self.call(number, self.last, FAILED)

    @invariant()
    def the_harness_never_fails(self) -> None:
        """No step of the harness failed, and the core had no error."""
        counts = evidence.evidence_of(NAME).counts()
        assert counts.harness_errors == {}
        assert counts.candidate_errors == {}

    def _object(self, number: int) -> Any:
        """Give a plugin object, built at first use."""
        if number not in self.plugins:
            migration = {
                "implementation": self.flags[number].value,
                "canary_percent": SHARE_PERCENT,
                "compare_percent": SHARE_PERCENT,
            }
            config = self.config | {"migration": migration}
            self.plugins[number] = MigrationPlugin(PluginConfig(name=NAME, kind="x", config=config))
            assert self.plugins[number].flag.implementation is self.flags[number]
        return self.plugins[number]


def test_any_sequence_under_shadow_is_answered_as_by_the_plain_hybrid() -> None:
    """Same answer or exception, same count, no divergence, no budget exceeded, on every input."""
    run_state_machine_as_test(UnderShadow, settings=STEPS)


def test_any_sequence_with_flips_is_answered_as_the_chain_model_says() -> None:
    """One count per implementation, each kept through rebuilds and flips, none over its budget."""
    run_state_machine_as_test(UnderFlips, settings=STEPS)


def test_a_chain_with_a_part_under_rust_is_not_called_divergent() -> None:
    """A chain that one side has decided alone says nothing about the other, whichever side it is.

    The core had counted two and the hybrid one: a failure under rust, the next one of the same
    chain under shadow. That was called divergent.
    """
    evidence.reset(NAME)
    for flag, delay_ms in (("rust", 100), ("shadow", 200)):
        config = {"jitter": False, "backoff_base_ms": 100, "migration": {"implementation": flag}}
        plugin = MigrationPlugin(PluginConfig(name=NAME, kind="x", config=config))
        assert ask(plugin, FIRST, FAILURE) == Answer(delay_ms, POLICY_METADATA)
    counts = evidence.evidence_of(NAME).counts()
    assert counts.divergent == {}
    assert counts.ignored == {"chain-began-unseen": 1, "sampled-out": 1}


# --- machines that cannot fail prove nothing -----------------------------------------------------


class OwnChains(retry_with_backoff.RetryWithBackoffPlugin):
    """The core with its chains in the plugin object, so that a rebuild loses them."""

    built: ClassVar = itertools.count()

    def __init__(self, config: PluginConfig) -> None:
        """Begin without chains."""
        super().__init__(config)
        self._suffix = f"#{next(self.built)}"

    async def tool_post_invoke(
        self, payload: ToolPostInvokePayload, context: PluginContext, extensions: Any = None
    ) -> ToolPostInvokeResult:
        """Decide on a chain that no other object knows."""
        request_id = context.global_context.request_id + self._suffix
        request = GlobalContext.model_construct(request_id=request_id)
        own = PluginContext.model_construct(global_context=request)
        return await super().tool_post_invoke(payload, own, extensions)


def assert_noticed(machine: type[Machine], monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine stops at an assertion of its own."""
    monkeypatch.setattr(UnderFlips, "jitter", False)
    quick = settings(
        STEPS,
        max_examples=300,
        phases=[Phase.generate],
        derandomize=True,
        database=None,
        print_blob=False,
        report_multiple_bugs=False,
    )
    with pytest.raises(AssertionError):
        run_state_machine_as_test(machine, settings=quick)


@pytest.mark.parametrize("machine", [UnderShadow, UnderFlips])
def test_a_core_that_keeps_its_chains_in_the_plugin_object_is_noticed(
    machine: type[Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a budget of two the gateway was once seen to get four attempts that way."""
    monkeypatch.setattr(retry_with_backoff, "RetryWithBackoffPlugin", OwnChains)
    assert_noticed(machine, monkeypatch)


@pytest.mark.parametrize("machine", [UnderShadow, UnderFlips])
def test_a_core_that_forgets_a_chain_at_300_s_sharp_is_noticed(
    machine: type[Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last instant is included: to a hasty clock it is past, and nothing else is."""
    monkeypatch.setattr(Machine, "haste", {_core: 1e-9})
    assert_noticed(machine, monkeypatch)


def test_a_fault_that_both_sides_share_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Comparing two that are wrong alike shows nothing; the model is of another origin."""
    monkeypatch.setattr(Machine, "haste", {_core: 1e-9, retry_legacy: 1e-9})
    assert_noticed(UnderFlips, monkeypatch)
