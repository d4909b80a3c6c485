"""Variants of a scenario that are simpler than it, for the reduction of a divergence.

Everything a variant changes is simpler by a fixed order, so that reducing ends, and so that two
scenarios with one cause tend to end at one smallest scenario.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from retry_parity.recipes import MAPPINGS, SEQUENCES, Recipe
from retry_parity.scenarios import Call, Fetch, Policy, Rebuild, Scenario, Wait

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from retry_parity.scenarios import Step

_TOOL: Final = "search"
_REQUEST: Final = "r1"

#: The plainest configs: the defaults, and the defaults without draws.
_PLAINEST: Final[tuple[Recipe, ...]] = (("dict", ()), ("dict", (("jitter", False),)))

#: Values to which others are simplified, the simplest first.
_SIMPLEST: Final[tuple[Any, ...]] = (None, False, True, 0, 1, 503)


def simpler(scenario: Scenario) -> Iterator[Scenario]:
    """Give variants, the boldest first."""
    for steps in _fewer(scenario.steps):
        yield replace(scenario, steps=steps)
    for steps in _alike(scenario.steps):
        yield replace(scenario, steps=steps)
    if scenario.other is not None:
        yield replace(scenario, other=None)
        yield replace(scenario, config=scenario.other, other=None)
        for config in _simpler_config(scenario.other):
            yield replace(scenario, other=config)
    if scenario.ceiling is not None:
        yield replace(scenario, ceiling=None)
    for config in _simpler_config(scenario.config):
        yield replace(scenario, config=config)
    for number, step in enumerate(scenario.steps):
        for variant in _simpler_step(step):
            steps = (*scenario.steps[:number], variant, *scenario.steps[number + 1 :])
            yield replace(scenario, steps=steps)


def _fewer(steps: tuple[Step, ...]) -> Iterator[tuple[Step, ...]]:
    """Leave out runs of steps, half of them first."""
    size = len(steps)
    while size:
        for start in range(0, len(steps), size):
            yield steps[:start] + steps[start + size :]
        size //= 2


def _alike(steps: tuple[Step, ...]) -> Iterator[tuple[Step, ...]]:
    """Give several steps one plugin object, tool or request at once: a chain needs the same."""
    for field, plainest in (("plugin", 0), ("tool", _TOOL), ("request_id", _REQUEST)):
        values = {getattr(step, field) for step in steps if hasattr(step, field)} - {plainest}
        for group in ([values] if len(values) > 1 else []) + [{value} for value in sorted(values)]:
            yield tuple(
                replace(step, **{field: plainest})  # type: ignore[arg-type] # the field is there
                if getattr(step, field, plainest) in group
                else step
                for step in steps
            )


def _simpler_config(config: Recipe) -> Iterator[Recipe]:
    is_dict = isinstance(config, tuple) and config[0] == "dict"
    for plainest in _PLAINEST:
        if not is_dict or _weight(config) > _weight(plainest):
            yield plainest
    yield from simpler_recipe(config)


def _simpler_step(step: Step) -> Iterator[Step]:
    if isinstance(step, Call):
        yield from _simpler_call(step)
    elif isinstance(step, Policy):
        if step.tool != _TOOL:
            yield replace(step, tool=_TOOL)
        if step.ceiling != 1:
            yield replace(step, ceiling=1)
        if step.plugin:
            yield replace(step, plugin=0)
    elif isinstance(step, Rebuild | Fetch):
        if step.plugin:
            yield replace(step, plugin=0)
    elif isinstance(step, Wait) and step.seconds != 1.0:
        yield replace(step, seconds=1.0)


def _simpler_call(call: Call) -> Iterator[Call]:
    if call.trace_id is not None:
        yield replace(call, trace_id=None)
    if call.plugin:
        yield replace(call, plugin=0)
    if call.tool != _TOOL:
        yield replace(call, tool=_TOOL)
    if call.request_id != _REQUEST:
        yield replace(call, request_id=_REQUEST)
    for result in simpler_recipe(call.result):
        yield replace(call, result=result)


def simpler_recipe(recipe: Recipe) -> Iterator[Recipe]:
    """Give simpler values: plainer containers first, then fewer parts, then plainer parts."""
    if not isinstance(recipe, tuple):
        yield from _simpler_scalar(recipe)
        return
    kind, *rest = recipe
    if kind in MAPPINGS:
        yield from _simpler_parts(kind, "dict", rest[0], _simpler_pair)
    elif kind in SEQUENCES:
        yield from _simpler_parts(kind, "list", rest[0], simpler_recipe)
    else:
        yield from _SIMPLEST


def _simpler_parts(
    kind: str, plainest: str, parts: tuple[Any, ...], simpler_part: Any
) -> Iterator[Recipe]:
    if kind != plainest:
        yield (plainest, parts)
    for fewer in _fewer(parts):
        yield (kind, fewer)
    for number, part in enumerate(parts):
        for variant in simpler_part(part):
            yield (kind, (*parts[:number], variant, *parts[number + 1 :]))


def _simpler_pair(pair: tuple[Recipe, Recipe]) -> Iterator[tuple[Recipe, Recipe]]:
    key, value = pair
    if isinstance(value, tuple) and value[0] in MAPPINGS and value[0] != "dict":
        yield (key, ("dict", value[1]))
    for variant in simpler_recipe(value):
        yield (key, variant)


def _simpler_scalar(value: Any) -> Iterator[Any]:
    if isinstance(value, str | bytes):
        yield from _shorter(value)
        return
    for simplest in _SIMPLEST:
        if type(simplest) is type(value) and simplest == value:
            break
        if type(simplest) is type(value) is int and 0 < value < simplest:
            break  # a number only ever becomes smaller
        yield simplest
    if type(value) is int and value > 0:
        # Ever smaller steps down, so that a limit is found in few of them.
        down = value // 2
        while down:
            yield value - down
            down //= 2


def _shorter(value: Any) -> Iterable[Any]:
    size = len(value)
    while size:
        for start in range(0, len(value), size):
            yield value[:start] + value[start + size :]
        size //= 2


def _weight(recipe: Recipe) -> int:
    return 1 + sum(map(_weight, recipe)) if isinstance(recipe, tuple) else 1
