"""The calls of the recorded corpus: each of its chains once more, behind the real gateway."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gateway.stack import HERE, Behind, Stack
from gateway.traffic import Call
from retry_parity.corpus import read_corpus
from retry_parity.flag import without_section
from retry_parity.replay import read_plugin_config

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from retry_parity.corpus import Record

CORPUS: Final = HERE.parent / "corpus" / "tool_results.jsonl"
#: What the corpus was recorded with, the migration's section left out.
PLUGINS: Final = CORPUS.with_name("plugins.yaml")

#: Attempts of the chains that the hybrid ends elsewhere than the recorded plugin did, which was a
#: later version: a timeout that was not tried again there, and a status code over 64 bits that was
#: (the hybrid takes it for a status that is not among those to be retried).
_OTHERWISE: Final = {"r0393": 3, "r2483": 1}
#: The gateway cannot write the JSON of an integer over 64 bits: its caller gets HTTP 500.
_BREAKING: Final = frozenset({"r2483"})


@dataclass(frozen=True, slots=True)
class Chain:
    """One recorded call with its retries.

    Attributes:
        tool: Its tool.
        request_id: Its request id.
        attempts: How many attempts the plugin has to allow.
        last: The result of the last of them.
    """

    tool: str
    request_id: str
    attempts: int
    last: Mapping[str, Any]

    def call(self, run: str) -> Call:
        """Give the call that makes it happen again.

        Args:
            run: Makes the chain a new one; without a dash.
        """
        case = f"{self.request_id}-{run}"
        breaks = self.request_id in _BREAKING
        text = "".join(item.get("text", "") for item in self.last["content"])
        return Call(
            tool=self.tool,
            case=case,
            arguments={"chain": case},
            told="a recorded chain",
            attempts=self.attempts,
            fails=bool(self.last["isError"]),
            text=None if breaks else text,
            breaks=breaks,
        )


class Recording:
    """The corpus and its plugin, as traffic (`gateway.traffic.Source`)."""

    def __init__(self) -> None:
        """Read both.

        Raises:
            CorpusError: The corpus cannot be read.
            ReplayError: The plugins file cannot be read.
        """
        entry = read_plugin_config(PLUGINS)
        config: Any = without_section(entry.config)
        self.plugin_name: str = entry.name
        self.plugin: Mapping[str, Any] = config
        found: dict[tuple[str, str], list[Record]] = {}
        for record in read_corpus(CORPUS):
            found.setdefault((record.tool, record.request_id), []).append(record)
        #: In the order in which they began.
        self.chains: Sequence[Chain] = [self._chain(records) for records in found.values()]

    @property
    def behind(self) -> Behind:
        """What is behind the gateway: a server for each prefix of the tools' names."""
        prefixes = sorted({chain.tool.partition("-")[0] for chain in self.chains})

        def register(stack: Stack) -> None:
            for prefix in prefixes:
                stack.register_mcp_server(prefix, f"/{prefix}/mcp")

        return Behind((str(HERE / "recorded.py"), str(CORPUS)), register)

    def calls(self, number: int | None = None) -> Iterator[Call]:
        """Give a call for each chain, in the corpus' order.

        Args:
            number: How many; fewer than all are spread evenly over the corpus, so that few are of
                all kinds too, and more begin it anew. ``None`` means all.
        """
        every, last = len(self.chains), len(self.chains) if number is None else number
        while last > 0:
            run, now = secrets.token_hex(4), min(last, every)
            for place in range(now):
                yield self.chains[place * every // now].call(run)
            last -= now

    def endless(self) -> Iterator[Call]:
        """Give the calls of all chains, again and again."""
        while True:
            yield from self.calls()

    def _chain(self, records: Sequence[Record]) -> Chain:
        first = records[0]
        # The recorded plugin forgot chains whenever the gateway replaced its object, and then
        # allowed attempts beyond the budget (the README beside the corpus). This one does not.
        attempts = min(len(records), self._budget(first.tool) + 1)
        attempts = _OTHERWISE.get(first.request_id, attempts)
        last = records[min(attempts, len(records)) - 1]
        return Chain(first.tool, first.request_id, attempts, last.result)

    def _budget(self, tool: str) -> int:
        own: Mapping[str, int] = self.plugin["tool_overrides"].get(tool, {})
        return int(own.get("max_retries", self.plugin["max_retries"]))
