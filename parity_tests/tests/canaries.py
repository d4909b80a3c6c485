"""Canaries: texts that are nowhere else, where a secret could be, and the search for them.

A canary is found in the bytes of whatever was written: as it is, in part, and in the forms in which
programs write texts.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Letters and digits only, which JSON, HTML and URLs leave as they are.
_RANDOM_BYTES: Final = 12
#: Of a canary, from its beginning and from its end: what was cut still has one of them.
_PART: Final = 14


class Leak(NamedTuple):
    """A canary that was found.

    Attributes:
        place: Where it had been planted.
        form: In which form it was found.
        around: What is around it.
    """

    place: str
    form: str
    around: str


def canary(place: str) -> str:
    """Make a canary for a place."""
    marked = place.title().replace(" ", "")
    return f"cAnArY{secrets.token_hex(_RANDOM_BYTES)}{marked}"


def _aligned(text: bytes, encode: str) -> Iterator[bytes]:
    """Give a text in Base64 at each of the three places where it may begin."""
    for shift in range(3):
        encoded = getattr(base64, encode)(b"\0" * shift + text)
        # The first and the last characters depend on what is around.
        yield encoded[4 if shift else 0 : -4]


def forms(text: str) -> dict[str, list[bytes]]:
    """Give the bytes by which a text is known, by the name of the form."""
    raw = text.encode()
    digests = [hashlib.new(name, raw) for name in ("md5", "sha1", "sha256", "blake2b")]
    return {
        "as it is": [raw],
        "in part": [raw[:_PART], raw[-_PART:]],
        "UTF-16": [text.encode("utf-16-le"), text.encode("utf-16-be")],
        "Base64": [*_aligned(raw, "b64encode"), *_aligned(raw, "urlsafe_b64encode")],
        "Base32": [base64.b32encode(raw).rstrip(b"=")[:-1]],
        "hexadecimal": [raw.hex().encode(), raw.hex().upper().encode()],
        "URL-encoded": [f"%{'%'.join(f'{each:02X}' for each in raw)}".encode()],
        "JSON-escaped": ["".join(f"\\u{ord(each):04x}" for each in text).encode()],
        "HTML-escaped": ["".join(f"&#{ord(each)};" for each in text).encode()],
        "unsalted hash": [each.hexdigest().encode() for each in digests],
    }


def leaks(written: bytes, planted: Mapping[str, str]) -> list[Leak]:
    """Look for canaries.

    Args:
        written: What was written.
        planted: The canaries by place.
    """
    lower = written.lower()
    found = []
    for place, text in planted.items():
        for form, needles in forms(text).items():
            places = [
                lower.find(needle.lower()) if form != "Base64" else written.find(needle)
                for needle in needles
            ]
            if (at := max(places)) >= 0:
                around = written[max(at - 80, 0) : at + 80].decode(errors="replace")
                found.append(Leak(place, form, around))
                break
    return found
