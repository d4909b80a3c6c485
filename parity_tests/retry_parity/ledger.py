"""The ledger: the differences that are accepted, each with its reason, as data.

`ledger.toml` says what is accepted and why; `predicates` says when a call shows it. An entry
explains single differences, never a whole decision: a decision is accepted only when every one of
its differences is explained.
"""

from __future__ import annotations

import datetime as dt
import logging
import tomllib
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeVar

from retry_parity.compare import Difference, Kind
from retry_parity.load_predicates import LOAD_PREDICATES, LoadCase
from retry_parity.policy_predicates import POLICY_PREDICATES, PolicyCase
from retry_parity.predicates import (
    CHAIN_KINDS,
    DECISION_PREDICATES,
    follows_its_own_count,
)
from retry_parity.process_probes import PROCESS_PROBES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from retry_parity.view import View

Member = TypeVar("Member", bound=StrEnum)

_log = logging.getLogger("retry_parity")

_FILE: Final = "ledger.toml"
_TEXTS: Final = ("id", "reference", "candidate", "reason", "predicate")


class Scope(StrEnum):
    """Where a difference can be seen."""

    DECISION = "decision"
    LOAD = "load"
    POLICY = "policy"
    PROCESS = "process"


#: What recognises the entries of a scope, by name.
_PREDICATES: Final[Mapping[Scope, Mapping[str, object]]] = MappingProxyType(
    {
        Scope.DECISION: DECISION_PREDICATES,
        Scope.LOAD: LOAD_PREDICATES,
        Scope.POLICY: POLICY_PREDICATES,
        Scope.PROCESS: PROCESS_PROBES,
    }
)

_LOAD_KINDS: Final = frozenset({Kind.LOAD_ONLY_BY_CANDIDATE, Kind.LOAD_ONLY_BY_REFERENCE})

#: The kinds of difference that can be seen in a scope. An entry covers some of them; what is seen
#: over a process's life is no difference of two answers.
_KINDS: Final[Mapping[Scope, frozenset[Kind]]] = MappingProxyType(
    {
        Scope.DECISION: frozenset(Kind) - _LOAD_KINDS - {Kind.POLICY},
        Scope.LOAD: _LOAD_KINDS | {Kind.RAISED_DIFFERENTLY},
        Scope.POLICY: frozenset({Kind.POLICY}),
        Scope.PROCESS: frozenset(),
    }
)


class LedgerError(ValueError):
    """The ledger's data is wrong; the message names the entry and the field."""


@dataclass(frozen=True, slots=True)
class Example:
    """The smallest case that shows a difference.

    Attributes:
        given: Config and call.
        reference: What the hybrid does with it.
        candidate: What the core does with it.
    """

    given: str
    reference: str
    candidate: str


@dataclass(frozen=True, slots=True)
class Entry:
    """An accepted difference.

    Attributes:
        id: Its name in BEHAVIOUR.md's last table, reports and counters.
        reference: What the hybrid does.
        candidate: What the core does.
        reason: Why that is accepted.
        review_by: Day by which somebody looks at it again; past it, it explains and is reported.
        predicate: Name of the function that recognises it; for scope ``process``, of the probe
            that shows it.
        scope: Where it can be seen.
        covers: Kinds of difference it may explain.
        desynchronises: Whether the two sides may count the chain differently afterwards; what
            follows from that on the same chain is explained by the same entry.
        example: The smallest case.
    """

    id: str
    reference: str
    candidate: str
    reason: str
    review_by: dt.date
    predicate: str
    scope: Scope
    covers: frozenset[Kind]
    desynchronises: bool
    example: Example


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the ledger makes of a decision's differences.

    Attributes:
        accepted: Ids of the entries that explain some of them, in ledger order.
        unexplained: The differences that no entry explains.
        desynchronised_by: The entry after which the two counts of the chain may differ, if any.
    """

    accepted: tuple[str, ...]
    unexplained: tuple[Difference, ...]
    desynchronised_by: str | None


class Ledger:
    """The entries, and the search for the one that explains a difference."""

    def __init__(self, entries: tuple[Entry, ...]) -> None:
        """Take the entries in the order in which they are tried."""
        self.entries = entries
        self._of_kind: dict[Kind, tuple[Entry, ...]] = {
            kind: tuple(
                entry for entry in entries if entry.scope is Scope.DECISION and kind in entry.covers
            )
            for kind in Kind
        }

    def explain(self, view: View, differences: tuple[Difference, ...]) -> Explanation:
        """Say which entries explain the differences of a decision."""
        accepted: list[str] = []
        unexplained: list[Difference] = []
        desynchronised_by: str | None = None
        for difference in differences:
            entry = self._explaining(view, difference)
            if entry is None:
                unexplained.append(difference)
                continue
            if entry.id not in accepted:
                accepted.append(entry.id)
            if entry.desynchronises:
                desynchronised_by = entry.id
        return Explanation(tuple(accepted), tuple(unexplained), desynchronised_by)

    def explain_load(self, case: LoadCase, difference: Difference) -> str | None:
        """Give the id of the entry that explains how the candidate refuses a config, if any."""
        return self._first(Scope.LOAD, difference, lambda name: LOAD_PREDICATES[name](case))

    def explain_policy(self, case: PolicyCase, difference: Difference) -> str | None:
        """Give the id of the entry that explains two unlike native policies, if any."""
        return self._first(Scope.POLICY, difference, lambda name: POLICY_PREDICATES[name](case))

    def _first(
        self, scope: Scope, difference: Difference, holds: Callable[[str], bool]
    ) -> str | None:
        """Give the id of the first entry of a scope whose predicate, by name, holds."""
        for entry in self.entries:
            if entry.scope is scope and difference.kind in entry.covers and holds(entry.predicate):
                return entry.id
        return None

    def expired(self, today: dt.date) -> tuple[Entry, ...]:
        """Give the entries whose review is overdue."""
        return tuple(entry for entry in self.entries if entry.review_by < today)

    def _explaining(self, view: View, difference: Difference) -> Entry | None:
        for entry in self._of_kind[difference.kind]:
            if _holds(entry, view, difference):
                return entry
        if difference.kind in CHAIN_KINDS and view.drift and follows_its_own_count(view):
            return next(entry for entry in self.entries if entry.id == view.drift.entry)
        return None


def _holds(entry: Entry, view: View, difference: Difference) -> bool:
    """Ask an entry's predicate; one that the call's own objects make fail does not hold."""
    try:
        return DECISION_PREDICATES[entry.predicate](view, difference)
    except Exception:  # noqa: BLE001 - a result may raise whatever it likes when it is read
        return False


def shipped_text() -> str:
    """Give the ledger that ships with this package as it is written."""
    return files("retry_parity").joinpath(_FILE).read_text(encoding="utf-8")


@cache
def shipped_ledger() -> Ledger:
    """Load the ledger that ships with this package, once per process.

    Entries past their review date are warned of. They still explain: an acceptance that lapsed by
    itself would turn a healthy comparison into an alarm overnight.
    """
    ledger = parse_ledger(shipped_text())
    overdue = ledger.expired(today())
    if overdue:
        _log.warning("the ledger: %s", "; ".join(map(overdue_line, overdue)))
    return ledger


def today() -> dt.date:
    """Give the day on which reviews are due; the one place here that reads the wall clock."""
    return dt.datetime.now(dt.UTC).date()


def overdue_line(entry: Entry) -> str:
    """Say that an entry is past its review date."""
    return f"{entry.id} is past its review date {entry.review_by}; it still explains"


def review_line(entry: Entry) -> str:
    """Say what to do about an entry that is past its review date."""
    return (
        f"ledger entry '{entry.id}': its review was due on {entry.review_by}. Look whether the "
        f"difference is still wanted: then set a later review_by in {_FILE}; if not, remove the "
        "entry and let the core do as the hybrid does"
    )


def parse_ledger(text: str) -> Ledger:
    """Read a ledger.

    Raises:
        LedgerError: The text is no TOML, or an entry lacks a field, has an unknown one or a
            wrong value, or an id occurs twice.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = f"the ledger is no TOML: {error}"
        raise LedgerError(message) from error
    rows = data.pop("entry", None)
    if data or not isinstance(rows, list) or not rows:
        message = "the ledger must consist of [[entry]] tables only"
        raise LedgerError(message)
    entries = tuple(_parse_entry(position, row) for position, row in enumerate(rows, start=1))
    seen: set[str] = set()
    for entry in entries:
        if entry.id in seen:
            message = f"entry '{entry.id}': the id occurs twice"
            raise LedgerError(message)
        seen.add(entry.id)
    return Ledger(entries)


def _parse_entry(position: int, row: Mapping[str, object]) -> Entry:
    name = row.get("id") or position
    fields = dict(row)
    texts = {key: _text(name, key, fields.pop(key, None)) for key in _TEXTS}
    review_by = fields.pop("review_by", None)
    if not isinstance(review_by, dt.date) or isinstance(review_by, dt.datetime):
        raise _wrong(name, "review_by", review_by, "a date such as 2027-06-30")
    scope = _member(name, "scope", fields.pop("scope", None), Scope)
    covers = fields.pop("covers", [])
    if not isinstance(covers, list):
        raise _wrong(name, "covers", covers, "a list of kinds")
    kinds = frozenset(_member(name, "covers", kind, Kind) for kind in covers)
    seen = _KINDS[scope]
    if not kinds <= seen or bool(kinds) != bool(seen):
        allowed = f"some of {', '.join(sorted(seen))}" if seen else "nothing"
        raise _wrong(name, "covers", covers, f"{allowed} in scope {scope}")
    desynchronises = fields.pop("desynchronises", False)
    if not isinstance(desynchronises, bool) or (desynchronises and scope is not Scope.DECISION):
        allowed = "true or false, and true in scope decision only"
        raise _wrong(name, "desynchronises", desynchronises, allowed)
    example = fields.pop("example", None)
    if not isinstance(example, dict) or set(example) != {"given", "reference", "candidate"}:
        raise _wrong(name, "example", example, "a table of given, reference and candidate")
    if fields:
        raise _wrong(name, next(iter(fields)), fields, "no such field")
    if example["reference"] == example["candidate"]:
        raise _wrong(
            name, "example.candidate", example["candidate"], "another than the reference's"
        )
    known = _PREDICATES[scope]
    if texts["predicate"] not in known:
        raise _wrong(name, "predicate", texts["predicate"], f"one of {', '.join(known)}")
    return Entry(
        **texts,
        review_by=review_by,
        scope=scope,
        covers=kinds,
        desynchronises=desynchronises,
        example=Example(
            **{key: _text(name, f"example.{key}", value) for key, value in example.items()}
        ),
    )


def _text(name: object, key: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _wrong(name, key, value, "a text")
    return value.strip()


def _member(name: object, key: str, value: object, kinds: type[Member]) -> Member:
    for member in kinds:
        if value == member.value:
            return member
    raise _wrong(name, key, value, f"one of {', '.join(kinds)}")


def _wrong(name: object, key: str, value: object, allowed: str) -> LedgerError:
    return LedgerError(f"entry '{name}': {key} is {value!r}; allowed is {allowed}")
