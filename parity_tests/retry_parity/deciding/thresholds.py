"""What evidence has to show: `thresholds.toml`, and a file of the operator's on top of it."""

from __future__ import annotations

import datetime as dt  # noqa: TC003 - Pydantic reads the annotations
import hashlib
import tomllib
from fnmatch import fnmatchcase
from importlib.resources import files
from pathlib import Path  # noqa: TC003 - used at run time by annotations of the command line
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from retry_parity.compare import Kind
from retry_parity.deciding.problems import shown
from retry_parity.evidence_files import installed_versions
from retry_parity.input import trouble_with
from retry_parity.strata import reachable

_FILE: Final = "thresholds.toml"

Share = Annotated[float, Field(ge=0, le=1, strict=True, allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=0, strict=True, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, strict=True)]
Text = Annotated[str, Field(min_length=1, strict=True)]


#: Of a certificate: what was compared longer ago says little about what is called now.
MOST_DAYS: Final = 366


class ThresholdsError(ValueError):
    """The thresholds cannot be used; the message is one line."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CoverageThresholds(_Table):
    """How much has to be compared.

    Attributes:
        per_stratum: Comparisons in every cell.
        most_rate: Upper bound on the rate of unexplained divergences, 0 to 1.
        live_comparisons: Comparisons in a gateway.
        most_not_compared: Share of the calls that were to be compared and were not, 0 to 1.
    """

    per_stratum: Count
    most_rate: Share
    live_comparisons: Count
    most_not_compared: Share


class TroubleThresholds(_Table):
    """What may go wrong, in counts.

    Attributes:
        candidate_errors: Errors of the candidate.
        harness_errors: Failures of the comparison.
        dropped: Evidence that could not be kept.
    """

    candidate_errors: Count
    harness_errors: Count
    dropped: Count


class LatencyThresholds(_Table):
    """How slow the candidate may be, as multiples of the hybrid.

    Attributes:
        median_ratio: The median's.
        p99_ratio: The 99th percentile's.
        calls: Calls of each side that are needed to tell.
    """

    median_ratio: Amount
    p99_ratio: Amount
    calls: Annotated[int, Field(ge=1, strict=True)]


class MemoryThresholds(_Table):
    """How much memory the candidate's chains may take.

    Attributes:
        ratio: Bytes per chain, as a multiple of the hybrid's.
        chains: Chains of each side that are needed to tell.
        small_bytes: With fewer, what the candidate's store may take in all.
    """

    ratio: Amount
    chains: Annotated[int, Field(ge=1, strict=True)]
    small_bytes: Count


class ImpactThresholds(_Table):
    """What unexplained divergences weigh.

    Attributes:
        most: What all together may weigh.
        idempotent: Patterns of the tools that may be called twice without harm.
        not_idempotent_factor: What one more call of any other tool weighs in comparison.
        weights: Of one divergence, by kind.
    """

    most: Amount
    idempotent: tuple[Text, ...]
    not_idempotent_factor: Annotated[float, Field(ge=1, strict=True, allow_inf_nan=False)]
    weights: dict[Kind, Amount]

    @model_validator(mode="after")
    def _every_kind_has_a_weight(self) -> ImpactThresholds:
        if missing := set(Kind) - set(self.weights):
            message = f"weights of {', '.join(sorted(missing))} are missing"
            raise ValueError(message)
        return self

    def is_idempotent(self, tool: str) -> bool:
        """Whether a tool may be called twice without harm."""
        return any(fnmatchcase(tool, pattern) for pattern in self.idempotent)


class Waiver(_Table):
    """Cells that need not be reached.

    Attributes:
        stratum: A pattern of their names (`strata.Stratum`).
        reason: Why.
        review_by: The last day on which it holds.
    """

    stratum: Text
    reason: Text
    review_by: Annotated[dt.date, Field(strict=True)]

    @model_validator(mode="after")
    def _there_are_such_cells(self) -> Waiver:
        if not any(self.covers(str(stratum)) for stratum in reachable()):
            message = (
                f"stratum {self.stratum!r} is no cell; one is {str(reachable()[0])!r}, and * "
                "stands for any text"
            )
            raise ValueError(message)
        return self

    def covers(self, stratum: str) -> bool:
        """Whether it is about a cell."""
        return fnmatchcase(stratum, self.stratum)


class Thresholds(_Table):
    """All of them; `thresholds.toml` has the defaults and says why.

    Attributes:
        confidence: Of the upper bounds, above 0 and below 1.
        valid_days: Days for which a certificate holds.
        coverage: How much has to be compared.
        trouble: What may go wrong.
        latency: How slow the candidate may be.
        memory: How much memory it may take.
        impact: What unexplained divergences weigh.
        versions: Versions that count in place of the installed ones, by package.
        waive: Cells that need not be reached.
    """

    confidence: Annotated[float, Field(gt=0, lt=1, strict=True, allow_inf_nan=False)]
    valid_days: Annotated[int, Field(ge=1, le=MOST_DAYS, strict=True)]
    coverage: CoverageThresholds
    trouble: TroubleThresholds
    latency: LatencyThresholds
    memory: MemoryThresholds
    impact: ImpactThresholds
    versions: dict[str, Text]
    waive: tuple[Waiver, ...] = ()

    @model_validator(mode="after")
    def _packages_are_known(self) -> Thresholds:
        known = installed_versions()
        if unknown := set(self.versions) - set(known):
            message = f"versions.{shown(min(unknown))}: known packages are {', '.join(known)}"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _something_is_required(self) -> Thresholds:
        cells = map(str, reachable())
        if all(any(waiver.covers(cell) for waiver in self.waive) for cell in cells):
            patterns = ", ".join(shown(repr(waiver.stratum)) for waiver in self.waive)
            message = f"waive: {patterns} match every cell, so that nothing would be required"
            raise ValueError(message)
        return self

    def digest(self) -> str:
        """Give a SHA-256 by which equal thresholds are known."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


def read_thresholds(path: Path | None = None) -> Thresholds:
    """Read the defaults, and a file on top of them.

    Args:
        path: TOML; its tables are laid over the shipped ones key by key, its lists replace them.
            ``None`` means the defaults.

    Raises:
        ThresholdsError: One line names the key, what was given and what is allowed.
    """
    data = tomllib.loads(shipped_thresholds())
    if path is not None:
        data = _laid_over(data, _read(path))
    try:
        return Thresholds.model_validate(data)
    except ValidationError as error:
        message = f"{path or _FILE}: {_one_line(error)}"
        raise ThresholdsError(message) from None


def shipped_thresholds() -> str:
    """Give the defaults as they are written, with their reasons."""
    return files("retry_parity.deciding").joinpath(_FILE).read_text(encoding="utf-8")


def _read(path: Path) -> dict[str, Any]:
    text = ""
    try:
        trouble = trouble_with(path)
        text = "" if trouble else path.read_text(encoding="utf-8")
    except OSError as error:
        trouble = f"cannot be read: {(error.strerror or 'error').lower()}"
    except ValueError:
        trouble = "is not UTF-8"
    if trouble:
        message = f"{path}: {trouble}"
        raise ThresholdsError(message)
    try:
        return tomllib.loads(text)
    except ValueError as error:
        message = f"{path}: is no TOML: {shown(error)}"
        raise ThresholdsError(message) from error


def _laid_over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    laid = dict(below)
    for key, value in above.items():
        under = below.get(key)
        both = isinstance(under, dict) and isinstance(value, dict)
        laid[key] = _laid_over(under, value) if both and under is not None else value
    return laid


def _one_line(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    parts = [part for part in first["loc"] if part != "[key]"]
    place = ".".join(shown(part) for part in parts)
    given = shown(repr(first["input"]))
    if first["type"] == "extra_forbidden":
        return f"{place}: unknown key; known keys are {', '.join(_known_keys(parts[:-1]))}"
    if first["type"] == "missing":
        return f"{place}: is missing"
    if first["type"] == "value_error":
        return ": ".join(filter(None, (place, str(first["ctx"]["error"]))))
    return f"{place}: {given}: {first['msg'][:1].lower()}{first['msg'][1:]}"


def _known_keys(place: list[int | str]) -> list[str]:
    model: Any = Thresholds
    for part in place:
        if isinstance(part, str):
            annotation = model.model_fields[part].annotation
            model = Waiver if part == "waive" else annotation
    return list(model.model_fields)
