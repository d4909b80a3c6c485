"""A campaign: scenarios through two builds until the time is up, then each divergence reduced."""

from __future__ import annotations

import re
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final

from retry_parity.differential.court import is_fault
from retry_parity.differential.reducing import ANYWHERE, BATCH, Effort, Reducer, Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from retry_parity.differential.court import Court
    from retry_parity.differential.lane import About
    from retry_parity.differential.subject import Finding, Judgement, Scenario, Subject

#: Share of the time that is left for reducing, once there is something to reduce.
_REDUCING_SHARE: Final = 0.5
#: Seconds for reducing where the number of scenarios is what is bounded.
_REDUCING_S: Final = 60.0
#: Findings of one kind that are kept for reducing.
_MOST_SAMPLES: Final = 4
#: Kinds of finding that are told apart; what comes later is counted with the last one.
_MOST_KINDS: Final = 2_000
#: Findings of one difference that are reduced: more of them rarely have another cause.
_MOST_REDUCTIONS: Final = 80
#: A build that fails this often has shown enough.
_MOST_FAULTS: Final = 20
#: Runs of variants while one finding is reduced; few where each may cost a time limit or a start.
_MOST_RUNS: Final = 3000
_MOST_RUNS_WITH_FAULT: Final = 24

_NUMBERS: Final = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Limits:
    """When a campaign ends.

    Attributes:
        seconds: Seconds, reducing included; ``None`` for no such bound.
        scenarios: Scenarios; ``None`` for no such bound.
        enough: Whether the causes found so far are all that is asked for: reducing ends then.
    """

    seconds: float | None
    scenarios: int | None
    enough: Callable[[Outcome], bool] = lambda _: False


@dataclass(slots=True)
class _Kind:
    count: int = 0
    samples: list[Sample] = field(default_factory=list)


@dataclass(slots=True)
class Cause:
    """Findings that come down to one smallest scenario.

    Attributes:
        smallest: That scenario, and what it shows.
        kinds: The kinds of finding that came down to it.
        occurrences: How often those kinds were met.
        reduced: Whether reducing came to its end.
    """

    smallest: Sample
    kinds: set[tuple[str, str]]
    occurrences: int
    reduced: bool


@dataclass(slots=True)
class Outcome:
    """What a campaign has shown.

    Attributes:
        scenarios: Scenarios that both builds ran.
        decisions: Decisions that were compared.
        seconds: How long exploring took.
        accepted: Explained differences, by ledger id.
        divergent: Unexplained differences, by what differs.
        causes: The unexplained differences by cause; those met most often first.
        aggregate: What only all decisions together show.
        with_time: Whether time passed in the scenarios.
        stopped_early: Why exploring ended before its limit; empty where it did not.
        not_compared: Scenarios in which a build did not answer.
        strict: Whether what the ledger accepts counts too.
        elapsed: Seconds since the campaign began.
        ended: What ended the campaign before its time: an interrupt, or a build that could not be
            started anew.
    """

    scenarios: int = 0
    decisions: int = 0
    seconds: float = 0.0
    accepted: Counter[str] = field(default_factory=Counter)
    divergent: Counter[str] = field(default_factory=Counter)
    causes: list[Cause] = field(default_factory=list)
    aggregate: list[Finding] = field(default_factory=list)
    with_time: bool = True
    stopped_early: str = ""
    not_compared: int = 0
    strict: bool = False
    elapsed: float = 0.0
    ended: BaseException | None = None

    @property
    def equal(self) -> bool:
        """Whether everything was compared, and nothing found that counts."""
        if self.ended is not None or not self.scenarios or self.not_compared:
            return False
        if self.divergent or self.aggregate:
            return False
        return not (self.strict and self.accepted)


class Campaign:
    """Two builds in a court, and what they have shown.

    Args:
        subject: Makes scenarios, and simpler ones.
        court: Runs and judges them. Open.
        abouts: What the two builds said when the court was opened.
        seed: Names the series of scenarios.
        advance: Told now and then of the outcome so far, and of what is going on.
    """

    def __init__(
        self,
        subject: Subject,
        court: Court,
        abouts: tuple[About, About],
        seed: str,
        *,
        advance: Callable[[Outcome, str], None] = lambda *_: None,
    ) -> None:
        """Prepare; nothing runs yet."""
        subject.meet(*abouts)
        self._subject = subject
        self._court = court
        self._seed = seed
        self._advance = advance
        self._kinds: dict[tuple[str, str], _Kind] = {}
        self._faults = 0
        self._begun = time.monotonic()
        self.outcome = Outcome(with_time=all(about.has_clock for about in abouts))

    def run(self, limits: Limits, only: int | None = None) -> Outcome:
        """Explore, then reduce.

        Args:
            limits: When to stop.
            only: Run just the scenario of this number.

        Returns:
            The outcome, which is also there where this is interrupted.
        """
        begun = self._begun = time.monotonic()
        numbers: Iterator[int] = iter([only]) if only is not None else iter(range(1 << 62))
        self._explore(numbers, limits, begun)
        self.outcome.aggregate.extend(self._subject.aggregate())
        self.outcome.divergent.update(each.what for each in self.outcome.aggregate)
        end = begun + limits.seconds if limits.seconds else time.monotonic() + _REDUCING_S
        self._reduce_all(end, limits)
        return self.outcome

    def _explore(self, numbers: Iterator[int], limits: Limits, begun: float) -> None:
        """Run batches; the builds work on one while the one before it is judged."""
        left = limits.scenarios
        waiting: deque[list[str]] = deque()
        while True:
            names = [f"{self._seed}:{number}" for number in islice(numbers, _batch(left))]
            left = None if left is None else left - len(names)
            if not names or self._is_over(limits, begun):
                break
            self._court.send_named(names, with_time=self.outcome.with_time)
            waiting.append(names)
            if len(waiting) > self._court.ahead:
                self._judge_all(waiting.popleft(), begun)
        while waiting:
            self._judge_all(waiting.popleft(), begun)

    def _is_over(self, limits: Limits, begun: float) -> bool:
        if self._faults >= _MOST_FAULTS:
            self.outcome.stopped_early = "a build failed to answer too often"
            return True
        if limits.seconds is None:
            return False
        share = 1 - _REDUCING_SHARE if self._kinds else 1.0
        return time.monotonic() - begun >= limits.seconds * share

    def _judge_all(self, names: Sequence[str], begun: float) -> None:
        for name, judgement in zip(names, self._court.judge(), strict=True):
            self.outcome.scenarios += 1
            self.outcome.decisions += judgement.decisions
            self.outcome.accepted.update(judgement.accepted)
            self._faults += not judgement.compared or any(map(is_fault, judgement.findings))
            self.outcome.not_compared += not judgement.compared
            for finding in judgement.findings:
                self._note(name, finding)
        self.outcome.seconds = time.monotonic() - begun
        self._tell("exploring")

    def _note(self, name: str, finding: Finding) -> None:
        self.outcome.divergent[finding.what] += 1
        key = (finding.what, finding.where)
        if key not in self._kinds and len(self._kinds) >= _MOST_KINDS:
            others = list(reversed(self._kinds))
            key = next((other for other in others if other[0] == finding.what), others[0])
        kind = self._kinds.setdefault(key, _Kind())
        kind.count += 1
        if len(kind.samples) < _MOST_SAMPLES:
            scenario = self._subject.scenario(name, with_time=self.outcome.with_time)
            kind.samples.append(Sample(name, scenario, finding))

    def _reduce_all(self, end: float, limits: Limits) -> None:
        """Reduce samples while there is time, those of the least reduced difference first."""
        reductions: Counter[str] = Counter()
        left = [
            (key, sample) for turn in range(_MOST_SAMPLES) for key, sample in self._samples(turn)
        ]
        causes: dict[tuple[str, str], Cause] = {}
        while left and not limits.enough(self.outcome):
            position = min(range(len(left)), key=lambda at: reductions[_group(left[at][0][0])])
            key, sample = left.pop(position)
            reductions[_group(key[0])] += 1
            if reductions[_group(key[0])] > _MOST_REDUCTIONS:
                break
            if time.monotonic() >= end and key[0] in {what for what, _ in causes}:
                continue  # this difference is shown already, and there is no time left
            smallest, reduced = self._reduce(sample, end)
            shown = "\n".join(self._subject.show(smallest.scenario, smallest.finding.step))
            shape = (key[0], _NUMBERS.sub("#", shown))
            cause = causes.setdefault(shape, Cause(smallest, set(), 0, reduced))
            if key not in cause.kinds:
                cause.kinds.add(key)
                cause.occurrences += self._kinds[key].count
            self.outcome.causes = _in_order(causes.values())
            self._tell("reducing")

    def _tell(self, doing: str) -> None:
        self.outcome.elapsed = time.monotonic() - self._begun
        self._advance(self.outcome, doing)

    def _samples(self, turn: int) -> Iterator[tuple[tuple[str, str], Sample]]:
        """Give one sample of each kind."""
        # The most particular first: they tell of causes that the others do not show.
        for key in sorted(self._kinds, key=lambda key: -key[1].count(", ")):
            kind = self._kinds[key]
            if turn < len(kind.samples):
                yield key, kind.samples[turn]

    def _reduce(self, sample: Sample, end: float) -> tuple[Sample, bool]:
        """Take simpler variants as long as one of them shows the same.

        First what has the same ``where`` is the same, then what has not, too: a rare cause would
        else slip to a frequent one that its scenario shows as well.
        """
        reducer = Reducer(self._subject.simpler, self._judgements)
        fault = is_fault(sample.finding)
        # Where each variant may cost a time limit or a start, none is run for nothing.
        effort = Effort(_MOST_RUNS_WITH_FAULT, end, batch=1) if fault else Effort(_MOST_RUNS, end)
        reduced = True
        for where in dict.fromkeys((sample.finding.where, ANYWHERE)):
            sample, reduced = reducer.reduce(sample, where, effort)
        return sample, reduced

    def _judgements(self, scenarios: Sequence[Scenario]) -> Sequence[Judgement]:
        self._court.send(scenarios)
        return self._court.judge()


def _group(what: str) -> str:
    """Give what differs without its particulars: the groups share the time for reducing."""
    return what.partition(":")[0]


def _batch(left: int | None) -> int:
    return BATCH if left is None else min(BATCH, left)


def _in_order(causes: Iterable[Cause]) -> list[Cause]:
    return sorted(causes, key=lambda cause: -cause.occurrences)
