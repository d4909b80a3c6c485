"""What was asked of the two sides and what each of them did, as data that cannot change."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

#: Raised to stop the process, the task or a generator: never evidence, always passed on.
#: PyO3's PanicException is a BaseException too and is not among them: a panic is evidence.
PASS_THROUGH: Final = (
    KeyboardInterrupt,
    SystemExit,
    GeneratorExit,
    asyncio.CancelledError,
)

#: Fields of a hook result that both sides must agree on, besides delay and metadata.
_OTHER_FIELDS: Final = (
    "continue_processing",
    "modified_payload",
    "modified_extensions",
    "violation",
    "http_headers",
)

#: Fields of newer frameworks that are neutral when they are empty.
_COLLECTIONS: Final = ("denial_metadata", "background_tasks", "executions")

#: Characters of a class's name that are kept; longer ones are nobody's.
_LONGEST_NAME: Final = 120

Given = TypeVar("Given")


class Side(StrEnum):
    """The two implementations of a comparison."""

    REFERENCE = "reference"
    CANDIDATE = "candidate"

    @property
    def implementation(self) -> str:
        """The value of the flag under which this side decides alone."""
        return "legacy" if self is Side.REFERENCE else "rust"


class Hook(StrEnum):
    """What can be compared."""

    LOAD = "load"
    TOOL_POST_INVOKE = "tool_post_invoke"
    RESOURCE_POST_FETCH = "resource_post_fetch"
    NATIVE_POLICY = "to_rust_native_policy"


@dataclass(frozen=True, slots=True)
class Call:
    """What both sides were given.

    Attributes:
        hook: Which hook was called.
        tool: Tool name; ``None`` where the hook has none.
        request_id: Request id; ``None`` where the hook has none.
        result: The tool result, the object the sides saw, never a copy.
        trace_id: ``extensions.request.trace_id``; ``None`` without extensions.
    """

    hook: Hook
    tool: str | None = None
    request_id: str | None = None
    result: object = field(default=None, repr=False)
    trace_id: object = None


@dataclass(frozen=True, slots=True)
class Returned:
    """A hook that answered.

    Attributes:
        delay_ms: ``retry_delay_ms`` as it was given, whatever its type; milliseconds, 0 = no retry.
        metadata: The result's metadata.
        rest: The other fields of the result that are not at their neutral value, by name.
        value: The very object that was returned.
    """

    delay_ms: object
    metadata: object
    rest: MappingProxyType[str, object]
    value: object = field(repr=False)

    @property
    def retries(self) -> bool:
        """Whether the gateway would retry: it does so on a delay above 0 only."""
        return isinstance(self.delay_ms, int) and self.delay_ms > 0


@dataclass(frozen=True, slots=True)
class Raised:
    """A hook that raised, told without the exception itself: it may come from another process.

    Attributes:
        lineage: Class names of the exception, its own first, ``object`` left out.
        message: What it says.
        attributes: Its own attributes that are text or ``None``.
        error: The very exception, where it was raised in this process.
    """

    lineage: tuple[str, ...]
    message: str
    attributes: Mapping[str, object] = field(default_factory=dict, compare=False)
    error: BaseException | None = field(default=None, repr=False, compare=False)

    @property
    def name(self) -> str:
        """The exception's class name."""
        return self.lineage[0]

    @property
    def family(self) -> str:
        """The error family: callers tell families apart, not classes."""
        return next((name for name in _FAMILIES if name in self.lineage), self.name)

    def is_a(self, name: str) -> bool:
        """Whether the exception's class, or one it derives from, has this name."""
        return name in self.lineage


_FAMILIES: Final = (
    "ValueError",
    "TypeError",
    "ArithmeticError",
    "LookupError",
    "AttributeError",
    "RecursionError",
    "MemoryError",
    "OSError",
)


def raised(error: BaseException) -> Raised:
    """Take an exception apart; one that cannot even be read yields what it has."""
    try:
        message = str.__str__(str(error))  # of a subclass, it may have any method
        attributes = {
            name: value
            for name, value in vars(error).items()
            if value is None or type(value) is str
        }
    except BaseException as another:
        # An exception's own code may fail as any other, with an exit for one.
        if ends(another):
            raise
        message, attributes = "(its message cannot be read)", {}
    lineage = tuple(map(class_name, type(error).__mro__[:-1]))
    return Raised(lineage, message, attributes, error)


def class_name(cls: type) -> str:
    """Give a class's name on one line: a payload's code may call its classes what it likes."""
    name = cls.__name__[:_LONGEST_NAME]
    return name if name.isidentifier() else repr(name)[1:-1][:_LONGEST_NAME]


@dataclass(frozen=True, slots=True)
class Observation:
    """What one side did with a call.

    Attributes:
        side: Which side.
        outcome: Its answer or its exception.
        duration_ns: Wall time of the hook, nanoseconds.
        internal_errors: Errors inside the side that it turned into an answer during this call.
        internal_cause: The latest of them as "hook: exception class"; ``None`` without one, and
            where the side does not say.
    """

    side: Side
    outcome: Returned | Raised
    duration_ns: int
    internal_errors: int = 0
    internal_cause: str | None = None


_NEUTRAL: Final = MappingProxyType[str, object]({})


def returned(value: object) -> Returned:
    """Take a hook result apart; an object that is no hook result yields what it has."""
    rest: dict[str, object] = {}
    if getattr(value, "continue_processing", None) is not True:
        rest["continue_processing"] = getattr(value, "continue_processing", None)
    for name in _OTHER_FIELDS[1:]:
        item = getattr(value, name, None)
        if item is not None:
            rest[name] = item
    for name in _COLLECTIONS:
        item = getattr(value, name, None)
        if item:
            rest[name] = item
    return Returned(
        delay_ms=getattr(value, "retry_delay_ms", None),
        metadata=getattr(value, "metadata", None),
        rest=MappingProxyType(rest) if rest else _NEUTRAL,
        value=value,
    )


async def observe(
    side: Side,
    hook: Callable[..., Awaitable[object]],
    *arguments: object,
    internal_errors: Callable[[], int] | None = None,
    last_internal_error: Callable[[], str | None] = lambda: None,
) -> Observation:
    """Call a hook and keep what it did.

    Raises:
        BaseException: Only what is in ``PASS_THROUGH``; of a candidate only a person's interrupt,
            a cancellation of this task, and the end of this coroutine.
    """
    errors_before = internal_errors() if internal_errors else 0
    begun = time.perf_counter_ns()
    ended = 0
    try:
        value = await hook(*arguments)
        ended = time.perf_counter_ns()
        # An answer is read here, because an odd one can raise when it is read.
        outcome: Returned | Raised = returned(value)
    except BaseException as error:  # noqa: BLE001 - what is to be passed on is raised again
        outcome = raised_by(side, error)
    duration = (ended or time.perf_counter_ns()) - begun
    errors = internal_errors() - errors_before if internal_errors else 0
    cause = last_internal_error() if errors else None
    return Observation(side, outcome, duration, errors, cause)


def raised_by(side: Side, error: BaseException) -> Raised:
    """Take an exception of a side apart, as `observe` does.

    Raises:
        BaseException: The exception itself, where it is to be passed on.
    """
    if _passes_through(side, error):
        raise error
    return raised(error)


def _passes_through(side: Side, error: BaseException) -> bool:
    """Whether an exception ends the task or the process, and is no evidence of a side.

    A candidate that raises SystemExit, or a cancellation that nobody asked for, has failed: the
    reference has answered already, and the caller gets that answer.
    """
    if side is Side.CANDIDATE:
        return ends(error)
    return issubclass(type(error), PASS_THROUGH)


def ends(error: BaseException) -> bool:
    """Whether an exception that the reference did not raise ends the process or the task.

    A person's interrupt does, and a cancellation that somebody asked for. By the type, not by
    `isinstance`: an object can claim another class than it has.
    """
    if issubclass(type(error), asyncio.CancelledError):
        return _is_being_cancelled()
    return issubclass(type(error), KeyboardInterrupt)


def _is_being_cancelled() -> bool:
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no event loop runs
        return False
    return task is not None and task.cancelling() > 0


def attempt(make: Callable[[], Given], side: Side = Side.REFERENCE) -> Given | Raised:
    """Call something that is not a hook (a constructor, a policy) and keep what it did.

    Args:
        make: What is called.
        side: Whose it is, which says what is passed on. A part of the harness can end no more than
            the candidate can.

    Raises:
        BaseException: As `raised_by`.
    """
    try:
        return make()
    except BaseException as error:  # noqa: BLE001 - a Rust panic is a BaseException
        return raised_by(side, error)
