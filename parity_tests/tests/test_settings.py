"""The ``migration:`` section: checked whole, refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from retry_parity.flag import FlagError, Implementation
from retry_parity.settings import read_settings


def test_everything_has_a_default() -> None:
    """A config without the section, or without a mapping at all, is one with nothing set."""
    for config in ({}, {"migration": None}, "odd", None):
        settings = read_settings(config)
        assert settings.implementation is None
        assert settings.flags is None
        assert settings.evidence.directory is None


def test_a_whole_section_is_read() -> None:
    """Every key, as docs/MIGRATION.md has it."""
    section = {
        "implementation": "canary",
        "canary_percent": 2.5,
        "compare_percent": 1,
        "candidate": "never-retries",
        "guard": {"limit": 0, "window_s": 60},
        "flags": {"resolver": "file", "path": "flags.json"},
        "time_limit_ms": 50,
        "evidence": {"directory": "evidence", "capture": "full", "limit_mib": 8},
    }
    settings = read_settings({"migration": section})
    assert settings.implementation is Implementation.CANARY
    assert settings.canary_percent == 2.5
    assert settings.guard.limit == 0
    assert settings.flags is not None
    assert settings.flags.path == Path("flags.json")
    assert settings.evidence.capture == "full"


PATHS = [
    ("flags", "path"),
    ("flags", "cert_path"),
    ("evidence", "directory"),
    ("require_certificate",),
]
TEXTS = [*PATHS, ("flags", "host"), ("flags", "selector")]


def section_with(key: tuple[str, ...], value: object) -> dict[str, Any]:
    """Make a section in which one key has a value."""
    section: Any = {"flags": {"path": "flags.json"}, "evidence": {}}
    inner = section if len(key) == 1 else section[key[0]]
    inner[key[-1]] = value
    return {"migration": section}


@pytest.mark.parametrize("key", TEXTS)
@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("", "is blank"),
        (" \t", "is blank"),
        ("${FLAGS_DIR}/x.json", "has a variable that was not filled in"),
        ("$HOME/x.json", "has a variable that was not filled in"),
        ("$(pwd)/x.json", "has a variable that was not filled in"),
        ("{{ .Values.flags }}", "has a variable that was not filled in"),
        ("{% flags %}", "has a variable that was not filled in"),
        ("a\0b", "has characters that cannot be printed"),
        ("a\nb", "has characters that cannot be printed"),
    ],
)
def test_a_text_that_a_template_left_open_is_refused(
    key: tuple[str, ...], value: str, why: str
) -> None:
    """A blank path meant the current folder."""
    with pytest.raises(FlagError) as refused:
        read_settings(section_with(key, value))
    line = str(refused.value)
    assert line.startswith(f"migration.{'.'.join(key)}: {value!r} {why}")
    assert "\n" not in line


@pytest.mark.parametrize("key", PATHS)
def test_a_tilde_is_the_home_folder(
    key: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A folder of that name was made in the current one."""
    monkeypatch.setenv("HOME", str(tmp_path))
    found: Any = read_settings(section_with(key, "~/x.json"))
    for part in key:
        found = getattr(found, part)
    assert found == tmp_path / "x.json"
    with pytest.raises(FlagError, match="there is no such user here"):
        read_settings(section_with(key, "~nobody-of-this-name/x.json"))


@pytest.mark.parametrize("ending", [".yml", ".YAML", ".Yaml", ".YML"])
def test_a_yaml_file_has_to_be_named_so(ending: str) -> None:
    """The provider reads any other as JSON: it was accepted, and never ready."""
    with pytest.raises(FlagError, match=rf"ends in \{ending}; a YAML file has to end in \.yaml"):
        read_settings(section_with(("flags", "path"), f"flags{ending}"))


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (
            {"share": 5},
            "migration.share: unknown key; known keys are implementation, canary_percent, ",
        ),
        (
            {"guard": {"limits": 5}},
            "migration.guard.limits: unknown key; known keys are limit, window_s",
        ),
        (
            {"canary_percent": 101},
            "migration.canary_percent: 101: input should be less than or equal to 100",
        ),
        (
            {"candidate": "bust"},
            "migration: candidate 'bust' is not one of rust, broken-example, never-retries",
        ),
        (
            {"flags": {}},
            "migration.flags: resolver 'file' needs the key 'path', the flags file",
        ),
        (
            {"flags": {"resolver": "http", "path": "x"}},
            "migration.flags.resolver: 'http': input should be 'file', 'in-process' or 'rpc'",
        ),
        (
            {"evidence": {"capture": "all"}},
            "migration.evidence.capture: 'all': input should be 'redacted' or 'full'",
        ),
        ("rust", "migration: 'rust': input should be a valid dictionary or instance of "),
        (
            {"guard": {"limit": True}},
            "migration.guard.limit: True: input should be a valid integer",
        ),
        ({"guard": {"limit": -1}}, "migration.guard.limit: -1: input should be greater than or "),
    ],
)
def test_a_wrong_section_is_refused_in_one_line(given: Any, line: str) -> None:
    """Where, what was given, what is allowed."""
    with pytest.raises(FlagError) as refused:
        read_settings({"migration": given})
    assert str(refused.value).startswith(line)
    assert "\n" not in str(refused.value)
