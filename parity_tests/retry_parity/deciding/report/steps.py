"""A sample of a divergence as steps: what each side was given, what it did, and where they part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from retry_parity.deciding.report.formats import NOTHING

#: The sides as a sample names them, reference first.
REFERENCE: Final = "legacy"
CANDIDATE: Final = "rust"


@dataclass(frozen=True, slots=True)
class Decision:
    """What a side did.

    Attributes:
        did: In words: ``retry in 200 ms``, ``no retry``, ``raises ValueError``.
        retries: Whether it asked for a retry.
    """

    did: str
    retries: bool


@dataclass(frozen=True, slots=True)
class Particular:
    """One thing that both sides said.

    Attributes:
        what: Its name.
        reference: What the hybrid said, as text.
        candidate: What the candidate said, as text.
    """

    what: str
    reference: str
    candidate: str

    @property
    def differs(self) -> bool:
        """Whether they said unlike things."""
        return self.reference != self.candidate


@dataclass(frozen=True, slots=True)
class Step:
    """One call of a chain.

    Attributes:
        number: From 1, in the whole chain.
        facts: What is known of the result, in words.
        after_s: Seconds since the step before; ``None`` where it is not known.
        decided_by: ``legacy`` or ``rust``; empty where it is not known.
        reference: What the hybrid did; ``None`` where it was not asked.
        candidate: What the candidate did.
        parts: Whether this is the call that the sample is about.
        particulars: Of that call: delay, policy and what else both said.
    """

    number: int
    facts: tuple[str, ...]
    after_s: float | None
    decided_by: str
    reference: Decision | None
    candidate: Decision | None
    parts: bool = False
    particulars: tuple[Particular, ...] = ()

    @property
    def alike(self) -> bool:
        """Whether both retried, or both did not; delays of earlier calls may be drawn."""
        if self.reference is None or self.candidate is None:
            return True
        return self.reference.retries == self.candidate.retries


@dataclass(frozen=True, slots=True)
class Chain:
    """The smallest sample of a signature.

    Attributes:
        tool: Tool name; empty where it is not known.
        request: Salted hash of the request id; empty where it is not known.
        seq: Running number of the call in the trace; ``None`` outside a replay.
        accepted: Ledger entries that explain a part of the difference.
        forgotten: Calls between the last step but one and the last that were not kept.
        steps: The calls, oldest first; they part in the last one.
        captured: The result itself, where the operator asked for it; empty otherwise.
    """

    tool: str
    request: str
    seq: int | None
    accepted: tuple[str, ...]
    forgotten: int
    steps: tuple[Step, ...]
    captured: str


def chain_of(sample: Mapping[str, Any]) -> Chain:
    """Read a sample. Whatever is of another form than it should be is left out."""
    forgotten = _count(sample.get("chain_forgotten"))
    earlier = [_mapping(each) for each in _list(sample.get("chain"))]
    steps = [_earlier(number, each) for number, each in enumerate(earlier, start=1)]
    times = [_seconds(each.get("at_s")) for each in earlier]
    timed = [
        _timed(step, before, now)
        for step, before, now in zip(steps, [None, *times], times, strict=False)
    ]
    return Chain(
        tool=_text(sample.get("tool")),
        request=_text(sample.get("request")),
        seq=sample["seq"] if type(sample.get("seq")) is int else None,
        accepted=tuple(_text(each) for each in _list(sample.get("accepted"))),
        forgotten=forgotten,
        steps=(*timed, _last(len(earlier) + forgotten + 1, sample)),
        captured=_text(sample.get("captured")),
    )


def _earlier(number: int, told: Mapping[str, Any]) -> Step:
    return Step(
        number,
        _facts(told.get("result")),
        None,
        _text(told.get("decided_by")),
        _act(told.get(REFERENCE), told.get(f"{REFERENCE}_delay_ms")),
        _act(told.get(CANDIDATE), told.get(f"{CANDIDATE}_delay_ms")),
    )


def _timed(step: Step, before: float | None, now: float | None) -> Step:
    if before is None or now is None:
        return step
    return Step(
        step.number,
        step.facts,
        max(0.0, now - before),
        step.decided_by,
        step.reference,
        step.candidate,
    )


def _last(number: int, sample: Mapping[str, Any]) -> Step:
    reference, candidate = (sample.get(side) for side in (REFERENCE, CANDIDATE))
    return Step(
        number,
        _facts(sample.get("result")),
        None,
        "",
        _decision(reference),
        _decision(candidate),
        parts=True,
        particulars=_particulars(_mapping(reference), _mapping(candidate)),
    )


def _act(act: object, delay_ms: object) -> Decision | None:
    if not isinstance(act, str):
        return None
    if act == "retry":
        return Decision(f"retry in {_number(delay_ms)} ms", retries=True)
    return Decision("raises" if act == "raised" else act, retries=False)


def _decision(told: object) -> Decision | None:
    if not isinstance(told, Mapping):
        return None
    if "raised" in told:
        return Decision(f"raises {_text(told['raised']) or 'something'}", retries=False)
    delay_ms = told.get("delay_ms")
    if type(delay_ms) is not int:
        return Decision(f"a delay of type {_text(delay_ms) or 'unknown'}", retries=False)
    if delay_ms > 0:
        return Decision(f"retry in {delay_ms:,} ms", retries=True)
    return Decision("no retry" if delay_ms == 0 else f"a delay of {delay_ms:,} ms", retries=False)


def _particulars(
    reference: Mapping[str, Any], candidate: Mapping[str, Any]
) -> tuple[Particular, ...]:
    found = [("delay, ms", "delay_ms"), ("exception", "raised")]
    rows = [
        Particular(words, _shown(reference, key), _shown(candidate, key))
        for words, key in found
        if key in reference or key in candidate
    ]
    policies = reference.get("policy"), candidate.get("policy")
    if all(isinstance(each, Mapping) for each in policies):
        ours, theirs = (_mapping(each) for each in policies)
        keys = dict.fromkeys((*ours, *theirs))
        rows += [
            Particular(f"policy: {key}", _shown(ours, key), _shown(theirs, key)) for key in keys
        ]
    elif None not in policies:
        rows.append(Particular("policy", _shown(reference, "policy"), _shown(candidate, "policy")))
    for words, key in (("other fields", "other_fields"), ("internal errors", "internal_errors")):
        if reference.get(key) or candidate.get(key):
            rows.append(Particular(words, _shown(reference, key), _shown(candidate, key)))
    return tuple(rows)


def _shown(told: Mapping[str, Any], key: str) -> str:
    if key not in told:
        return NOTHING
    value = told[key]
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value)


#: Words for the facts whose value speaks for itself, in the order in which they decide.
_KINDS: Final = (
    ("isError", "isError"),
    ("structuredContent", "structuredContent"),
    ("structuredContent.isError", "structuredContent.isError"),
)


def _facts(told: object) -> tuple[str, ...]:
    facts = _mapping(told)
    if not facts:
        return ("nothing is known of the result",)
    if "isError" not in facts:
        return ("no result object",)
    found = [
        f"{words} {facts[key]}" for key, words in _KINDS if facts.get(key) not in {None, "null"}
    ]
    status = facts.get("structuredContent.status_code")
    if "status_code" in facts:
        found = [each for each in found if each != "structuredContent object"]
    if "status_code" in facts:
        found.append(f"status {facts['status_code']}")
    elif status not in {None, "null"}:
        found.append(f"status of type {status}")
    if "items" in facts:
        found.append(f"content: list of {facts['items']}")
    elif facts.get("content") not in {None, "null"}:
        found.append(f"content: {facts['content']}")
    if "first_text_length" in facts:
        found.append(f"first text: {facts['first_text_length']} characters")
    return tuple(found) or ("an object without a signal",)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _count(value: object) -> int:
    return value if type(value) is int and value > 0 else 0


def _number(value: object) -> str:
    return f"{value:,}" if type(value) is int else "?"


def _seconds(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
