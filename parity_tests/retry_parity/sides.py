"""The hybrid and the candidate under one config, each loaded when it is asked for.

Under ``legacy`` the core is not imported, under ``rust`` the hybrid is not: a flip loads what it
needs at the next call.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias

from retry_parity._native import Setting
from retry_parity.observation import Hook, Raised, Side, attempt, ends
from retry_parity.reference import Reference, as_called, stored_failures
from retry_parity.strata import comparable

if TYPE_CHECKING:
    from cpex.framework import PluginConfig

    from retry_parity import candidates

#: A tool hook, whether it takes extensions, and what counts the side's internal errors.
Loaded: TypeAlias = tuple[Callable[..., object], bool, Callable[[], int] | None]


#: A name that no tool has.
_NO_TOOL: Final = ""


class Sides:
    """Both implementations of one plugin object.

    Attributes:
        config: The plugin config without ``migration:``.
        hybrid: The hybrid plugin; ``None`` while it is not loaded, and where it cannot be.
        candidate: The candidate, likewise.
        hybrids_refusal: What the hybrid raised when it was loaded.
        candidates_refusal: What the candidate raised.
    """

    def __init__(
        self, config: PluginConfig, load: Callable[[PluginConfig], candidates.Candidate]
    ) -> None:
        """Load nothing yet; ``load`` makes a candidate of a config."""
        self.config = config
        self.hybrid: Any = None
        self.candidate: candidates.Candidate | None = None
        self.hybrids_refusal: Raised | None = None
        self.candidates_refusal: Raised | None = None
        self._load = load
        # A flip loads on the follower's thread, and a call may want the same at that moment.
        self._lock = threading.RLock()
        self._reference: Reference | None = None

    @property
    def reference(self) -> Reference:
        """The hybrid, for questions that change nothing.

        Raises:
            BaseException: What the hybrid raised when it was loaded.
        """
        self.load_hybrid()
        if self._reference is None:
            raise_again(self.hybrids_refusal)
        return self._reference

    def load_hybrid(self) -> Loaded | None:
        """Load the hybrid, once; ``None`` where it cannot be."""
        with self._lock:
            if self.hybrid is None and self.hybrids_refusal is None:
                made = attempt(self._make_hybrid)
                if isinstance(made, Raised):
                    self.hybrids_refusal = made
                else:
                    self._reference = Reference(made, self.config, stored_failures)
                    self.hybrid = made
        return None if self.hybrid is None else (self.hybrid.tool_post_invoke, False, None)

    def load_candidate(self) -> Loaded | None:
        """Load the candidate, once; ``None`` where it cannot be."""
        with self._lock:
            if self.candidate is None and self.candidates_refusal is None:
                made = self.load_other(self.config.config)
                if isinstance(made, Raised):
                    self.candidates_refusal = made
                else:
                    self.candidate = made
        loaded = self.candidate
        if loaded is None:
            return None
        hook = loaded.hook(Hook.TOOL_POST_INVOKE.value)
        return hook, loaded.takes_extensions, loaded.internal_errors

    def load_other(self, config: object) -> candidates.Candidate | Raised:
        """Load a candidate of another config, or give what it raised."""
        inner = self.config.model_copy(update={"config": config})
        return attempt(lambda: self._load(inner), Side.CANDIDATE)

    def setting(self, tool: str) -> Setting:
        """Give what is known of a tool's effective config; raises as the hybrid does at a call."""
        config = self.reference.effective_config(tool)
        return Setting(
            jitter=config.jitter,
            text_path=config.check_text_content,
            overridden=bool(self.reference.override(tool)),
            retryable=comparable(config.retry_on_status),
            base_ms=config.backoff_base_ms,
            cap_ms=config.max_backoff_ms,
        )

    def shapes(self) -> frozenset[tuple[bool, bool]] | None:
        """Give the kinds of tools that the config makes possible: overridden, text checked.

        Returns:
            ``None`` where the hybrid is not loaded, or refuses a tool's override at each call.
        """
        if self.hybrid is None:
            return None
        overrides = self.config.config.get("tool_overrides") if self.config.config else None
        named = list(map(as_called, overrides)) if isinstance(overrides, Mapping) else []
        try:
            settings = [self.setting(tool) for tool in (*named, _NO_TOOL)]
        except BaseException as error:
            # The very same is raised, and counted, at a call.
            if ends(error):
                raise
            return None
        return frozenset((setting.overridden, setting.text_path) for setting in settings)

    def _make_hybrid(self) -> Any:
        from retry_legacy import RetryWithBackoffPlugin

        return RetryWithBackoffPlugin(self.config)


def longest_delay_ms(config: Any) -> int:
    """Give the longest delay that a plugin config allows for any tool, milliseconds.

    Args:
        config: The plugin config without ``migration:``.

    Raises:
        ConfigError: The Rust core refuses the config.
    """
    from retry_with_backoff import RetryConfig

    read = RetryConfig.from_dict(config)
    tools = (config or {}).get("tool_overrides") or {}
    return max(int(read.to_dict(tool)["max_backoff_ms"]) for tool in (None, *tools))


def raise_again(raised: Raised | None) -> NoReturn:
    """Raise the very exception that was observed.

    Raises:
        BaseException: That one.
        TypeError: There is none in this process.
    """
    raise error_of(raised)


def error_of(raised: Raised | None) -> BaseException:
    """Give the very exception, which an observation of this process always has."""
    if raised is None or raised.error is None:
        message = "no exception of this process was observed"
        return TypeError(message)
    return raised.error
