"""What a trace is made of, whatever file it is in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from array import array
    from collections.abc import Mapping, Sequence

#: Of trace files; a reader refuses what it does not know.
FORMAT: Final = 1


class TraceError(ValueError):
    """A trace cannot be used; the message is one line with file and, where known, line or row."""


@dataclass(frozen=True, slots=True)
class Part:
    """One share of a trace; no chain is in two of them.

    Attributes:
        number: Which one, from 0.
        count: Of how many.
    """

    number: int
    count: int


WHOLE: Final = Part(0, 1)


@dataclass(frozen=True, slots=True)
class Header:
    """What a trace says of itself.

    Attributes:
        plugin: Name of the plugin that recorded it; empty where it does not say.
        config: The plugin config without ``migration:``; ``None`` where it does not say.
        versions: Versions of the packages that took part in the recording.
        origin: ``recorded``, ``synthetic``, or empty where it does not say.
        seed: Of a synthetic trace.
        source: SHA-256 of the trace that a synthetic one was drawn from.
        run: Id of the worker's run that recorded it.
    """

    plugin: str = ""
    config: Mapping[str, object] | None = None
    versions: Mapping[str, str | None] = field(default_factory=dict)
    origin: str = ""
    seed: str = ""
    source: str = ""
    run: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive calls of a trace, in columns. All sequences about calls have the same length.

    Attributes:
        tools: The tools that occur, each once.
        results: The results that occur, as plain data. One object may stand for many calls:
            whoever uses it must not change it.
        tool_of: For each call, the place of its tool in `tools`.
        result_of: For each call, the place of its result in `results`.
        request_ids: For each call.
        seqs: For each call, its running number in the recording; rises.
        times_ms: For each call, milliseconds since the recording began; never falls.
    """

    tools: Sequence[str]
    results: Sequence[object]
    tool_of: array[int]
    result_of: array[int]
    request_ids: Sequence[str]
    seqs: Sequence[int]
    times_ms: Sequence[float]

    def __len__(self) -> int:
        """Give the number of calls."""
        return len(self.request_ids)


@dataclass(slots=True)
class Gaps:
    """What a reader met that is no call.

    Attributes:
        lost: Calls that the recorder could not keep, by reason.
        cut_off: Files whose last line was cut off by a crash.
    """

    lost: dict[str, int] = field(default_factory=dict)
    cut_off: list[str] = field(default_factory=list)
