"""Pydantic models of the configuration, for people who build one in Python.

The plugin itself does not use them: the Rust core checks every configuration. The models take and
refuse the same values; defaults and limits are read from the core.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Annotated, Any, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool

from retry_with_backoff import _core


def _only_integers(value: object) -> object:
    """Refuse text and floats where only an integer is taken (a boolean is one)."""
    if isinstance(value, Integral):
        return value
    message = f"{value!r:.60} given; allowed: an integer, not as text or float"
    raise ValueError(message)


def _only_sequences(value: object) -> object:
    """Refuse containers without an order, and text, where a list is taken."""
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray):
        return cast("Sequence[object]", value)
    message = f"{value!r:.60} given; allowed: a list of integers, no set"
    raise ValueError(message)


Retries = Annotated[int, Field(ge=0, le=_core.LARGEST_RETRIES)]
DelayMs = Annotated[int, Field(ge=1, le=_core.LARGEST_DELAY_MS)]
Status = Annotated[int, Field(ge=_core.SMALLEST_STATUS, le=_core.LARGEST_STATUS)]
Exact = BeforeValidator(_only_integers)


def _without_defaults(schema: dict[str, Any]) -> None:
    """Drop defaults from the schema of overrides: what is left out there is inherited."""
    for setting in schema["properties"].values():
        setting.pop("default", None)


class ToolOverridesModel(BaseModel):
    """Settings of one tool. What is left out is inherited from the base.

    Numbers are taken as integers only, not as text or float.
    """

    model_config = ConfigDict(extra="ignore", json_schema_extra=_without_defaults)

    max_retries: Annotated[Retries, Exact] = Field(
        default=_core.DEFAULT_MAX_RETRIES, description="Retries after the first call."
    )
    backoff_base_ms: Annotated[DelayMs, Exact] = Field(
        default=_core.DEFAULT_BACKOFF_BASE_MS,
        description="Longest delay before the first retry, in milliseconds; doubles each time.",
    )
    max_backoff_ms: Annotated[DelayMs, Exact] = Field(
        default=_core.DEFAULT_MAX_BACKOFF_MS,
        description="Longest delay before any retry, in milliseconds.",
    )
    retry_on_status: Annotated[list[Annotated[Status, Exact]], BeforeValidator(_only_sequences)] = (
        Field(
            default_factory=lambda: list(_core.DEFAULT_RETRY_ON_STATUS),
            description="Status codes that are worth a retry.",
        )
    )
    jitter: StrictBool = Field(
        default=_core.DEFAULT_JITTER,
        description="Draw each delay uniformly from 1 ms up to its ceiling.",
    )
    check_text_content: bool = Field(
        default=_core.DEFAULT_CHECK_TEXT_CONTENT,
        description="Also read text content that is JSON where structured content is absent.",
    )

    def settings(self) -> dict[str, Any]:
        """The settings that were given, as a plain dict for the plugin's ``config``."""
        return self.model_dump(exclude_unset=True)


class RetryConfigModel(BaseModel):
    """The whole configuration of the plugin."""

    model_config = ConfigDict(extra="ignore")

    max_retries: Retries = Field(
        default=_core.DEFAULT_MAX_RETRIES, description="Retries after the first call."
    )
    backoff_base_ms: DelayMs = Field(
        default=_core.DEFAULT_BACKOFF_BASE_MS,
        description="Longest delay before the first retry, in milliseconds; doubles each time.",
    )
    max_backoff_ms: DelayMs = Field(
        default=_core.DEFAULT_MAX_BACKOFF_MS,
        description="Longest delay before any retry, in milliseconds.",
    )
    retry_on_status: list[Status] = Field(
        default_factory=lambda: list(_core.DEFAULT_RETRY_ON_STATUS),
        description="Status codes that are worth a retry.",
    )
    jitter: bool = Field(
        default=_core.DEFAULT_JITTER,
        description="Draw each delay uniformly from 1 ms up to its ceiling.",
    )
    check_text_content: bool = Field(
        default=_core.DEFAULT_CHECK_TEXT_CONTENT,
        description="Also read text content that is JSON where structured content is absent.",
    )
    tool_overrides: dict[str, ToolOverridesModel] = Field(
        default_factory=dict, description="Settings of single tools, merged over the base."
    )

    def settings(self) -> dict[str, Any]:
        """The settings that were given, as a plain dict for the plugin's ``config``."""
        return self.model_dump(exclude_unset=True)
