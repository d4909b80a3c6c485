"""Foreign code that a call of the plugin runs, and that waits for another thread's call.

A program: ``python waiting.py MODULE:CLASS`` reads ``{"settings", "clocks", "moments"}`` as JSON
from standard input; ``clocks`` are the functions that put a clock, or a random source, in place, as
``MODULE:FUNCTION``. Each moment at which foreign code may run is tried in a process of its own.
Were a lock held then, the other thread would never come back, and the process would not either: it
says on standard error where every thread is, and ends. The program writes, as JSON, how often
foreign code has waited at each moment; null where the process did not end well.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import importlib
import json
import logging
import os
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

from cpex.framework import PluginConfig
from hook_calls import context, payload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PATIENCE_S: Final = 60.0
_FAILURE: Final[dict[str, Any]] = {"isError": True, "structuredContent": None, "content": []}


def named(name: str) -> Any:
    """Import what ``MODULE:NAME`` says."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def delay_of(hook: Any) -> int:
    """Run a hook without an event loop, in which far more happens than in the plugin.

    Raises:
        RuntimeError: It waits for something; it is expected to answer at once.
    """
    try:
        hook.send(None)
    except StopIteration as end:
        delay: int = end.value.retry_delay_ms
        return delay
    message = "the hook waited; it is expected to answer at once"
    raise RuntimeError(message)


class Scene:
    """A plugin, and foreign code that waits for another thread that calls it."""

    def __init__(self, make: Callable[[PluginConfig], Any], settings: dict[str, Any]) -> None:
        """Build the plugin."""
        self._make, self._settings = make, settings
        self.waited = 0
        self._waits = threading.local()
        self.plugin = self.built()
        self.call()

    def built(self, **settings: Any) -> Any:
        """Build one more plugin object."""
        settings = self._settings | settings
        return self._make(PluginConfig(name="waiting", kind="k", config=settings))

    def call(self, result: object = None, request_id: str = "r") -> int:
        """Call the hook; give the delay, milliseconds."""
        hook = self.plugin.tool_post_invoke(
            payload("search", _FAILURE if result is None else result), context(request_id)
        )
        return delay_of(hook)

    def wait(self, *_: object) -> None:
        """Have another thread call the plugin, in this chain too, and wait for its end."""
        if getattr(self._waits, "inside", False):
            return
        self.waited += 1

        def others() -> None:
            # What they run has nobody to wait for.
            self._waits.inside = True
            self.call()
            self.call({}, "another")
            self.built()

        thread = threading.Thread(target=others)
        self._waits.inside = True
        thread.start()
        thread.join()
        self._waits.inside = False


class Waiting(dict[str, Any]):
    """A result whose reading waits."""

    def __init__(self, scene: Scene) -> None:
        """Be a failure."""
        super().__init__(_FAILURE)
        self._scene = scene

    def get(self, key: str, default: object = None) -> object:
        """Wait, and read."""
        self._scene.wait()
        return super().get(key, default)


class Ending:
    """An object whose end waits; it can stand for a clock, or a value of a result."""

    def __init__(self, scene: Scene) -> None:
        """Exist."""
        self._scene = scene

    def __call__(self) -> float:
        """Give a time, or a draw."""
        return 0.5

    def __del__(self) -> None:
        """Wait."""
        self._scene.wait()


class Crumbling(dict[str, Any]):
    """A result that makes its values up, so that they end when the plugin has read them."""

    def __init__(self, scene: Scene) -> None:
        """Be a result."""
        super().__init__()
        self._scene = scene

    def get(self, _: str, default: object = None) -> object:
        """Give a value that nobody else holds."""
        del default
        return Ending(self._scene)


class Handler(logging.Handler):
    """A log handler that waits."""

    def __init__(self, scene: Scene) -> None:
        """Exist."""
        super().__init__()
        self._scene = scene

    def handle(self, record: logging.LogRecord) -> bool:
        """Wait; without the handler's own lock, which the other thread may need."""
        self._scene.wait(record)
        return True


class Shown(Exception):  # noqa: N818 - a name that the log shows
    """An exception that waits when it is shown."""

    scene: Scene

    def __str__(self) -> str:
        """Wait."""
        self.scene.wait()
        return "shown"


class Raising(dict[str, Any]):
    """A result that cannot be read."""

    def get(self, *_: object) -> object:
        """Refuse."""
        raise Shown


@contextlib.contextmanager
def handling(scene: Scene) -> Iterator[None]:
    """Handle every log line by waiting."""
    handler = Handler(scene)
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)


def reading(scene: Scene, _: list[Any]) -> None:
    """The result is read."""
    scene.call(Waiting(scene))


def value_ending(scene: Scene, _: list[Any]) -> None:
    """What was read of the result ends."""
    scene.call(Crumbling(scene))


def clock(scene: Scene, clocks: list[Any]) -> None:
    """A clock, or a random source, is asked."""

    def waiting() -> float:
        scene.wait()
        return 0.5

    for replace in clocks:
        replace(waiting)
        scene.call()
        scene.call({})
        replace(None)


def clock_ending(scene: Scene, clocks: list[Any]) -> None:
    """A clock, or a random source, that is replaced ends."""
    for replace in clocks:
        for other in (None, lambda: 0.5, None):
            replace(Ending(scene))
            replace(other)


def logging_exhaustion(scene: Scene, _: list[Any]) -> None:
    """A chain that gives up is logged."""
    with handling(scene):
        for _call in range(20):
            scene.call(request_id="giving up")


def logging_notice(scene: Scene, _: list[Any]) -> None:
    """A surprising setting is logged when a plugin is built."""
    with handling(scene):
        scene.built(surprising_setting=1)


def logging_error(scene: Scene, _: list[Any]) -> None:
    """An internal error is shown and logged."""
    Shown.scene = scene
    with handling(scene), contextlib.suppress(Shown):
        scene.call(Raising())


def collecting(scene: Scene, clocks: list[Any]) -> None:
    """The collector runs, as it may at every object that is made."""
    # Python's own handlers are locked while they write.
    logging.disable()
    gc.callbacks.append(scene.wait)
    before = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for request_id in ("r", "one more"):
            for result in (None, {}, {"content": [{"type": "text", "text": "{"}]}):
                scene.call(result, request_id)
        scene.built()
        clock(scene, clocks)
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(scene.wait)
        logging.disable(logging.NOTSET)


MOMENTS: Final = {
    moment.__name__: moment
    for moment in (
        reading,
        value_ending,
        clock,
        clock_ending,
        logging_exhaustion,
        logging_notice,
        logging_error,
        collecting,
    )
}


def tried(moment: str, asked: dict[str, Any], make: Callable[[PluginConfig], Any]) -> int | None:
    """Wait at one moment in a process of its own; give how often, or ``None``."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        faulthandler.dump_traceback_later(_PATIENCE_S, exit=True)
        scene = Scene(make, asked["settings"])
        MOMENTS[moment](scene, [named(each) for each in asked["clocks"]])
        os.write(writer, str(scene.waited).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, encoding="ascii") as pipe:
        waited = pipe.read()
    return int(waited) if os.waitpid(child, 0)[1] == 0 else None


def main() -> None:
    """Wait at every moment."""
    asked = json.load(sys.stdin)
    make = named(sys.argv[1])
    json.dump({moment: tried(moment, asked, make) for moment in asked["moments"]}, sys.stdout)


if __name__ == "__main__":
    main()
