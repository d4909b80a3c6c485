"""What the names in evidence mean, in words for who decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from retry_parity.compare import Kind
from retry_parity.deciding.verdict import Answer

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What an answer is, in a sentence's beginning.
ANSWERS: Final[Mapping[Answer, str]] = {
    Answer.READY: "Ready",
    Answer.NOT_READY: "Not ready",
    Answer.INSUFFICIENT: "Insufficient evidence",
}

#: Reasons for which a call is not compared; docs/MIGRATION.md has the same.
NOT_COMPARED: Final[Mapping[str, str]] = {
    "sampled-out": "under rust, not among compare_percent: as it should be",
    "chain-began-unseen": "the flag was flipped in the middle of the chain",
    "candidate-not-loaded": "the candidate refuses the config that the hybrid takes",
    "over-time-limit": "the hybrid alone took longer than time_limit_ms; no call shall take twice "
    "that",
    "content-read-once": "the content can be read once only, a generator for example: the second "
    "side would have found it empty",
    "too-large": "the two differ on a result with more than 256 Ki characters of text, over which "
    "nobody shall wait",
    "candidate-rests": "the candidate was slow too often, and is not asked for a while",
    "hybrid-not-loaded": "the hybrid refuses the config, or is not installed",
}
#: Begins the reasons for which the comparison itself failed; the step follows.
HARNESS: Final = "harness-error:"
_HARNESS_FAILED: Final = "the comparison itself failed in this step: report the line of the log"

#: What a kind of difference means for who called the tool.
KINDS: Final[Mapping[Kind, str]] = {
    Kind.RETRY_LOST: "the hybrid retries, the candidate does not: callers see a failure",
    Kind.RETRY_EXTRA: "the candidate retries where the hybrid does not: a call is made once more",
    Kind.DELAY: "both retry, after delays that no jitter explains",
    Kind.DELAY_TYPE: "the delay is of another type",
    Kind.METADATA: "the metadata differ; callers see no difference",
    Kind.RESULT: "another field of the answer differs",
    Kind.RAISED_ONLY_BY_CANDIDATE: "only the candidate raises an exception",
    Kind.RAISED_ONLY_BY_REFERENCE: "only the hybrid raises an exception",
    Kind.RAISED_DIFFERENTLY: "both raise, of unlike kinds",
    Kind.INTERNAL_ERROR: "the candidate met an internal error and gave up the retry",
    Kind.PAYLOAD_MUTATED: "the payload is changed by one of the two",
    Kind.POLICY: "the native policies differ",
    Kind.LOAD_ONLY_BY_CANDIDATE: "only the candidate refuses the config",
    Kind.LOAD_ONLY_BY_REFERENCE: "only the hybrid refuses the config",
}

#: Errors of the candidate, by the beginning of their name.
_ERRORS: Final[Mapping[str, str]] = {
    "internal": "an error that the core turned into “no retry”",
    "raised": "an exception that the core let out",
    "nonsense": "an answer that is none",
    "slow": "a decision that took longer than time_limit_ms",
    "load": "refuses a config that the hybrid takes",
}


def not_compared(reason: str) -> str:
    """Say why a call was not compared; empty where the reason is not known here."""
    return _HARNESS_FAILED if reason.startswith(HARNESS) else NOT_COMPARED.get(reason, "")


def error(name: str) -> str:
    """Say what an error of the candidate is; empty where it is not known here."""
    return _ERRORS.get(name.partition(":")[0], "")


def signature(text: str) -> tuple[str, ...]:
    """Say what a signature's kinds of difference mean; those that are not known are left out."""
    known = {kind.value: words for kind, words in KINDS.items()}
    kinds = (part.partition(":")[0] for part in text.split("+"))
    return tuple(dict.fromkeys(known[kind] for kind in kinds if kind in known))


def candidate(name: object) -> str:
    """Name the candidate as a person knows it."""
    return "Rust core" if name in {"rust", None, ""} else str(name)
