"""The provider of the feature-flag service, and what it says, as far as it can be used.

It is under a domain of our own, so that whoever else uses OpenFeature in this process does not
notice. Everything here belongs to the follower's thread; see `flag_service`.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import threading
import time
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeVar

from retry_parity import state_file
from retry_parity.flag import Implementation

if TYPE_CHECKING:
    from collections.abc import Callable

    from openfeature.client import OpenFeatureClient
    from openfeature.contrib.provider.flagd import FlagdProvider
    from openfeature.event import EventDetails
    from openfeature.flag_evaluation import FlagEvaluationDetails
    from openfeature.provider.no_op_provider import NoOpProvider

    from retry_parity.settings import ServiceSettings

IMPLEMENTATION_FLAG: Final = "retry-implementation"
CANARY_FLAG: Final = "retry-canary-percent"
#: An event that got lost (the SDK's event threads do not outlive a fork) costs at most this.
REREAD_S: Final = 1.0
MOST_EXPLAINED: Final = 240
MOST_REMEMBERED: Final = 64

#: How often the state of a flags file is looked at.
_FILE_POLL_S: Final = 0.25
#: A provider that cannot recover by itself is replaced after 1 s, 2 s, 4 s, and then each 5 s.
_LONGEST_BACKOFF_S: Final = 5.0
#: Where the environment sets no other, a flagd that is back is followed again after this.
_RECONNECT_MS: Final = 1000
_NO_ANSWER: Final = ("StatusCode.DEADLINE_EXCEEDED", "StatusCode.UNAVAILABLE")
_MOST_SHOWN: Final = 60
#: A message of the provider that comes again within this is a repetition.
_REPEATS_S: Final = 60.0

_log = logging.getLogger("retry_parity")

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Refused:
    """A value that is not taken, as the operator will read it."""

    given: str


ReadImplementation = Implementation | Refused | None
ReadPercent = float | Refused | None
Reading = tuple[ReadImplementation, ReadPercent]


class Service:
    """The provider under our domain. Used by the follower's thread only."""

    def __init__(self, name: str, settings: ServiceSettings, wake: Callable[[], None]) -> None:
        from openfeature import api
        from openfeature.contrib.provider.flagd import FlagdProvider
        from openfeature.evaluation_context import EvaluationContext
        from openfeature.event import ProviderEvent
        from openfeature.provider import ProviderStatus

        self.poll_s = REREAD_S if settings.resolver != "file" else _FILE_POLL_S
        self._api = api
        self._make = FlagdProvider
        self._status = ProviderStatus
        self._events = tuple(ProviderEvent)
        self._bad_events = (ProviderEvent.PROVIDER_ERROR, ProviderEvent.PROVIDER_STALE)
        self._settings = settings
        self._path = settings.path if settings.resolver == "file" else None
        self._wake = wake
        self._domain = f"retry-parity/{name}"
        self._client = _client_of(self._domain)
        self._context = EvaluationContext(targeting_key=name)
        self._provider: FlagdProvider | None = None
        self._file: object = ()
        self._retry_at = 0.0
        self._backoff_s = REREAD_S
        self._cause: str | None = None
        self._message: str | None = None

    @property
    def trouble(self) -> str:
        """Why the service is not ready, for the operator."""
        return self._cause or self._message or "no answer yet"

    def keep(self) -> bool:
        """See to it that there is a provider that can have read what there is to read.

        A flags file that is another one than the provider was made for gets a new provider. The
        provider's own watcher would load a file only when its modification time is *later* than
        that of the last one: not one that came with an older time (``git checkout``, ``cp -p``, a
        ConfigMap that goes back), and not one that was moved away and back, after which it says
        ERROR for ever.

        Returns:
            Whether there is a new one.
        """
        file = self._file_state()
        changed = file != self._file
        if not changed and self._ours() and not self._stuck():
            return False
        if not changed and time.monotonic() < self._retry_at:
            return False
        # INVARIANT: noted before the file is read, so that a change in between is seen next time.
        self._file = file
        self._renew()
        return True

    def read(self) -> Reading | None:
        """Evaluate both flags; ``None`` when the service does not answer.

        A provider that is not ready still does, from what it had or as if no flag existed.
        """
        if not self._ours() or self._client.get_provider_status() is not self._status.READY:
            return None
        implementation = self._client.get_string_details(IMPLEMENTATION_FLAG, "", self._context)
        if not self._answered(implementation):
            return None
        percent = self._client.get_float_details(CANARY_FLAG, 0.0, self._context)
        if not self._answered(percent):
            return None
        self._cause = self._message = None
        return _implementation(_answer(implementation)), self._number(_answer(percent))

    def close(self) -> None:
        """End the provider."""
        self._listen(again=False)
        self._vacate()

    def _answered(self, details: FlagEvaluationDetails[Any]) -> bool:
        """Whether it was the service that answered, be it with a refusal."""
        from openfeature.exception import ErrorCode

        given = details.error_message or ""
        if details.error_code in (ErrorCode.PROVIDER_NOT_READY, ErrorCode.PROVIDER_FATAL) or (
            # Resolver rpc: the connection was lost, and the provider has not noticed.
            details.error_code is ErrorCode.GENERAL and given.endswith(_NO_ANSWER)
        ):
            self._message = given
            return False
        return True

    def _number(self, answer: float | Refused | None) -> ReadPercent:
        # The provider takes true for 1.0, which only another question tells from the number 1.
        if answer in (0.0, 1.0):
            boolean = self._client.get_boolean_details(CANARY_FLAG, False, self._context)  # noqa: FBT003 - the SDK's signature
            if boolean.error_code is None and boolean.variant is not None:
                return Refused(repr(boolean.value).lower())
        return _percent(answer)

    def _ours(self) -> bool:
        # Somebody's api.shutdown() takes our provider away too.
        return self._provider is not None and self._client.provider is self._provider

    def _stuck(self) -> bool:
        """Whether the provider will not recover by itself, as it does when flagd was away."""
        status = self._client.get_provider_status()
        if status is self._status.FATAL:
            return True
        if self._path is not None and status is self._status.ERROR:
            return True
        # What flagd sends is read by a thread that an unexpected message ends, without an event.
        resolver = getattr(self._provider, "resolver", None)
        thread = getattr(getattr(resolver, "connector", resolver), "thread", None)
        return isinstance(thread, threading.Thread) and not thread.is_alive()

    def _renew(self) -> None:
        self._cause = None
        try:
            made = self._made()
            # The SDK would forget to shut the old one down if the new one cannot begin.
            self._vacate()
            for file in filter(None, (self._path, self._settings.cert_path)):
                # The provider would wait for whoever writes to a pipe.
                state_file.read(file)
            self._listen(again=True)
            self._provider = made
            self._api.set_provider_and_wait(self._provider, self._domain)
        except Exception as error:  # noqa: BLE001 - the service's trouble is never the caller's
            self._cause = short(_explained(error.__cause__ or error), MOST_EXPLAINED)
            self._backoff_s = min(2 * self._backoff_s, _LONGEST_BACKOFF_S)
        else:
            self._backoff_s = REREAD_S
        self._retry_at = time.monotonic() + self._backoff_s

    def _vacate(self) -> None:
        """Take the provider out of our domain, upon which the SDK shuts it down."""
        if self._ours():
            self._api.set_provider_and_wait(_nobody(), self._domain)

    def _made(self) -> FlagdProvider:
        from openfeature.contrib.provider.flagd.config import CacheType, ResolverType

        settings = self._settings
        return self._make(
            resolver_type=ResolverType(settings.resolver),
            offline_flag_source_path=None if self._path is None else str(self._path),
            host=settings.host,
            port=settings.port,
            tls=settings.tls,
            cert_path=None if settings.cert_path is None else str(settings.cert_path),
            selector=settings.selector,
            # A connection lost is a service gone at once, and the last values hold. What a grace
            # period adds is a timer thread that outlives the provider and delays the exit.
            retry_grace_period=0,
            # The provider waits this long before it asks again, silently, still READY:
            # https://github.com/open-feature/python-sdk-contrib/issues/408
            retry_backoff_max_ms=(
                None if os.environ.get("FLAGD_RETRY_BACKOFF_MAX_MS") else _RECONNECT_MS
            ),
            # We ask once a second and after a change: there is nothing to save.
            cache=CacheType.DISABLED,
        )

    def _listen(self, *, again: bool) -> None:
        for event in self._events:
            handler = self._heard_trouble if event in self._bad_events else self._heard
            # The SDK forgets handlers when somebody calls api.shutdown().
            with contextlib.suppress(ValueError):
                self._client.remove_handler(event, handler)
            if again:
                self._client.add_handler(event, handler)

    # On threads of the SDK's, in any order: nothing is evaluated here.
    def _heard(self, _details: EventDetails) -> None:
        self._wake()

    def _heard_trouble(self, details: EventDetails) -> None:
        self._message = details.message
        self._wake()

    def _file_state(self) -> object:
        if self._path is None:
            return None
        try:
            now = self._path.stat()
        except OSError:
            return None
        return now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns


class Once(logging.Filter):
    """Lets a message of the provider through once until the service has recovered.

    The provider logs an exception every half second while its file is bad, or every second while
    flagd sends nonsense, and the SDK one for each evaluation that raises. Dropped are repetitions
    of warnings and worse, of our own thread or of a flagd provider's; those do not tell whose
    they are, so another flagd provider's repetitions are dropped too.
    """

    _PROVIDERS: Final = "openfeature.contrib"
    _LOGGERS: Final = ("openfeature", _PROVIDERS)

    def __init__(self) -> None:
        super().__init__()
        self._pid = os.getpid()
        self._thread: int | None = None
        self._last: dict[str, float] = {}

    def attach(self) -> None:
        """Watch the loggers, on behalf of the current thread."""
        self._thread = threading.get_ident()
        for logger in map(logging.getLogger, self._LOGGERS):
            for other in tuple(logger.filters):
                if isinstance(other, Once) and other._pid != self._pid:  # noqa: SLF001 - its own kind
                    logger.removeFilter(other)  # a fork's: its thread is not here
            logger.addFilter(self)

    def detach(self) -> None:
        """Leave the loggers as they were."""
        for logger in map(logging.getLogger, self._LOGGERS):
            logger.removeFilter(self)

    def forget(self, before: float) -> None:
        """What was logged before a time (`time.monotonic`) is news when it is logged again."""
        self._last = {line: at for line, at in self._last.copy().items() if at >= before}

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether the record passes."""
        ours = record.thread == self._thread or record.name == self._PROVIDERS
        if record.levelno < logging.WARNING or not ours:
            return True
        if len(self._last) >= MOST_REMEMBERED:
            self._last.clear()
        message = f"{record.name} {record.msg} {record.args}"
        now = time.monotonic()
        before = self._last.get(message)
        self._last[message] = now
        return before is None or now - before > _REPEATS_S


def _explained(error: BaseException) -> str:
    """Say what keeps a service from being read, for the operator."""
    if isinstance(error, json.JSONDecodeError):
        where = f"line {error.lineno} column {error.colno}"
        return f"is no JSON, {where}: {error.msg}; a YAML file has to end in .yaml"
    if isinstance(error, UnicodeDecodeError):
        return "is not UTF-8"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return repr(error)


def _answer(details: FlagEvaluationDetails[_T]) -> _T | Refused | None:
    from openfeature.exception import ErrorCode

    if details.error_code is ErrorCode.FLAG_NOT_FOUND:
        return None
    if details.error_code is not None:
        return Refused(short(f"{details.error_code} ({details.error_message})"))
    # No variant: disabled, or no default variant; the value is the default of whoever asks.
    return None if details.variant is None else details.value


def _implementation(answer: str | Refused | None) -> ReadImplementation:
    if answer is None or isinstance(answer, Refused):
        return answer
    for implementation in Implementation:
        if answer == implementation.value:
            return implementation
    return Refused(short(repr(answer)))


def _percent(answer: float | Refused | None) -> ReadPercent:
    if answer is None or isinstance(answer, Refused):
        return answer
    if math.isfinite(answer) and 0 <= answer <= 100:  # noqa: PLR2004 - per cent
        return answer
    return Refused(short(repr(answer)))


def short(text: str, most: int = _MOST_SHOWN) -> str:
    """Give a text as one line of at most so many characters."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 3]}..."


@cache
def _client_of(domain: str) -> OpenFeatureClient:
    # The SDK never forgets a client that had a handler: one for each domain, not for each start.
    from openfeature import api

    return api.get_client(domain)


@cache
def _nobody() -> NoOpProvider:
    # One for all, because the SDK keeps what it has not shut down.
    from openfeature.provider.no_op_provider import NoOpProvider

    return NoOpProvider()
