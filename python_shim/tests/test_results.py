"""Results are made without validation; nobody who gets one may be able to tell."""

from __future__ import annotations

import asyncio
import copy
import pickle
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import pytest
from cpex.framework import PluginConfig, ResourcePostFetchResult, ToolPostInvokeResult
from hook_calls import context, payload

from retry_with_backoff import RetryWithBackoffPlugin, _core

if TYPE_CHECKING:
    from hook_calls import Call
    from pydantic import BaseModel

SUCCESS: dict[str, Any] = {"isError": False, "structuredContent": None, "content": []}
FAILURE: dict[str, Any] = {**SUCCESS, "isError": True}
SLOTS = ("__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")


def of_tool(call: Call, result: dict[str, Any], trace_id: str | None = None) -> BaseModel:
    """A result of `tool_post_invoke`."""
    return call({"jitter": False}, result, trace_id=trace_id)


def of_resource() -> BaseModel:
    """A result of `resource_post_fetch`."""
    plugin = RetryWithBackoffPlugin(PluginConfig(name="r", kind="k"))
    nothing: Any = None
    return asyncio.run(plugin.resource_post_fetch(nothing, nothing))


@pytest.fixture(params=["success", "retry", "traced", "resource"])
def made(request: pytest.FixtureRequest, call: Call) -> BaseModel:
    """A result of each kind that the plugin makes."""
    if request.param == "resource":
        return of_resource()
    result = SUCCESS if request.param == "success" else FAILURE
    return of_tool(call, result, "trace-1" if request.param == "traced" else None)


@pytest.fixture
def validated(made: BaseModel) -> BaseModel:
    """The result that its class makes of the same values."""
    return type(made)(**{name: getattr(made, name) for name in made.model_fields_set})


def test_a_result_is_a_validated_one_in_every_respect(
    made: BaseModel, validated: BaseModel
) -> None:
    """Fields, their order and types, what was set, and what Pydantic keeps beside them."""
    assert type(made) in {ToolPostInvokeResult, ResourcePostFetchResult}
    assert made == validated
    assert list(made.__dict__) == list(validated.__dict__)
    for name, value in validated.__dict__.items():
        assert type(made.__dict__[name]) is type(value)
    for slot in SLOTS:
        assert getattr(made, slot) == getattr(validated, slot)
        assert type(getattr(made, slot)) is type(getattr(validated, slot))
    for unset in (False, True):
        assert made.model_dump(exclude_unset=unset) == validated.model_dump(exclude_unset=unset)
        assert made.model_dump_json(exclude_unset=unset) == validated.model_dump_json(
            exclude_unset=unset
        )
    assert repr(made) == repr(validated)


def test_a_result_can_be_copied_changed_and_pickled(made: BaseModel) -> None:
    """What frameworks do with a result works on one that was not validated."""
    assert copy.deepcopy(made) == made
    assert copy.copy(made) == made
    assert made.model_copy(update={"metadata": {}}).metadata == {}  # type: ignore[attr-defined]
    assert pickle.loads(pickle.dumps(made)) == made  # noqa: S301 - our own bytes
    assert type(made).model_validate(made.model_dump()) == made
    made.continue_processing = False  # type: ignore[attr-defined]
    assert "continue_processing" in made.model_fields_set


@pytest.mark.parametrize("result", [SUCCESS, FAILURE])
def test_no_two_results_share_anything_that_can_be_changed(result: dict[str, Any]) -> None:
    """The framework and other plugins write into results; the next one must not show it."""
    plugin = RetryWithBackoffPlugin(PluginConfig(name="r", kind="k", config={"jitter": False}))

    def answer(request_id: str, result: dict[str, Any]) -> Any:
        hook = plugin.tool_post_invoke(payload("search", result), context(request_id))
        return asyncio.run(hook)

    before = pickle.dumps(answer("untouched", SUCCESS))
    first = answer("changed", result)
    lists = [value for value in first.__dict__.values() if isinstance(value, list)]
    for each in (*lists, first.metadata["retry_policy"]["retry_on_status"]):
        each.append(0)
    for each in (first.metadata["retry_policy"], first.metadata):
        each["more"] = True
    first.model_fields_set.add("more")
    assert lists
    assert pickle.dumps(answer("untouched", SUCCESS)) == before


def test_results_are_copies_with_this_cpex() -> None:
    """Where they are not, all is right and slow; somebody should know."""
    RetryWithBackoffPlugin(PluginConfig(name="r", kind="k"))
    assert _core.results_are_copies()


UNEXPECTED = {
    "metaclass": """
class Made(type(framework.ToolPostInvokeResult)):
    def __call__(self, **given): return super().__call__(**given)

class Watched(framework.ToolPostInvokeResult, metaclass=Made): pass
""",
    "dataclass": """
@dataclasses.dataclass
class Watched:
    retry_delay_ms: int = 0
    metadata: dict | None = None
""",
    "constraint": """
class Watched(framework.ToolPostInvokeResult):
    retry_delay_ms: int = Field(default=0, le=10_000)
""",
    "another pydantic": """
Watched = framework.ToolPostInvokeResult
Watched.__pydantic_decorators__ = None
""",
}


@pytest.mark.parametrize("changed", UNEXPECTED.values(), ids=UNEXPECTED)
def test_no_retry_is_lost_to_an_unexpected_class(changed: str) -> None:
    """What cannot be copied safely is made as cpex makes it."""
    program = """
import asyncio, dataclasses
from cpex import framework
from pydantic import Field

CHANGED
framework.ToolPostInvokeResult = Watched
from retry_with_backoff import RetryWithBackoffPlugin, _core

plugin = RetryWithBackoffPlugin(framework.PluginConfig(name="r", kind="k"))
payload = framework.ToolPostInvokePayload(name="t", result={"isError": True})
context = framework.PluginContext(global_context=framework.GlobalContext(request_id="1"))
for _ in range(2):
    result = asyncio.run(plugin.tool_post_invoke(payload, context))
    assert type(result) is Watched, type(result)
    assert result.retry_delay_ms > 0, result
assert not _core.results_are_copies()
assert _core.internal_errors() == 0
""".replace("CHANGED", changed)
    ran = subprocess.run(  # noqa: S603  our own interpreter and code
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize(
    "extension",
    [
        "@model_validator(mode='after')\n    def seen(self): log.append(1); return self",
        "@field_validator('metadata')\n    def seen(cls, value): log.append(1); return value",
        "def model_post_init(self, context): log.append(1)",
        "def __init__(self, **given): log.append(1); super().__init__(**given)",
        "def __new__(cls, **given): log.append(1); return super().__new__(cls)",
        "stamp: dict = Field(default_factory=lambda: {1: log.append(1)})",
        "stamp: str = Field(default_factory=lambda: str(log.append(1)))",
        "_stamp: int = PrivateAttr(default_factory=lambda: log.append(1))",
        "retry_delay_ms: Annotated[int, AfterValidator(lambda ms: log.append(1) or ms)] = 0",
    ],
    ids=[
        *("model", "field", "post-init", "init", "new"),
        *("factory", "text-factory", "private", "annotated"),
    ],
)
def test_a_class_that_does_more_than_hold_values_is_asked_for_each_result(extension: str) -> None:
    """A later cpex may give its result class a say in how results are made."""
    program = f"""
import asyncio
from typing import Annotated
from cpex import framework
from pydantic import AfterValidator, Field, PrivateAttr, field_validator, model_validator

log = []


class Watched(framework.ToolPostInvokeResult):
    {extension}


framework.ToolPostInvokeResult = Watched
from retry_with_backoff import RetryWithBackoffPlugin

plugin = RetryWithBackoffPlugin(framework.PluginConfig(name="r", kind="k"))
payload = framework.ToolPostInvokePayload(name="t", result={{}})
context = framework.PluginContext(global_context=framework.GlobalContext(request_id="1"))
for _ in range(3):
    log.clear()
    result = asyncio.run(plugin.tool_post_invoke(payload, context))
    assert type(result) is Watched, type(result)
    assert log, "the class was not asked"
"""
    ran = subprocess.run(  # noqa: S603 - this very program
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
