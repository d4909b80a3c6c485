"""Simpler scenarios: what reducing a divergence of the retry plugin is made of."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retry_parity.recipes import MAPPINGS, SEQUENCES, Recipe, build, mapping, sequence
from retry_parity.scenarios import Call, Fetch, Policy, Rebuild, Scenario, Wait
from retry_parity.shrinking import simpler, simpler_recipe
from retry_parity.source import Seeded
from retry_parity.strategies import jittered, scenario

Holds: TypeAlias = Callable[[Scenario], bool]

#: Numbers of generated scenarios; most of what they are made of is in any few hundred.
SEEDS = st.integers(0, 10**9)
DEFAULTS: Recipe = ("dict", ())


def generated(seed: int) -> Scenario:
    """Give the scenario of a seed; with jitter in every third."""
    made = scenario(Seeded(f"shrinking:{seed}"))
    return jittered(made) if seed % 3 == 0 else made


def same(left: object, right: object) -> bool:
    """Whether two scenarios are the same, types included: to Python 0 and False are equal."""
    return repr(left) == repr(right)


def reduced(made: Scenario, holds: Holds, most: int = 20_000) -> Scenario:
    """Take the first simpler variant that holds, again and again, as a campaign does."""
    seen = {pickle.dumps(made)}
    runs = 0
    while True:
        for variant in simpler(made):
            key = pickle.dumps(variant)
            if key in seen:
                continue
            seen.add(key)
            runs += 1
            assert runs < most, "reducing does not end"
            if holds(variant):
                made = variant
                break
        else:
            return made


def results(made: Scenario) -> list[Recipe]:
    """Give the results of a scenario's calls."""
    return [step.result for step in made.steps if isinstance(step, Call)]


@given(SEEDS)
@settings(max_examples=12)
def test_every_variant_differs_from_its_scenario(seed: int) -> None:
    """Rule: a variant that is its scenario again would be taken for ever."""
    made = generated(seed)
    written = pickle.dumps(made)
    for variant in simpler(made):
        assert pickle.dumps(variant) != written


@given(SEEDS)
@settings(max_examples=12)
def test_every_variant_can_be_hashed_sent_and_built(seed: int) -> None:
    """Rule: a variant is a scenario like any other."""
    for number, variant in zip(range(400), simpler(generated(seed)), strict=False):
        hash(variant)
        assert same(pickle.loads(pickle.dumps(variant)), variant)  # noqa: S301 - our own
        if number % 7 == 0:
            build(variant.config)
            for result in results(variant):
                build(result)


@given(SEEDS, st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_a_chain_of_variants_ends(seed: int, choice: Any) -> None:
    """Rule: whichever variant is taken each time, and nothing remembered, an end is reached."""
    made = generated(seed)
    for _ in range(3000):
        variants = list(islice(simpler(made), 1 + choice.randrange(60)))
        if not variants:
            break
        made = variants[-1]
    assert list(simpler(made)) == []


def test_the_boldest_variants_come_first() -> None:
    """Rule: all steps away, then half of them, so that most of a scenario goes in few runs."""
    made = generated(1)
    size = len(made.steps)
    kept = [len(variant.steps) for variant, _ in zip(simpler(made), range(3), strict=False)]
    assert kept == [0, size - size // 2, size // 2] or kept == [0, size // 2, size - size // 2]


@pytest.mark.parametrize("first", range(40))
def test_what_always_holds_comes_down_to_nothing(first: int) -> None:
    """Rule: the simplest scenario of all has the default config and no step."""
    assert same(reduced(generated(first), lambda _: True), Scenario(DEFAULTS, None, ()))


def lazy_flag(made: Scenario) -> bool:
    """Whether some call has a lazy or copy-on-write dict with a set flag."""
    return any(
        isinstance(result, tuple)
        and result[0] in {"lazy", "copy-on-write"}
        and dict(result[1]).get("isError") is True
        for result in results(made)
    )


def two_in_one_chain(made: Scenario) -> bool:
    """Whether two calls share tool, request and plugin object."""
    calls = [
        (step.tool, step.request_id, step.plugin) for step in made.steps if isinstance(step, Call)
    ]
    return len(calls) > len(set(calls))


def waits(made: Scenario) -> bool:
    """Whether time passes."""
    return any(isinstance(step, Wait) for step in made.steps)


def many_retries(made: Scenario) -> bool:
    """Whether the config allows more than 4 retries."""
    config = made.config
    if not isinstance(config, tuple) or config[0] not in MAPPINGS:
        return False
    most = dict(config[1]).get("max_retries")
    return type(most) is int and most > 4


CALL = Call(0, "search", "r1", None)
KNOWN: list[tuple[Holds, list[Scenario]]] = [
    (
        lazy_flag,
        [
            Scenario(DEFAULTS, None, (Call(0, "search", "r1", mapping({"isError": True}, kind)),))
            for kind in ("lazy", "copy-on-write")
        ],
    ),
    (two_in_one_chain, [Scenario(DEFAULTS, None, (CALL, CALL))]),
    (waits, [Scenario(DEFAULTS, None, (Wait(1.0),))]),
    (many_retries, [Scenario(mapping({"max_retries": 5}), None, ())]),
    (
        lambda made: made.ceiling is not None,
        [Scenario(DEFAULTS, ceiling, ()) for ceiling in (0, 1, 3, 10)],
    ),
    (
        lambda made: any(isinstance(step, Policy) and step.ceiling == 0 for step in made.steps),
        [Scenario(DEFAULTS, None, (Policy("search", 0),))],
    ),
    (
        lambda made: any(isinstance(step, Fetch) for step in made.steps),
        [Scenario(DEFAULTS, None, (Fetch(0),))],
    ),
    (
        lambda made: any(isinstance(step, Rebuild) and step.plugin == 1 for step in made.steps),
        [Scenario(DEFAULTS, None, (Rebuild(1),))],
    ),
    (
        lambda made: any(
            isinstance(step, Call) and step.trace_id == "4bf92f3577b34da6" for step in made.steps
        ),
        [Scenario(DEFAULTS, None, (Call(0, "search", "r1", None, "4bf92f3577b34da6"),))],
    ),
]


@pytest.mark.parametrize(("holds", "smallest"), KNOWN)
def test_reducing_finds_the_known_smallest_scenario(holds: Holds, smallest: list[Scenario]) -> None:
    """Rule: a call has no more in it than the difference needs, and there is one of them.

    A result that plays no part is reduced to ``None``, 0 or an empty text; it is left out here.
    """
    begun = [made for made in map(generated, range(600)) if holds(made)][:4]
    assert begun
    for made in begun:
        end = _without_idle_results(reduced(made, holds), holds)
        assert any(same(end, each) for each in smallest), end


def _without_idle_results(made: Scenario, holds: Holds) -> Scenario:
    """Replace what a call's result has come down to by ``None``, where it plays no part."""
    idle = {repr(each) for each in (("dict", ()), ("list", ()), "", b"", 0, None)}
    steps = tuple(
        Call(step.plugin, step.tool, step.request_id, None, step.trace_id)
        if isinstance(step, Call) and repr(step.result) in idle
        else step
        for step in made.steps
    )
    plain = Scenario(made.config, made.ceiling, steps)
    return plain if holds(plain) else made


RECIPES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-600, 600),
        st.floats(),
        st.text(max_size=6),
        st.binary(max_size=6),
        st.sampled_from([("thing",), ("index", 3), ("decimal", "3.5"), ("repeated", "[", 9)]),
    ),
    lambda inner: st.one_of(
        st.builds(
            lambda kind, items: sequence(items, kind),
            st.sampled_from(sorted(SEQUENCES)),
            st.lists(inner, max_size=3),
        ),
        st.builds(
            lambda kind, pairs: mapping(pairs, kind),
            st.sampled_from(sorted(MAPPINGS)),
            st.dictionaries(st.text(max_size=3), inner, max_size=3),
        ),
    ),
    max_leaves=8,
)


def ends(recipe: Recipe, take: Callable[[Iterable[Recipe]], list[Recipe]]) -> int:
    """Count the variants until there is none left."""
    count = 0
    while variants := take(simpler_recipe(recipe)):
        for variant in variants:
            assert not same(variant, recipe)
        recipe = variants[len(variants) // 2]
        count += 1
        assert count < 5000, "reducing does not end"
    return count


@given(RECIPES)
@settings(max_examples=60)
def test_every_simpler_value_differs_and_there_is_an_end(recipe: Recipe) -> None:
    """Rule: for any value, also those that no strategy generates; no bold step is needed."""
    ends(recipe, list)


@pytest.mark.parametrize(
    ("limit", "start"), [(5, 12), (1, 2**64 - 1), (2**32, 2**64 - 1), (504, 10**6), (7, 7)]
)
def test_a_limit_is_found_to_the_number(limit: int, start: int) -> None:
    """Rule: the smallest number that still differs, in few steps down, not one by one."""
    value, steps = start, 0
    while True:
        lower = [
            each for each in simpler_recipe(value) if type(each) is int and limit <= each < value
        ]
        if not lower:
            break
        value = lower[0]
        steps += 1
    assert value == limit
    assert steps < 200
