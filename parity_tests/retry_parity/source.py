"""Where generated scenarios take their choices from.

The strategies are written once, against `Source`. A seeded generator gives thousands of scenarios a
second; Hypothesis gives fewer, but steers towards small ones and shrinks.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Item = TypeVar("Item")


class Source(Protocol):
    """A source of choices. 0 is always the simplest choice."""

    def below(self, bound: int) -> int:
        """Choose an integer from 0 to ``bound - 1``."""
        ...  # pragma: no cover

    def pick(self, items: Sequence[Item]) -> Item:
        """Choose one of the items; the first is the simplest."""
        ...  # pragma: no cover

    def one_in(self, count: int) -> bool:
        """Say yes about once in ``count`` times."""
        ...  # pragma: no cover


class Seeded:
    """Choices of a seeded generator: the same seed gives the same scenarios on every machine."""

    def __init__(self, seed: int | str) -> None:
        """Start at a seed."""
        self._uniform = random.Random(seed).random  # noqa: S311 - repeatable, not secret

    def below(self, bound: int) -> int:
        """Choose an integer."""
        return int(self._uniform() * bound)

    def pick(self, items: Sequence[Item]) -> Item:
        """Choose an item."""
        return items[int(self._uniform() * len(items))]

    def one_in(self, count: int) -> bool:
        """Say yes now and then."""
        return self._uniform() * count < 1


class Drawn:
    """Choices that Hypothesis draws.

    Args:
        integer: Draws an integer between two bounds, both included.
    """

    def __init__(self, integer: Callable[[int, int], int]) -> None:
        """Draw with ``integer``."""
        self._integer = integer

    def below(self, bound: int) -> int:
        """Choose an integer."""
        return self._integer(0, bound - 1)

    def pick(self, items: Sequence[Item]) -> Item:
        """Choose an item."""
        return items[self._integer(0, len(items) - 1)]

    def one_in(self, count: int) -> bool:
        """Say yes now and then; shrinks to no."""
        return self._integer(0, count - 1) == count - 1
