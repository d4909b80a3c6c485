"""Generated scenarios through both sides as in shadow mode, until every stratum was met enough.

Recorded traffic leaves most strata empty: nobody waits for a status beyond 32 bits after the second
failure. First come scenarios of all kinds, then those that aim at what is still missing.
"""

from __future__ import annotations

import hashlib
import logging
import multiprocessing
import random
import signal
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any, Final

from retry_parity.evidence import evidence_of
from retry_parity.evidence_files import FORMAT, Source, installed_versions, ledger_hash
from retry_parity.lifetime import end_pool, end_worker_with_parent
from retry_parity.replaying.playing import ReplayRefusedError, add_counts
from retry_parity.source import Seeded
from retry_parity.strata import Position, reachable
from retry_parity.strategies import aimed, scenario
from retry_parity.trial import Trial
from retry_parity.walk import PLUGIN_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from retry_parity.scenarios import Scenario
    from retry_parity.strata import Stratum

#: Scenarios of a batch.
_BATCH: Final = 100
#: Aimed scenarios of a group between two looks at what is missing.
_ROUND: Final = 50
#: Rounds after which what is still missing is not to be had.
_MOST_ROUNDS: Final = 400
#: Failures before the end of an aimed chain, by where that is.
_FAILURES: Final = {Position.NEW: 0, Position.FIRST: 1, Position.LATER: 2}


@dataclass(frozen=True, slots=True)
class Aim:
    """What a scenario is generated for; ``None`` in its place is for nothing in particular."""

    override: bool
    text_check: bool
    position: Position

    def is_for(self, stratum: Stratum) -> bool:
        """Say whether the stratum is within the aim."""
        return (self.override, self.text_check, self.position) == (
            stratum.override,
            stratum.text_check,
            stratum.position,
        )


_AIMS: Final = tuple(Aim(*each) for each in product((False, True), (False, True), Position))


@dataclass(slots=True)
class Generated:
    """What came of all scenarios.

    Attributes:
        counts: As in evidence.
        scenarios: How many ran.
        missing: Strata that were met less often than asked for.
    """

    counts: dict[str, Any] = field(default_factory=dict)
    scenarios: int = 0
    missing: list[str] = field(default_factory=list)


def generate(  # noqa: PLR0913 - what a run is made of
    seed: str,
    candidate: str,
    *,
    scenarios: int,
    at_least: int,
    workers: int,
    advance: Callable[[int, int], None] = lambda *_: None,
) -> Generated:
    """Run scenarios; the same seed gives the same counts, with any number of workers.

    Args:
        seed: Names the series.
        candidate: A name of `candidates.NAMES`.
        scenarios: How many of all kinds.
        at_least: Comparisons in each stratum; aimed scenarios follow until then.
        workers: Processes.
        advance: Told now and then: scenarios so far, strata still missing.

    Raises:
        ReplayRefusedError: A worker died.
    """
    found = Generated()
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin)
    try:
        for jobs in _rounds(seed, candidate, scenarios, at_least, found):
            for counts in pool.map(_run, jobs):
                add_counts(found.counts, counts)
            found.scenarios += sum(len(job.names) for job in jobs)
            found.missing = _missing(found.counts, at_least)
            advance(found.scenarios, len(found.missing))
    except BrokenProcessPool:
        message = f"seed {seed}: a worker died (out of memory?)"
        raise ReplayRefusedError(message) from None
    finally:
        end_pool(pool)
    return found


def about_generated(seed: str, candidate: str, scenarios: int) -> dict[str, Any]:
    """Give the first line of a generated run's counts."""
    about: dict[str, Any] = {
        "kind": "run",
        "format": FORMAT,
        "source": Source.GENERATED.value,
        # The scenarios have plugins and configs of their own, of every kind.
        "plugin": "",
        "config": "",
        "shapes": [],
        "versions": installed_versions(),
        "ledger": ledger_hash(),
        "candidate": candidate,
        "seeds": [seed],
        "scenarios": scenarios,
    }
    digest = hashlib.sha256(repr(sorted(about.items())).encode()).hexdigest()
    return {**about, "run": f"generated-{digest[:24]}", "pid": 0, "host": "", "started": 0.0}


@dataclass(frozen=True, slots=True)
class _Job:
    candidate: str
    names: Sequence[str]
    aim: Aim | None

    def scenario(self, name: str) -> Scenario:
        if self.aim is None:
            return scenario(Seeded(name))
        return aimed(
            Seeded(name),
            override=self.aim.override,
            text_check=self.aim.text_check,
            failures=_FAILURES[self.aim.position],
        )


def _rounds(
    seed: str, candidate: str, scenarios: int, at_least: int, found: Generated
) -> Iterator[list[_Job]]:
    """Give batches; each look at what is missing is after a whole round, so that it is the same."""
    names = [f"{seed}:{number}" for number in range(scenarios)]
    yield [_Job(candidate, names[at : at + _BATCH], None) for at in range(0, len(names), _BATCH)]
    for number in range(_MOST_ROUNDS):
        missing = set(_missing(found.counts, at_least))
        if not missing:
            return
        yield [
            _Job(candidate, [f"{seed}:{aim}:{number}:{each}" for each in range(_ROUND)], aim)
            for aim in _AIMS
            if any(aim.is_for(stratum) and str(stratum) in missing for stratum in reachable())
        ]


def _missing(counts: dict[str, Any], at_least: int) -> list[str]:
    strata = counts.get("strata", {})
    return [
        str(stratum)
        for stratum in reachable()
        if sum(strata.get(str(stratum), {}).values()) < at_least
    ]


def _begin() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers
    end_worker_with_parent()
    logging.disable(logging.CRITICAL)


def _run(job: _Job) -> dict[str, Any]:
    import retry_legacy
    from retry_with_backoff import _core

    counts: dict[str, Any] = {}
    for name in job.names:
        # Each scenario has draws of its own, so that jitter gives the same each time.
        draw = random.Random(name).random  # noqa: S311 - repeatable, not secret
        for set_random in (retry_legacy.set_random, _core.set_random):
            set_random(draw)
        Trial(job.scenario(name), job.candidate).run()
        add_counts(counts, _counted())
    return counts


def _counted() -> dict[str, Any]:
    """Give what the latest scenario has left, as plain data."""
    evidence = evidence_of(PLUGIN_NAME)
    counts = evidence.counts()
    told: dict[str, Any] = {
        "matches": counts.matches,
        "accepted_calls": counts.accepted_calls,
        "accepted": counts.accepted,
        "divergent": counts.divergent,
        "not_compared": counts.ignored,
        "candidate_errors": {},
        "harness_errors": counts.harness_errors,
        "fallbacks": 0,
        "strata": evidence.strata(),
        "impact": evidence.impact(),
    }
    for name, by_side in (("decisions", evidence.decisions()), ("outcomes", evidence.outcomes())):
        sides: dict[str, dict[str, int]] = {}
        for (side, outcome), count in by_side.items():
            sides.setdefault(side.implementation, {})[outcome] = count
        told[name] = sides
    return told
