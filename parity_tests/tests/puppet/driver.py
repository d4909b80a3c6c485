"""Runs scenarios on a puppet."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Driver:
    """Hands each step of a scenario to the puppet and writes down what it gives back."""

    has_clock = False

    def __init__(
        self,
        plugin_class: Any,
        set_time: object = None,
        begin: Callable[[int], None] = lambda _: None,
        end: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Make the puppet."""
        del set_time
        self._puppet = plugin_class()
        self._begin = begin
        self._end = end

    def run(self, scenario: tuple[str, ...]) -> bytes:
        """Run a scenario; what a step raises is nobody's business here."""
        answers = []
        for number, step in enumerate(scenario):
            self._begin(number)
            answers.append(self._puppet.act(step))
            self._end(number)
        return json.dumps(answers).encode()


class LateDriver(Driver):
    """Sets a time that no clock has."""

    def __init__(self, plugin_class: Any, set_time: Callable[[float], None], *rest: Any) -> None:
        """Keep what sets the time."""
        super().__init__(plugin_class, None, *rest)
        self._set_time = set_time

    def run(self, scenario: tuple[str, ...]) -> bytes:
        """Set it, then run."""
        self._set_time(9.3e9)
        return super().run(scenario)
