"""Follows a feature-flag service in the background and tells what it says about the flag.

The service is an OpenFeature provider (flagd's: a flags file, or a flagd) under a domain of our
own, so that whoever else uses OpenFeature in this process does not notice. Everything that can
wait - imports, connections, files, evaluations - happens on the follower's own thread, never on
that of a caller.

What the service says, and what is taken from it:

- a value that is allowed is taken;
- a value that is not (unknown, out of range, of a wrong type, a broken rule) is not taken: the
  last good one holds;
- a flag that is disabled, has no default variant, or is not there any more says nothing: there
  is no value, and the environment or the plugin config hold. That is also what a worker that
  starts now would read, so workers agree whatever their age;
- a service that is gone (file deleted or not readable, connection lost) says nothing new: the
  last values hold.

This module does not say whether the service, the environment or the config wins, and it does not
read flags files itself. gRPC does not promise to work in the child of a process that used it: with
a flagd, start in the worker only.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import threading
import time
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, TypeVar

from retry_parity.figures import ServiceState
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
EXTRA: Final = "retry-parity[flags]"

_NEEDED: Final = ("openfeature.api", "openfeature.contrib.provider.flagd", "grpc")
#: An event that got lost (the SDK's event threads do not outlive a fork) costs at most this.
_REREAD_S: Final = 1.0
#: How often the state of a flags file is looked at.
_FILE_POLL_S: Final = 0.25
#: A provider that cannot recover by itself is replaced after 1 s, 2 s, 4 s, and then each 5 s.
_LONGEST_BACKOFF_S: Final = 5.0
#: Where the environment sets no other, a flagd that is back is followed again after this.
_RECONNECT_MS: Final = 1000
_NO_ANSWER: Final = ("StatusCode.DEADLINE_EXCEEDED", "StatusCode.UNAVAILABLE")
_STOP_WAIT_S: Final = 2.0
_MOST_SHOWN: Final = 60
_MOST_EXPLAINED: Final = 240
_MOST_REMEMBERED: Final = 64
#: A message of the provider that comes again within this is a repetition.
_REPEATS_S: Final = 60.0

_log = logging.getLogger("retry_parity")

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Told:
    """What is known of the service.

    Attributes:
        implementation: The last good value; ``None``: there never was one, or the service does
            not set the flag (any more).
        canary_percent: Likewise, 0 to 100.
        state: How the service is doing. ``GONE`` is only what had been ``READY``.
        rejected: Values that were not taken so far; a value that stays counts once.
    """

    implementation: Implementation | None
    canary_percent: float | None
    state: ServiceState
    rejected: int


#: What holds before anything is told.
NOTHING_TOLD: Final = Told(None, None, ServiceState.NOT_READY, 0)


@dataclass(frozen=True, slots=True)
class _Refused:
    """A value that is not taken, as the operator will read it."""

    given: str


_Implementation = Implementation | _Refused | None
_Percent = float | _Refused | None
_Reading = tuple[_Implementation, _Percent]


def missing_extra() -> str | None:
    """Say what following a service lacks.

    Returns:
        One line that names the package and the extra that brings it; ``None`` when all is there.
    """
    for module in _NEEDED:
        try:
            found = find_spec(module) is not None
        except (ImportError, ValueError):
            found = False
        if not found:
            return (
                f"migration.flags: the package {module} cannot be imported; a feature-flag "
                f"service is followed with the extra '{EXTRA}'"
            )
    return None


class FlagFollower:
    """Follows the service for one plugin name of this process.

    One follower for each name: two would take each other's provider away.
    """

    def __init__(self, name: str, settings: ServiceSettings, tell: Callable[[Told], None]) -> None:
        """Remember what to follow; nothing is imported, opened or started.

        Args:
            name: The plugin's name. Rules of the flags see it as ``targetingKey``.
            settings: Which service.
            tell: Called on the follower's thread whenever `Told` changed, and only then. What
                holds before the first call is `NOTHING_TOLD`. An exception is logged.
        """
        self._name = name
        self._settings = settings
        self._known = _Known(_described(settings), tell)
        # By process id: a fork copies this dict, but not the threads that it speaks of.
        self._runs: dict[int, _Run] = {}

    def start(self) -> None:
        """Begin to follow, unless this process does already. Never blocks, never raises.

        In the child of a fork it begins anew, with a thread and a provider of the child's own,
        and with the values that were known at the fork.
        """
        pid = os.getpid()
        if pid in self._runs:
            return
        run = _Run(self._name, self._settings, self._known)
        # INVARIANT: atomic, so that of two threads only one starts; a lock might be held by a
        # thread that the fork did not copy.
        if self._runs.setdefault(pid, run) is not run:
            return
        try:
            run.thread.start()
        except RuntimeError:
            self._runs.pop(pid, None)
            _log.exception("flag service: no thread to follow it with; it is not followed")

    def stop(self) -> None:
        """Cease to follow: nothing is told any more, and thread and provider end.

        Waits for the thread for at most 2 s, and not at all when `tell` calls this.
        """
        run = self._runs.pop(os.getpid(), None)
        if run is not None:
            run.stop()


class _Run:
    """Following within one process, from a start to a stop."""

    def __init__(self, name: str, settings: ServiceSettings, known: _Known) -> None:
        self._quiet = _Once()
        self.thread = threading.Thread(
            target=self._follow, name=f"retry-parity flags {name}", daemon=True
        )
        self._name = name
        self._settings = settings
        self._known = known
        self._stopping = False
        self._next_read = 0.0
        self._woken = threading.Event()
        self._woken.set()

    def stop(self) -> None:
        self._stopping = True
        self._woken.set()
        # RuntimeError: the thread stops itself, or has not begun.
        with contextlib.suppress(RuntimeError):
            self.thread.join(_STOP_WAIT_S)

    def _follow(self) -> None:
        self._quiet.attach()
        try:
            self._follow_until_stopped(_Service(self._name, self._settings, self._woken.set))
        except Exception as error:  # noqa: BLE001 - a broken installation raises anything
            what = missing_extra() or "flag service: it is not followed"
            _log.error("%s: %s", what, _short(repr(error), _MOST_EXPLAINED))
        finally:
            self._quiet.detach()

    def _follow_until_stopped(self, service: _Service) -> None:
        self._known.begin()
        try:
            while not self._stopping:
                woken = self._woken.wait(service.poll_s)
                self._woken.clear()
                self._step(service, woken=woken)
        finally:
            # While the interpreter ends, the SDK can start no thread to shut the provider down.
            with contextlib.suppress(RuntimeError):
                service.close()

    def _step(self, service: _Service, *, woken: bool) -> None:
        read = None
        began = time.monotonic()
        try:
            renewed = service.keep()
            if not (woken or renewed or began >= self._next_read):
                return
            self._next_read = began + _REREAD_S
            read = service.read()
            trouble = service.trouble
        except Exception as error:  # noqa: BLE001 - the thread must live, whatever the SDK raises
            trouble = _short(repr(error), _MOST_EXPLAINED)
        if self._stopping:
            return
        if self._known.take(read, trouble):
            self._quiet.forget(began)


class _Service:
    """The provider under our domain. Used by the follower's thread only."""

    def __init__(self, name: str, settings: ServiceSettings, wake: Callable[[], None]) -> None:
        from openfeature import api
        from openfeature.contrib.provider.flagd import FlagdProvider
        from openfeature.evaluation_context import EvaluationContext
        from openfeature.event import ProviderEvent
        from openfeature.provider import ProviderStatus

        self.poll_s = _REREAD_S if settings.resolver != "file" else _FILE_POLL_S
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
        self._backoff_s = _REREAD_S
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

    def read(self) -> _Reading | None:
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

    def _number(self, answer: float | _Refused | None) -> _Percent:
        # The provider takes true for 1.0, which only another question tells from the number 1.
        if answer in (0.0, 1.0):
            boolean = self._client.get_boolean_details(CANARY_FLAG, False, self._context)  # noqa: FBT003 - the SDK's signature
            if boolean.error_code is None and boolean.variant is not None:
                return _Refused(repr(boolean.value).lower())
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
            self._listen(again=True)
            self._provider = made
            self._api.set_provider_and_wait(self._provider, self._domain)
        except Exception as error:  # noqa: BLE001 - the service's trouble is never the caller's
            self._cause = _short(repr(error.__cause__ or error), _MOST_EXPLAINED)
            self._backoff_s = min(2 * self._backoff_s, _LONGEST_BACKOFF_S)
        else:
            self._backoff_s = _REREAD_S
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


class _Known:
    """What was learnt, what of it was told, and what operators have read about it."""

    def __init__(self, service: str, tell: Callable[[Told], None]) -> None:
        self._service = service
        self._tell = tell
        self._told = NOTHING_TOLD
        self._ever_ready = False
        self._logged: ServiceState | None = None
        self._last: dict[str, object] = {}
        self._warned: set[tuple[str, str]] = set()

    def begin(self) -> None:
        """A new thread follows, which has not seen the service yet; values stay."""
        self._ever_ready = False
        self._logged = None

    def take(self, read: _Reading | None, trouble: str) -> bool:
        """Take what was read, or that nothing could be read, and tell if that is new.

        Returns:
            Whether the service is ready and was not before.
        """
        told = replace(self._told, state=self._state(ready=read is not None))
        if read is not None:
            implementation, percent = read
            refused = self._refused(IMPLEMENTATION_FLAG, implementation, told.implementation)
            refused += self._refused(CANARY_FLAG, percent, told.canary_percent)
            told = replace(told, rejected=told.rejected + refused)
            if not isinstance(implementation, _Refused):
                told = replace(told, implementation=implementation)
            if not isinstance(percent, _Refused):
                told = replace(told, canary_percent=percent)
        recovered = self._log_state(told, trouble)
        if told != self._told:
            self._told = told
            self._tell_safely(told)
        return recovered

    def _tell_safely(self, told: Told) -> None:
        try:
            self._tell(told)
        except Exception:  # noqa: BLE001 - it is ours to go on, whoever listens
            _log.exception("flag service: whom it is told to failed")

    def _state(self, *, ready: bool) -> ServiceState:
        self._ever_ready |= ready
        if ready:
            return ServiceState.READY
        return ServiceState.GONE if self._ever_ready else ServiceState.NOT_READY

    def _refused(self, flag: str, value: object, good: object) -> int:
        """Note a reading of a flag; 1 when it is one to be counted as refused."""
        if flag in self._last and self._last[flag] == value:
            return 0
        self._last[flag] = value
        if not isinstance(value, _Refused):
            return 0
        if (flag, value.given) not in self._warned:
            if len(self._warned) >= _MOST_REMEMBERED:
                self._warned.clear()
            self._warned.add((flag, value.given))
            _log.warning(
                "flag service %s: %s: %s is not %s; %s",
                self._service,
                flag,
                value.given,
                _ALLOWED[flag],
                _holding(good),
            )
        return 1

    def _log_state(self, told: Told, trouble: str) -> bool:
        before, self._logged = self._logged, told.state
        if told.state is before:
            return False
        if told.state is ServiceState.READY:
            again = "back" if before is ServiceState.GONE else "ready"
            _log.info("flag service %s is %s", self._service, again)
            return True
        _log.warning(
            "flag service %s is %s (%s); %s",
            self._service,
            told.state,
            trouble,
            _holding(told.implementation),
        )
        return False


class _Once(logging.Filter):
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
                if isinstance(other, _Once) and other._pid != self._pid:  # noqa: SLF001 - its own kind
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
        if len(self._last) >= _MOST_REMEMBERED:
            self._last.clear()
        message = f"{record.name} {record.msg} {record.args}"
        now = time.monotonic()
        before = self._last.get(message)
        self._last[message] = now
        return before is None or now - before > _REPEATS_S


_ALLOWED: Final = {
    IMPLEMENTATION_FLAG: f"one of {', '.join(Implementation)}",
    CANARY_FLAG: "a number from 0 to 100",
}


def _answer(details: FlagEvaluationDetails[_T]) -> _T | _Refused | None:
    from openfeature.exception import ErrorCode

    if details.error_code is ErrorCode.FLAG_NOT_FOUND:
        return None
    if details.error_code is not None:
        return _Refused(_short(f"{details.error_code} ({details.error_message})"))
    # No variant: disabled, or no default variant; the value is the default of whoever asks.
    return None if details.variant is None else details.value


def _implementation(answer: str | _Refused | None) -> _Implementation:
    if answer is None or isinstance(answer, _Refused):
        return answer
    for implementation in Implementation:
        if answer == implementation.value:
            return implementation
    return _Refused(_short(repr(answer)))


def _percent(answer: float | _Refused | None) -> _Percent:
    if answer is None or isinstance(answer, _Refused):
        return answer
    if math.isfinite(answer) and 0 <= answer <= 100:  # noqa: PLR2004 - per cent
        return answer
    return _Refused(_short(repr(answer)))


def _short(text: str, most: int = _MOST_SHOWN) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 3]}..."


def _holding(good: object) -> str:
    return "the environment or the plugin config holds" if good is None else f"{good} holds"


def _described(settings: ServiceSettings) -> str:
    if settings.resolver == "file":
        return str(settings.path)
    place = ":".join(str(part) for part in (settings.host, settings.port) if part is not None)
    return f"{settings.resolver} {place}".strip()


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
