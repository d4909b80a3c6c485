"""The model that the text reader is fuzzed against is Python's own `json.loads`.

What the model gives is compared whole: every value, every key as often as it is written, every
number as it is written. Its program is built by cargo, which is quick where nothing changed.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from corpora import read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FUZZ: Final = Path(__file__).parents[1]
BUILT: Final = FUZZ.parent / "target" / "fuzz"
EXAMPLES: Final = int(os.environ.get("FUZZ_MODEL_EXAMPLES", "1500"))


class Model:
    """The model's program, asked one text after the other."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        """Talk to a process."""
        assert process.stdin is not None
        assert process.stdout is not None
        self._questions, self._answers = process.stdin, process.stdout

    def loads(self, text: str) -> str:
        """Give what the model makes of a text."""
        self._questions.write(text.encode().hex() + "\n")
        self._questions.flush()
        return self._answers.readline().rstrip("\n")


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    """The program, built and running."""
    command: list[str | Path] = [
        "cargo", "build", "--quiet", "--locked", "--release", "--no-default-features",
        "--bin", "json_model", "--target-dir", BUILT, "--manifest-path", FUZZ / "Cargo.toml",
    ]  # fmt: skip
    subprocess.run(command, check=True)  # noqa: S603 - our own arguments
    with subprocess.Popen(  # noqa: S603 - the program just built
        [BUILT / "release" / "json_model"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Model(process)
        assert process.stdin is not None
        process.stdin.close()


class Written(str):
    """A number or a constant as it is written, so that it is no text."""

    __slots__ = ()


def real(text: str) -> str:
    """Give what `json.loads` makes of a text, as the model writes it."""
    try:
        return told(
            json.loads(
                text,
                parse_int=lambda written: Written(f"int {written}"),
                parse_float=lambda written: Written(f"float {written}"),
                parse_constant=Written,
                object_pairs_hook=Pairs,
            )
        )
    except json.JSONDecodeError:
        return "refused"
    except RecursionError:
        return "too deep"


class Pairs(list[tuple[str, Any]]):
    """An object, its keys as often as they are written."""


def told(value: Any) -> str:
    """Write a value down."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Written):
        return str(value)
    if isinstance(value, str):
        return '"' + "".join(f"{ord(character):x} " for character in value) + '"'
    if isinstance(value, Pairs):
        return "{" + "".join(f"{told(key)}:{told(inner)}," for key, inner in value) + "}"
    return "[" + "".join(f"{told(item)}," for item in value) + "]"


#: Pieces of JSON and of what only looks like it, glued together at random.
PIECES: Final = st.sampled_from([
    "{", "}", "[", "]", ",", ":", '"', "\\", " ", "\t", "\n", "\r", "\x0b", "\x00", "\x1f", "\x7f",
    "\xa0", "\ufeff", "true", "false", "null", "NaN", "Infinity", "-Infinity", "-", "+", "0", "1",
    "9", ".", "e", "E", '"a"', '"isError"', "\\u", "d83d", "\\ud83d", "\\ude00", "\\u0041", "\\n",
    "\\x", '{"a":', '"a":1', "[1,", "]]", "}}", "é", "\U0001f600", "u", "12", "-0", "1.5", "1e5",
])  # fmt: skip
GLUED: Final = st.lists(PIECES, max_size=16).map("".join)

#: Values as `json.dumps` writes them, then cut, doubled or changed in one place.
VALUES: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=12,
)
SOUND: Final = st.builds(
    lambda value, ascii_only: json.dumps(value, ensure_ascii=ascii_only), VALUES, st.booleans()
)


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """Sound JSON with a piece in place of a few characters."""
    text = draw(SOUND)
    at = draw(st.integers(0, len(text)))
    return text[:at] + draw(PIECES) + text[at + draw(st.integers(0, 2)) :]


TEXTS: Final = GLUED | SOUND | damaged() | st.text(max_size=20)


def test_the_model_gives_what_json_loads_gives(
    model: Model, record_property: Callable[[str, object], None]
) -> None:
    """Any text: the same value, or the same refusal."""

    @settings(max_examples=EXAMPLES, deadline=None, derandomize=EXAMPLES <= 1500, database=None)
    @given(text=TEXTS)
    @example(text="")
    @example(text="\ufeff{}")
    @example(text='"\\ud83d\\ude00\\ud83d\\u0041\\ude00"')
    @example(text="[1.5e300,-0,-0.0,1E+2,12.e1]")
    def compare(text: str) -> None:
        tried.append(text)
        if model.loads(text) != real(text):
            lost.append(text)
        assert lost == []

    tried: list[str] = []
    lost: list[str] = []
    try:
        compare()
    finally:
        record_property("tried", len(tried))
        record_property("lost", len(lost))


def test_the_model_gives_what_json_loads_gives_for_stored_texts(
    model: Model, record_property: Callable[[str, object], None]
) -> None:
    """Those that the engine found are the ones that reach furthest into the reader."""
    tried, lost = 0, []
    for stored in read(FUZZ / "corpus" / "text.txt"):
        try:
            text = stored.decode()
        except UnicodeDecodeError:
            continue
        theirs, ours = model.loads(text), real(text)
        tried += 1
        # Where Python's stack ends is the process's affair, and both are far beyond the reader's.
        if theirs != ours and "too deep" not in {theirs, ours}:
            lost.append(text)
    record_property("tried", tried)
    record_property("lost", len(lost))
    assert lost == []
    assert tried > 100
