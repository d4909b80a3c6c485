"""The Rust core behind the plugin.

Delays are whole milliseconds. Every rule cited as BEHAVIOUR or by a ledger id is the published
hybrid's, or a documented difference from it.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, final

from cpex.framework import (
    PluginContext,
    ResourcePostFetchPayload,
    ResourcePostFetchResult,
    ToolPostInvokePayload,
    ToolPostInvokeResult,
)

__all__ = [
    "DEFAULT_BACKOFF_BASE_MS",
    "DEFAULT_CHECK_TEXT_CONTENT",
    "DEFAULT_JITTER",
    "DEFAULT_MAX_BACKOFF_MS",
    "DEFAULT_MAX_RETRIES",
    "DEFAULT_RETRY_ON_STATUS",
    "LARGEST_DELAY_MS",
    "LARGEST_RETRIES",
    "LARGEST_STATUS",
    "SMALLEST_STATUS",
    "ConfigError",
    "RetryConfig",
    "RetryPluginCore",
    "__version__",
    "clear_state",
    "evicted_chains",
    "internal_errors",
    "last_internal_error",
    "live_chains",
    "no_retry",
    "panic_for_tests",
    "report_internal_error",
    "results_are_copies",
    "set_clock",
    "set_max_chains",
    "set_random",
    "store_bytes",
]

__version__: Final[str]

DEFAULT_MAX_RETRIES: Final[int]
DEFAULT_BACKOFF_BASE_MS: Final[int]
DEFAULT_MAX_BACKOFF_MS: Final[int]
DEFAULT_RETRY_ON_STATUS: Final[list[int]]
DEFAULT_JITTER: Final[bool]
DEFAULT_CHECK_TEXT_CONTENT: Final[bool]
LARGEST_RETRIES: Final[int]
LARGEST_DELAY_MS: Final[int]
SMALLEST_STATUS: Final[int]
LARGEST_STATUS: Final[int]

class ConfigError(ValueError):
    """A configuration was refused; one line says where, what was given and what is allowed.

    Raised for a plugin's own configuration it has two attributes for programs: ``tool``, the tool
    whose overrides were refused (None: the base), and ``key``, the setting (None: no setting was
    reached). The line shortens and escapes names; ``tool`` does not.
    """

    tool: str | None
    key: str | None

@final
class RetryConfig:
    """A checked configuration: base settings, and the overrides of each tool merged over them."""

    @staticmethod
    def from_dict(
        config: Mapping[str, Any] | None, /, *, ceiling: int | None = None
    ) -> RetryConfig:
        """Check what an operator wrote.

        Args:
            config: The settings; None or empty stands for the defaults. It is not changed.
            ceiling: Upper bound of every ``max_retries``, 0 to 4294967295; None for no bound.

        Raises:
            ConfigError: The first value that is not allowed.
        """

    def to_dict(self, tool_name: str | None = None) -> dict[str, Any]:
        """The settings in force for a tool; None for those of tools without overrides."""

    def to_metadata_dict(self, tool_name: str | None = None) -> dict[str, Any]:
        """``{"retry_policy": {...}}`` as a result's metadata carries it; a new dict each time."""

    def notices(self) -> list[str]:
        """What the operator should know: clamped values, unknown keys, a cap below the base."""

    def __eq__(self, other: object, /) -> bool: ...

@final
class RetryPluginCore:
    """The hooks of the plugin, without cpex's base class.

    All cores of a process share one store of chains. The ceiling of ``max_retries`` is the
    gateway's ``max_tool_retries`` where a gateway is loaded in the process, else the environment's
    ``MAX_TOOL_RETRIES``, else there is none. What is surprising about a configuration is logged
    once per process, at level WARNING.

    Raises:
        ConfigError: A setting, ``MAX_TOOL_RETRIES`` or ``RETRY_MAX_CHAINS`` is wrong.
    """

    def __new__(cls, config: Mapping[str, Any] | None = None, /) -> RetryPluginCore: ...
    def tool_post_invoke(
        self,
        payload: ToolPostInvokePayload,
        context: PluginContext,
        extensions: Any = None,
    ) -> ToolPostInvokeResult:
        """Decide whether the call is retried.

        Args:
            payload: ``name`` is the tool, ``result`` any object; only a dict (of any subclass) can
                be a failure. The payload is not changed.
            context: ``global_context.request_id`` ties the attempts of one call together.
            extensions: With a non-empty ``request.trace_id`` the metadata also carries
                ``{"retry_with_backoff": {"retry_count", "retry_delay_ms"}}`` (ledger:
                trace-metrics).

        Returns:
            ``retry_delay_ms`` 0 for no retry, else the wait; ``metadata`` the tool's policy.

        Raises:
            Exception: What the payload's own objects raise while they are read.
        """

    def resource_post_fetch(
        self,
        _payload: ResourcePostFetchPayload | None = None,
        _context: PluginContext | None = None,
    ) -> ResourcePostFetchResult:
        """The base policy as metadata; never a retry."""

    def to_rust_native_policy(self, tool_name: str, ceiling: int) -> dict[str, Any] | None:
        """The declared policy with its retries bounded by ``ceiling``.

        Returns:
            ``{"kind", "maxRetries", "backoffBaseMs", "maxBackoffMs", "retryOnStatus", "jitter"}``,
            or None for a tool whose text content is checked.
        """

    def metadata_of(self, payload: object, /) -> dict[str, Any]:
        """The metadata of a result of the payload's tool, or the base where it has no name.

        Does not raise, whatever the payload is.
        """

    def set_quiet(self, quiet: bool, /) -> None:
        """Whether giving up on a call goes unlogged, as it should where another side decides."""

def set_clock(clock: Callable[[], float] | None, /) -> None:
    """Put a clock in place of the monotonic one: seconds, not negative. None puts it back.

    For replay and tests. It holds for the whole process, because the chains do.
    """

def set_random(source: Callable[[], float] | None, /) -> None:
    """Put a source of draws from [0, 1) in place of the random one. None puts it back."""

def clear_state() -> None:
    """Forget every chain of the process."""

def set_max_chains(most: int, /) -> None:
    """Bound the live chains (at least 1); beyond it the oldest goes (ledger: bounded-state)."""

def live_chains() -> int:
    """Chains held, expired ones that no call has met yet included."""

def store_bytes() -> int:
    """Bytes that the chains take, with what is kept for chains to come."""

def no_retry(metadata: dict[str, Any], /) -> ToolPostInvokeResult:
    """Make the answer of ``tool_post_invoke`` that asks for no retry, with these metadata."""

def evicted_chains() -> int:
    """Chains dropped for want of room since the process began."""

def internal_errors() -> int:
    """Errors that the plugin turned into "no retry" since the process began."""

def last_internal_error() -> str | None:
    """``"hook: ExceptionType"`` of the latest internal error; None before the first."""

def report_internal_error(hook: str, error: BaseException, /) -> None:
    """Count an error that a hook turns into "no retry", and log the first of each type.

    Of the log line's exception, name, message (cut and escaped; none where a stranger's code has
    raised it) and traceback are the error's own. Types beyond the first 1,024 are counted only. A
    broken log handler costs the line, not the call.

    Raises:
        BaseException: The error itself, where it ends the task or the process.
    """

def results_are_copies() -> bool:
    """Whether results are copies of a validated one, not validated one by one; for tests.

    False before the first plugin is loaded, and where cpex's result class does more than hold
    values.
    """

def panic_for_tests() -> None:
    """Panic inside the core with its lock held. Only for tests of the guards."""
