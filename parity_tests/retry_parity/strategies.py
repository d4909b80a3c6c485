"""Generated scenarios, over all that BEHAVIOUR.md covers.

The first choice everywhere is the plain one, so that what is shrunk ends plain.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from retry_parity.configs import MAPS, odd_config, valid_config
from retry_parity.recipes import mapping
from retry_parity.results import ENDS, GROWS, TROUBLE, result
from retry_parity.scenarios import Call, Fetch, Policy, Rebuild, Scenario, Wait

if TYPE_CHECKING:
    from retry_parity.recipes import Recipe
    from retry_parity.scenarios import Step
    from retry_parity.source import Source

TOOLS: Final = ("search", "pay", "a:b", "a", "\ud800", "")
REQUESTS: Final = ("r1", "r2", "b:c", "c", "\udfff", "")
TRACE_IDS: Final = (None, "4bf92f3577b34da6", "")

_AIMED_CHAINS: Final = 8

#: Seconds to wait between calls; 300 is the age at which a chain still counts.
WAITS: Final = (0.25, 150.0, 299.75, 300.0, 300.25, 1000.0)


def scenario(source: Source) -> Scenario:
    """A config with a series of calls; now and then an odd config, which mostly ends at load."""
    if source.one_in(6):
        return _chained(source)
    odd = source.one_in(4)
    config = odd_config(source) if odd else valid_config(source)
    ceiling = source.pick((None, None, None, 3, 1, 0, 10))
    # A trace is a difference on every call: in most scenarios it would hide in a crowd.
    traces = TRACE_IDS if source.one_in(4) else TRACE_IDS[:1]
    # Likewise what raises in the hybrid: most scenarios have nothing that the ledger explains.
    calm = not source.one_in(3)
    steps: list[Step] = []
    for _ in range(source.pick((12, 4, 24))):
        last = steps[-1] if steps else None
        # A gateway calls again after a failure, so that chains grow.
        if isinstance(last, Call) and source.one_in(2):
            steps.append(_again(source, last, calm=calm))
        else:
            steps.append(_step(source, traces, calm=calm))
    # Teams have configs of their own, and share the chains of the process. Not with traces: they
    # tell a count that no single config accounts for.
    alike = odd or not calm or len(traces) > 1
    other = None if alike or not source.one_in(4) else valid_config(source)
    return Scenario(config, ceiling, tuple(steps), other)


def _chained(source: Source) -> Scenario:
    """A scenario that takes chains to a length and then meets something rare there."""
    ceiling = source.pick((None, None, None, 3, 1))
    traces = ("t1",) if source.one_in(6) else (None,)
    steps: list[Step] = []
    for number in range(4):
        tool = source.pick(("pay", "search"))
        request_id = source.pick(("\ud800", "b:c")) if source.one_in(6) else f"r{number}"
        results = [source.pick(GROWS)] * source.below(4)
        results += [source.pick(ENDS) for _ in range(2)]
        steps += [
            Call(source.below(2), tool, request_id, answer, source.pick(traces))
            for answer in results
        ]
    return Scenario(valid_config(source), ceiling, tuple(steps))


def aimed(source: Source, *, override: bool, text_check: bool, failures: int) -> Scenario:
    """A scenario for strata that `scenario` reaches seldom: every chain meets its end there.

    Args:
        source: Makes the choices.
        override: Whether the tool has an override of its own.
        text_check: Whether its text content is checked.
        failures: How many failures each chain has behind it then.
    """
    # As many as are needed to come there; some chains are exhausted then, and some are not.
    settings: dict[Recipe, Recipe] = {
        "max_retries": failures + source.below(3),
        "check_text_content": text_check,
        "jitter": source.one_in(8),
    }
    config: dict[Recipe, Recipe] = settings
    if override:
        others = {"max_retries": source.below(4), "check_text_content": source.one_in(2)}
        config = {**others, "tool_overrides": mapping({"pay": mapping(settings)})}
    # Without those that only a text shows, which are no failure on the other path.
    grows = GROWS if text_check else GROWS[:-1]
    steps = []
    for number in range(_AIMED_CHAINS):
        end = result(source) if source.one_in(3) else source.pick(ENDS)
        request_id = "\ud800" if not failures and source.one_in(3) else f"r{number}"
        answers = [*(source.pick(grows) for _ in range(failures)), end]
        steps += [Call(source.below(2), "pay", request_id, answer) for answer in answers]
    return Scenario(mapping(config), None, tuple(steps))


def jittered(made: Scenario) -> Scenario:
    """Give a scenario with jitter on, for the base and for every tool."""
    config = made.config
    if not isinstance(config, tuple) or config[0] not in MAPS:
        return made
    settings = {**dict(config[1]), "jitter": True}
    overrides = settings.get("tool_overrides")
    if isinstance(overrides, tuple) and overrides[0] in MAPS:
        settings["tool_overrides"] = mapping(
            {tool: _with_jitter(override) for tool, override in overrides[1]}, overrides[0]
        )
    other = None if made.other is None else _with_jitter(made.other)
    return replace(made, config=mapping(settings, config[0]), other=other)


def _with_jitter(override: Recipe) -> Recipe:
    if not isinstance(override, tuple) or override[0] not in MAPS:
        return override
    return mapping({**dict(override[1]), "jitter": True}, override[0])


def _again(source: Source, last: Call, *, calm: bool) -> Call:
    """The same call again: with the same result, another one, or one that costs the hybrid."""
    answer = last.result
    if source.one_in(3):
        trouble = not calm and source.one_in(3)
        answer = source.pick(TROUBLE) if trouble else result(source, calm=calm)
    return replace(last, plugin=source.below(2), result=answer)


def _step(source: Source, traces: tuple[str | None, ...], *, calm: bool) -> Step:
    if source.one_in(40):
        return Wait(source.pick(WAITS))
    if source.one_in(40):
        return Rebuild(source.below(2))
    if source.one_in(40):
        return Policy(_name(source, TOOLS, calm=calm), source.pick((3, 0, 10**6, -1)))
    if source.one_in(60):
        return Fetch(source.below(2))
    return Call(
        plugin=source.below(2),
        tool=_name(source, TOOLS, calm=calm),
        request_id=_name(source, REQUESTS, calm=calm),
        result=result(source, calm=calm),
        trace_id=source.pick(traces),
    )


def _name(source: Source, names: tuple[str, ...], *, calm: bool) -> str:
    # The odd names come seldom, so that chains grow long.
    odd = not calm and source.one_in(4)
    return source.pick(names) if odd else source.pick(names[:2])
