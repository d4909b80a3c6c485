"""The Pydantic models and the JSON Schema take and refuse what the Rust core takes and refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import resources
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from retry_with_backoff import ConfigError, RetryConfig, RetryConfigModel, __version__

SETTINGS = ("max_retries", "backoff_base_ms", "max_backoff_ms", "retry_on_status", "jitter")

numbers = st.one_of(
    st.integers(-2, 6),
    st.sampled_from([2**31, 2**32 - 1, 2**32, 2**64 - 1, 2**64, -(2**31) - 1]),
    st.booleans(),
    st.sampled_from([3.0, 3.5, float("inf"), "3", " 4 ", "1_0", "5.0", "x", "", None, b"7"]),
)
flags = st.sampled_from([True, False, 0, 1, 2, 1.0, "yes", "OFF", "maybe", "", None, b"on"])
statuses: st.SearchStrategy[Any] = st.one_of(
    st.lists(numbers, max_size=3),
    st.lists(st.sampled_from([500, 503, 429]), max_size=3),
    st.frozensets(st.sampled_from([500, 503]), max_size=2),
    st.tuples(st.just(503)),
    st.sampled_from(["503", None, 503, {}, b"5"]),
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "max_retries": numbers,
    "backoff_base_ms": numbers,
    "max_backoff_ms": numbers,
    "retry_on_status": statuses,
    "jitter": flags,
    "check_text_content": flags,
    "unknown": st.just(1),
}
some_settings = st.fixed_dictionaries({}, optional=VALUES)
configs = st.one_of(
    some_settings,
    st.builds(
        lambda base, overrides: base | {"tool_overrides": overrides},
        some_settings,
        st.one_of(
            st.dictionaries(st.sampled_from(["a", "b"]), some_settings, max_size=2),
            st.sampled_from([None, [], {"a": None}, {1: {}}]),
        ),
    ),
)


def by_the_core(config: dict[str, Any]) -> dict[str, Any] | None:
    """The settings in force for the base and two tools; None where the core refuses."""
    try:
        checked = RetryConfig.from_dict(config)
    except ConfigError:
        return None
    return {tool: checked.to_dict(tool) for tool in ("base", "a", "b")}


def by_the_model(config: dict[str, Any]) -> dict[str, Any] | None:
    """The same from the model: what it hands on, read by the core."""
    try:
        model = RetryConfigModel.model_validate(config)
    except ValidationError:
        return None
    return by_the_core(model.settings())


@given(configs)
def test_the_model_takes_refuses_and_coerces_as_the_core_does(config: dict[str, Any]) -> None:
    """One set of rules: who builds a config with the model gets what the gateway would get."""
    assert by_the_model(config) == by_the_core(config)


@given(st.one_of(some_settings, st.just({})))
def test_the_models_own_values_are_those_in_force(settings: dict[str, Any]) -> None:
    """Not only is the same accepted: the attributes read as the plugin will act."""
    in_force = by_the_core(settings)
    if in_force is None:
        with pytest.raises(ValidationError):
            RetryConfigModel.model_validate(settings)
        return
    model = RetryConfigModel.model_validate(settings)
    assert {name: getattr(model, name) for name in SETTINGS} == {
        name: in_force["base"][name] for name in SETTINGS
    }


def schema() -> dict[str, Any]:
    """The schema as it ships."""
    text = resources.files("retry_with_backoff").joinpath("config.schema.json").read_text()
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def test_the_shipped_schema_is_the_models() -> None:
    """`make generated` writes it; a stale one fails here."""
    assert schema() == RetryConfigModel.model_json_schema()


def test_the_schema_gives_overrides_no_defaults() -> None:
    """What an override leaves out is inherited; an editor must not fill in anything."""
    settings = schema()["$defs"]["ToolOverridesModel"]["properties"]
    assert set(settings) == {*SETTINGS, "check_text_content"}
    assert not [name for name, setting in settings.items() if "default" in setting]


def test_the_manifest_states_the_defaults_and_the_version_of_the_core() -> None:
    """The manifest is read by people and tools that do not load the plugin."""
    text = resources.files("retry_with_backoff").joinpath("plugin-manifest.yaml").read_text()
    manifest = yaml.safe_load(text)
    defaults = RetryConfig.from_dict({}).to_dict() | {"tool_overrides": {}}
    assert manifest["default_configs"] == defaults
    assert manifest["version"] == __version__


def test_the_shipped_schema_checks_configurations() -> None:
    """An editor that knows the schema marks the same mistakes."""
    Draft202012Validator.check_schema(schema())
    validator = Draft202012Validator(schema())
    assert validator.is_valid({"max_retries": 3, "tool_overrides": {"pay": {"max_retries": 0}}})
    for wrong in (
        {"max_retries": -1},
        {"backoff_base_ms": 0},
        {"retry_on_status": 503},
        {"tool_overrides": {"pay": {"jitter": "yes"}}},
    ):
        assert not validator.is_valid(wrong), wrong


def test_the_model_is_imported_only_on_demand() -> None:
    """The plugin itself does not load it."""
    code = (
        "import sys, retry_with_backoff as r; "
        "name = 'retry_with_backoff.config_model'; before = name in sys.modules; "
        "r.RetryConfigModel; print(before, name in sys.modules)"
    )
    run = subprocess.run(  # noqa: S603  our own interpreter and code
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == ["False", "True"]
