"""The figures as Prometheus metrics, on the page that the gateway has anyway.

With one process per page the figures are read when the page is asked for. With
``PROMETHEUS_MULTIPROC_DIR`` the page is made from files, and a `Mirror` copies the figures there.
Nothing here starts a thread, and prometheus_client is imported only when there is something to
expose.
"""

from __future__ import annotations

import functools
import logging
import sys
from typing import TYPE_CHECKING, Any

from retry_parity.metrics.mirror import Mirror
from retry_parity.metrics.reader import Reader
from retry_parity.metrics.table import BUILD, TABLE, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from prometheus_client.core import Metric as Family

    from retry_parity.metrics.reader import Read

__all__ = ["TABLE", "Mirror", "expose"]

_log = logging.getLogger("retry_parity")


class Page:
    """What stands in the registry, so that a clash of names is seen whoever makes the page."""

    def __init__(self, reader: Reader, mirror: Mirror | None) -> None:
        """Keep what is read, and the mirror of it where there is one."""
        self.reader = reader
        self.mirror = mirror

    def describe(self) -> Iterable[Family]:
        """Give the names."""
        return _families().values()

    def collect(self) -> Iterable[Family]:
        """Give the page's part; nothing where the page is made from files."""
        families = _families()
        if self.mirror is not None:
            return ()
        for metric, _, series in self.reader.readings(self.reader.figures()):
            add = families[metric.name].add_sample
            calls = 0.0
            for (name, labels), number in series.items():
                if metric.kind is not Kind.HISTOGRAM:
                    add(name, dict(labels), number)
                elif name.endswith("_bucket"):
                    calls += number
                    add(name, dict(labels), calls)
                else:
                    add(f"{metric.name}_count", dict(labels), calls)
                    add(name, dict(labels), number)
                    calls = 0.0
        return families.values()


def _families() -> dict[str, Family]:
    from prometheus_client.core import Metric as Made

    return {metric.name: Made(metric.family, metric.help, metric.kind.value) for metric in TABLE}


def expose(read: Read) -> Mirror | None:
    """Put the figures on the page of prometheus_client; again and again is the same as once.

    Args:
        read: Gives the figures of this process by plugin name. It is called from other threads and
            before a fork, and must not wait for a call. The latest one given counts.

    Returns:
        What is to be updated about once a second, where the page is made from the files of several
        processes. ``None`` where there is nothing to do, prometheus_client missing included.
    """
    try:
        from prometheus_client import REGISTRY, values
    except ImportError:
        return None
    names: Mapping[str, object] = getattr(REGISTRY, "_names_to_collectors", {})
    standing: Any = names.get(BUILD.name)
    # By the name of its class: this module may have been loaded anew.
    if type(standing).__module__ == __name__:
        standing.reader.read = read
        mirror: Mirror | None = standing.mirror
        return mirror
    reader = Reader(read)
    several = getattr(values.ValueClass, "_multiprocess", False)
    page = Page(reader, Mirror(reader) if several else None)
    gateway = getattr(sys.modules.get("mcpgateway.config"), "settings", None)
    if not getattr(gateway, "ENABLE_METRICS", True):
        _log.warning(
            "metrics: the gateway's page is off and answers 503; ENABLE_METRICS=true puts it on"
        )
    try:
        REGISTRY.register(page)
    except ValueError as error:
        _say_once(f"metrics: not shown, because a name is taken: {error}")
        return None
    return page.mirror


@functools.cache
def _say_once(line: str) -> None:
    _log.warning(line)
