"""Scenarios around each entry of the ledger: its smallest example, and generated neighbours.

An example shows its entry's difference and no other. Its neighbours mix the same difference with
plain calls on the same chains, with other budgets, paths and traces: where an entry is wider than
it should be, a fault hides there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from retry_parity.recipes import Recipe, mapping, sequence
from retry_parity.scenarios import Call, Policy, Scenario, Wait

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from retry_parity.scenarios import Step
    from retry_parity.source import Source


def _result(**fields: Recipe) -> Recipe:
    return mapping({"content": sequence([]), "isError": False, "structuredContent": None} | fields)


def _texts(*items: Recipe) -> Recipe:
    return _result(content=sequence(mapping({"type": "text", "text": text}) for text in items))


def _status(code: Recipe, **fields: Recipe) -> Recipe:
    return _result(structuredContent=mapping({"status_code": code} | fields))


FAILURE: Final = _result(isError=True)
SUCCESS: Final = _result()
_UNREADABLE: Final[Recipe] = ("unreadable", (("isError", True),))
_TOO_LONG: Final[Recipe] = ("repeated", "9", 5000)
_TOO_DEEP: Final[Recipe] = "[" * 3000 + "]" * 3000
_MAKES_UP_TEXT: Final[Recipe] = ("default", (("type", "text"),))

_PLAIN: Final = mapping({"jitter": False, "backoff_base_ms": 100})
_TEXT_CHECK: Final = mapping({"jitter": False, "backoff_base_ms": 100, "check_text_content": True})


def _calls(*results: Recipe, tool: str = "tool", trace_id: str | None = None) -> tuple[Call, ...]:
    return tuple(Call(0, tool, "r1", result, trace_id) for result in results)


#: The example of each entry that a scenario can show, as `ledger.toml` gives it.
EXAMPLES: Final[dict[str, Scenario]] = {
    "jitter-zero": Scenario(
        # The draw cannot be told to the hybrid's fast path: of 60 draws from 0 and 1 one is 0.
        mapping({"jitter": True, "backoff_base_ms": 1, "max_backoff_ms": 1, "max_retries": 99}),
        None,
        _calls(*[FAILURE] * 60),
    ),
    "key-collision": Scenario(
        _PLAIN, None, (Call(0, "a:b", "c", FAILURE), Call(0, "a", "b:c", FAILURE))
    ),
    "status-range": Scenario(_PLAIN, None, _calls(_status(2**32))),
    "text-raises": Scenario(_TEXT_CHECK, None, _calls(_texts(_TOO_LONG))),
    "missing-text": Scenario(
        _TEXT_CHECK, None, _calls(_result(content=sequence([_MAKES_UP_TEXT])))
    ),
    "content-shape": Scenario(_TEXT_CHECK, None, _calls(_result(content=None))),
    "name-encoding": Scenario(_PLAIN, None, (Call(0, "tool", "\ud800", FAILURE),)),
    "override-at-load": Scenario(
        mapping({"tool_overrides": mapping({"pay": mapping({"check_text_content": "perhaps"})})}),
        None,
        (),
    ),
    "error-family-at-load": Scenario(mapping({"max_retries": 2**32}), None, ()),
    "clamped-number": Scenario(
        mapping({"tool_overrides": mapping({"pay": mapping({"max_retries": 9.5})})}),
        3,
        (Policy("pay", 2),),
    ),
    "error-wrapper": Scenario(_PLAIN, None, _calls(_UNREADABLE)),
    "trace-metrics": Scenario(_PLAIN, None, _calls(FAILURE, trace_id="t1")),
}


# --- neighbours ----------------------------------------------------------------------------------

_NAMES: Final = (("tool", "r1"), ("pay", "r1"), ("tool", "r2"))
_MANY: Final = tuple(("tool", f"r{number}") for number in range(8))
_COLLIDING: Final = (("a:b", "c"), ("a", "b:c"))
_SURROGATES: Final = (("tool", "\ud800"), ("\udfff", "r1"), ("pay", "\udfff"), ("tool", "r1"))

_COMMON: Final[tuple[Recipe, ...]] = (
    FAILURE, SUCCESS, FAILURE, _status(503), _status(404), None,
    _status(404, isError=True), _result(isError=True, structuredContent=mapping({})),
    _texts('{"isError": true}'),
)  # fmt: skip

#: Results that show an entry's difference, where it is the result that does.
_RESULTS: Final[dict[str, tuple[Recipe, ...]]] = {
    "status-range": (
        _status(2**31), _status(-(2**40)), _status(10**40, isError=True),
        _result(isError=True, structuredContent=mapping({"status_code": 2**32})),
        _result(structuredContent=mapping({"isError": True, "status_code": 2**32})),
    ),
    "text-raises": (
        _texts(_TOO_LONG), _texts(_TOO_LONG, '{"isError": true}'), _texts(_TOO_DEEP, "{}"),
        _texts(b"\xff\xfe{", '{"status_code": 503}'),
    ),
    "missing-text": (
        _result(content=sequence([_MAKES_UP_TEXT])),
        *(
            _result(content=sequence([_MAKES_UP_TEXT, mapping({"type": "text", "text": text})]))
            for text in ("{}", '{"isError": true}')
        ),
    ),
    "content-shape": (_result(content=None), _result(content=5), mapping({"content": True})),
    "error-wrapper": (
        _UNREADABLE, ("unreadable", ()),
        _result(isError=True, structuredContent=("unreadable", ())),
        _result(content=sequence([("unreadable", (("type", "text"),))])),
    ),
}  # fmt: skip
#: Entries that show on failures only, one of them where two chains are under way.
_OF_FAILURES: Final = frozenset({"jitter-zero", "key-collision"})
_ON_THE_TEXT_PATH: Final = frozenset({"text-raises", "missing-text", "content-shape"})

_UNUSABLE: Final[tuple[Recipe, ...]] = (
    mapping({"check_text_content": "perhaps"}),
    mapping({"check_text_content": None, "max_retries": 1}),
    mapping({"check_text_content": 5}),
)
_TOO_LARGE: Final[tuple[tuple[str, Recipe], ...]] = (
    ("max_retries", 2**32), ("max_retries", 10**30), ("backoff_base_ms", 2**64),
    ("max_backoff_ms", 10**30), ("retry_on_status", sequence([503, 2**31])),
)  # fmt: skip
_WRONG_IN_AN_OVERRIDE: Final[tuple[tuple[str, Recipe], ...]] = (
    *_TOO_LARGE, ("max_retries", "3"), ("jitter", 1), ("backoff_base_ms", None), ("jitter", "yes"),
    ("retry_on_status", sequence(["503"])), ("max_backoff_ms", -1),
    ("max_retries", ("decimal", "NaN")),
)  # fmt: skip
_CLAMPED: Final[tuple[Recipe, ...]] = (
    9.5, 3.5, ("decimal", "9.5"), ("fraction", 19, 2), ("decimal", "9"),
)  # fmt: skip


def around(entry: str, source: Source) -> Scenario:
    """Give a scenario in the neighbourhood of an entry."""
    by_config = _BY_CONFIG.get(entry)
    return _by_call(entry, source) if by_config is None else by_config(source)


def _by_call(entry: str, source: Source) -> Scenario:
    text_path = entry in _ON_THE_TEXT_PATH or (
        entry in {"error-wrapper", "trace-metrics", "key-collision"} and source.one_in(2)
    )
    jitter = entry == "jitter-zero" or source.one_in(6)
    config = {
        "jitter": jitter,
        "check_text_content": text_path,
        "backoff_base_ms": 1 if entry == "jitter-zero" else source.pick((100, 1)),
        "max_retries": source.pick((5, 3, 2) if entry in _OF_FAILURES else (2, 3, 5, 1, 0)),
        "tool_overrides": mapping({"pay": mapping({"max_retries": source.pick((1, 0, 4))})}),
    }
    traced = entry == "trace-metrics" or source.one_in(2)
    steps: list[Step] = []
    for _ in range(10):
        tool, request_id = source.pick(_names(entry))
        results = _COMMON
        if entry in _RESULTS and source.one_in(2):
            results = _RESULTS[entry]
        if entry in _OF_FAILURES and not source.one_in(3):
            results = (FAILURE,)
        steps.append(Call(0, tool, request_id, source.pick(results), "t1" if traced else None))
        if source.one_in(20):
            steps.append(Wait(301.0))
    return Scenario(mapping(config), source.pick((None, None, None, 2, 0)), tuple(steps))


def _names(entry: str) -> Sequence[tuple[str, str]]:
    names = {
        "jitter-zero": _MANY,
        "key-collision": _COLLIDING,
        "name-encoding": _SURROGATES,
    }
    return names.get(entry, _NAMES)


def _loaded(config: dict[Recipe, Recipe], ceiling: int | None = None) -> Scenario:
    tools = ("pay", "search", "tool")
    steps = [step for tool in tools for step in (Call(0, tool, "r1", FAILURE), Policy(tool, 2))]
    return Scenario(mapping(config), ceiling, tuple(steps))


def _override_at_load(source: Source) -> Scenario:
    overrides = {"pay": source.pick(_UNUSABLE), "search": mapping({"max_retries": 1})}
    if source.one_in(3):
        overrides["tool"] = source.pick(_UNUSABLE)
    config = {"max_retries": 3, "jitter": False, "tool_overrides": mapping(overrides)}
    return _loaded(config, source.pick((None, 1)))


def _error_family_at_load(source: Source) -> Scenario:
    config: dict[Recipe, Recipe] = {"jitter": False, "retry_on_status": sequence([503])}
    if source.one_in(2):
        config |= dict([source.pick(_TOO_LARGE)])
    else:
        wrong = mapping({"check_text_content": False} | dict([source.pick(_WRONG_IN_AN_OVERRIDE)]))
        config["tool_overrides"] = mapping({"search": mapping({"max_retries": 1}), "pay": wrong})
    return _loaded(config)


def _clamped_number(source: Source) -> Scenario:
    override = {"max_retries": source.pick(_CLAMPED), "retry_on_status": sequence([503])}
    if source.one_in(4):
        override["check_text_content"] = True
    config = {"jitter": source.one_in(2), "tool_overrides": mapping({"pay": mapping(override)})}
    steps = tuple(Policy(tool, most) for tool in ("pay", "search") for most in (2, 0, 3, 10**6, -1))
    return Scenario(mapping(config), source.pick((3, 1, 2)), steps)


_BY_CONFIG: Final[dict[str, Callable[[Source], Scenario]]] = {
    "override-at-load": _override_at_load,
    "error-family-at-load": _error_family_at_load,
    "clamped-number": _clamped_number,
}
