"""Hostile payloads through the migration plugin: who decides, answers as if it were alone.

The material is the product's own (`python_shim/tests`). Under ``shadow`` the caller gets what the
hybrid gives, its exceptions included; the ledger names where it chokes. Under ``rust`` the caller
gets an answer.
"""

from __future__ import annotations

import logging
import sys
from functools import cache, partial
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cpex.framework import PluginConfig
from hypothesis import given, settings
from hypothesis import strategies as st
from laboratory import NAME

import retry_legacy
from retry_parity import MigrationPlugin, migration
from retry_parity.evidence import evidence_of
from retry_with_backoff import _core

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Record = Callable[[str, object], None]

# The product's material knows nothing of the migration, and is no package.
sys.path.append(str(Path(__file__).resolve().parents[2] / "python_shim" / "tests"))
hostile: Any = import_module("hostile")
hostile_nests: Any = import_module("hostile_nests")
long_texts: Any = import_module("long_texts")
alone: Any = import_module("alone")

RETRY_MS = 200
#: Each call is a chain of its own: one that is open stays with who decided on it first.
CHAINS = count()
FLAGS = ("shadow", "rust")
FAILURE: dict[str, Any] = {"isError": True}


@pytest.fixture(autouse=True)
def hostile_world(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Iterator[None]:
    """Keep what hostile code changes, and what it raises where nobody can catch it, in the test."""
    caplog.set_level(logging.CRITICAL)
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    limit = sys.getrecursionlimit()
    yield
    sys.setrecursionlimit(limit)
    for flag in FLAGS:
        migration.forget(f"{NAME} {flag}")


class Hybrid:
    """The hybrid alone, called as the migration plugin is."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._plugin = retry_legacy.RetryWithBackoffPlugin(
            PluginConfig(name=NAME, kind="k", config=config)
        )

    def tool_post_invoke(self, payload: Any, context: Any, _: Any) -> Any:
        """Leave out the extensions, which it does not take."""
        return self._plugin.tool_post_invoke(payload, context)


def config_of(*, text_path: bool, **settings: Any) -> dict[str, Any]:
    """A config of either path, without jitter."""
    return {"jitter": False, "check_text_content": text_path, **settings}


def migrating(flag: str, *, text_path: bool) -> MigrationPlugin:
    """The plugin under a flag; under ``rust`` the hybrid is not even loaded.

    The guard would give the decision back to the hybrid after some internal errors, and nothing is
    learned of the core then; nor is anything said here of time.
    """
    section = {
        "implementation": flag,
        "compare_percent": 0,
        "guard": {"limit": 10_000, "window_s": 0.001},
        "time_limit_ms": 60_000,
    }
    config = config_of(text_path=text_path, migration=section)
    return MigrationPlugin(PluginConfig(name=f"{NAME} {flag}", kind="k", config=config))


def plain(result: object, tool: str = "search") -> Any:
    """A first call."""
    return hostile.plain(result, tool, f"r {next(CHAINS)}")


def serves(plugin: Any) -> bool:
    """Whether an ordinary failure is answered as ever."""
    return outcome(plugin, plain(FAILURE)) == RETRY_MS


def forget_chains() -> None:
    """Begin all chains anew, on both sides and between them."""
    retry_legacy.clear_state()
    _core.clear_state()


def outcome(plugin: Any, call: Any) -> int | str:
    """What the caller gets: a delay, or an exception's name."""
    try:
        return int(hostile.answer(plugin, call).retry_delay_ms)
    except Exception as error:  # noqa: BLE001  it is what the caller gets
        return type(error).__name__


def new_world(plugin: Any) -> Any:
    """A world whose hostile code calls this plugin, but not out of itself: that has no end."""
    is_inside = False

    def hook(result: object) -> object:
        nonlocal is_inside
        if is_inside:
            return None
        is_inside = True
        try:
            return outcome(plugin, plain(result))
        finally:
            is_inside = False

    return hostile.World(hook, forget_chains)


def played(plugin: Any, place: str, method: str, deed: Any, path: Any) -> tuple[Any, bool]:
    """Play one call of a fresh world; the outcome, and whether the payload is as it was.

    Args:
        plugin: Whom.
        place: Where the hostile object stands.
        method: In which it is hostile.
        deed: What it does.
        path: Whether on the text path, and whether there is a failure.
    """
    world = new_world(plugin)
    outfit = hostile.Outfit(*path, request_id=f"r {next(CHAINS)}")
    wrap = partial(hostile.hostile, method=method, deed=deed, world=world)
    call = hostile.build(place, outfit, world, wrap)
    before, limit = hostile.snapshot(call), sys.getrecursionlimit()
    world.armed = True
    got = outcome(plugin, call)
    world.armed = False
    sys.setrecursionlimit(limit)
    return got, deed is hostile.Deed.MUTATE or hostile.snapshot(call) == before


@pytest.mark.parametrize("place", hostile.PLACES)
@pytest.mark.parametrize("text_path", [False, True])
def test_whoever_decides_answers_a_hostile_call_as_if_it_were_alone(
    place: str, *, text_path: bool, record_property: Record
) -> None:
    """Whatever method of whatever object raises, lies, recurses or mutates."""
    hybrid = Hybrid(config_of(text_path=text_path))
    plugins = {flag: migrating(flag, text_path=text_path) for flag in FLAGS}
    tried = lost = 0
    for method in hostile.METHODS[hostile.PLACES[place]]:
        for deed in hostile.Deed:
            for fails in (False, True):
                asked = (place, method, deed, (text_path, fails))
                expected, _ = played(hybrid, *asked)
                shadow, untouched = played(plugins["shadow"], *asked)
                rust, left_alone = played(plugins["rust"], *asked)
                tried += 2
                lost += shadow != expected or not untouched
                lost += rust not in {0, RETRY_MS} or not left_alone
    lost += sum(not serves(plugin) for plugin in plugins.values())
    record_property("tried", tried)
    record_property("lost", lost)
    assert lost == 0


@cache
def players(*, text_path: bool) -> tuple[Hybrid, MigrationPlugin, MigrationPlugin]:
    """The hybrid, and the plugin under shadow and under rust."""
    shadow, rust = (migrating(flag, text_path=text_path) for flag in FLAGS)
    return Hybrid(config_of(text_path=text_path)), shadow, rust


# Each example is five calls.
@settings(max_examples=settings().max_examples // 3)
@given(
    recipe=hostile_nests.RESULTS,
    text_path=st.booleans(),
    tool=st.sampled_from(["search", "\ud800", "a\0b", ""]),
)
def test_any_nest_of_hostile_things_gets_the_outcome_of_who_decides(
    recipe: Any, *, text_path: bool, tool: str
) -> None:
    """The hybrid's under shadow; an answer under rust; and the next call is served as ever."""

    def play(plugin: Any) -> int | str:
        world = new_world(plugin)
        world.whole = hostile_nests.make(recipe, world, set())
        limit = sys.getrecursionlimit()
        world.armed = True
        got = outcome(plugin, plain(world.whole, tool))
        world.armed = False
        sys.setrecursionlimit(limit)
        return got

    hybrid, shadow, rust = players(text_path=text_path)
    assert play(shadow) == play(hybrid)
    assert play(rust) in {0, RETRY_MS}
    assert serves(shadow)
    assert serves(rust)


class Raising(dict[str, Any]):
    """A dict whose reading raises."""

    def get(self, *_: object) -> Any:
        """Fail, as a hostile or broken container does."""
        raise RuntimeError


#: A result, or a name, that the hybrid chokes on; what it raises; the entry that names it.
CHOKING: dict[str, tuple[Callable[[], Any], str, str]] = {
    "a get that raises": (Raising, "RuntimeError", "error-wrapper"),
    "an inner get that raises": (
        lambda: {"structuredContent": Raising()},
        "RuntimeError",
        "error-wrapper",
    ),
    "an item's get that raises": (
        lambda: {"content": [Raising()]},
        "RuntimeError",
        "error-wrapper",
    ),
    "no items": (lambda: {"content": 7}, "TypeError", "content-shape"),
    "a nest": (
        lambda: hostile.text_result(long_texts.nests(5_000)["mixed"]),
        "RecursionError",
        "text-raises",
    ),
    "digits": (
        lambda: hostile.text_result(long_texts.behind("7" * 5_000)),
        "ValueError",
        "text-raises",
    ),
    "bytes": (lambda: hostile.text_result(b"\xff" * 9), "UnicodeDecodeError", "text-raises"),
    "a status": (
        lambda: {"structuredContent": {"status_code": 1 << 3_400_000}},
        "OverflowError",
        "status-range",
    ),
    "a name": (lambda: FAILURE, "UnicodeEncodeError", "name-encoding"),
}


@pytest.mark.parametrize("name", CHOKING)
def test_the_ledger_names_where_the_hybrid_chokes(name: str) -> None:
    """Under shadow its exception is what the caller gets, and the core's answer is explained."""
    made, error, entry = CHOKING[name]
    text_path = entry not in {"status-range", "name-encoding"}
    tool = "\ud800" if name == "a name" else "search"
    call = plain(made(), tool)
    assert outcome(migrating("shadow", text_path=text_path), call) == error
    counts = evidence_of(f"{NAME} shadow").counts()
    assert (counts.accepted, counts.divergent) == ({entry: 1}, {})
    rust = outcome(migrating("rust", text_path=text_path), plain(made(), tool))
    assert rust == (RETRY_MS if name == "a name" else 0)


@pytest.mark.parametrize("name", long_texts.LONG_TEXTS)
def test_a_long_text_gets_the_outcome_of_who_decides(name: str) -> None:
    """Of half a million characters where the hybrid reads it, of ten million where it does not."""
    text = long_texts.LONG_TEXTS[name]

    def work() -> list[int | str]:
        short, long = (hostile.text_result(text.of(size)) for size in (500_000, 10_000_000))
        return [
            outcome(Hybrid(config_of(text_path=True)), plain(short)),
            outcome(migrating("shadow", text_path=True), plain(short)),
            outcome(migrating("rust", text_path=True), plain(long)),
        ]

    hybrid, shadow, rust = alone.alone(work)
    assert shadow == hybrid
    assert rust == (RETRY_MS if text.fails else 0)


@pytest.mark.parametrize(("flag", "expected"), [("shadow", "RecursionError"), ("rust", 0)])
def test_a_payload_that_always_calls_the_plugin_again_ends(flag: str, expected: object) -> None:
    """The hybrid goes to the end of the stack; the core answers a few, whoever stands around it."""
    ran = 0

    class Recursing(dict[str, Any]):
        def get(self, *_: object) -> Any:
            nonlocal ran
            ran += 1
            hostile.answer(plugin, plain(self))

    plugin = migrating(flag, text_path=True)
    assert outcome(plugin, plain(Recursing())) == expected
    assert ran <= 10_000
