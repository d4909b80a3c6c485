"""What the differential tests need to know of a plugin: the interface a migration implements.

A subject has two halves. This half judges, in the harness's own process. The other half, the
driver, runs scenarios on one build, in that build's interpreter; it is named by module and class
(`Subject.driver`), is called as ``Driver(plugin_class, set_time, begin, end)`` and offers
``run(scenario) -> bytes`` and ``has_clock``. The driver's module may import the standard library,
what the plugin itself needs, and modules of the subject's own package that do the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from retry_parity.differential.lane import About

#: A scenario is the subject's own: any picklable, immutable, hashable value.
Scenario = Any


@dataclass(frozen=True, slots=True)
class Finding:
    """A difference between two runs of one scenario that nothing explains.

    Attributes:
        what: What differs, under a stable short name ("retry-lost"). Reducing keeps it.
        where: What else may tell causes apart before a scenario is reduced: a few findings of
            each ``what`` and ``where`` are reduced.
        step: Number of the step that shows it, from 0; -1 while loading.
        reference: What the reference did there, for a reader.
        candidate: What the candidate did there, for a reader.
    """

    what: str
    where: str
    step: int
    reference: str
    candidate: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """What two runs of one scenario show.

    Attributes:
        decisions: Decisions that were compared.
        accepted: Explained differences, by ledger id.
        findings: Differences that nothing explains.
        compared: Whether there was something to compare: not where neither build answers.
    """

    decisions: int
    accepted: Mapping[str, int] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    compared: bool = True


class Subject(Protocol):
    """A plugin, as the differential tests see it."""

    @property
    def driver(self) -> str:
        """Module and class of the driver: "package.module:Class"."""
        ...  # pragma: no cover

    @property
    def packages(self) -> Mapping[str, str]:
        """Folders of the packages the driver needs, by package name."""
        ...  # pragma: no cover

    @property
    def named_builds(self) -> Mapping[str, tuple[str, Sequence[str]]]:
        """Builds that have a name: module and class, and packages of this environment they need."""
        ...  # pragma: no cover

    def meet(self, reference: About, candidate: About) -> None:
        """See which builds are compared, before the first scenario."""
        ...  # pragma: no cover

    def scenario(self, seed: str, *, with_time: bool) -> Scenario:
        """Generate a scenario; the same for the same seed, on every machine."""
        ...  # pragma: no cover

    def judge(
        self,
        scenario: Scenario,
        reference: bytes,
        candidate: bytes,
        ask: Callable[[Scenario], bytes],
    ) -> Judgement:
        """Compare what two builds did; ``ask`` runs another scenario on the candidate.

        Raises:
            ValueError: What a build did cannot be read.
        """
        ...  # pragma: no cover

    @property
    def local_reference(self) -> str:
        """The named build that can be the reference of `judge_here`."""
        ...  # pragma: no cover

    def judge_here(self, scenario: Scenario, reference: Any, candidate: Any) -> Judgement:
        """Run a scenario on two drivers in this process, and compare as `judge` does."""
        ...  # pragma: no cover

    def aggregate(self) -> Sequence[Finding]:
        """Say what only all decisions together show, since the subject was made."""
        ...  # pragma: no cover

    def take_aggregate(self) -> object:
        """Give what `aggregate` needs, picklable, and begin anew."""
        ...  # pragma: no cover

    def merge_aggregate(self, taken: object) -> None:
        """Add what another process has taken."""
        ...  # pragma: no cover

    def simpler(self, scenario: Scenario) -> Iterable[Scenario]:
        """Give variants of a scenario, each simpler than it, the boldest first."""
        ...  # pragma: no cover

    def show(self, scenario: Scenario, until: int) -> Sequence[str]:
        """Describe a scenario up to a step, one line for the setting and one for each step."""
        ...  # pragma: no cover
