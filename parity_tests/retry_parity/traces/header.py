"""The header of a trace as data: what a file says of itself before its first call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from retry_parity.traces.calls import FORMAT, Header

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import NoReturn

_TEXTS: Final = ("plugin", "origin", "seed", "source", "run")


def told_header(header: Header) -> dict[str, object]:
    """Give a header as plain data; what it does not say is left out."""
    said = {name: getattr(header, name) for name in (*_TEXTS, "config", "versions")}
    return {"format": FORMAT} | {name: value for name, value in said.items() if value}


def read_header(told: Mapping[str, object], refuse: Callable[[str], NoReturn]) -> Header:
    """Check a header.

    Args:
        told: As `told_header` gives it. Keys it does not know are left alone: what changes the
            meaning of a file changes its format.
        refuse: Raises, with what is wrong.
    """
    if told.get("format") != FORMAT:
        refuse(f"has trace format {told.get('format')!r:.20}; format {FORMAT} is what can be read")
    texts: dict[str, str] = {}
    for name in _TEXTS:
        text = told.get(name, "")
        if not isinstance(text, str):
            refuse(f"has a header whose '{name}' is no text")
        texts[name] = text
    config = told.get("config")
    if config is not None and not isinstance(config, dict):
        refuse("has a header whose 'config' is no object")
    versions = told.get("versions", {})
    if not isinstance(versions, dict) or not all(
        version is None or isinstance(version, str) for version in versions.values()
    ):
        refuse("has a header whose 'versions' are not versions by package")
    return Header(config=config, versions=versions, **texts)


def add_lost(
    lost: dict[str, int], reason: object, count: object, refuse: Callable[[str], NoReturn]
) -> None:
    """Check what a trace says of lost calls, and add it up.

    Args:
        lost: Calls by reason, added to.
        reason: Why they were lost.
        count: How many.
        refuse: Raises, with what is wrong.
    """
    if not isinstance(reason, str):
        refuse("has a gap whose 'reason' is no text")
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        refuse("has a gap whose 'lost' is no number of calls")
    lost[reason] = lost.get(reason, 0) + count
