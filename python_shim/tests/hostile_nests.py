"""Arbitrary nests of hostile things, for Hypothesis."""

from __future__ import annotations

from typing import Any

from hostile import METHODS, Deed, World, hostile
from hypothesis import strategies as st

#: A value, what it holds, and how it is hostile.
Recipe = tuple[Any, Any]

_KEYS = st.sampled_from(
    [*("isError", "structuredContent", "content", "status_code", "type", "text"), "\ud800", "\0"]
)
_TEXTS = st.sampled_from(
    [
        *('{"isError": true}', '{"status_code": 503}', '{"\\u0069sError": true}', "fine"),
        *("[" * 5_000, "{" * 300, '{"isError": true, "a": ' + "7" * 5_000 + "}", "\ud800", "\0"),
        *("text", "image", "resource", "resource_link"),
    ]
)
_LEAVES = (
    st.none()
    | st.booleans()
    | st.sampled_from([0, 1, 200, 429, 503, -1, 2**31, -(2**70), 0.5, float("nan")])
    | _TEXTS
    | _TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass"))
)


def _spoiled(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Recipe]:
    """Values, some of them hostile."""

    def way(value: Any) -> st.SearchStrategy[Recipe]:
        if type(value) not in METHODS:
            return st.just((value, None))
        deeds = st.tuples(st.sampled_from(METHODS[type(value)]), st.sampled_from(Deed))
        return st.tuples(st.just(value), st.none() | deeds)

    return values.flatmap(way)


_NESTS: st.SearchStrategy[Recipe] = st.recursive(
    _spoiled(_LEAVES),
    lambda inner: _spoiled(
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(_KEYS, inner, max_size=5)
    ),
    max_leaves=12,
)
#: Recipes of results.
RESULTS = _spoiled(
    st.fixed_dictionaries(
        {},
        optional={
            "content": _NESTS | _spoiled(st.lists(_NESTS, max_size=4)),
            "isError": _spoiled(_LEAVES),
            "structuredContent": st.just((None, None)) | _NESTS,
        },
    )
)


def make(recipe: Recipe, world: World, deeds: set[Deed]) -> Any:
    """Cook a recipe."""
    value, way = recipe
    if type(value) is dict:
        value = {key: make(inner, world, deeds) for key, inner in value.items()}
    elif type(value) in {list, tuple}:
        value = type(value)(make(inner, world, deeds) for inner in value)
    if way is not None:
        method, deed = way
        deeds.add(deed)
        value = hostile(value, method, deed, world)
    world.watch(value)
    return value
