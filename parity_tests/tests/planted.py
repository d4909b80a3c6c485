"""A worker of a gateway that is full of secrets: ``python planted.py < what.json``.

All that `What` names is planted where it belongs, and every value of the flag meets it. Everything
that the worker logs, whoever logs it, is on its standard output, a record on each line.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cpex.framework import (
    GlobalContext,
    Plugin,
    PluginConfig,
    PluginContext,
    ResourcePostFetchPayload,
    ToolPostInvokePayload,
)
from cpex.framework.extensions import Extensions
from cpex.framework.extensions.http import HttpExtension
from cpex.framework.extensions.request import RequestExtension

from retry_parity import MigrationPlugin, upkeep
from retry_parity.migration import migration_of

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The plugin names, with what their flag and candidate are. All that is wrong with a candidate
#: leaves evidence.
PLUGINS: Final[dict[str, dict[str, Any]]] = {
    "legacy": {"implementation": "legacy"},
    "shadow": {"implementation": "shadow", "candidate": "never-retries"},
    "canary": {"implementation": "canary", "canary_percent": 100, "candidate": "broken-example"},
    "rust": {"implementation": "rust", "compare_percent": 100},
    "agreeing": {"implementation": "shadow"},
}
#: What a tool or its caller may have put into a payload, a context or the extensions.
SAID: Final = (
    "text",
    "structured value",
    "structured key",
    "nested value",
    "meta",
    "item type",
    "status",
    "flag",
    "key",
    "content",
    "trace id",
    "user",
    "tenant",
    "context state",
    "context metadata",
    "arguments",
    "header",
)
#: What an operator has put where it is none of the retry plugin's business.
CONFIGURED: Final = ("other plugin", "environment", "flag metadata", "unknown key", "override key")
#: Names, which have rules of their own; and what an exception says that a payload raises.
TOOL, REQUEST, EXCEPTION = "tool name", "request id", "exception"
PAGE: Final = "page.txt"


@dataclass(frozen=True)
class What:
    """What is planted, and where the evidence goes.

    Attributes:
        canaries: By place.
        folder: Work folder.
        capture: ``redacted`` or ``full``.
        leaks: Whether one of them is logged on purpose.
        raises: Whether payloads raise.
    """

    canaries: dict[str, str]
    folder: str
    capture: str = "redacted"
    leaks: bool = False
    raises: bool = False


class Neighbour(Plugin):
    """Another plugin of the same gateway, with a secret in its config."""


class Records(logging.Formatter):
    """A record on a line, as JSON: its logger, and all that a handler would show of it."""

    def format(self, record: logging.LogRecord) -> str:
        """Tell a record."""
        return json.dumps({"logger": record.name, "shown": super().format(record)})


def results(said: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Give tool results of every kind, failures and successes."""
    text = {"type": "text", "text": said["text"]}
    plain: dict[str, Any] = {
        "content": [text],
        "isError": True,
        "structuredContent": None,
        "_meta": {"note": said["meta"], said["meta"]: 1},
    }
    structured = {
        "status_code": 503,
        "note": said["structured value"],
        said["structured key"]: {"deep": [{"deeper": said["nested value"]}]},
    }
    told = json.dumps({"isError": True, "status_code": 503, "note": said["text"]})
    yield plain
    yield plain | {"structuredContent": structured}
    yield plain | {"structuredContent": structured, "isError": False}
    yield plain | {"structuredContent": {"status_code": said["status"]}}
    yield plain | {"structuredContent": {"isError": said["flag"]}, "isError": said["flag"]}
    yield plain | {"structuredContent": [said["structured value"]], said["key"]: said["key"]}
    yield plain | {"isError": False, "content": [{"type": "text", "text": told}]}
    yield plain | {"content": said["content"]}
    yield plain | {"content": [said["content"], {"type": said["item type"], "text": [told]}]}
    yield plain | {"isError": False}


class Raising(dict[str, Any]):
    """A result that raises when it is read, and says in the exception what was in it."""

    def __init__(self, says: str) -> None:
        super().__init__(isError=True)
        self._says = says

    def get(self, *_: object) -> Any:
        """Raise."""
        error = ValueError(f"cannot read {self._says}")
        error.add_note(self._says)
        raise error from KeyError(self._says)

    def __getitem__(self, _key: object) -> Any:
        return self.get()


class Nameless:
    """A payload that raises when it is asked for the tool."""

    def __init__(self, says: str) -> None:
        self.result = {"isError": True}
        self._says = says

    @property
    def name(self) -> str:
        """Raise."""
        message = f"no name for {self._says}"
        raise ValueError(message)


def payload_of(tool: str, result: Any) -> Any:
    """Make a payload, unless the result is one already."""
    if isinstance(result, Nameless):
        return result
    return ToolPostInvokePayload.model_construct(name=tool, result=result)


def context(said: dict[str, str], request_id: str) -> PluginContext:
    """Make a call's context."""
    shared = GlobalContext(
        request_id=request_id,
        user=said["user"],
        tenant_id=said["tenant"],
        state={"state": said["context state"]},
        metadata={"headers": {"authorization": said["header"]}, "args": said["arguments"]},
    )
    return PluginContext(global_context=shared, metadata={"note": said["context metadata"]})


def extensions(said: dict[str, str]) -> Extensions:
    """Make a call's extensions."""
    return Extensions(
        request=RequestExtension(trace_id=said["trace id"], request_id=said["trace id"]),
        http=HttpExtension(headers={"authorization": said["header"]}),
        custom={"arguments": said["arguments"]},
    )


def plugin_of(name: str, what: What) -> MigrationPlugin:
    """Load a plugin object."""
    section = PLUGINS[name] | {
        "evidence": {"directory": f"{what.folder}/evidence", "capture": what.capture},
        "flags": {"path": f"{what.folder}/flags.json"},
    }
    config = {
        "jitter": False,
        "max_retries": 1,
        "api_key": what.canaries["unknown key"],
        "tool_overrides": {
            "text": {"check_text_content": True, "x": what.canaries["override key"]}
        },
        "migration": section,
    }
    kind = "retry_parity.MigrationPlugin"
    return MigrationPlugin(PluginConfig(name=name, kind=kind, config=config))


async def serve(what: What) -> list[object]:
    """Make all calls with every plugin object; give what came back."""
    said = what.canaries
    neighbour = Neighbour(
        PluginConfig(name="neighbour", kind="x", config={"password": said["other plugin"]})
    )
    answers: list[object] = [neighbour.priority]
    for name in PLUGINS:
        plugin = plugin_of(name, what)
        await plugin.initialize()
        answers += [repr(plugin), str(plugin)]
        cases: list[Any] = list(results(said))
        if what.raises:
            cases = [Raising(said[EXCEPTION]), Nameless(said[EXCEPTION])]
        for number, result in enumerate(cases):
            for tool in (said[TOOL], "text"):
                for _ in range(3):
                    payload = payload_of(tool, result)
                    request_id = f"{said[REQUEST]}-{number}-{name}"
                    with contextlib.suppress(ValueError, TypeError, KeyError):
                        answers.append(
                            await plugin.tool_post_invoke(
                                payload, context(said, request_id), extensions(said)
                            )
                        )
        fetched = ResourcePostFetchPayload(uri=f"file:///{said['text']}", content=said["text"])
        answers += [
            await plugin.resource_post_fetch(fetched, context(said, said[REQUEST])),
            plugin.to_rust_native_policy(said[TOOL], 3),
            repr(plugin),
        ]
    return answers


def page() -> bytes:
    """Give the metrics page of this process."""
    from prometheus_client import REGISTRY, CollectorRegistry, generate_latest, multiprocess, values

    if not getattr(values.ValueClass, "_multiprocess", False):
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call] # it has no types
    return generate_latest(registry)


def main() -> None:
    """Read what is planted, and serve."""
    what = What(**json.load(sys.stdin))
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(Records())
    logging.basicConfig(handlers=[handler], level=logging.DEBUG)
    for name in PLUGINS:
        migration_of(name)
    answers = asyncio.run(serve(what))
    upkeep.flush()
    Path(what.folder, PAGE).write_bytes(page())
    if what.leaks:
        logging.getLogger("retry_parity").debug("%s", what.canaries["text"].encode().hex())
    upkeep.stop()
    sys.stderr.write("".join(f"{answer!r}\n" for answer in answers))


if __name__ == "__main__":
    main()
