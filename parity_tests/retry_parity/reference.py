"""What the harness asks the hybrid besides its answers: its counts, its configs, its opinion.

Nothing here changes a chain of real traffic. The hybrid is the oracle of every ledger predicate
that has to know what a call *would* have been without the part the two sides treat differently.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol, cast

from cpex.framework import GlobalContext, PluginConfig, PluginContext, ToolPostInvokePayload

from retry_parity.observation import Raised, Returned, attempt, returned

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from retry_legacy import RetryConfig

_PROBE_IDS: Final = itertools.count()
_PROBE_PREFIX: Final = "retry-parity-probe"
_MOST_CACHED_TOOLS: Final = 4096


class ReferencePlugin(Protocol):
    """What the harness needs of the hybrid plugin."""

    def tool_post_invoke(
        self, payload: ToolPostInvokePayload, context: PluginContext
    ) -> Coroutine[object, object, object]:
        """Decide on a tool result."""
        ...  # pragma: no cover

    def effective_config(self, tool_name: str) -> RetryConfig:
        """Give the config in force for a tool."""
        ...  # pragma: no cover


class Failures(Protocol):
    """Reads how many failures the hybrid has counted in a chain, without touching it."""

    def __call__(self, tool: str, request_id: str, *, text_path: bool) -> int:
        """Give the count after the last call; 0 where there is no chain."""
        ...  # pragma: no cover


@dataclass(frozen=True, slots=True)
class Traits:
    """What the hybrid does not say in its metadata about a tool's effective config.

    Attributes:
        jitter: Whether delays are drawn.
        text_path: Whether text content is checked, which is also the choice of the path and store.
    """

    jitter: bool
    text_path: bool


@dataclass(frozen=True, slots=True)
class Opinion:
    """What the hybrid makes of a result that starts a chain of its own.

    Attributes:
        failure: Whether it is a failure.
        metadata: The metadata that goes with it.
    """

    failure: bool
    metadata: object


class Reference:
    """The hybrid plugin and the questions the harness has for it."""

    def __init__(
        self, plugin: ReferencePlugin, config: PluginConfig, reader: Callable[[], Failures]
    ) -> None:
        """Wrap a hybrid that was loaded with ``config``; ``reader`` gives the reader of counts."""
        self._plugin = plugin
        self._config: Mapping[str, object] = MappingProxyType(
            config.config if isinstance(config.config, dict) else {}
        )
        self._reader = reader
        self._traits: dict[str, Traits] = {}

    @property
    def config(self) -> Mapping[str, object]:
        """The plugin config the hybrid was loaded with."""
        return self._config

    def effective_config(self, tool: str) -> RetryConfig:
        """Give the config in force for a tool; raises as the hybrid does at a call."""
        return self._plugin.effective_config(tool)

    def override(self, tool: str) -> Mapping[object, object]:
        """Give the tool's override as the config has it, empty where there is none.

        Found as the hybrid finds it: keys of bytes count as text, and of two keys for one tool the
        last one holds. A mapping's own ``get`` may raise where its items can be had.
        """
        override = value_of(self._config.get("tool_overrides"), tool)
        return {**override} if isinstance(override, Mapping) else {}

    def traits(self, tool: str) -> Traits:
        """Give the tool's jitter and path. The first call per tool validates its config."""
        known = self._traits.get(tool)
        if known is None:
            if len(self._traits) >= _MOST_CACHED_TOOLS:
                self._traits.clear()
            known = self._traits[tool] = self._read_traits(tool)
        return known

    def failures(self, tool: str, request_id: str) -> int:
        """Give the failures counted in the chain after the last call; 0 = no chain."""
        return self._failures(tool, request_id, text_path=self.traits(tool).text_path)

    def now_s(self) -> float:
        """Read the hybrid's clock, seconds."""
        from retry_legacy import clock

        return clock.now_s()

    @cached_property
    def _failures(self) -> Failures:
        return self._reader()

    def opinion(self, tool: str, result: object) -> Opinion | None:
        """Ask the hybrid about a result, on a chain that exists for this question only.

        Returns:
            Its opinion; ``None`` when it raises on this result too.
        """
        request_id = f"{_PROBE_PREFIX}-{next(_PROBE_IDS)}"
        try:
            answer = self._ask(tool, request_id, result)
            if answer is None:
                return None
            counted = self.failures(tool, request_id) > 0
        finally:
            self._ask(tool, request_id, None)
        # With a budget of 0 a failure leaves no trace, and then it makes no difference either.
        return Opinion(counted or answer.retries, answer.metadata)

    def raises_for(self, tool: str) -> bool:
        """Whether the hybrid raises at every call of this tool: on a plain success already."""
        return self._ask(tool, f"{_PROBE_PREFIX}-{next(_PROBE_IDS)}", None) is None

    def _ask(self, tool: str, request_id: str, result: object) -> Returned | None:
        # Not validated: a name that Pydantic refuses (a lone surrogate) is a question like another.
        payload = ToolPostInvokePayload.model_construct(name=tool, result=result)
        context = PluginContext(global_context=GlobalContext(request_id=request_id))
        answer = attempt(lambda: _run(self._plugin.tool_post_invoke(payload, context)))
        return None if isinstance(answer, Raised) else returned(answer)

    def _read_traits(self, tool: str) -> Traits:
        config = self.effective_config(tool)
        return Traits(jitter=config.jitter, text_path=config.check_text_content)


def as_called(key: object) -> str:
    """Give the name under which a key of a config is met: bytes count as text."""
    if isinstance(key, bytes):
        return key.decode("utf-8", "replace")
    return key if isinstance(key, str) else str(key)


def value_of(mapping: object, name: str) -> object:
    """Give what a mapping of a config has under a name; ``None`` where there is nothing."""
    pairs = {**mapping} if isinstance(mapping, Mapping) else {}
    found = [value for key, value in pairs.items() if as_called(key) == name]
    return found[-1] if found else None


def _run(coroutine: Coroutine[object, object, object]) -> object:
    """Run a hook that never waits, inside or outside of an event loop."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return cast("object", end.value)
    coroutine.close()
    message = "the hybrid's hook waited for something; it is expected to answer at once"
    raise RuntimeError(message)


def stored_failures() -> Failures:
    """Give the reader of the hybrid's two stores: one per path, shared by all its instances."""
    from retry_legacy import NATIVE_AVAILABLE, chain_failures

    def failures(tool: str, request_id: str, *, text_path: bool) -> int:
        native_path = NATIVE_AVAILABLE and not text_path
        return chain_failures(tool, request_id, native_path=native_path)

    return failures


def stores() -> list[tuple[Callable[[], int], Callable[[str, str], int]]]:
    """Give what reads the hybrid's two stores, each as cheap to ask as can be.

    Returns:
        For each: how many chains it holds, and the failures of the chain of a tool and request id.
    """
    import retry_legacy.state
    from retry_legacy import NATIVE_AVAILABLE, native

    in_python = retry_legacy.state.CHAINS
    found: list[tuple[Callable[[], int], Callable[[str, str], int]]] = [
        (in_python.size, in_python.failures)
    ]
    if NATIVE_AVAILABLE:
        from retry_legacy import _native

        found.append((_native.live_chains, native.reader().get_failures))
    return found
