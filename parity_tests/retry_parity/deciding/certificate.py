"""The certificate of a verdict "ready": what was compared, how well, until when it holds.

It is a record, no signature: whoever can write the file can write a certificate. Its digest shows
that nobody edited it in passing, and that it is whole.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import platform
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from retry_parity import candidates
from retry_parity.deciding.problems import shown
from retry_parity.deciding.run_files import canonical
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
_HASH_SHOWN: Final = 12
#: A longer file, in bytes, is no certificate: a plugin reads it whole.
_LONGEST: Final = 16 * 1024 * 1024


class CertificateError(ValueError):
    """A certificate cannot be made, written, or does not hold; the message is one line."""


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
        CertificateError: The verdict is not ready, or no run was under a plugin's config.
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
        trouble = self._trouble(_read(self.path), today or this_day())
        if trouble is not None:
            message = f"{self.path}: {trouble}"
            raise CertificateError(message)

    def _trouble(self, found: Mapping[str, Any], day: dt.date) -> str | None:
        if day > dt.date.fromisoformat(found["valid_until"]):
            return f"expired: valid until {found['valid_until']}"
        if self.candidate != candidates.RUST:
            return f"other candidate: migration.candidate is {self.candidate}, for drills only"
        if found["plugin"] != self.plugin:
            names = f"{shown(found['plugin'])} in the certificate, {shown(self.plugin)} here"
            return f"other plugin: {names}"
        for name, here in (("config", self.config), ("ledger", ledger_hash())):
            if found[name] != here:
                there = found[name][:_HASH_SHOWN]
                hashes = f"{there}.. in the certificate, {here[:_HASH_SHOWN]}.. here"
                return f"other {name}: SHA-256 {hashes}"
        unlike = _unlike(found["versions"])
        return f"other versions: {unlike}" if unlike else None


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            text = file.read(_LONGEST + 1)
    except FileNotFoundError as error:
        message = f"{path}: no such file; retry-parity verdict --certificate writes one"
        raise CertificateError(message) from error
    except OSError as error:
        message = f"{path}: cannot be read: {(error.strerror or 'error').lower()}"
        raise CertificateError(message) from error
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or found.get("kind") != KIND:
        message = f"{path}: is no certificate, or not a whole one"
        raise CertificateError(message)
    if found.get("format") != FORMAT:
        message = f"{path}: format {shown(repr(found.get('format')))}, {FORMAT} is known"
        raise CertificateError(message)
    # From here on every key is there and of its type: it is what was written.
    if found.get(_DIGEST) != digest_of(found):
        message = f"{path}: was edited: its digest is not that of its contents"
        raise CertificateError(message)
    return found


def _unlike(versions: Mapping[str, str | None]) -> str:
    here = installed_versions()
    return ", ".join(
        f"{shown(name)} {shown(version or 'missing')} in the certificate, "
        f"{here.get(name) or 'missing'} here"
        for name, version in sorted(versions.items())
        if version != ANY and here.get(name) != version
    )
