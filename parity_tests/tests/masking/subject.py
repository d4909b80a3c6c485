"""Generates scenarios, compares runs, and knows what is simpler."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from retry_parity.differential.subject import Finding, Judgement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from retry_parity.differential.lane import About

Masking: TypeAlias = tuple[tuple[str, ...], tuple[str, ...]]


def _nobody(_: object) -> bytes:
    return b""


class MaskSubject:
    """The plugin that masks words. A scenario is its words, and texts."""

    driver = "masking.driver:Driver"
    packages = {"masking": str(Path(__file__).parent)}  # noqa: RUF012 - nobody changes it
    named_builds = {  # noqa: RUF012 - likewise
        "old": ("masking.plugins:MaskPlugin", ("masking",)),
        "new": ("masking.plugins:RewrittenMaskPlugin", ("masking",)),
        "hasty": ("masking.plugins:HastyMaskPlugin", ("masking",)),
    }
    local_reference = "old"

    def meet(self, reference: About, candidate: About) -> None:
        """Nothing depends on who is compared."""

    def scenario(self, seed: str, *, with_time: bool) -> Masking:
        """Choose words and texts from few letters, so that they meet."""
        del with_time
        source = random.Random(seed)  # noqa: S311 - repeatable, not secret

        def some(most: int, longest: int) -> tuple[str, ...]:
            sizes = [1 + source.randrange(longest) for _ in range(source.randrange(most + 1))]
            return tuple("".join(source.choices("abAB-", k=size)) for size in sizes)

        return some(2, 3), some(4, 10)

    def judge(
        self,
        scenario: Masking,
        reference: bytes,
        candidate: bytes,
        ask: Callable[[Masking], bytes],
    ) -> Judgement:
        """Compare text by text."""
        del ask
        pairs = enumerate(zip(json.loads(reference), json.loads(candidate), strict=True))
        found = [
            Finding("masked-unlike", "", step, repr(ours), repr(theirs))
            for step, (ours, theirs) in pairs
            if ours != theirs
        ]
        return Judgement(len(scenario[1]), findings=tuple(found))

    def judge_here(self, scenario: Masking, reference: Any, candidate: Any) -> Judgement:
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

    def simpler(self, scenario: Masking) -> Iterator[Masking]:
        """Leave out a word or a text, or a character of one."""
        for part in (0, 1):
            items = scenario[part]
            for at, item in enumerate(items):
                shorter = [(item[:cut] + item[cut + 1 :],) for cut in range(len(item))]
                for put in [(), *(each for each in shorter if each[0])]:
                    changed = (*items[:at], *put, *items[at + 1 :])
                    yield (changed, scenario[1]) if part == 0 else (scenario[0], changed)

    def show(self, scenario: Masking, until: int) -> Sequence[str]:
        """Show the words, then each text."""
        return [f"words {scenario[0]}", *map(repr, scenario[1][: until + 1])]
