"""The fixture of a regression test: a chain as strict JSON, with what the reference decides on it.

Format 1 is one object:

* ``format``: 1. ``signature``: the divergence's name. ``candidate``: who showed it.
* ``reference``: ``legacy``. ``origin``: ``{"sha256": ..}`` of the trace or sample it is from.
* ``config``: the plugin config. ``ceiling``: the gateway's limit on retries, or null.
* ``load``: ``{"raises": family}``, null where the reference takes the config.
* ``divergent_step``: place in ``steps`` of the call that shows it, from 0; -1 for loading.
* ``steps``: ``{"wait_s": seconds}``, or ``{"call": .., "expected": ..}``. A call has ``tool``,
  ``request_id``, ``result``, and ``container``, the kind of dict the result comes in: ``dict``,
  ``snapshot`` (a subclass that changes nothing) or ``lazy`` (a subclass whose own storage is empty,
  as cpex up to 0.1.2 has it). What is expected is ``{"raises": family}``, or ``retry_delay_ms``
  (0 = no retry; with jitter ``{"at_least": .., "at_most": ..}``) and ``metadata``.
* ``accepted``, in a step: ``{"ledger": [ids], "instead": ..}``, where the ledger accepts another
  decision of the candidate; ``instead`` is that one.
* ``nonfinite``: JSON pointers to the places, null here, that hold NaN or an infinity.

Metadata are those of a hybrid's answer; a step that the hybrid's ledger entries touch says so.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NoReturn

from retry_parity.observation import Raised, Returned
from retry_parity.recipes import MAPPINGS, SEQUENCES, Recipe, mapping, sequence
from retry_parity.scenarios import Call, Scenario, Wait

if TYPE_CHECKING:
    from pathlib import Path

    from retry_parity.scenarios import Step

FORMAT: Final = 1

#: Kinds of dict by their name in a fixture, and by their name in a recipe.
CONTAINERS: Final = {"dict": "dict", "snapshot": "subclass", "lazy": "lazy"}

_CONTAINER_OF: Final = {kind: name for name, kind in CONTAINERS.items()}
_NONFINITE: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class FixtureError(ValueError):
    """A fixture cannot be read, or a scenario cannot be written as one; the message is one line."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What a side decides in a step.

    Attributes:
        delay_ms: Milliseconds; 0 = no retry. With jitter, the longest delay.
        drawn: Whether any delay from 1 ms up to `delay_ms` is as good.
        metadata: The answer's metadata.
        raises: Family of the exception; empty where it answers.
    """

    delay_ms: object = 0
    drawn: bool = False
    metadata: object = None
    raises: str = ""

    @classmethod
    def of(cls, outcome: object, *, drawn: bool = False) -> Decision:
        """Give an observed outcome as a decision."""
        if isinstance(outcome, Raised):
            return cls(raises=outcome.family)
        if isinstance(outcome, Returned):
            return cls(outcome.delay_ms, drawn, outcome.metadata)
        return cls(raises="(nothing)")

    def as_json(self) -> dict[str, object]:
        """Give it as the fixture has it."""
        if self.raises:
            return {"raises": self.raises}
        delay: object = self.delay_ms
        if self.drawn:
            delay = {"at_least": 1, "at_most": self.delay_ms}
        return {"retry_delay_ms": delay, "metadata": _jsonable(self.metadata)}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Decision:
        """Read what `as_json` gives."""
        if "raises" in told:
            return cls(raises=str(told["raises"]))
        delay = told["retry_delay_ms"]
        if isinstance(delay, Mapping):
            return cls(delay["at_most"], drawn=True, metadata=told["metadata"])
        return cls(delay, drawn=False, metadata=told["metadata"])

    def __str__(self) -> str:
        """Say it in words."""
        if self.raises:
            return f"an exception of the family {self.raises}"
        if self.drawn:
            return f"a retry in 1 to {self.delay_ms} ms"
        if type(self.delay_ms) is not int:
            return f"a retry_delay_ms of type {type(self.delay_ms).__name__}"
        return f"a retry in {self.delay_ms} ms" if self.delay_ms > 0 else "no retry"


@dataclass(frozen=True, slots=True)
class Accepted:
    """Another decision of the candidate that the ledger accepts.

    Attributes:
        ledger: Ids of the entries.
        instead: What the candidate decides.
    """

    ledger: tuple[str, ...]
    instead: Decision


@dataclass(frozen=True, slots=True)
class Fixture:
    """What a regression test needs.

    Attributes:
        signature: The divergence's name.
        candidate: Name of the candidate that showed it.
        origin: SHA-256 of what it is from.
        scenario: Config, calls and waits.
        step: Number of the step that shows it; -1 for loading.
        expected: What the reference decides, by step.
        accepted: What the ledger accepts besides, by step.
        load: Family of what the reference raises when it is loaded; empty where it loads.
        reference: Name of the reference.
    """

    signature: str
    candidate: str
    origin: str
    scenario: Scenario
    step: int
    expected: Mapping[int, Decision]
    accepted: Mapping[int, Accepted] = field(default_factory=dict)
    load: str = ""
    reference: str = "legacy"


def written(fixture: Fixture) -> str:
    """Give the text of a fixture.

    Raises:
        FixtureError: The scenario has a value that JSON has no word for.
    """
    steps = enumerate(fixture.scenario.steps)
    document = {
        "format": FORMAT,
        "signature": fixture.signature,
        "candidate": fixture.candidate,
        "reference": fixture.reference,
        "origin": {"sha256": fixture.origin},
        "ceiling": fixture.scenario.ceiling,
        "config": plain_of(fixture.scenario.config),
        "load": {"raises": fixture.load or None},
        "divergent_step": fixture.step,
        "steps": [_step(fixture, number, step) for number, step in steps],
    }
    nonfinite: dict[str, str] = {}
    document = _without_nonfinite(document, "", nonfinite)
    try:
        text = json.dumps(
            document | {"nonfinite": nonfinite}, indent=2, sort_keys=True, allow_nan=False
        )
    except (TypeError, ValueError, RecursionError) as error:
        message = f"the chain cannot be written as JSON: {error}"
        raise FixtureError(message) from error
    return f"{text}\n"


def read_fixture(path: Path) -> Fixture:
    """Read a fixture.

    Raises:
        FixtureError: The file cannot be read, or is no fixture of a known format.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        message = f"{path}: cannot be read: {error.strerror or error}"
        raise FixtureError(message) from error
    return parsed(text, str(path))


def parsed(text: bytes | str, name: str) -> Fixture:
    """Read the text of a fixture; ``name`` is where it is from, for a person.

    Raises:
        FixtureError: It is none of a known format.
    """
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        message = f"{name}: is no strict JSON: {error}"
        raise FixtureError(message) from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        message = f"{name}: is no fixture of format {FORMAT}"
        raise FixtureError(message)
    try:
        return _fixture(_with_nonfinite(document, "", document.get("nonfinite", {})))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        message = f"{name}: is no fixture of format {FORMAT}: {type(error).__name__}: {error}"
        raise FixtureError(message) from error


def recipe_of(value: object, container: str = "dict") -> Recipe:
    """Give the recipe of plain data.

    Args:
        value: JSON values, NaN and infinities included.
        container: The kind of dict for the outermost one, as a fixture names it.
    """
    if isinstance(value, dict):
        return mapping({key: recipe_of(each) for key, each in value.items()}, CONTAINERS[container])
    if isinstance(value, list | tuple):
        return sequence(map(recipe_of, value))
    return value


def plain_of(recipe: Recipe) -> Any:
    """Give the plain data of a recipe, whatever kinds of dict it has.

    Raises:
        FixtureError: It has something that JSON has no word for.
    """
    if not isinstance(recipe, tuple):
        if recipe is None or type(recipe) in {bool, int, float, str}:
            return recipe
        message = f"the chain has a value of type {type(recipe).__name__}, which JSON does not know"
        raise FixtureError(message)
    kind = recipe[0]
    if kind in MAPPINGS:
        for key, _ in recipe[1]:
            if type(key) is not str:
                message = f"the chain has a key of type {type(key).__name__}; JSON has texts only"
                raise FixtureError(message)
        return {key: plain_of(value) for key, value in recipe[1]}
    if kind in SEQUENCES:
        return [plain_of(part) for part in recipe[1]]
    message = f"the chain has a value of kind {kind}, which JSON does not know"
    raise FixtureError(message)


def container_of(recipe: Recipe) -> str:
    """Name the kind of dict of a result as a fixture does."""
    return _CONTAINER_OF.get(recipe[0], "dict") if isinstance(recipe, tuple) else "dict"


def _step(fixture: Fixture, number: int, step: Step) -> dict[str, object]:
    if isinstance(step, Wait):
        return {"wait_s": step.seconds}
    if not isinstance(step, Call):
        message = f"a {type(step).__name__.lower()} is no step of a regression test"
        raise FixtureError(message)
    told: dict[str, object] = {
        "call": {
            "tool": step.tool,
            "request_id": step.request_id,
            "container": container_of(step.result),
            "result": plain_of(step.result),
        }
    }
    if number in fixture.expected:
        told["expected"] = fixture.expected[number].as_json()
    if number in fixture.accepted:
        accepted = fixture.accepted[number]
        told["accepted"] = {
            "ledger": list(accepted.ledger),
            "instead": accepted.instead.as_json(),
        }
    return told


def _fixture(document: Mapping[str, Any]) -> Fixture:
    rows = document["steps"]
    accepted = {
        number: Accepted(
            tuple(row["accepted"]["ledger"]), Decision.from_json(row["accepted"]["instead"])
        )
        for number, row in enumerate(rows)
        if "accepted" in row
    }
    return Fixture(
        signature=document["signature"],
        candidate=document["candidate"],
        reference=document["reference"],
        origin=document["origin"]["sha256"],
        scenario=Scenario(
            recipe_of(document["config"]), document["ceiling"], tuple(map(_step_of, rows))
        ),
        step=document["divergent_step"],
        expected={
            number: Decision.from_json(row["expected"])
            for number, row in enumerate(rows)
            if "expected" in row
        },
        accepted=accepted,
        load=document["load"]["raises"] or "",
    )


def _step_of(row: Mapping[str, Any]) -> Step:
    if "wait_s" in row:
        return Wait(float(row["wait_s"]))
    call = row["call"]
    result = recipe_of(call["result"], call["container"])
    return Call(0, call["tool"], call["request_id"], result)


def _jsonable(value: object) -> Any:
    """Give an answer's metadata as plain data; what is none becomes its type's name."""
    if isinstance(value, Mapping):
        return {str(key): _jsonable(value[key]) for key in value}
    if isinstance(value, list | tuple):
        return [_jsonable(each) for each in value]
    plain = value is None or type(value) in {bool, int, float, str}
    return value if plain else type(value).__name__


def _without_nonfinite(value: Any, at: str, found: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {
            key: _without_nonfinite(each, f"{at}/{_escaped(key)}", found)
            for key, each in value.items()
        }
    if isinstance(value, list):
        return [
            _without_nonfinite(each, f"{at}/{number}", found) for number, each in enumerate(value)
        ]
    if isinstance(value, float) and not math.isfinite(value):
        found[at] = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        return None
    return value


def _with_nonfinite(value: Any, at: str, names: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {
            key: _with_nonfinite(each, f"{at}/{_escaped(key)}", names)
            for key, each in value.items()
        }
    if isinstance(value, list):
        return [_with_nonfinite(each, f"{at}/{number}", names) for number, each in enumerate(value)]
    return _NONFINITE[names[at]] if value is None and at in names else value


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _refuse_constant(name: str) -> NoReturn:
    message = f"it has {name}"
    raise ValueError(message)
