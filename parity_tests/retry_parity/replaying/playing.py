"""One process that plays a part of a trace: both sides beside each other, as in shadow mode.

What a part gives does not depend on the other parts, nor on which process plays it: chains are
never divided, each call has its recorded time and draws of its own, and what is measured rather
than decided is told apart.
"""

from __future__ import annotations

import hashlib
import logging
import resource
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from cpex.framework import GlobalContext, PluginConfig, PluginContext, ToolPostInvokePayload

from retry_parity import _native, candidates
from retry_parity._native import Latency, Playback
from retry_parity.driver import content
from retry_parity.evidence_files import told_figures
from retry_parity.flag import Implementation
from retry_parity.lane import Lane
from retry_parity.migration import forget, migration_of
from retry_parity.refusal import one_line
from retry_parity.settings import MigrationSettings
from retry_parity.traces.calls import Gaps, Part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from retry_parity.traces.reading import TraceFile

#: The longest that a setting allows: a replay compares whatever a side decides, however slowly.
_TIME_LIMIT_MS: Final = 60_000.0
#: What these log of a replay is in its evidence.
_QUIET_LOGGERS: Final = ("cpex", "retry_legacy", "retry_parity", "retry_with_backoff")
#: Samples of one signature, those with the smallest numbers.
MOST_SAMPLES: Final = 3
#: Chains whose counts differ, by far more than are open at once.
_MOST_CHAINS: Final = 10_000_000
#: Results that are known to be untouched; beyond it all are looked at again.
_MOST_KNOWN: Final = 65_536
#: What is said of a process or of its load, and not of the calls.
_NOT_OF_THE_CALLS: Final = (
    "flag",
    "guard",
    "live",
    "configs",
    "evicted",
    "latency",
    "memory",
    "dropped",
)


class ReplayRefusedError(ValueError):
    """A replay cannot begin; the message is one line."""


@dataclass(frozen=True, slots=True)
class Task:
    """A part of a trace, and what plays it.

    Attributes:
        files: The trace's files.
        part: Which chains of each file.
        plugin: Name of the plugin.
        config: Its config without ``migration:``.
        candidate: A name of `candidates.NAMES`.
        salt: 16 bytes, for the hashes in samples.
    """

    files: Sequence[TraceFile]
    part: Part
    plugin: str
    config: Mapping[str, Any]
    candidate: str
    salt: bytes


@dataclass(slots=True)
class Played:
    """What came of a part. Parts add up to the whole, in any order (`add`).

    Attributes:
        counts: As in evidence, without what is measured.
        samples: At most `MOST_SAMPLES` of a signature.
        shapes: As in evidence.
        lost: Calls that the recorder could not keep, by reason.
        cut_off: Files whose last line a crash has cut off.
        latency: Time of the hook, by side, encoded.
        memory: Chains and bytes of the process that held most chains, by side.
        mutated: Whether a result was changed by a side.
        calls: How many were played.
        seconds: How long this part took.
        peak_rss_bytes: The most that the process took.
    """

    counts: dict[str, Any] = field(default_factory=dict)
    samples: list[dict[str, Any]] = field(default_factory=list)
    shapes: list[list[bool]] | None = None
    lost: dict[str, int] = field(default_factory=dict)
    cut_off: list[str] = field(default_factory=list)
    latency: dict[str, str] = field(default_factory=dict)
    memory: dict[str, dict[str, int]] = field(default_factory=dict)
    mutated: bool = False
    calls: int = 0
    seconds: float = 0.0
    peak_rss_bytes: int = 0

    def add(self, other: Played) -> None:
        """Add another part of the same trace."""
        add_counts(self.counts, other.counts)
        self.samples = smallest([*self.samples, *other.samples])
        self.shapes = self.shapes or other.shapes
        add_counts(self.lost, other.lost)
        self.cut_off = sorted([*self.cut_off, *other.cut_off])
        for side, encoded in other.latency.items():
            merged = Latency.decoded(encoded)
            if side in self.latency:
                merged.merge(Latency.decoded(self.latency[side]))
            self.latency[side] = merged.encoded()
        for side, most in other.memory.items():
            ours = self.memory.get(side)
            # Both figures are of one process.
            if ours is None or most["chains"] > ours["chains"]:
                self.memory[side] = dict(most)
        self.mutated = self.mutated or other.mutated
        self.calls += other.calls
        self.seconds += other.seconds
        self.peak_rss_bytes = max(self.peak_rss_bytes, other.peak_rss_bytes)


def play(task: Task, advance: Callable[[int], None] = lambda _: None) -> Played:
    """Play a part of a trace in this process, from a state of nothing.

    Args:
        task: What to play.
        advance: Told now and then of calls played since it was told last.

    Raises:
        ReplayRefusedError: An implementation refuses the config or cannot be loaded.
        TraceError: The trace cannot be read.
    """
    begun = time.monotonic()
    forget(task.plugin)
    played = Played()
    with _as_recorded(task.salt) as playback:
        player = _Player(task, playback)
        gaps = Gaps()
        for file in task.files:
            played.calls += player.play(file, task.part, gaps, advance)
        played.lost, played.cut_off = gaps.lost, gaps.cut_off
        player.finish(played)
    forget(task.plugin)
    played.seconds = time.monotonic() - begun
    played.peak_rss_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return played


class _Player:
    """Both sides, and what they have left so far."""

    def __init__(self, task: Task, playback: Playback) -> None:
        self._task = task
        self._playback = playback
        self._migration = migration_of(task.plugin)
        self._evidence = self._migration.evidence
        self._evidence.complete = self._completed
        self._samples: list[dict[str, Any]] = []
        self._known: dict[int, object] = {}
        self._fresh: list[tuple[object, bytes]] = []
        self._mutated = False
        self._context = PluginContext(global_context=GlobalContext(request_id=""))
        self._lane = self._load()

    def play(self, file: TraceFile, part: Part, gaps: Gaps, advance: Callable[[int], None]) -> int:
        """Play a file, whose chains are its own; returns the number of calls."""
        _clear_chains()
        calls = 0
        for batch in file.batches(part, gaps):
            self._lane.play(self._playback, self._context, self._payload, batch)
            self._look_after(len(batch))
            calls += len(batch)
            advance(len(batch))
        return calls

    def finish(self, played: Played) -> None:
        """Tell of all of it."""
        figures = self._migration.figures()
        counts = told_figures(figures)
        played.latency = {
            side.implementation: latency.encoded() for side, latency in figures.latency.items()
        }
        played.memory = {side.implementation: m._asdict() for side, m in figures.memory.items()}
        for name in _NOT_OF_THE_CALLS:
            counts.pop(name)
        played.counts = counts
        played.mutated = self._mutated
        played.samples = smallest(self._samples)
        shapes = self._evidence.shapes
        played.shapes = None if shapes is None else [list(shape) for shape in sorted(shapes)]

    def _load(self) -> Lane:
        settings = MigrationSettings.model_validate(
            {"candidate": self._task.candidate, "time_limit_ms": _TIME_LIMIT_MS}
        )
        config = PluginConfig(
            name=self._task.plugin,
            kind="retry_parity.MigrationPlugin",
            config=dict(self._task.config),
        )
        try:
            lane = Lane(
                config,
                flag=Implementation.SHADOW,
                settings=settings,
                load=lambda inner: candidates.load(self._task.candidate, inner),
            )
        except Exception as error:
            message = f"the hybrid cannot be loaded with this config: {one_line(error)}"
            raise ReplayRefusedError(message) from error
        if lane.candidates_error is not None:
            message = f"{self._task.candidate} cannot be loaded with this config: "
            raise ReplayRefusedError(message + one_line(lane.candidates_error)) from None
        return lane

    def _payload(self, tool: str, result: object) -> ToolPostInvokePayload:
        if id(result) not in self._known:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            # The object is kept, so that no other one gets its id.
            self._known[id(result)] = result
            self._fresh.append((result, content(result)))
        return ToolPostInvokePayload.model_construct(name=tool, result=result)

    def _look_after(self, calls: int) -> None:
        """See whether results are what they were, take samples, and look at the memory."""
        changed = (content(result) != before for result, before in self._fresh)
        self._mutated = self._mutated or any(changed)
        self._fresh.clear()
        self._samples = smallest([*self._samples, *map(dict, self._evidence.take_samples())])
        if calls:
            self._evidence.memory()

    def _completed(self, sample: Mapping[str, object]) -> Mapping[str, object]:
        """Put the recorded time in place of this moment's, and leave out what was measured."""
        told = {**sample, "at": self._playback.now(), "seq": self._playback.seq}
        for side in ("legacy", "rust"):
            deed = told.get(side)
            if isinstance(deed, dict):
                told[side] = {key: deed[key] for key in deed if key != "duration_ns"}
        return told


def smallest(samples: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give of each signature the samples that came first in the trace, in a fixed order."""
    kept: dict[str, list[dict[str, Any]]] = {}
    for sample in sorted(samples, key=lambda each: (each["signature"], each["seq"])):
        of_signature = kept.setdefault(sample["signature"], [])
        if len(of_signature) < MOST_SAMPLES:
            of_signature.append(sample)
    return [sample for samples in kept.values() for sample in samples]


def salt_of(text: str) -> bytes:
    """Give the salt of a replay: whoever has the trace has it, and nobody else."""
    return hashlib.sha256(f"retry-parity replay {text}".encode()).digest()[:16]


def add_counts(ours: dict[str, Any], theirs: Mapping[str, Any]) -> None:
    """Add counts to counts, name by name."""
    for key, value in theirs.items():
        if isinstance(value, dict):
            add_counts(ours.setdefault(key, {}), value)
        else:
            ours[key] = ours.get(key, 0) + value


def _clear_chains() -> None:
    import retry_legacy
    from retry_parity.evidence import CHAINS
    from retry_with_backoff import _core

    retry_legacy.clear_state()
    _core.clear_state()
    CHAINS.clear()
    _native.forget_chains()


@contextmanager
def _as_recorded(salt: bytes) -> Iterator[Playback]:
    """Give everything the trace's time and repeatable draws, and nothing of them afterwards."""
    import retry_legacy
    from retry_with_backoff import _core

    def install(now: Callable[[], float] | None, draw: Callable[[], float] | None) -> None:
        for set_clock in (retry_legacy.set_clock, _core.set_clock, _native.set_clock):
            set_clock(now)
        for set_random in (retry_legacy.set_random, _core.set_random):
            set_random(draw)

    from retry_parity.evidence import CHAINS

    playback = Playback()
    most, CHAINS.most = CHAINS.most, _MOST_CHAINS
    levels = {name: logging.getLogger(name).level for name in _QUIET_LOGGERS}
    for name in levels:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    install(playback.now, playback.draw)
    _native.set_salt(salt)
    _clear_chains()
    try:
        yield playback
    finally:
        _clear_chains()
        install(None, None)
        CHAINS.most = most
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
