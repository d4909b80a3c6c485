"""The retry plugin as a subject of differential tests: all that `differential` must be told of it.

Another plugin's migration brings a module like this one, with a driver, strategies, a comparator
and a ledger of its own, and uses the rest as it is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from packaging.version import InvalidVersion, Version

from retry_parity import driver
from retry_parity.differential.builds import folder_of
from retry_parity.differential.subject import Finding, Judgement
from retry_parity.hearing import Families, Hearing
from retry_parity.jitter import Draws
from retry_parity.ledger import shipped_ledger
from retry_parity.live_hearing import LiveHearing
from retry_parity.scenarios import Scenario, Wait
from retry_parity.shrinking import simpler
from retry_parity.source import Seeded
from retry_parity.strategies import jittered, scenario
from retry_parity.wording import setting, told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from retry_parity.differential.lane import About

_PACKAGE: Final = "retry_parity"
#: Packages of builds that draw their jitter from 0. Ours draws from 1 and is held to it.
_DRAW_ZERO: Final = ("retry_legacy.", "cpex_retry_with_backoff.")
_PUBLISHED: Final = "cpex-retry-with-backoff"
#: The last version that is the hybrid; what came after is a rewrite.
_LAST_HYBRID: Final = Version("0.3.1")


class RetrySubject:
    """The retry plugin.

    Its ledger and its counts come from the hybrid of this environment, whichever two builds are
    compared: it is asked only where the two differ.
    """

    driver = "retry_parity.driver:Driver"
    named_builds: Final[Mapping[str, tuple[str, Sequence[str]]]] = {
        "legacy": ("retry_legacy:RetryWithBackoffPlugin", ("retry_legacy",)),
        "rust": ("retry_with_backoff:RetryWithBackoffPlugin", ("retry_with_backoff",)),
        "broken-example": (
            "retry_parity.broken_example:BrokenExamplePlugin",
            ("retry_with_backoff",),
        ),
    }

    #: The only reference that `judge_here` takes.
    local_reference = "legacy"

    def __init__(self, *, always_jitter: bool = False) -> None:
        """Start with nothing compared; ``always_jitter`` turns jitter on in every scenario."""
        self._always_jitter = always_jitter
        self.packages: Mapping[str, str] = {_PACKAGE: folder_of(_PACKAGE)}
        self._families = Families()
        self._draws = Draws()
        self._ledger = shipped_ledger()

    def meet(self, reference: About, candidate: About) -> None:
        """See which builds are compared, and which of them are the hybrid."""
        self._families = Families(_is_hybrid(reference), _is_of(candidate, _DRAW_ZERO))

    def scenario(self, seed: str, *, with_time: bool) -> Scenario:
        """Generate a scenario; without time, nothing in it waits."""
        made = scenario(Seeded(seed))
        if self._always_jitter:
            made = jittered(made)
        if with_time:
            return made
        steps = tuple(step for step in made.steps if not isinstance(step, Wait))
        return replace(made, steps=steps)

    def judge(
        self,
        scenario: Scenario,
        reference: bytes,
        candidate: bytes,
        ask: Callable[[Scenario], bytes],
    ) -> Judgement:
        """Compare decision by decision, as shadow mode does, where the two are not the same."""
        ours = driver.read(reference)
        if reference == candidate:
            return Judgement(sum(did.hook != "load" for did in ours))
        return Hearing(
            scenario,
            self._ledger,
            self._draws,
            families=self._families,
            ours=ours,
            theirs=driver.read(candidate),
            ask=ask,
        ).hear()

    def judge_here(self, scenario: Scenario, reference: Any, candidate: Any) -> Judgement:
        """Run both builds here, on the same payloads, and compare as `judge` does."""
        return LiveHearing(
            scenario,
            self._ledger,
            self._draws,
            families=self._families,
            sides=(reference, candidate),
        ).hear()

    def aggregate(self) -> Sequence[Finding]:
        """Say whether both sides draw their jitter from one distribution."""
        return [
            Finding(
                "jitter-distribution",
                f"ceiling {ceiling_ms} ms",
                -1,
                f"{size:,} draws",
                f"{size:,} draws, {gap:.3f} apart; {allowed:.3f} is chance",
            )
            for ceiling_ms, size, gap, allowed in self._draws.apart()
        ]

    def take_aggregate(self) -> Draws:
        """Give the draws, and begin anew."""
        taken, self._draws = self._draws, Draws()
        return taken

    def merge_aggregate(self, taken: object) -> None:
        """Add draws that another process has taken.

        Raises:
            TypeError: They are no draws.
        """
        if not isinstance(taken, Draws):
            message = f"{type(taken).__name__} given, Draws are allowed"
            raise TypeError(message)
        self._draws.merge(taken)

    def simpler(self, scenario: Scenario) -> Iterable[Scenario]:
        """Give simpler variants."""
        return simpler(scenario)

    def show(self, scenario: Scenario, until: int) -> Sequence[str]:
        """Describe a scenario up to a step."""
        return [setting(scenario), *map(told, scenario.steps[: until + 1])]


def _is_hybrid(about: About) -> bool:
    """Whether a build counts failures as the hybrid does, which answers the ledger's questions."""
    if _is_of(about, ("retry_legacy.",)):
        return True
    try:
        version = Version(about.versions.get(_PUBLISHED, ""))
    except InvalidVersion:
        return False
    return _is_of(about, _DRAW_ZERO) and version <= _LAST_HYBRID


def _is_of(about: About, packages: tuple[str, ...]) -> bool:
    return any(f"{module}.".startswith(packages) for module in about.modules)
