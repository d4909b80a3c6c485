"""Reading evidence: which runs count, and what they amount to.

A run counts when it is about what would be cut over: the plugin, its config, the installed ledger
and packages, the Rust core. What does not count is left out and named.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from retry_parity import candidates
from retry_parity.deciding.catalogue import Copies, catalogue, ignore, load_run
from retry_parity.deciding.certificate import ANY
from retry_parity.deciding.kept_samples import KeptSamples
from retry_parity.deciding.problems import HASH_SHOWN, Problems, shown
from retry_parity.deciding.run_files import (
    UNREADABLE,
    EvidenceError,
    Guards,
    Traits,
    canonical,
)
from retry_parity.deciding.totals import Totals
from retry_parity.deciding.values import is_shallow, is_time
from retry_parity.evidence_files import Source, installed_versions, ledger_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from retry_parity.deciding.catalogue import Advance
    from retry_parity.deciding.loaded_runs import Loaded
    from retry_parity.guard import Trip

_MOST_SEEDS: Final = 1000


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One run that counts.

    Attributes:
        run: Its id.
        source: ``live``, ``replay`` or ``generated``.
        host: Where it was; empty where it does not say.
        started: Seconds of the epoch; ``None`` where it does not say.
        at: When its last counts were taken, seconds of the epoch; ``None`` likewise.
        compared: Its comparisons.
        divergent: Of these, unexplained.
    """

    run: str
    source: str
    host: str
    started: float | None
    at: float | None
    compared: int
    divergent: int


@dataclass(frozen=True, slots=True)
class Reading:
    """What evidence says.

    Attributes:
        totals: The sum of the runs that count.
        runs: These, in the order of their ids.
        problems: One line for each way in which the evidence is odd, or was left out.
        samples: By signature, the smallest first; empty where they were not asked for.
        identity: What it is about: ``plugin``, ``config`` and ``ledger`` (SHA-256; ``config`` is
            empty where all runs are generated), ``versions`` by package (``*`` = any),
            ``candidate``, ``shapes`` (the kinds of tools that the config makes possible, pairs of
            override and text check; ``None`` = all), ``seeds``, ``traces``, and ``evidence``
            (SHA-256 of all that counts).
        unreadable: Runs that cannot be read; each might have shown anything.
        left_out: Runs that do not count, by reason.
        trips: The latest trip of each guard beside the runs, also where it was reset.
    """

    totals: Totals
    runs: Sequence[RunSummary]
    problems: Sequence[str]
    samples: Mapping[str, Sequence[Mapping[str, Any]]]
    identity: Mapping[str, object]
    unreadable: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)
    trips: Sequence[Trip] = ()


def read_evidence(  # noqa: PLR0913 - what counts, each by its name
    paths: Sequence[Path],
    *,
    plugin: str | None = None,
    config: str | None = None,
    versions: Mapping[str, str] | None = None,
    with_samples: bool = False,
    advance: Advance = ignore,
) -> Reading:
    """Read evidence; memory does not grow with its size, but for an index of the runs.

    Args:
        paths: Folders of evidence at any level, and merged files.
        plugin: Name of the plugin; ``None`` where there is only one. Generated runs are about none
            and count for each.
        config: SHA-256 of the plugin config (`evidence_files.config_hash`) that counts; ``None``
            where there is only one.
        versions: Versions that count in place of the installed ones, by package; ``*`` = any.
        with_samples: Whether samples are read too.
        advance: Told of what was read: first bytes, then runs.

    Raises:
        EvidenceError: A path is no evidence, a run contradicts itself, or it has to be said which
            plugin or config is meant.
    """
    problems = Problems()
    guards = Guards()
    runs = catalogue(paths, problems, guards, advance)
    choice = _Choice(runs, plugin, config, versions or {}, problems)
    sum_of_all = _Sum(with_samples=with_samples)
    for number, copies in enumerate(choice.runs, start=1):
        loaded = load_run(copies, problems, with_samples=with_samples)
        try:
            sum_of_all.add(loaded)
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
            what = f"{UNREADABLE}, its counts are not as they have to be"
            problems.add(what, f"{shown(copies[0].run)} ({type(error).__name__}: {error})")
        advance(number, len(choice.runs))
    if not runs and (unreadable := problems.count(UNREADABLE)):
        message = f"no run can be read, {unreadable:,} cannot: {problems.first(UNREADABLE)}"
        raise EvidenceError(message)
    return Reading(
        totals=sum_of_all.totals,
        runs=sum_of_all.runs,
        problems=problems.lines(),
        samples=sum_of_all.samples.by_signature(),
        identity=choice.identity | sum_of_all.identity(),
        unreadable=problems.count(UNREADABLE),
        left_out=dict(choice.left_out),
        trips=[
            trip
            for name, trip in guards.items()
            if choice.identity["plugin"] in {name, ""}  # generated runs are about no plugin
        ],
    )


class _Choice:
    """The runs that count."""

    def __init__(
        self,
        runs: Mapping[str, Copies],
        plugin: str | None,
        config: str | None,
        versions: Mapping[str, str],
        problems: Problems,
    ) -> None:
        self.left_out: Counter[str] = Counter()
        self._problems = problems
        self.runs = list(runs.values())
        plugin = self._choose_plugin(plugin)
        ledger, candidate = ledger_hash(), self._choose_candidate()
        wanted = {**installed_versions(), **versions}
        self._keep("another candidate", candidate, lambda traits: traits.candidate)
        self._keep("another ledger", ledger, lambda traits: traits.ledger)
        self._keep("other versions", "", lambda traits: _unlike(traits, wanted))
        config = self._choose_config(config)
        self._keep("another config", config, lambda traits: traits.config, generated=False)
        self.identity = {
            "plugin": plugin,
            "config": config,
            "ledger": ledger,
            "versions": wanted,
            "candidate": candidate,
        }

    def _keep(
        self, reason: str, wanted: str, given: Callable[[Traits], str], *, generated: bool = True
    ) -> None:
        """Leave out the runs of which something else is given."""
        kept = []
        for copies in self.runs:
            traits = copies[0].traits
            if given(traits) == wanted or (not generated and traits.source == Source.GENERATED):
                kept.append(copies)
                continue
            self.left_out[reason] += 1
            which = given(traits)[:HASH_SHOWN] if _is_hash(given(traits)) else given(traits)
            what = f"a run of {reason} ({shown(which) or 'none'}), left out"
            self._problems.add(what, copies[0].run)
        self.runs = kept

    def _choose_plugin(self, plugin: str | None) -> str:
        def counted(traits: Traits) -> bool:
            return traits.source != Source.GENERATED

        given = Counter(each[0].traits.plugin for each in self.runs if counted(each[0].traits))
        known = ", ".join(
            f"{shown(name)} ({count:,} runs)" for name, count in sorted(given.items())
        )
        if plugin is None and len(given) > 1:
            message = f"evidence of several plugins: {known}; choose one with --plugin"
            raise EvidenceError(message)
        if plugin is not None and given and plugin not in given:
            message = f"--plugin {plugin}: no evidence of it; there is: {known}"
            raise EvidenceError(message)
        if plugin is None:
            plugin = next(iter(given), "")
        # One root may hold several plugins on purpose; that is no problem.
        self.runs = [
            each
            for each in self.runs
            if not counted(each[0].traits) or each[0].traits.plugin == plugin
        ]
        return plugin

    def _choose_candidate(self) -> str:
        """Choose the Rust core where there is any evidence of it: the rest were drills."""
        given = {each[0].traits.candidate for each in self.runs}
        if len(given) == 1:
            return given.pop()
        if given and candidates.RUST not in given:
            message = (
                f"evidence of several candidates, none of them {candidates.RUST}: "
                f"{', '.join(map(shown, sorted(given)))}; give one's only"
            )
            raise EvidenceError(message)
        return candidates.RUST

    def _choose_config(self, config: str | None) -> str:
        given = Counter(
            each[0].traits.config for each in self.runs if each[0].traits.source != Source.GENERATED
        )
        if config is not None:
            return config
        if len(given) > 1:
            known = ", ".join(
                f"{shown(each[:HASH_SHOWN]) or 'none'} ({count:,} runs)"
                for each, count in given.most_common()
            )
            message = f"evidence of several configs: {known}; say which one with --config FILE"
            raise EvidenceError(message)
        return next(iter(given), "")


def _unlike(traits: Traits, wanted: Mapping[str, str | None]) -> str:
    """Give the packages whose versions are not the wanted ones, empty where all are."""
    given = dict(traits.versions)
    return ", ".join(
        f"{name} {given.get(name) or 'missing'} instead of {version or 'missing'}"
        for name, version in wanted.items()
        if version != ANY and given.get(name) != version
    )


def _is_hash(text: str) -> bool:
    return len(text) == hashlib.sha256().digest_size * 2 and " " not in text


class _Sum:
    """What the runs amount to."""

    def __init__(self, *, with_samples: bool) -> None:
        self.totals = Totals()
        self.runs: list[RunSummary] = []
        self.samples = KeptSamples()
        self._with_samples = with_samples
        self._digest = hashlib.sha256()
        self._shapes: set[tuple[bool, bool]] | None = set()
        self._told_shapes = False
        self._seeds: set[str] = set()
        self._traces: dict[bytes, object] = {}

    def add(self, run: Loaded) -> None:
        """Add a run.

        Raises:
            ValueError: Its counts are not as they have to be; it is not added then, not even in
                part. So with AttributeError, KeyError and TypeError.
        """
        about, counts = run.about, run.counts
        source = about["source"]
        configs = counts.get("configs", 1)
        if type(configs) is not int or configs != 1:
            message = f"{configs!r:.20} configs in one process"
            raise ValueError(message)
        if not is_shallow(counts):
            message = "it is nested too deep"
            raise ValueError(message)
        shapes = _shapes(about)
        texts = [canonical(part) for part in (about, counts)]
        # From here on nothing fails, but for this first step, and then nothing is added.
        self.totals.add_run(source, counts)
        divergent = sum(counts["divergent"].values())
        self.runs.append(
            RunSummary(
                run=about["run"],
                source=source,
                host=str(about.get("host", "")),
                started=_seconds(about.get("started")),
                at=_seconds(counts.get("at")),
                compared=counts["matches"] + counts["accepted_calls"] + divergent,
                divergent=divergent,
            )
        )
        for text in texts:
            self._digest.update(text + b"\n")
        if source != Source.GENERATED:
            self._told_shapes = True
            if shapes is None or self._shapes is None:
                self._shapes = None
            else:
                self._shapes |= shapes
        if isinstance(seeds := about.get("seeds"), list):
            self._seeds.update(map(str, seeds))
        if isinstance(trace := about.get("trace"), dict):
            self._traces[canonical(trace)] = trace
        if self._with_samples:
            self.samples.add_all(run.samples)

    def identity(self) -> dict[str, object]:
        """Tell what the runs say they are about."""
        seeds = sorted(self._seeds)
        return {
            "shapes": sorted(self._shapes) if self._shapes and self._told_shapes else None,
            "seeds": seeds[:_MOST_SEEDS],
            "traces": [self._traces[key] for key in sorted(self._traces)],
            "evidence": self._digest.hexdigest(),
        }


def _shapes(about: Mapping[str, Any]) -> set[tuple[bool, bool]] | None:
    given = about.get("shapes")
    if given is None:
        return None
    shapes = {(override, text_check) for override, text_check in given}
    if any(type(each) is not bool for shape in shapes for each in shape):
        message = f"shapes are no pairs of true and false: {given!r:.60}"
        raise TypeError(message)
    return shapes


def _seconds(value: object) -> float | None:
    return float(value) if is_time(value) else None
