"""The corpus' traffic: what is answered, what has to come of it, and what reaches the plugin."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from typing import TYPE_CHECKING, Final

import pytest

from gateway.recorded import Chains
from gateway.recorded_traffic import CORPUS, PLUGINS, Recording
from gateway.tests.deciding import CHAINS, WRONG_CHAINS
from gateway.tests.evidence import lines
from gateway.traffic import Outcome
from retry_parity.corpus import read_corpus
from retry_parity.evidence_files import config_hash
from retry_parity.flag import without_section
from retry_parity.replay import read_plugin_config

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.tests.deciding import Decision, Wrong

#: A recorded chain: 429, then 503, then success.
_TOOL: Final = "shop-settle"
_REQUEST_ID: Final = "r2513"
_TEXTS: Final = (
    "settlement backend answered 429",
    "settlement backend answered 503",
    "batch shop2 settled",
)
#: Of the corpus (its README).
_ALL_CHAINS: Final = 3827
_TOO_LONG: Final = 11


@pytest.fixture(scope="module")
def recording() -> Recording:
    """Give the corpus."""
    return Recording()


@pytest.fixture
def chains() -> Chains:
    """Give the recorded chains, none begun."""
    return Chains(read_corpus(CORPUS))


def test_each_attempt_gets_the_next_recorded_result(chains: Chains) -> None:
    """The k-th attempt of a chain gets the k-th result, and the last one from there on."""
    case = f"{_REQUEST_ID}-x"
    results = [chains.arrive(_TOOL, case).model_dump() for _ in range(len(_TEXTS) + 2)]
    assert [result["content"][0]["text"] for result in results] == [*_TEXTS, *_TEXTS[-1:] * 2]
    assert [result["isError"] for result in results] == [True, True, False, False, False]
    assert chains.attempts(case) == chains.total == len(results)


def test_chains_of_one_recorded_call_do_not_disturb_each_other(chains: Chains) -> None:
    """What follows the request id makes a chain a new one, which begins with the first result."""
    for case in ("x", "y"):
        result = chains.arrive(_TOOL, f"{_REQUEST_ID}-{case}").model_dump()
        assert result["content"][0]["text"] == _TEXTS[0]


@pytest.mark.parametrize("chain", ["r9999-x", _REQUEST_ID, "", "r0001-x"])
def test_a_chain_that_the_tool_does_not_have_is_no_attempt(chains: Chains, chain: str) -> None:
    """It is an error, and is not counted."""
    with pytest.raises(KeyError):
        chains.arrive(_TOOL, chain)
    assert chains.total == 0


def test_all_chains_come_once_in_the_order_of_the_corpus(recording: Recording) -> None:
    """Without a number every chain is called, as it was recorded."""
    ids = [call.case.rpartition("-")[0] for call in recording.calls()]
    assert len(ids) == _ALL_CHAINS
    assert ids == sorted(set(ids))


def test_few_chains_are_of_the_whole_corpus(recording: Recording) -> None:
    """A number is spread evenly: what was recorded last is among few chains too."""
    whole = [(chain.tool, chain.request_id) for chain in recording.chains]
    few = [(call.tool, call.case.rpartition("-")[0]) for call in recording.calls(CHAINS)]
    places = [whole.index(each) for each in few]
    steps = {second - first for first, second in itertools.pairwise(places)}
    assert len(places) == CHAINS
    assert steps == {_ALL_CHAINS // CHAINS, _ALL_CHAINS // CHAINS + 1}


def test_beyond_its_end_the_corpus_begins_anew(recording: Recording) -> None:
    """Each round has chains of its own, which nobody has counted attempts of."""
    rounds = 2 * _ALL_CHAINS
    for calls in (recording.calls(rounds), itertools.islice(recording.endless(), rounds)):
        cases = [call.case for call in calls]
        assert len(set(cases)) == rounds
        ids = [case.rpartition("-")[0] for case in cases]
        assert ids[:_ALL_CHAINS] == ids[_ALL_CHAINS:]


def test_chains_are_as_long_as_they_were_recorded(recording: Recording) -> None:
    """But for one attempt beyond the budget, where the recorded plugin had forgotten the chain.

    The gateway had replaced the plugin's object in the middle of it. Two more chains are longer or
    shorter because the hybrid is another version.
    """
    lengths = Counter(record.request_id for record in read_corpus(CORPUS))
    changed = Counter(
        chain.attempts - lengths[chain.request_id]
        for chain in recording.chains
        if chain.attempts != lengths[chain.request_id]
    )
    assert changed == {-1: _TOO_LONG, 2: 1, -2: 1}


def test_the_plugin_is_that_of_the_corpus(
    recording: Recording, decision: Decision, wrong: Wrong
) -> None:
    """Evidence of the gateway is of the same config as a replay's, with several workers and one."""
    wanted = config_hash(without_section(read_plugin_config(PLUGINS).config))
    assert config_hash(recording.plugin) == wanted
    runs = [*decision.runs(), *(wrong.evidence / recording.plugin_name).iterdir()]
    found = [lines(run / "counts.jsonl")[0] for run in runs]
    assert {run["config"] for run in found} == {wanted}
    assert {run["plugin"] for run in found} == {recording.plugin_name}


def test_every_call_ends_as_it_was_recorded(decision: Decision) -> None:
    """With as many attempts, with the text of the last result, and with failures of all kinds."""
    assert decision.complaints == []
    assert decision.outcomes.keys() == set(Outcome) - {Outcome.WRONG}
    assert sum(decision.outcomes.values()) == CHAINS


def test_the_command_says_what_became_of_recorded_calls(wrong: Wrong) -> None:
    """``--traffic corpus --once`` sends so many chains, and none ended otherwise."""
    assert (wrong.ended.status, wrong.ended.errors) == (0, "")
    _, first, *_, last = wrong.ended.output.splitlines()
    assert first.startswith(f"{WRONG_CHAINS} calls, ")
    assert last.split(maxsplit=1) == ["0", Outcome.WRONG]


def test_what_was_recorded_reaches_the_plugin(recording: Recording, decision: Decision) -> None:
    """Chain by chain, value by value: tool, and all of each result."""
    results: dict[tuple[str, str], list[object]] = {}
    for record in read_corpus(CORPUS):
        results.setdefault((record.tool, record.request_id), []).append(record.result)
    wanted = [
        (call.tool, results[call.tool, call.case.rpartition("-")[0]][: call.attempts])
        for call in recording.calls(CHAINS)
    ]
    seen: dict[tuple[str, str], list[object]] = {}
    for run in decision.runs():
        for line in lines(run / "trace.jsonl"):
            if "result" in line:
                seen.setdefault((line["tool"], line["request_id"]), []).append(line["result"])
    assert _counted(wanted) == _counted((tool, each) for (tool, _), each in seen.items())


def _counted(chains: Iterable[tuple[str, list[object]]]) -> Counter[str]:
    return Counter(json.dumps(chain, sort_keys=True) for chain in chains)
