"""The certificate of a verdict "ready": what was compared, how well, until when it holds.

It is a record, no signature: whoever can write the file can write a certificate. Its digest shows
that nobody edited it in passing, and that it is whole.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import json
import platform
import reprlib
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from retry_parity import candidates, state_file
from retry_parity.deciding.problems import HASH_SHOWN, shown
from retry_parity.deciding.run_files import canonical
from retry_parity.deciding.thresholds import MOST_DAYS
from retry_parity.deciding.verdict import Answer
from retry_parity.evidence_files import installed_versions, ledger_hash
from retry_parity.ledger import today as this_day
from retry_parity.output import write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from retry_parity.deciding.thresholds import Thresholds
    from retry_parity.deciding.verdict import Verdict

FORMAT: Final = 1
KIND: Final = "retry-parity certificate"
#: Stands for any version of a package.
ANY: Final = "*"

_DIGEST: Final = "digest"
#: A longer file, in bytes, is no certificate: a plugin reads it whole.
_LONGEST: Final = 16 * 1024 * 1024


class CertificateError(ValueError):
    """A certificate cannot be made, written, or does not hold; the message is one line."""


def _day(value: object) -> dt.date:
    """Take a day as it is written in a certificate, and in no other way."""
    with contextlib.suppress(ValueError):
        if isinstance(value, str) and dt.date.fromisoformat(value).isoformat() == value:
            return dt.date.fromisoformat(value)
    message = "is no day; one is written as 2026-12-31"
    raise ValueError(message)


_Day = Annotated[dt.date, BeforeValidator(_day)]
_Sha = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
_Count = Annotated[int, Field(ge=0)]


class _Document(BaseModel):
    """What a certificate has to say, whoever wrote it."""

    model_config = ConfigDict(strict=True, frozen=True)

    date: _Day
    valid_until: _Day
    python: str
    plugin: str
    candidate: str
    config: _Sha
    ledger: _Sha
    versions: Annotated[dict[str, str | None], Field(max_length=64)]
    evidence: _Sha
    seeds: list[str]
    traces: list[dict[str, Any]]
    thresholds: _Sha
    confidence: _Share
    runs: dict[str, _Count]
    compared: dict[str, _Count]
    divergent: _Count
    rate_bound: _Share
    checks: dict[str, str]
    strata: list[dict[str, Any]]
    accepted: dict[str, _Count]
    gaps: dict[str, Any]

    @model_validator(mode="after")
    def _is_worth_something(self) -> _Document:
        if self.divergent:
            message = f"divergent: {self.divergent:,} unexplained divergences, none are allowed"
            raise ValueError(message)
        days = (self.valid_until - self.date).days
        if days > MOST_DAYS:
            message = (
                f"valid_until: {self.valid_until} is {days:,} days after its date {self.date}, "
                f"{MOST_DAYS} are allowed"
            )
            raise ValueError(message)
        return self


def certificate(
    verdict: Verdict, thresholds: Thresholds, today: dt.date | None = None
) -> dict[str, Any]:
    """Make a certificate.

    Args:
        verdict: Ready.
        thresholds: By which it was judged.
        today: Its date; ``None`` means this day.

    Returns:
        Plain data.

    Raises:
        CertificateError: The verdict is not ready, no run was under a plugin's config, or the
            thresholds allow what no certificate may: divergences.
    """
    identity = verdict.identity
    if verdict.answer is not Answer.READY:
        message = f"the verdict is {verdict.answer}; there are certificates of ready ones only"
        raise CertificateError(message)
    if not identity["config"]:
        message = "no run was under a plugin's config, so that a certificate would hold for none"
        raise CertificateError(message)
    day = today or this_day()
    waived = [row for row in verdict.strata if row.waived and row.compared < row.required]
    ends = [day + dt.timedelta(days=thresholds.valid_days)]
    ends += [
        waiver.review_by
        for waiver in thresholds.waive
        if any(waiver.covers(row.stratum) for row in waived) and waiver.review_by >= day
    ]
    totals = verdict.totals
    made: dict[str, Any] = {
        "kind": KIND,
        "format": FORMAT,
        "date": day.isoformat(),
        "valid_until": min(ends).isoformat(),
        "python": platform.python_version(),
        **{
            name: identity[name]
            for name in ("plugin", "candidate", "config", "ledger", "versions", "evidence")
        },
        "seeds": identity["seeds"],
        "traces": identity["traces"],
        "thresholds": thresholds.digest(),
        "confidence": thresholds.confidence,
        "runs": dict(sorted(totals.runs.items())),
        "compared": dict(sorted(totals.compared.items())),
        "divergent": totals.divergences,
        "rate_bound": verdict.bound,
        "checks": {check.name: check.said for check in verdict.checks},
        "strata": [
            {
                "stratum": row.stratum,
                "compared": row.compared,
                "accepted": row.accepted,
                "divergent": row.divergent,
                "bound": row.bound,
            }
            for row in verdict.strata
            if row.possible
        ],
        "accepted": dict(sorted(totals.accepted.items())),
        "gaps": {
            "waived": {row.stratum: row.waived for row in waived},
            "impossible": sum(not row.possible for row in verdict.strata),
            "not_compared": dict(sorted(totals.not_compared.items())),
            "problems": list(verdict.problems),
        },
    }
    _parsed(made)
    return {**made, _DIGEST: digest_of(made)}


def digest_of(made: Mapping[str, object]) -> str:
    """Give the SHA-256 of a certificate's canonical form, without the digest itself."""
    rest = {key: value for key, value in made.items() if key != _DIGEST}
    return hashlib.sha256(canonical(rest)).hexdigest()


def write_certificate(path: Path, made: Mapping[str, object]) -> None:
    """Write a certificate; it appears whole or not at all.

    Raises:
        OutputError: It cannot be written.
    """
    write_whole(path, json.dumps(made, indent=2) + "\n")


class Requirement(NamedTuple):
    """What a plugin object that requires a certificate has to find in it.

    Attributes:
        path: Where the certificate is.
        plugin: The plugin's name.
        config: SHA-256 of its config without ``migration:``.
        candidate: What would decide under ``rust``.
    """

    path: Path
    plugin: str
    config: str
    candidate: str

    def check(self, today: dt.date | None = None) -> None:
        """Read the certificate, and see whether it holds here.

        Args:
            today: The day by which it is judged; ``None`` means this one.

        Raises:
            CertificateError: One line says what is missing or wrong.
        """
        found = _read(self.path)
        try:
            trouble = self._trouble(_parsed(found), today or this_day())
        except CertificateError as error:
            trouble = str(error)
        if trouble is not None:
            message = f"{self.path}: {trouble}"
            raise CertificateError(message)

    def _trouble(self, found: _Document, day: dt.date) -> str | None:
        if day > found.valid_until:
            return f"expired: valid until {found.valid_until}"
        if day < found.date:
            return f"of a day to come: its date is {found.date}, this is {day}"
        if self.candidate != candidates.RUST:
            return f"other candidate: migration.candidate is {self.candidate}, for drills only"
        for name, there, here in (
            ("candidate", found.candidate, self.candidate),
            ("plugin", found.plugin, self.plugin),
        ):
            if there != here:
                return f"other {name}: {shown(there)} in the certificate, {shown(here)} here"
        for name, there, here in (
            ("config", found.config, self.config),
            ("ledger", found.ledger, ledger_hash()),
        ):
            if there != here:
                hashes = f"{there[:HASH_SHOWN]}.. in the certificate, {here[:HASH_SHOWN]}.. here"
                return f"other {name}: SHA-256 {hashes}"
        unlike = _unlike(found.versions)
        return f"other versions: {unlike}" if unlike else None


def _read(path: Path) -> dict[str, Any]:
    """Read what is whole, of this format, and was not edited.

    Raises:
        CertificateError: It is not.
    """
    try:
        text = state_file.read(path, _LONGEST + 1)
    except FileNotFoundError as error:
        message = f"{path}: no such file; retry-parity verdict --certificate writes one"
        raise CertificateError(message) from error
    except OSError as error:
        message = f"{path}: cannot be read: {(error.strerror or 'error').lower()}"
        raise CertificateError(message) from error
    except ValueError as error:
        message = f"{str(path)!r}: cannot be read: {error}"
        raise CertificateError(message) from error
    try:
        found = json.loads(text)
        digest = digest_of(found) if isinstance(found, dict) else None
    except (ValueError, RecursionError):
        found = digest = None
    if not isinstance(found, dict) or found.get("kind") != KIND:
        message = f"{path}: is no certificate, or not a whole one"
        raise CertificateError(message)
    given = found.get("format")
    if type(given) is not int or given != FORMAT:
        message = f"{path}: format {shown(reprlib.repr(given))}, {FORMAT} is known"
        raise CertificateError(message)
    if found.get(_DIGEST) != digest:
        message = f"{path}: was edited: its digest is not that of its contents"
        raise CertificateError(message)
    return found


def _parsed(found: Mapping[str, Any]) -> _Document:
    """See whether everything is there and of its type.

    Raises:
        CertificateError: One line names what is not; the path is not in it.
    """
    try:
        return _Document.model_validate(found)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
    place = ".".join(shown(part) for part in first["loc"])
    given, why = shown(reprlib.repr(first["input"])), first["msg"]
    if first["type"] == "value_error":
        why = str(first["ctx"]["error"])
    if first["type"] == "missing":
        message = f"{place}: is missing"
    elif place:
        message = f"{place}: {given}: {why[:1].lower()}{why[1:]}"
    else:
        message = why
    raise CertificateError(message)


def _unlike(versions: Mapping[str, str | None]) -> str:
    here = installed_versions()
    return ", ".join(
        f"{shown(name)} {shown(versions.get(name) or 'missing')} in the certificate, "
        f"{here.get(name) or 'missing'} here"
        for name in sorted(versions.keys() | here.keys())
        if versions.get(name) != ANY and (name not in versions or versions[name] != here.get(name))
    )
