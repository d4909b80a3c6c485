"""Puppets as a subject of differential tests."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retry_parity.differential.subject import Finding, Judgement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from retry_parity.differential.lane import About


def _nobody(_: object) -> bytes:
    return b""


class PuppetSubject:
    """Compares what two puppets gave back.

    Args:
        words: The steps of generated scenarios are chosen from these.
    """

    driver = "puppet.driver:Driver"
    packages = {"puppet": str(Path(__file__).parent)}  # noqa: RUF012 - nobody changes it
    named_builds = {"calm": ("puppet.puppets:Calm", ("puppet",))}  # noqa: RUF012 - likewise
    local_reference = "calm"

    def __init__(self, *words: str) -> None:
        """Take the words."""
        self._words = words or ("a", "b")

    def meet(self, reference: About, candidate: About) -> None:
        """Nothing depends on who is compared."""

    def scenario(self, seed: str, *, with_time: bool) -> tuple[str, ...]:
        """Choose up to eight steps."""
        del with_time
        source = random.Random(seed)  # noqa: S311 - repeatable, not secret
        return tuple(source.choice(self._words) for _ in range(1 + source.randrange(8)))

    def judge(
        self,
        scenario: tuple[str, ...],
        reference: bytes,
        candidate: bytes,
        ask: Callable[[Any], bytes],
    ) -> Judgement:
        """Compare step by step."""
        del ask
        pairs = zip(json.loads(reference), json.loads(candidate), strict=True)
        found = [
            Finding("wrong", scenario[step], step, repr(ours), repr(theirs))
            for step, (ours, theirs) in enumerate(pairs)
            if ours != theirs
        ]
        return Judgement(len(scenario), findings=tuple(found))

    def judge_here(self, scenario: tuple[str, ...], reference: Any, candidate: Any) -> Judgement:
        """Run both here and compare."""
        return self.judge(scenario, reference.run(scenario), candidate.run(scenario), _nobody)

    def aggregate(self) -> Sequence[Finding]:
        """Nothing adds up."""
        return ()

    def take_aggregate(self) -> object:
        """Nothing adds up."""
        return None

    def merge_aggregate(self, taken: object) -> None:
        """Nothing adds up."""

    def simpler(self, scenario: tuple[str, ...]) -> Iterable[tuple[str, ...]]:
        """Leave out one step, or shorten one by a character."""
        for number, step in enumerate(scenario):
            yield scenario[:number] + scenario[number + 1 :]
            if len(step) > 1:
                yield (*scenario[:number], step[:-1], *scenario[number + 1 :])

    def show(self, scenario: tuple[str, ...], until: int) -> Sequence[str]:
        """One line for the setting, one for each step."""
        return ["puppets", *scenario[: until + 1]]
