"""Several processes, one page: the figures in the files that prometheus_client makes it from."""

from __future__ import annotations

import json
import os
import re
import stat
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from retry_parity import state_file
from retry_parity.metrics.reader import Reader, Series, named, printable
from retry_parity.metrics.table import TABLE, Kind, Metric, Workers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from retry_parity.figures import Figures


#: Before the first value of a file.
_HEADER_BYTES: Final = 8
#: The files of gauges that end with their process, as prometheus_client names them.
_LIVE_GAUGES: Final = re.compile(r"gauge_live(?:all|max|min|sum|mostrecent)_([1-9][0-9]*)\.db")


class _Value(Protocol):
    def inc(self, amount: float) -> None: ...

    def set(self, value: float) -> None: ...


class Mirror:
    """Many processes, one page: copies the figures into the files that the page is made from.

    INVARIANT: what has been added to this process's file of counters is what this process itself
    has counted. A file goes on where an earlier process of the same id left it, and a forked child
    adds nothing that its parent had counted.
    """

    def __init__(self, reader: Reader) -> None:
        """Copy nothing yet: a process that only forks others shows no gauges of its own."""
        self.reader = reader
        self._lock = threading.Lock()
        self._values: dict[Series, _Value] = {}
        self._added: dict[Series, float] = {}
        self._shown: dict[Series, float] | None = None
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._lock.acquire,  # so that no other thread is midway
                after_in_parent=self._lock.release,
                after_in_child=self._begin_child,
            )

    def update(self, figures: Mapping[str, Figures]) -> None:
        """Copy the figures; a failure is counted and changes nothing else.

        It belongs on a thread of its own, and only in processes that serve calls: the gauges of
        one that only forks others would count as one more worker's.
        """
        with self._lock:
            try:
                self._copy(figures)
            except BaseException as error:  # noqa: BLE001 - as in Reader
                self.reader.failed(error)

    def _copy(self, figures: Mapping[str, Figures]) -> None:
        if self._shown is None:
            self._shown = _left_behind()
        failures: list[Exception] = []
        for metric, plugin, series in self.reader.readings(figures):
            try:
                if metric.kind is Kind.GAUGE:
                    self._show(metric, plugin, series)
                else:
                    self._add(metric, series)
            except Exception as error:  # noqa: BLE001 - what is in the place of one file stops no other
                failures.append(error)
        _bury_the_dead()
        if failures:
            raise failures[0]

    def _add(self, metric: Metric, series: Mapping[Series, float]) -> None:
        for one, number in series.items():
            before = self._added.get(one, 0.0)
            if number == before and one in self._values:
                continue
            # Counting that began anew counts from 0, as Prometheus takes it too.
            self._value(metric, one).inc(number - before if number >= before else number)
            self._added[one] = number

    def _show(self, metric: Metric, plugin: str | None, series: Mapping[Series, float]) -> None:
        shown = self._shown if self._shown is not None else {}
        # A label set that holds no longer must not stay at its last value.
        gone = {
            one: 0.0
            for one in shown
            if one not in series
            and one.name == metric.name
            and (plugin is None or one.labels[0][1] == printable(plugin))
        }
        for one, number in (gone | dict(series)).items():
            if shown.get(one) != number:
                self._value(metric, one).set(number)
                shown[one] = number

    def _value(self, metric: Metric, series: Series) -> _Value:
        from prometheus_client import values

        found = self._values.get(series)
        if found is None:
            names, given = zip(*series.labels, strict=True) if series.labels else ((), ())
            found = self._values[series] = values.ValueClass(
                metric.kind.value,
                metric.family,
                series.name,
                names,
                given,
                metric.help,
                multiprocess_mode=metric.workers.value,
            )
        return found

    def _begin_child(self) -> None:
        """Take what this process was born with as added; some of it may have begun at 0 again.

        It is read here, in the child: what clears counts at a fork was there before this mirror,
        and has run before it.
        """
        try:
            self._added, self._shown = {}, None
            for metric, _, series in self.reader.readings(self.reader.figures()):
                if metric.kind is not Kind.GAUGE:
                    self._added.update(series)
        finally:
            self._lock.release()


def _left_behind() -> dict[Series, float]:
    """Give the gauges that an earlier process of this id left in the files that go on as ours."""
    _remove_torn_files()
    found: dict[Series, float] = {}
    by_family = {metric.family: metric for metric in TABLE if metric.kind is Kind.GAUGE}
    for mode in Workers:
        file = _directory() / f"gauge_{mode.value}_{os.getpid()}.db"
        if not file.is_file():
            continue
        for key, number in _stored(file):
            family, _, labels, _ = json.loads(key)
            if metric := by_family.get(family):
                found[named(metric, [labels[name] for name in metric.labels])] = number
    return found


def _remove_torn_files() -> None:
    """Remove files that go on as ours and cannot: a killed process has left them half written.

    They would keep this process from showing anything. Each begins with the number of bytes in use.
    """
    kinds = {metric.kind.value for metric in TABLE if metric.kind is not Kind.GAUGE}
    kinds |= {f"gauge_{mode.value}" for mode in Workers}
    for file in (_directory() / f"{kind}_{os.getpid()}.db" for kind in kinds):
        if not os.path.lexists(file):
            continue
        try:
            used = int.from_bytes(state_file.read(file, 4), sys.byteorder, signed=True)
            is_torn = used != 0 and not _HEADER_BYTES <= used <= file.stat().st_size
            list(_stored(file))
        except Exception:  # noqa: BLE001 - whatever is in it
            is_torn = True
        if is_torn:
            with suppress(OSError):
                file.unlink()


def _stored(file: Path) -> Iterator[tuple[str, float]]:
    from prometheus_client.mmap_dict import MmapedDict

    with suppress(FileNotFoundError):
        stored = MmapedDict.read_all_values_from_file(str(file))  # type: ignore[no-untyped-call] # it has no types
        for key, number, *_ in stored:
            yield key, number


def _bury_the_dead() -> None:
    """Remove the gauges of processes that are no more, which no one else may do.

    prometheus_client leaves it to a hook of the process manager, and the gateway sets none; a
    recycled worker would show its last flag value for ever.
    """
    names = {entry.name: _LIVE_GAUGES.fullmatch(entry.name) for entry in _directory().iterdir()}
    processes = {name: int(found[1]) for name, found in names.items() if found}
    if os.getpid() not in processes.values():
        return  # they are named by something else than process ids
    for name, process in processes.items():
        file = _directory() / name
        # Another worker may be faster, and what is no file is none of ours.
        with suppress(OSError):
            if not _is_alive(process) and stat.S_ISREG(file.lstat().st_mode):
                file.unlink()


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _directory() -> Path:
    return Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
