"""What may stand in a fixture: the words of the format that a decision reads, and neutral ones.

INVARIANT: nothing that a tool, its caller or a server has named or said passes for a neutral word,
but for the words that a decision looks for.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

#: Keys of a result that a decision reads, and the key that a result always has besides.
RESULT_KEYS: Final = frozenset(
    {"content", "isError", "structuredContent", "status_code", "type", "text", "_meta"}
)
#: Kinds of content.
TYPES: Final = frozenset({"text", "image", "resource"})
CONFIG_KEYS: Final = frozenset(
    {
        "max_retries",
        "backoff_base_ms",
        "max_backoff_ms",
        "retry_on_status",
        "jitter",
        "check_text_content",
        "tool_overrides",
    }
)
#: Words that a config may have for a flag, in lower case.
FLAG_WORDS: Final = frozenset({"true", "false", "yes", "no", "on", "off", "y", "n", "t", "f"})

TOOL: Final = "search"
REQUEST: Final = "r1"
#: Status codes are allowed where one is read.
STATUSES: Final = range(100, 1000)
#: Integers that tell nothing: a status, small ones, and the limits of integer types.
NEUTRAL_NUMBERS: Final = (
    503, 404, 0, 1, -1, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**63 - 1, 2**63, -(2**63),
    2**64, 10**40, -(10**40),
)  # fmt: skip
NEUTRAL_FLOATS: Final = (0.5, 0.0, 503.0, 404.0, -0.5, 1e300)

#: Words that a decision may find in a text of JSON.
_TEXT_WORDS: Final = frozenset(
    {"isError", "status_code", "true", "false", "null", "NaN", "Infinity"}
)
_NEUTRAL_NAME: Final = re.compile(r"search|r1|n\d{1,3}")
_NEUTRAL_KEY: Final = re.compile(r"x\d{0,3}")
_WORD: Final = re.compile(r"\w+")
_NUMBER: Final = re.compile(r"\d+")
_STATUS_BEFORE: Final = re.compile(r"status_code\"\s*:\s*-?\Z")

#: One character for all of its kind, so that a text keeps its shape and says nothing.
_LETTER, _DIGIT, _SHORT, _LONG, _LONGEST, _SURROGATE = "x", "0", "é", "東", "😀", "\ud800"
_MASKS: Final = frozenset((_LETTER, _DIGIT, _SHORT, _LONG, _LONGEST, _SURROGATE))
#: What a parser of JSON or of Unicode may trip over.
_ODD_SPACES: Final = frozenset("\ufeff\xa0\u2028\u2029\x85")

#: Beyond ASCII, the first characters of three and of four bytes in UTF-8.
_ASCII, _THREE_BYTES, _FOUR_BYTES = 0x80, 0x800, 0x10000


def is_neutral_name(name: str) -> bool:
    """Whether a tool's name or a request id, joined by colons or not, says nothing."""
    return all(not part or _is_plain(part, _NEUTRAL_NAME) for part in name.split(":"))


def is_neutral_key(key: str) -> bool:
    """Whether a key of a result says nothing but what a decision reads."""
    return key in RESULT_KEYS or _is_plain(key, _NEUTRAL_KEY)


def is_neutral_text(text: str) -> bool:
    """Whether a text says nothing but what a decision reads."""
    return text in TYPES or not (unknown_words(text) or _odd_characters(text))


def unknown_words(text: str) -> list[str]:
    """Give the words of a text that are neither read by a decision nor neutral, each once."""
    found = {
        match[0]: None
        for match in _WORD.finditer(text)
        if not (_is_plain(match[0]) or _is_known(match, text))
    }
    return list(found)


def masked(text: str) -> str:
    """Put one neutral character in place of every character that could say something."""
    return "".join(map(_mask, text))


def without(text: str, words: list[str], instead: str) -> str:
    """Put something in place of words.

    Args:
        text: The text.
        words: Whole words of it.
        instead: What to put there; ``"*"`` stands for a mask of the same length.
    """
    gone = frozenset(words)

    def replaced(match: re.Match[str]) -> str:
        if match[0] not in gone:
            return match[0]
        return masked(match[0]) if instead == "*" else instead

    return _WORD.sub(replaced, text)


def numbers_of(text: str) -> list[str]:
    """Give the numbers of a text that are not neutral, each once."""
    return list(
        dict.fromkeys(
            match[0]
            for match in _WORD.finditer(text)
            if _NUMBER.fullmatch(match[0]) and not _is_plain(match[0])
        )
    )


def _is_known(match: re.Match[str], text: str) -> bool:
    word = match[0]
    if word in _TEXT_WORDS:
        return True
    if not _NUMBER.fullmatch(word) or len(word) > len(str(10**40)):
        return False
    if int(word) in NEUTRAL_NUMBERS:
        return True
    return int(word) in STATUSES and _STATUS_BEFORE.search(text[: match.start()]) is not None


def _is_plain(word: str, pattern: re.Pattern[str] | None = None) -> bool:
    """Whether a word consists of masks only, or is one of a pattern."""
    return _MASKS.issuperset(word) or bool(pattern and pattern.fullmatch(word))


def _odd_characters(text: str) -> bool:
    """Whether something beside the words could say something."""
    return any(
        ord(each) >= _ASCII and each not in _MASKS and each not in _ODD_SPACES
        for each in _WORD.sub("", text)
    )


def _mask(character: str) -> str:
    code = ord(character)
    if code < _ASCII:
        if character.isdigit():
            return _DIGIT
        return _LETTER if character.isalpha() or character == "_" else character
    if character in _ODD_SPACES:
        return character
    if unicodedata.category(character) == "Cs":
        return _SURROGATE
    if code < _THREE_BYTES:
        return _SHORT
    return _LONG if code < _FOUR_BYTES else _LONGEST
