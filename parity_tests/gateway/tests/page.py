"""The migration's part of the gateway's metrics page."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.client import Client
    from gateway.stack import Stack

_PREFIX: Final = "retry_migration_"
_DEADLINE_S: Final = 30.0
_POLL_S: Final = 0.2


class Page:
    """What the page says at one moment."""

    def __init__(self, text: str) -> None:
        """Read it as Prometheus does."""
        self._samples = [
            (sample.name.removeprefix(_PREFIX), sample.labels, sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name.startswith(_PREFIX)
        ]

    def total(self, name: str, **labels: str) -> float:
        """Add up the series of a metric that have these labels.

        Args:
            name: Without ``retry_migration_``.
            labels: Names and values; those that are not given may be any.
        """
        return sum(
            value
            for found, all_labels, value in self._samples
            if found == name and labels.items() <= all_labels.items()
        )

    def values(self, name: str, label: str) -> dict[str, int]:
        """Give a metric's numbers that are not 0, by one of its labels; they are whole numbers."""
        found: dict[str, int] = {}
        for each, labels, value in self._samples:
            if each == name and value:
                found[labels[label]] = found.get(labels[label], 0) + int(value)
        return found

    def __str__(self) -> str:
        """Show all that is not 0, buckets left out."""
        return "\n".join(
            f"{name} {labels} {value:g}"
            for name, labels, value in self._samples
            if value and "le" not in labels
        )


def page_of(client: Client) -> Page:
    """Read the page as it is now; several workers' is up to a second old."""
    return Page(client.metrics())


def page_when(client: Client, is_so: Callable[[Page], bool]) -> Page:
    """Wait until the page is as expected."""
    deadline = time.monotonic() + _DEADLINE_S
    while not is_so(page := page_of(client)):
        assert time.monotonic() < deadline, f"the page does not become as expected:\n{page}"
        time.sleep(_POLL_S)
    return page


def settled_page(stack: Stack) -> Page:
    """Read the page once it has a decision on every attempt that the stack has seen."""
    attempts = stack.attempts()
    return page_when(stack.gateway, lambda page: page.total("decisions_total") == attempts)


def decided(stack: Stack) -> Counter[str]:
    """Give the number of decisions so far by the implementation that made them."""
    return Counter(settled_page(stack).values("decisions_total", "implementation"))
