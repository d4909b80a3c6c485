"""Scenarios that may show what a sample of a live divergence tells of.

A sample has the result itself where the evidence was captured in full, else facts of it: types,
lengths, status codes. What the facts leave open is tried in all ways that could matter.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from retry_parity.deciding.run_files import canonical
from retry_parity.minimizing import words
from retry_parity.minimizing.finding import Found
from retry_parity.minimizing.fixtures import recipe_of
from retry_parity.minimizing.rehearsal import MinimizeError
from retry_parity.recipes import Recipe, mapping, sequence
from retry_parity.scenarios import Call, Scenario, Wait

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from retry_parity.scenarios import Step

_POLICY: Final = ("max_retries", "backoff_base_ms", "max_backoff_ms", "retry_on_status")
#: Values that stand for the kinds of `Facts`.
_VALUES: Final[Mapping[str, Recipe]] = {
    "null": None,
    "true": True,
    "false": False,
    "integer": 1,
    "float": 1.0,
    "text": "x",
    "object": mapping({}),
    "list": sequence([]),
}
#: Integers that are no status a sample would tell.
_OTHER_STATUSES: Final = (2**31, 1000, -1)
_SIGNALS: Final = ('{"status_code":503}', '{"isError":true}')
_CONTAINERS: Final = ("snapshot", "lazy")
#: Seconds between the last call of the chain and the sample's, which no sample tells.
_LAST_WAITS: Final = (0.0, 301.0)
_MOST_ITEMS: Final = 64
_LONGEST_TEXT: Final = 100_000


@dataclass(frozen=True, slots=True)
class _Guess:
    """What facts leave open.

    Attributes:
        container: Kind of dict of all results.
        text: Place of the signal in the sample's first text; -1 for none.
        status: A status for one that is not told.
    """

    container: str
    text: int
    status: int


def found_of(
    sample: Mapping[str, Any], config: Mapping[str, object] | None, ceiling: int | None
) -> Found:
    """Give what a sample tells of, with the scenarios that may show it, the likeliest first.

    Args:
        sample: A line of ``samples.jsonl``.
        config: The plugin config; ``None`` takes the policy that the sample has.
        ceiling: The gateway's limit on retries.

    Raises:
        MinimizeError: No config was given, and the sample has no policy.
    """
    signature = str(sample["signature"])
    scenarios = tuple(dict.fromkeys(_scenarios(sample, config, ceiling)))
    origin = hashlib.sha256(canonical(sample)).hexdigest()
    return Found(signature, "", "a sample", scenarios, origin)


def is_whole(sample: Mapping[str, Any]) -> bool:
    """Whether a sample has the result of its call itself."""
    return not isinstance(_captured(sample), _Nothing)


def _scenarios(
    sample: Mapping[str, Any], config: Mapping[str, object] | None, ceiling: int | None
) -> Iterator[Scenario]:
    configs = _configs(sample) if config is None else [recipe_of(dict(config))]
    guesses = [
        _Guess(*each) for each in itertools.product(_CONTAINERS, _texts_of(sample), _OTHER_STATUSES)
    ]
    for made, wait, guess in itertools.product(configs, _LAST_WAITS, guesses):
        yield Scenario(made, ceiling, tuple(_steps(sample, guess, wait)))


def _configs(sample: Mapping[str, Any]) -> list[Recipe]:
    """Give the configs that have the sample's policy: jitter and text check are not told."""
    for side in ("legacy", "rust"):
        policy = (sample.get(side) or {}).get("policy")
        if isinstance(policy, dict) and set(_POLICY) <= set(policy):
            told = {key: policy[key] for key in _POLICY}
            return [
                recipe_of({**told, "jitter": jitter, "check_text_content": text})
                for text, jitter in itertools.product((False, True), (False, True))
            ]
    message = "the sample has no policy; name the plugins file with --config"
    raise MinimizeError(message)


def _texts_of(sample: Mapping[str, Any]) -> tuple[int, ...]:
    """Give where in the first text the signal may be: where a retry was wanted, there is one."""
    if is_whole(sample):
        return (-1,)
    delay = (sample.get("legacy") or {}).get("delay_ms")
    wanted = isinstance(delay, int) and delay > 0
    return (0, 1, -1) if wanted else (-1, 0, 1)


def _steps(sample: Mapping[str, Any], guess: _Guess, last_wait_s: float) -> Iterator[Step]:
    tool = sample.get("tool")
    tool = tool if isinstance(tool, str) else words.TOOL
    chain: Sequence[Mapping[str, Any]] = sample.get("chain", ())
    before_s: float | None = None
    for told in chain:
        at_s = float(told.get("at_s", 0.0))
        if before_s is not None and at_s > before_s:
            yield Wait(at_s - before_s)
        before_s = at_s
        text = 0 if told.get("legacy") == "retry" else -1
        step_guess = _Guess(guess.container, text, guess.status)
        yield Call(0, tool, words.REQUEST, _result(told.get("result", {}), step_guess))
    if chain and last_wait_s:
        yield Wait(last_wait_s)
    captured = _captured(sample)
    result = (
        _result(sample.get("result", {}), guess)
        if isinstance(captured, _Nothing)
        else recipe_of(captured, guess.container)
    )
    yield Call(0, tool, words.REQUEST, result)


class _Nothing:
    """No result: ``None`` may be one."""


def _captured(sample: Mapping[str, Any]) -> Any:
    try:
        return json.loads(sample["captured"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return _Nothing()  # redacted, or cut off


def _result(facts: Mapping[str, Any], guess: _Guess) -> Recipe:
    """Build a result that has these facts."""
    if "isError" not in facts:
        return None  # no dict
    fields: dict[Recipe, Recipe] = {
        "content": _content(facts, guess),
        "isError": _value(facts, "isError"),
    }
    structured = _value(facts, "structuredContent")
    if facts.get("structuredContent") == "object":
        inner: dict[Recipe, Recipe] = {}
        if facts.get("structuredContent.isError", "null") != "null":
            inner["isError"] = _value(facts, "structuredContent.isError")
        if facts.get("structuredContent.status_code", "null") != "null":
            inner["status_code"] = _status(facts, guess)
        structured = mapping(inner)
    fields["structuredContent"] = structured
    return recipe_of_fields(fields, guess.container)


def recipe_of_fields(fields: dict[Recipe, Recipe], container: str) -> Recipe:
    """Give the recipe of a result in a kind of dict, as a fixture names it."""
    return mapping(fields, recipe_of({}, container)[0])


def _status(facts: Mapping[str, Any], guess: _Guess) -> Recipe:
    if facts["structuredContent.status_code"] != "integer":
        return _value(facts, "structuredContent.status_code")
    told = facts.get("status_code")
    return told if isinstance(told, int) else guess.status


def _content(facts: Mapping[str, Any], guess: _Guess) -> Recipe:
    if facts.get("content") != "list":
        return _value(facts, "content")
    count = min(int(facts.get("items", 0)), _MOST_ITEMS)
    length = facts.get("first_text_length")
    if not isinstance(length, int):
        return sequence([mapping({"type": "image"})] * count)
    text = "x" * min(length, _LONGEST_TEXT)
    if guess.text >= 0 and len(_SIGNALS[guess.text]) <= length:
        text = _SIGNALS[guess.text].ljust(len(text))
    others = [mapping({"type": "text", "text": ""})] * (count - 1)
    return sequence([mapping({"type": "text", "text": text}), *others])


def _value(facts: Mapping[str, Any], name: str) -> Recipe:
    return _VALUES.get(str(facts.get(name, "null")))
