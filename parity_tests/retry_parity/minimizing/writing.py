"""The files of a regression test: a fixture, and a test that a person reads without the tool."""

from __future__ import annotations

import hashlib
import json
import re
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from retry_parity.compare import Kind
from retry_parity.minimizing.fixtures import written
from retry_parity.output import printable
from retry_parity.wording import setting, told

if TYPE_CHECKING:
    from pathlib import Path

    from retry_parity.minimizing.fixtures import Fixture

FIXTURES: Final = "fixtures"

_WIDTH: Final = 96
_LONGEST_SLUG: Final = 40
_DIGEST: Final = 8

#: What a difference means to whoever calls the tool.
_MEANINGS: Final = {
    Kind.RETRY_LOST: "it did not ask for a retry that the reference asks for",
    Kind.RETRY_EXTRA: "it asked for a retry that the reference does not ask for",
    Kind.DELAY: "its delay was not one that the reference may give",
    Kind.DELAY_TYPE: "its delay was of another type",
    Kind.METADATA: "its metadata were others",
    Kind.RESULT: "another field of its answer was set",
    Kind.RAISED_ONLY_BY_CANDIDATE: "it raised, which fails the tool call",
    Kind.RAISED_ONLY_BY_REFERENCE: "it did not raise where the reference does",
    Kind.RAISED_DIFFERENTLY: "it raised an exception of another family",
    Kind.INTERNAL_ERROR: "it failed inside and answered nevertheless",
    Kind.PAYLOAD_MUTATED: "the tool's result was changed",
    Kind.LOAD_ONLY_BY_CANDIDATE: "it refused a config that the reference takes",
    Kind.LOAD_ONLY_BY_REFERENCE: "it took a config that the reference refuses",
}


class WriteError(ValueError):
    """A test cannot be written; the message is one line."""


@dataclass(frozen=True, slots=True)
class Emitted:
    """A test as it is written.

    Attributes:
        name: Of both files, without what they end in.
        test: Text of the test.
        fixture: Text of the fixture.
    """

    name: str
    test: str
    fixture: str

    def paths(self, folder: Path) -> tuple[tuple[Path, str], tuple[Path, str]]:
        """Give both files in a folder, with what is in them."""
        test = folder / f"{self.name}.py"
        return (test, self.test), (folder / FIXTURES / f"{self.name}.json", self.fixture)


def emit(fixture: Fixture, got: str) -> Emitted:
    """Give the files of a test. The same fixture gives the same bytes.

    Args:
        fixture: The fixture.
        got: What the candidate did in the step that shows the divergence, in words.

    Raises:
        FixtureError: The fixture cannot be written.
    """
    text = written(fixture)
    document = json.loads(text)
    # The same chain from another trace is the same test.
    del document["origin"]
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:_DIGEST]
    slug = re.sub(r"[^a-z0-9]+", "_", fixture.signature.lower()).strip("_")[:_LONGEST_SLUG]
    name = f"test_regression_{slug.strip('_')}_{digest}"
    return Emitted(name, _test(fixture, name, got), text)


def write(emitted: Emitted, folder: Path, *, force: bool) -> bool:
    """Write both files, unless they are there already.

    Args:
        emitted: What to write.
        folder: Where to; it is made.
        force: Whether other contents are replaced.

    Returns:
        Whether something was written; not where the same test was there, be it of another trace.

    Raises:
        WriteError: A file has other contents, or cannot be written.
    """
    try:
        there = [(path, _text_at(path), text) for path, text in emitted.paths(folder)]
        if not force:
            for path, old, text in there:
                if old is not None and not _alike(old, text):
                    message = f"{path}: is there with other contents; --force replaces it"
                    raise WriteError(message)
            there = [(path, old, text) for path, old, text in there if old is None]
        there = [(path, old, text) for path, old, text in there if old != text]
        for path, _, text in there:
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(".part")
            part.write_text(text, encoding="utf-8", newline="\n")
            part.replace(path)
    except (OSError, UnicodeError) as error:
        said = error.strerror if isinstance(error, OSError) else None
        message = f"{folder}: cannot be written: {(said or str(error)).lower()}"
        raise WriteError(message) from error
    return bool(there)


def _text_at(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        return ""  # other contents


def _alike(old: str, text: str) -> bool:
    """Whether two files are the same, or two fixtures are but for where they are from."""
    if old == text:
        return True
    try:
        left, right = (json.loads(each) for each in (old, text))
    except (ValueError, RecursionError):
        return False
    if not isinstance(left, dict) or not isinstance(right, dict):
        return False
    return {**left, "origin": None} == {**right, "origin": None}


def _test(fixture: Fixture, name: str, got: str) -> str:
    meaning = "; ".join(dict.fromkeys(map(_meaning, fixture.signature.split("+"))))
    lines = [
        f"The candidate {fixture.candidate} did not decide as the reference does.",
        "",
        *_wrapped(f"What was wrong: {meaning}."),
        "",
        *_wrapped("What happened, reduced to what it takes:"),
        "",
        *_wrapped(_safe(setting(fixture.scenario)), "* "),
    ]
    for number, step in enumerate(fixture.scenario.steps, start=1):
        lines += _wrapped(_safe(told(step)), f"{number}. ")
    if fixture.step >= 0:
        lines += [
            "",
            *_wrapped(
                f"Step {fixture.step + 1}: expected {fixture.expected[fixture.step]}, got {got}."
            ),
        ]
    lines += [
        "",
        *_wrapped(
            f"Written by `retry-parity minimize`; {FIXTURES}/{name}.json has the chain as data. "
            "The environment variable RETRY_PARITY_CANDIDATE names another candidate than rust."
        ),
    ]
    body = "\n".join(lines)
    return f'''"""{body}
"""

from pathlib import Path

from retry_parity import regressions

FIXTURE = Path(__file__).parent / "{FIXTURES}" / "{name}.json"


def {name}() -> None:
    """Every step is decided as the reference decides it."""
    regressions.check(FIXTURE, candidate=regressions.candidate())
'''


def _meaning(difference: str) -> str:
    kind = difference.partition(":")[0]
    return next((said for each, said in _MEANINGS.items() if each.value == kind), "it differed")


def _safe(line: str) -> str:
    """Leave out of a docstring what would end it or be read as an escape."""
    shown = printable(line)
    return "(see the fixture)" if "\\" in shown or '"""' in shown else shown


def _wrapped(text: str, bullet: str = "") -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=bullet,
        subsequent_indent=" " * len(bullet),
        break_on_hyphens=False,
    )
