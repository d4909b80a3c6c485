"""The ``migration:`` section of the plugin's config: checked once, when the plugin is loaded."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from retry_parity.candidates import NAMES as CANDIDATES
from retry_parity.flag import CONFIG_SECTION, FlagError, Implementation

Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False, strict=True)]

_MOST_SHOWN: Final = 60
#: What a template engine or a shell would have put something in the place of.
_TEMPLATE: Final = re.compile(r"\$\{|\{\{|\{%|\$\(|\$[A-Za-z_]")


def _filled_in(text: object) -> object:
    """Refuse a text that a template has left blank, or has not filled in.

    Raises:
        ValueError: It is such a text, or no file can be named so.
    """
    given = str(text) if isinstance(text, Path) else text
    if not isinstance(given, str):
        return text
    if not given.strip():
        message = "is blank (a variable that is not set?); leave the key out, or give it a value"
        raise ValueError(message)
    if _TEMPLATE.search(given):
        message = "has a variable that was not filled in; variables are not expanded here"
        raise ValueError(message)
    if not given.isprintable():
        message = "has characters that cannot be printed"
        raise ValueError(message)
    return text


def _expanded(path: Path) -> Path:
    """Put the home folder in the place of a leading ``~``.

    Raises:
        ValueError: There is no such user.
    """
    try:
        return path.expanduser()
    except RuntimeError:
        message = "begins with ~, and there is no such user here; give the whole path"
        raise ValueError(message) from None


#: A path that an operator gives; a relative one is relative to the gateway's current folder.
GivenPath = Annotated[Path, BeforeValidator(_filled_in), AfterValidator(_expanded)]
GivenText = Annotated[str, BeforeValidator(_filled_in)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class GuardSettings(_Section):
    """When the decision goes back to the hybrid.

    Attributes:
        limit: Unexplained divergences and errors of the candidate that are borne within the
            window; one more trips the guard.
        window_s: Length of the sliding window, seconds.
    """

    limit: Annotated[int, Field(ge=0, le=10_000, strict=True)] = 3
    window_s: Annotated[float, Field(gt=0, le=86_400, strict=True)] = 300.0


class ServiceSettings(_Section):
    """Which feature-flag service is followed, by the names of the flagd provider.

    What is left out is the provider's default, which the environment's ``FLAGD_*`` may set.

    Attributes:
        resolver: ``file`` reads `path`; ``in-process`` and ``rpc`` follow a flagd.
        path: The flags file; needed by ``file`` only. One that is named ``.yaml`` is YAML, any
            other JSON.
        host: Where flagd is.
        port: Its port.
        tls: Whether it is reached by TLS.
        cert_path: The certificate that vouches for it.
        selector: Which of its sources is followed (``in-process``).
    """

    resolver: Literal["file", "in-process", "rpc"] = "file"
    path: GivenPath | None = None
    host: GivenText | None = None
    port: Annotated[int, Field(ge=1, le=65_535, strict=True)] | None = None
    tls: bool | None = None
    cert_path: GivenPath | None = None
    selector: GivenText | None = None

    @model_validator(mode="after")
    def _file_has_a_path(self) -> ServiceSettings:
        if self.resolver == "file" and self.path is None:
            message = "resolver 'file' needs the key 'path', the flags file"
            raise ValueError(message)
        ending = "" if self.path is None else self.path.suffix
        if ending != ".yaml" and ending.lower() in {".yml", ".yaml"}:
            # The provider would read it as JSON.
            message = f"path {str(self.path)!r} ends in {ending}; a YAML file has to end in .yaml"
            raise ValueError(message)
        return self


class EvidenceSettings(_Section):
    """What is kept of the comparisons.

    Attributes:
        directory: Where files are written, a folder for each worker; ``None`` keeps the counts in
            memory only.
        capture: ``full`` keeps results as they are in the samples; ``redacted`` no text at all.
        limit_mib: The most that one worker's files take, MiB.
    """

    directory: GivenPath | None = None
    capture: Literal["redacted", "full"] = "redacted"
    limit_mib: Annotated[int, Field(ge=2, le=1_048_576, strict=True)] = 64


class MigrationSettings(_Section):
    """The whole section.

    Attributes:
        implementation: The flag, where neither a service nor the environment sets it.
        canary_percent: Share of chains that the Rust core decides under ``canary``.
        compare_percent: Share of chains on which the hybrid runs too under ``rust``.
        candidate: What is compared with the hybrid; other than ``rust`` is for drills.
        guard: When the decision goes back to the hybrid.
        flags: The feature-flag service; ``None`` follows none.
        time_limit_ms: A decision of the hybrid that takes longer is not compared, so that no call
            takes twice as long; one of the candidate is an error of it. Milliseconds.
        evidence: What is kept.
        require_certificate: The certificate without which ``rust`` is refused; ``None`` requires
            none.
    """

    implementation: Implementation | None = None
    canary_percent: Percent = 5.0
    compare_percent: Percent = 0.0
    candidate: Annotated[str, Field(json_schema_extra={"enum": list(CANDIDATES)})] = "rust"
    guard: GuardSettings = GuardSettings()
    flags: ServiceSettings | None = None
    time_limit_ms: Annotated[float, Field(gt=0, le=60_000, strict=True)] = 1000.0
    evidence: EvidenceSettings = EvidenceSettings()
    require_certificate: GivenPath | None = None

    @model_validator(mode="after")
    def _candidate_is_known(self) -> MigrationSettings:
        if self.candidate not in CANDIDATES:
            message = f"candidate {self.candidate!r} is not one of {', '.join(CANDIDATES)}"
            raise ValueError(message)
        return self


def read_settings(plugin_config: object) -> MigrationSettings:
    """Check the section.

    Args:
        plugin_config: The plugin's ``config`` as the operator wrote it. What is no mapping has no
            section; whether it is acceptable at all is for the implementations to say.

    Raises:
        FlagError: One line names the key, what was given and what is allowed.
    """
    section = plugin_config.get(CONFIG_SECTION) if isinstance(plugin_config, dict) else None
    if section is None:
        return MigrationSettings()
    try:
        return MigrationSettings.model_validate(section)
    except ValidationError as error:
        raise FlagError(_one_line(error)) from None


def _one_line(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    place = ".".join(_key(part) for part in (CONFIG_SECTION, *first["loc"]))
    given = repr(first["input"])
    given = given if len(given) <= _MOST_SHOWN else f"{given[: _MOST_SHOWN - 3]}..."
    if first["type"] == "extra_forbidden":
        return f"{place}: unknown key; known keys are {', '.join(_known_keys(first['loc'][:-1]))}"
    if first["type"] == "value_error":
        # Of a whole section, its line names what is wrong in it.
        of_section = isinstance(first["input"], dict)
        return f"{place}: {'' if of_section else f'{given} '}{first['ctx']['error']}"
    return f"{place}: {given}: {first['msg'][:1].lower()}{first['msg'][1:]}"


def _key(part: int | str) -> str:
    """Give a key of the section as it is, or what is odd about it in one line."""
    text = str(part)
    return text if text.isprintable() and len(text) <= _MOST_SHOWN else repr(text)[:_MOST_SHOWN]


def _known_keys(section: tuple[int | str, ...]) -> list[str]:
    sections: dict[int | str, type[_Section]] = {
        "guard": GuardSettings,
        "flags": ServiceSettings,
        "evidence": EvidenceSettings,
    }
    known = sections[section[0]] if section else MigrationSettings
    return list(known.model_fields)
