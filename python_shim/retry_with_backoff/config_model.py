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


Retries = Annotated[
    int,
    Field(ge=0, le=_core.LARGEST_RETRIES, description="Retries after the first call."),
]
BackoffBaseMs = Annotated[
    int,
    Field(
        ge=1,
        le=_core.LARGEST_DELAY_MS,
        description="Longest delay before the first retry, in milliseconds; doubles each time.",
    ),
]
MaxBackoffMs = Annotated[
    int,
    Field(
        ge=1,
        le=_core.LARGEST_DELAY_MS,
        description="Longest delay before any retry, in milliseconds.",
    ),
]
Status = Annotated[int, Field(ge=_core.SMALLEST_STATUS, le=_core.LARGEST_STATUS)]
# Fields of one meaning whose types differ between the two models.
RETRY_ON_STATUS = Field(
    default_factory=lambda: list(_core.DEFAULT_RETRY_ON_STATUS),
    description="Status codes that are worth a retry.",
)
JITTER = Field(
    default=_core.DEFAULT_JITTER,
    description="Draw each delay uniformly from 1 ms up to its ceiling.",
)
CHECK_TEXT_CONTENT = Field(
    default=_core.DEFAULT_CHECK_TEXT_CONTENT,
    description="Also read text content that is JSON where structured content is absent.",
)
Exact = BeforeValidator(_only_integers)


class _Settings(BaseModel):
    """What both models can do."""

    model_config = ConfigDict(extra="ignore")

    def settings(self) -> dict[str, Any]:
        """Give the settings that were set, as a plain dict for the plugin's ``config``."""
        return self.model_dump(exclude_unset=True)


def _without_defaults(schema: dict[str, Any]) -> None:
    """Drop defaults from the schema of overrides: what is left out there is inherited."""
    for setting in schema["properties"].values():
        setting.pop("default", None)


class ToolOverridesModel(_Settings):
    """Settings of one tool. What is left out is inherited from the base.

    Numbers are taken as integers only, not as text or float.
    """

    model_config = ConfigDict(json_schema_extra=_without_defaults)

    max_retries: Annotated[Retries, Exact] = _core.DEFAULT_MAX_RETRIES
    backoff_base_ms: Annotated[BackoffBaseMs, Exact] = _core.DEFAULT_BACKOFF_BASE_MS
    max_backoff_ms: Annotated[MaxBackoffMs, Exact] = _core.DEFAULT_MAX_BACKOFF_MS
    retry_on_status: Annotated[list[Annotated[Status, Exact]], BeforeValidator(_only_sequences)] = (
        RETRY_ON_STATUS
    )
    jitter: StrictBool = JITTER
    check_text_content: bool = CHECK_TEXT_CONTENT


class RetryConfigModel(_Settings):
    """The whole configuration of the plugin."""

    max_retries: Retries = _core.DEFAULT_MAX_RETRIES
    backoff_base_ms: BackoffBaseMs = _core.DEFAULT_BACKOFF_BASE_MS
    max_backoff_ms: MaxBackoffMs = _core.DEFAULT_MAX_BACKOFF_MS
    retry_on_status: list[Status] = RETRY_ON_STATUS
    jitter: bool = JITTER
    check_text_content: bool = CHECK_TEXT_CONTENT
    tool_overrides: dict[str, ToolOverridesModel] = Field(
        default_factory=dict, description="Settings of single tools, merged over the base."
    )
