"""From figures to series: what the lines of a metrics page show, before anything is written."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from retry_parity.evidence import where
from retry_parity.metrics.table import BUCKET, BUILD, READ_ERRORS, TABLE, Kind, Metric
from retry_parity.observation import PASS_THROUGH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from retry_parity.figures import Figures
    from retry_parity.metrics.table import Rows

    Read: TypeAlias = Callable[[], Mapping[str, Figures]]

_log = logging.getLogger("retry_parity")

#: What a label of an open set of values (signatures, reasons, error names) is held to: this many
#: values of this length per metric and plugin name; newcomers beyond that count as `OTHERS`.
MOST_VALUES: Final = 50
LONGEST_VALUE: Final = 120
OTHERS: Final = "(others)"
_DISTRIBUTIONS: Final = ("retry-with-backoff", "retry-with-backoff-legacy", "retry-parity")


class Series(NamedTuple):
    """One line of the page.

    Attributes:
        name: With the endings that Prometheus knows.
        labels: Names and values, in the table's order; ``le`` last.
    """

    name: str
    labels: tuple[tuple[str, str], ...]


class Reading(NamedTuple):
    """What one metric shows of one plugin name; of the process where the name is ``None``."""

    metric: Metric
    plugin: str | None
    series: Mapping[Series, float]


class Reader:
    """Turns the figures of a process into series; a failure costs what it hits and is counted."""

    def __init__(self, read: Read) -> None:
        """Keep where the figures come from."""
        self.read = read
        self._errors = 0
        self._known: dict[tuple[str, str, str], set[str]] = {}

    def figures(self) -> Mapping[str, Figures]:
        """Read the figures; none where that fails."""
        try:
            return self.read()
        except BaseException as error:  # noqa: BLE001 - a Rust panic is a BaseException
            self.failed(error)
            return {}

    def readings(self, figures: Mapping[str, Figures]) -> Iterator[Reading]:
        """Read every metric of every plugin name, then those of the process."""
        for plugin, of_plugin in figures.items():
            for metric in TABLE:
                if metric.rows is None:
                    continue
                try:
                    rows = metric.rows(of_plugin)
                    series = self._series(metric, plugin, rows)
                except BaseException as error:  # noqa: BLE001 - as above
                    self.failed(error)
                else:
                    yield Reading(metric, plugin, series)
        builds = {named(BUILD, build): 1.0 for build in _builds()}
        yield Reading(BUILD, None, builds)
        yield Reading(READ_ERRORS, None, {named(READ_ERRORS, ()): float(self._errors)})

    def failed(self, error: BaseException) -> None:
        """Count a failure and log the first.

        Raises:
            BaseException: The error itself, where it is to be passed on.
        """
        if isinstance(error, PASS_THROUGH):
            raise error
        self._errors += 1
        if self._errors == 1:
            _log.error("metrics: figures could not be read; counted from now on (%s)", where(error))

    def _series(self, metric: Metric, plugin: str, rows: Rows) -> Mapping[Series, float]:
        found: dict[Series, float] = {}
        for values, number in rows.items():
            bounded = (
                value if label == BUCKET else self._bounded(metric.name, plugin, label, value)
                for label, value in zip((*metric.labels[1:], BUCKET), values, strict=False)
            )
            series = named(metric, (printable(plugin), *bounded))
            found[series] = found.get(series, 0.0) + float(number)
        return found

    def _bounded(self, metric: str, plugin: str, label: str, value: object) -> str:
        known = self._known.setdefault((metric, plugin, label), set())
        text = printable(value)
        if text not in known and len(known) >= MOST_VALUES:
            return OTHERS
        known.add(text)
        return text


def named(metric: Metric, values: Iterable[str]) -> Series:
    """Give the series of a metric with these values of its labels."""
    labels = tuple(zip((*metric.labels, BUCKET), values, strict=False))
    if metric.kind is not Kind.HISTOGRAM:
        return Series(metric.name, labels)
    ending = "_bucket" if len(labels) > len(metric.labels) else "_sum"
    return Series(metric.name + ending, labels)


def printable(value: object) -> str:
    """Give a label's value: one line of printable ASCII that every reader of the page takes.

    What had to be changed has a hash at its end, so that two values never become one.
    """
    text = str(value)
    if text.isascii() and text.isprintable() and len(text) <= LONGEST_VALUE:
        return text
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:8]
    start = text[: LONGEST_VALUE - len(digest) - 1]
    shown = "".join(each if each.isascii() and each.isprintable() else "?" for each in start)
    return f"{shown}~{digest}"


@functools.cache
def _builds() -> tuple[tuple[str, str], ...]:
    found = []
    for name in _DISTRIBUTIONS:
        with suppress(importlib.metadata.PackageNotFoundError):
            found.append((name, importlib.metadata.version(name)))
    return tuple(found)
