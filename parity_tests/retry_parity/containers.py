"""The two kinds of dict in which cpex hands a result to a plugin.

Up to 0.1.2 the wrapper is lazy: its own storage is empty and everything is behind its methods.
From 0.1.3 on it is a snapshot: an ordinary dict with a little bookkeeping. A candidate must cope
with both, whichever cpex is installed, so a replay delivers both.
"""

from __future__ import annotations

from enum import StrEnum

from cpex.framework.memory import CopyOnWriteDict

from retry_parity.recipes import LazyDict, PlainSubclass


class Container(StrEnum):
    """The kinds of wrapper."""

    SNAPSHOT = "snapshot"
    LAZY = "lazy"


def installed_kind() -> Container:
    """Say which kind the installed cpex delivers."""
    wrapped = CopyOnWriteDict({"key": "value"})
    return Container.SNAPSHOT if dict.__contains__(wrapped, "key") else Container.LAZY


def wrap(kind: Container, result: dict[str, object]) -> dict[str, object]:
    """Wrap a result (itself wrapped or not) in a given kind of dict."""
    pairs = [(key, result[key]) for key in result]
    return LazyDict(pairs) if kind is Container.LAZY else PlainSubclass(pairs)
