"""Variants of a scenario that say less of where it is from, and what is left that says something.

They go with those of `shrinking`: a reduction takes whichever of both still shows the divergence.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from retry_parity.minimizing import words
from retry_parity.recipes import MAPPINGS, SEQUENCES, Recipe, mapping
from retry_parity.scenarios import Call, Scenario, Wait
from retry_parity.shrinking import simpler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_OVERRIDES: Final = "tool_overrides"
_STATUS_PLACES: Final = ("status_code", "retry_on_status")
#: Seconds that stand for others: short, just within a chain's life, just beyond, long.
_WAITS: Final = (1.0, 299.0, 300.0, 301.0, 1000.0)
#: Characters of what is shown of a text that stays.
_MOST_SHOWN: Final = 80


@dataclass(frozen=True, slots=True)
class Kept:
    """Something of the original that is still there.

    Attributes:
        place: Where.
        what: What, for the person who minimizes.
        known: Whether anybody may see it: a status code, a setting, or words that a decision reads.
        is_text: Whether it is a text, which may be a part of what it was.
    """

    place: str
    what: str
    known: bool
    is_text: bool = False


def variants(scenario: Scenario) -> Iterator[Scenario]:
    """Give simpler and more neutral variants, the boldest first."""
    # What is large or private goes first, so that little is left where reducing ends early.
    yield from _renamed(scenario)
    yield from simpler(scenario)
    yield from _flat(scenario)
    yield from _texts(scenario)
    yield from _keys(scenario)
    yield from _numbers(scenario)
    yield from _waits(scenario)


def kept(scenario: Scenario) -> list[Kept]:
    """Say what of the original may still be in a scenario, in order."""
    found = [] if scenario.ceiling is None else [Kept("ceiling", str(scenario.ceiling), known=True)]
    found += _kept_in("config", scenario.config, is_config=True)
    for number, step in enumerate(scenario.steps, start=1):
        if isinstance(step, Wait):
            found.append(Kept(f"step {number}", f"{step.seconds:g} s pass", known=True))
        elif isinstance(step, Call):
            for place, name in (("tool", step.tool), ("request id", step.request_id)):
                if name not in {words.TOOL, words.REQUEST}:
                    known = words.is_neutral_name(name)
                    found.append(Kept(f"step {number}, {place}", _shown(name), known))
            if isinstance(step.result, tuple) and step.result[0] not in {"dict", "list"}:
                found.append(Kept(f"step {number}, result", f"a {step.result[0]} dict", known=True))
            found += _kept_in(f"step {number}, result", step.result, is_config=False)
    return found


def kept_of(original: Scenario, scenario: Scenario) -> list[Kept]:
    """Say what is left of another scenario: a number that was reduced is none of it any more."""
    before = {each.what for each in kept(original)}
    return [
        each for each in kept(scenario) if each.is_text or not each.known or each.what in before
    ]


def _kept_in(place: str, recipe: Recipe, *, is_config: bool) -> Iterator[Kept]:
    if not isinstance(recipe, tuple):
        yield from _kept_scalar(place, recipe, is_config=is_config)
    elif recipe[0] in MAPPINGS:
        is_tools = place == f"config.{_OVERRIDES}"
        for key, value in recipe[1]:
            # Of a key that is not known the place must not tell either.
            if isinstance(key, str) and _is_known_key(key, is_config=is_config, is_tool=is_tools):
                inner = f"{place}.{key}"
            else:
                inner = f"{place}.(a key)"
                yield Kept(inner, f"the key {_shown(key)}", known=False)
            yield from _kept_in(inner, value, is_config=is_config)
    elif recipe[0] in SEQUENCES:
        for number, part in enumerate(recipe[1]):
            yield from _kept_in(f"{place}[{number}]", part, is_config=is_config)
    else:
        yield Kept(place, f"a value of kind {recipe[0]}", known=False)


def _is_known_key(key: str, *, is_config: bool, is_tool: bool) -> bool:
    if is_tool:
        return words.is_neutral_name(key)
    return key in words.CONFIG_KEYS if is_config else words.is_neutral_key(key)


def _kept_scalar(place: str, value: Any, *, is_config: bool) -> Iterator[Kept]:
    if value is None or isinstance(value, bool) or value == "" or value in words.TYPES:
        return
    if isinstance(value, str):
        known = words.is_neutral_text(value)
        if is_config:
            known = value.strip().lower() in words.FLAG_WORDS or value.strip().isdigit()
        yield Kept(place, f"the text {_shown(value)}", known, is_text=True)
    elif isinstance(value, int | float):
        is_status = any(each in place.rpartition(".")[2] for each in _STATUS_PLACES)
        neutral = value in words.NEUTRAL_NUMBERS or value != value  # noqa: PLR0124 - NaN
        if isinstance(value, float):
            neutral = neutral or value in words.NEUTRAL_FLOATS or value in _INFINITE
        # An operator's numbers are no secret; a tool's may be anything.
        known = is_config or neutral or (is_status and value in words.STATUSES)
        if is_config or not (neutral and value in {0, 1, 503}):
            yield Kept(place, str(value), known)
    else:
        yield Kept(place, f"a value of type {type(value).__name__}", known=False)


_INFINITE: Final = (float("inf"), float("-inf"))


def _shown(value: object) -> str:
    shown = repr(value)
    if len(shown) <= _MOST_SHOWN:
        return shown
    return f"{shown[:_MOST_SHOWN]}.. ({len(str(value))} long)"


# --- variants ------------------------------------------------------------------------------------


def _renamed(scenario: Scenario) -> Iterator[Scenario]:
    """Give neutral names to tools and requests, colons kept: a colon may be what joins chains."""
    names: dict[str, str] = {}
    for step in scenario.steps:
        if isinstance(step, Call):
            for plainest, name in ((words.TOOL, step.tool), (words.REQUEST, step.request_id)):
                for part in name.split(":"):
                    if not words.is_neutral_name(part) and part not in names:
                        free = plainest not in names.values()
                        names[part] = plainest if free else f"n{len(names) + 1}"
    if names:
        yield from _with_names(scenario, names)
    for part, name in names.items():
        yield from _with_names(scenario, {part: name})
        yield from _with_names(scenario, {part: words.masked(part)})


def _with_names(scenario: Scenario, names: Mapping[str, str]) -> Iterator[Scenario]:
    def renamed(name: str) -> str:
        return ":".join(names.get(part, part) for part in name.split(":"))

    steps = tuple(
        replace(step, tool=renamed(step.tool), request_id=renamed(step.request_id))
        if isinstance(step, Call)
        else step
        for step in scenario.steps
    )
    settings = _settings(scenario.config)
    overrides = settings.get(_OVERRIDES)
    if isinstance(overrides, tuple) and overrides[0] in MAPPINGS:
        pairs = {renamed(key) if isinstance(key, str) else key: each for key, each in overrides[1]}
        settings[_OVERRIDES] = (overrides[0], tuple(pairs.items()))
    config = mapping(settings, scenario.config[0]) if settings else scenario.config
    yield from _if_other(scenario, replace(scenario, config=config, steps=steps))


def _flat(scenario: Scenario) -> Iterator[Scenario]:
    """Put an override's settings into the base."""
    settings = _settings(scenario.config)
    overrides = _settings(settings.pop(_OVERRIDES, None))
    for override in overrides.values():
        flat = settings | _settings(override)
        yield replace(scenario, config=mapping(flat))


def _texts(scenario: Scenario) -> Iterator[Scenario]:
    """Take out of texts what no decision reads: of all at once, of each, word by word."""
    unknown = [text for text in _scalars(scenario, str) if not words.is_neutral_text(text)]
    for less in (_words_gone, _words_masked, words.masked):
        yield from _edited(scenario, {text: less(text) for text in unknown})
    for text in unknown:
        for less in (_words_gone, _words_masked, words.masked):
            yield from _edited(scenario, {text: less(text)})
        for word in words.unknown_words(text):
            for instead in ("x", "*", "0", "503"):
                yield from _edited(scenario, {text: words.without(text, [word], instead)})
    for text in _scalars(scenario, str):
        for number in words.numbers_of(text):
            yield from _edited(scenario, {text: words.without(text, [number], "503")})


def _words_gone(text: str) -> str:
    return words.without(text, words.unknown_words(text), "x")


def _words_masked(text: str) -> str:
    return words.without(text, words.unknown_words(text), "*")


def _keys(scenario: Scenario) -> Iterator[Scenario]:
    """Give keys of results that no decision reads a name that says nothing."""
    unknown: dict[str, str] = {}
    for step in scenario.steps:
        if isinstance(step, Call):
            for key in _keys_of(step.result):
                if isinstance(key, str) and not words.is_neutral_key(key):
                    unknown.setdefault(key, f"x{len(unknown)}")
    yield from _with_keys(scenario, unknown)
    for key, instead in unknown.items():
        yield from _with_keys(scenario, {key: instead})
        yield from _with_keys(scenario, {key: words.masked(key)})


def _with_keys(scenario: Scenario, names: Mapping[str, str]) -> Iterator[Scenario]:
    def renamed(recipe: Recipe) -> Recipe:
        return _mapped(recipe, lambda value: value, lambda key: names.get(key, key))

    yield from _if_other(scenario, _with_results(scenario, renamed))


def _numbers(scenario: Scenario) -> Iterator[Scenario]:
    """Put a number that says nothing in place of another, wherever that one is."""
    for number in _scalars(scenario, int):
        if number not in words.NEUTRAL_NUMBERS:
            for instead in words.NEUTRAL_NUMBERS:
                yield from _edited(scenario, {number: instead}, config=True)
                yield from _edited(scenario, {number: instead})
    for fraction in _scalars(scenario, float):
        if fraction not in words.NEUTRAL_FLOATS:
            for other in words.NEUTRAL_FLOATS:
                yield from _edited(scenario, {fraction: other})


def _waits(scenario: Scenario) -> Iterator[Scenario]:
    for number, step in enumerate(scenario.steps):
        if isinstance(step, Wait) and step.seconds not in _WAITS:
            for seconds in (*_WAITS, float(round(step.seconds)), float(int(step.seconds) + 1)):
                if seconds != step.seconds:
                    steps = list(scenario.steps)
                    steps[number] = Wait(seconds)
                    yield replace(scenario, steps=tuple(steps))


# --- recipes -------------------------------------------------------------------------------------


def _edited(
    scenario: Scenario, instead: Mapping[Any, Any], *, config: bool = False
) -> Iterator[Scenario]:
    """Replace scalars in all results, and in the config too where that is asked for."""

    def edited(recipe: Recipe) -> Recipe:
        return _mapped(recipe, swap, lambda key: key)

    def swap(value: Any) -> Any:
        # To a dict True is 1.
        return value if isinstance(value, bool) or value is None else instead.get(value, value)

    made = _with_results(scenario, edited)
    if config:
        made = replace(made, config=edited(made.config))
    yield from _if_other(scenario, made)


def _with_results(scenario: Scenario, change: Callable[[Recipe], Recipe]) -> Scenario:
    steps = tuple(
        replace(step, result=change(step.result)) if isinstance(step, Call) else step
        for step in scenario.steps
    )
    return replace(scenario, steps=steps)


def _if_other(scenario: Scenario, made: Scenario) -> Iterator[Scenario]:
    if made != scenario:
        yield made


def _mapped(recipe: Recipe, scalar: Callable[[Any], Any], key: Callable[[Any], Any]) -> Recipe:
    if not isinstance(recipe, tuple):
        return scalar(recipe)
    kind, *rest = recipe
    if kind in MAPPINGS:
        pairs = {key(name): _mapped(value, scalar, key) for name, value in rest[0]}
        return mapping(pairs, kind)
    if kind in SEQUENCES:
        return (kind, tuple(_mapped(part, scalar, key) for part in rest[0]))
    return recipe


def _scalars(scenario: Scenario, kind: type) -> list[Any]:
    """Give the scalars of a type in all results, each once, in order."""
    found: dict[Any, None] = {}
    for step in scenario.steps:
        if isinstance(step, Call):
            _collect(step.result, kind, found)
    return list(found)


def _collect(recipe: Recipe, kind: type, found: dict[Any, None]) -> None:
    if not isinstance(recipe, tuple):
        if type(recipe) is kind:
            found[recipe] = None
    elif recipe[0] in MAPPINGS:
        for _, value in recipe[1]:
            _collect(value, kind, found)
    elif recipe[0] in SEQUENCES:
        for part in recipe[1]:
            _collect(part, kind, found)


def _keys_of(recipe: Recipe) -> Iterator[Any]:
    if isinstance(recipe, tuple) and recipe[0] in MAPPINGS:
        for key, value in recipe[1]:
            yield key
            yield from _keys_of(value)
    elif isinstance(recipe, tuple) and recipe[0] in SEQUENCES:
        for part in recipe[1]:
            yield from _keys_of(part)


def _settings(config: Recipe) -> dict[Any, Recipe]:
    is_mapping = isinstance(config, tuple) and config[0] in MAPPINGS
    return dict(config[1]) if is_mapping else {}
