"""How names, numbers and times are written in a report.

Names come from tools and their callers: they may be of any length, steer a terminal, or turn the
direction of the text around them. What is written here is bounded and printable.
"""

from __future__ import annotations

from typing import Final

from retry_parity.output import printable

#: Characters of a name that are shown: the beginning and the end, by which names differ.
MOST_OF_A_NAME: Final = 80
#: Characters of a sentence that are shown.
MOST_OF_A_TEXT: Final = 600
_ELLIPSIS: Final = "…"
_EMPTY: Final = "(empty)"
#: Stands where there is no value.
NOTHING: Final = "\N{EN DASH}"

_TIMES: Final = ((1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "µs"))
_SIZES: Final = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
_COUNTS: Final = ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k"))


def clean(text: str, most: int = MOST_OF_A_TEXT) -> str:
    """Give a text as it can be shown: escaped where it is not printable, cut where it is long.

    Args:
        text: Any text, lone surrogates included.
        most: Characters that are kept.

    Returns:
        At most `most` characters, and how long the whole is where it was cut.
    """
    # What is longer is cut in any case, and need not be escaped as a whole.
    escaped = printable(text[: most + 1])
    if len(text) <= most and len(escaped) <= most:
        return escaped
    end = printable(text[-(most // 4) :])[-(most // 4) :]
    begin = escaped[: most - len(end)]
    return f"{begin}{_ELLIPSIS}{end} ({len(text):,} characters)"


def name(text: str) -> str:
    """Give a name as it can be shown."""
    return clean(text, MOST_OF_A_NAME) or _EMPTY


def counted(count: int, one: str, many: str = "") -> str:
    """Give a count with its noun: ``1 run``, ``2 runs``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def brief(count: int) -> str:
    """Give a count in at most five characters: ``950``, ``12.3k``, ``4.0M``."""
    for size, unit in _COUNTS:
        if count >= size:
            value = count / size
            # Rounded down: a requirement that is nearly met must not look as if it was.
            return f"{int(value * 10) / 10:.1f}{unit}" if value < 100 else f"{int(value)}{unit}"  # noqa: PLR2004 - three digits
    return str(count)


def percent(share: float) -> str:
    """Give a share (0 to 1) in percent, with two digits that mean something."""
    value = share * 100
    if value == 0:
        return "0 %"
    if value < 0.000_001:  # noqa: PLR2004 - what nobody can read any more
        return "< 0.000001 %"
    digits = 1
    while value < 10.0**-digits * 10 and digits < 7:  # noqa: PLR2004 - as above
        digits += 1
    text = f"{value:.{digits}f}"
    return f"{text.rstrip('0').rstrip('.')} %"


def duration(nanoseconds: float | None) -> str:
    """Give a time with three digits: ``12.3 µs``; a dash where there is none."""
    if nanoseconds is None:
        return NOTHING
    for size, unit in _TIMES:
        if nanoseconds >= size:
            return f"{_three_digits(nanoseconds / size)} {unit}"
    return f"{nanoseconds:.0f} ns"


def size(count: int) -> str:
    """Give a number of bytes with three digits: ``1.25 MiB``."""
    for unit_size, unit in _SIZES:
        if count >= unit_size:
            return f"{_three_digits(count / unit_size)} {unit}"
    return f"{count:,} B"


def _three_digits(value: float) -> str:
    if value >= 100:  # noqa: PLR2004 - three digits are there
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"  # noqa: PLR2004 - as above
