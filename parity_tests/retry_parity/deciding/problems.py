"""What is odd about evidence: one line for each way in which it is, however often it occurs."""

from __future__ import annotations

from typing import Final

_MOST_EXAMPLES: Final = 3
_MOST_SHOWN: Final = 120
#: Of a hash, enough to tell two of them apart.
HASH_SHOWN: Final = 12


def shown(text: object) -> str:
    """Give a text of evidence for a person: on one line, and not long."""
    line = str(text)
    if not line.isprintable():
        line = repr(line)
    return line if len(line) <= _MOST_SHOWN else f"{line[: _MOST_SHOWN - 3]}..."


class Problems:
    """Collects them; memory does not grow with how often one occurs."""

    def __init__(self) -> None:
        """Start without any."""
        self._found: dict[str, list[str]] = {}
        self._count: dict[str, int] = {}

    def add(self, what: str, example: object) -> None:
        """Note one occurrence.

        Args:
            what: Which problem; the same words each time.
            example: Where it is: a file, a run, with what is needed to find it.
        """
        examples = self._found.setdefault(what, [])
        if len(examples) < _MOST_EXAMPLES:
            examples.append(shown(example))
        self._count[what] = self._count.get(what, 0) + 1

    def count(self, beginning: str) -> int:
        """Give how often problems occurred whose words begin so."""
        return sum(count for what, count in self._count.items() if what.startswith(beginning))

    def first(self, beginning: str) -> str:
        """Give the line of the first problem whose words begin so."""
        return next(line for line in self.lines() if line.startswith(beginning))

    def lines(self) -> list[str]:
        """Give a line for each, in the order in which they were met first."""
        told = []
        for what, examples in self._found.items():
            more = self._count[what] - len(examples)
            rest = f" and {more:,} more" if more else ""
            told.append(f"{what}: {', '.join(examples)}{rest}")
        return told
