"""The divergences of a trace, each with the calls that led to it.

Memory is bounded: results are kept as bytes, of the chains that were met last.
"""

from __future__ import annotations

import marshal
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cpex.framework import GlobalContext, PluginContext, ToolPostInvokePayload

from retry_parity.chains import Chains, Pair
from retry_parity.containers import Container, wrap
from retry_parity.driver import content
from retry_parity.minimizing import rehearsal
from retry_parity.minimizing.fixtures import recipe_of
from retry_parity.minimizing.rehearsal import DRAWS, laboratory
from retry_parity.observation import Call as Asked
from retry_parity.observation import Hook
from retry_parity.scenarios import Call, Scenario, Wait
from retry_parity.traces.calls import WHOLE, Gaps

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    from cpex.framework import PluginConfig

    from retry_parity.minimizing.rehearsal import Deed
    from retry_parity.scenarios import Step
    from retry_parity.traces.calls import Batch
    from retry_parity.traces.reading import TraceFile

_MILLISECONDS: Final = 1000.0

#: Bytes of the results of all chains that are kept.
_MOST_BYTES: Final = 96 * 1024 * 1024
_MOST_CHAINS: Final = 32_768
#: Calls of one chain, and calls of any chain, that may be what led to a divergence.
_MOST_CALLS: Final = 256
#: Bytes of the latter.
_MOST_RECENT_BYTES: Final = 16 * 1024 * 1024
#: Results that are kept alone take this much besides.
_OVERHEAD: Final = 400


class Kept(NamedTuple):
    """A call of the trace.

    Attributes:
        seq: Its running number.
        time_ms: Its time, milliseconds.
        tool: Tool name.
        request_id: Request id.
        result: The result, marshalled.
    """

    seq: int
    time_ms: float
    tool: str
    request_id: str
    result: bytes


@dataclass(frozen=True, slots=True)
class Found:
    """A divergence, and scenarios that may show it.

    Attributes:
        signature: Its name.
        where: What tells causes with one signature apart; empty where it is not known.
        place: Where it was met, for a person.
        scenarios: The likeliest first.
        origin: SHA-256 of what it is from.
    """

    signature: str
    where: str
    place: str
    scenarios: tuple[Scenario, ...]
    origin: str


class History:
    """The calls before a call, as far as there is room for them."""

    def __init__(self) -> None:
        """Start with none."""
        # Under the key that the hybrid joins a pair to: what shares it may share a chain.
        self._chains: OrderedDict[str, deque[Kept]] = OrderedDict()
        self._bytes = 0
        self._recent: deque[Kept] = deque()
        self._recent_bytes = 0

    def add(self, call: Kept) -> None:
        """Keep a call; what was met least recently goes where there is no room."""
        key = Pair(call.tool, call.request_id).joined
        chain = self._chains.setdefault(key, deque())
        self._chains.move_to_end(key)
        chain.append(call)
        self._bytes += len(call.result) + _OVERHEAD
        if len(chain) > _MOST_CALLS:
            self._bytes -= len(chain.popleft().result) + _OVERHEAD
        while len(self._chains) > 1 and (
            self._bytes > _MOST_BYTES or len(self._chains) > _MOST_CHAINS
        ):
            _, dropped = self._chains.popitem(last=False)
            self._bytes -= sum(len(each.result) + _OVERHEAD for each in dropped)
        self._recent.append(call)
        self._recent_bytes += len(call.result)
        while len(self._recent) > _MOST_CALLS or (
            self._recent_bytes > _MOST_RECENT_BYTES and len(self._recent) > 1
        ):
            self._recent_bytes -= len(self._recent.popleft().result)

    def chain(self, tool: str, request_id: str) -> Sequence[Kept]:
        """Give the calls that may share a chain, the oldest first."""
        return tuple(self._chains.get(Pair(tool, request_id).joined, ()))

    def recent(self, tool: str, request_id: str) -> Sequence[Kept]:
        """Give these and the calls of all chains shortly before, the oldest first."""
        calls = {call.seq: call for call in (*self.chain(tool, request_id), *self._recent)}
        return tuple(calls[seq] for seq in sorted(calls))


class Playing:
    """A trace that is played to both sides.

    Args:
        config: The plugin's entry, its config without ``migration:``.
        ceiling: The gateway's limit on retries; ``None`` for none.
        candidate: A name of `candidates.NAMES`.
        container: In which kind of dict the results come.
        advance: Told how many more bytes of the trace were read.
    """

    def __init__(
        self,
        config: PluginConfig,
        ceiling: int | None,
        candidate: str,
        container: Container,
        advance: Callable[[int], object] = lambda _: None,
    ) -> None:
        """Prepare; nothing is loaded yet."""
        self._config = config
        self._ceiling = ceiling
        self._candidate = candidate
        self._container = container
        self._advance = advance
        # Both sides only read it, and making one takes longer than both decisions.
        self._context = PluginContext(global_context=GlobalContext(request_id=""))
        self._now_s = 0.0
        self._draw = DRAWS[0]
        #: Calls that were played.
        self.calls = 0

    def divergences(self, file: TraceFile, wanted: Callable[[str], bool]) -> Generator[Found]:
        """Play a file; give its divergences as they are met.

        While this generator is under way the process's clocks and chains are those of the trace, so
        nothing else may be run on either side before it is closed.

        Args:
            file: The file.
            wanted: Whether the first divergence of a signature is still looked for.

        Raises:
            TraceError: The file cannot be used.
        """
        history = History()
        with laboratory(lambda: self._now_s, lambda: self._draw):
            pair = rehearsal.Pair(self._config, self._candidate, Chains())
            if pair.loading is not None and pair.loading.unexplained:
                if wanted(pair.loading.signature):
                    yield self._found(file, pair.loading.signature, Hook.LOAD.value, "loading", [])
                return
            if not pair.complete:
                raise pair.refusal(self._candidate)
            for batch in file.batches(WHOLE, Gaps(), self._advance):
                for call in _calls(batch):
                    deed = self._play(pair, call)
                    history.add(call)
                    self.calls += 1
                    if deed.signature and wanted(deed.signature):
                        place = f"call {call.seq} of {file.path.name}"
                        names = call.tool, call.request_id
                        chains = [history.chain(*names), history.recent(*names)]
                        yield self._found(file, deed.signature, deed.where, place, chains)

    def _play(self, pair: rehearsal.Pair, call: Kept) -> Deed:
        self._now_s = call.time_ms / _MILLISECONDS
        self._draw = DRAWS[self.calls % len(DRAWS)]
        result = marshal.loads(call.result)  # noqa: S302 - written by `content` a moment ago
        if isinstance(result, dict):
            result = wrap(self._container, result)
        self._context.global_context.request_id = call.request_id
        return pair.decide(
            Asked(Hook.TOOL_POST_INVOKE, call.tool, call.request_id, result),
            # Not validated: one that came through the framework once needs not be again.
            ToolPostInvokePayload.model_construct(name=call.tool, result=result),
            self._context,
        )

    def _found(
        self,
        file: TraceFile,
        signature: str,
        where: str,
        place: str,
        chains: Iterable[Sequence[Kept]],
    ) -> Found:
        config = recipe_of(self._config.config)
        scenarios = tuple(
            Scenario(config, self._ceiling, self._steps(chain)) for chain in chains
        ) or (Scenario(config, self._ceiling, ()),)
        return Found(signature, where, place, tuple(dict.fromkeys(scenarios)), file.sha256)

    def _steps(self, calls: Sequence[Kept]) -> tuple[Step, ...]:
        container = "lazy" if self._container is Container.LAZY else "snapshot"
        steps: list[Step] = []
        before_ms = calls[0].time_ms if calls else 0.0
        for call in calls:
            if call.time_ms > before_ms:
                steps.append(Wait((call.time_ms - before_ms) / _MILLISECONDS))
            before_ms = call.time_ms
            result: Any = marshal.loads(call.result)  # noqa: S302 - as above
            steps.append(Call(0, call.tool, call.request_id, recipe_of(result, container)))
        return tuple(steps)


def _calls(batch: Batch) -> Iterator[Kept]:
    # One object may stand for many calls, and no side gets the same object as another call.
    results = [content(result) for result in batch.results]
    for number, request_id in enumerate(batch.request_ids):
        yield Kept(
            batch.seqs[number],
            batch.times_ms[number],
            batch.tools[batch.tool_of[number]],
            request_id,
            results[batch.result_of[number]],
        )
