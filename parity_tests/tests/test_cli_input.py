"""What every command says of files that it cannot read as they are: one line, and nobody waits."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import socket
from typing import TYPE_CHECKING, Final

import pytest

from retry_parity.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LINE: Final = b'{"tool":"t","request_id":"r","seq":1,"t_ms":0,"result":{}}\n'

#: The commands with FILE where a file is read, and the status of bad input.
COMMANDS: Final = {
    "run": (["run", "FILE"], 2),
    "run --config": (["run", "CORPUS", "--config", "FILE"], 2),
    "replay": (["replay", "FILE", "--out", "OUT"], 2),
    "replay --config": (["replay", "CORPUS", "--config", "FILE", "--out", "OUT"], 2),
    "minimize": (["minimize", "FILE", "--out", "OUT"], 3),
    "convert": (["convert", "FILE", "--out", "OUT.parquet"], 2),
    "synthesize": (["synthesize", "--from", "FILE", "--calls", "9", "--out", "OUT.parquet"], 2),
    "compare --trace": (["compare", "legacy", "rust", "--trace", "FILE"], 2),
    "verdict": (["verdict", "FILE"], 3),
    "verdict --thresholds": (["verdict", "CORPUS", "--thresholds", "FILE"], 3),
    "verdict --config": (["verdict", "CORPUS", "--config", "FILE"], 3),
    "report": (["report", "FILE", "--html", "OUT.html"], 3),
    "merge": (["merge", "FILE", "--out", "OUT"], 2),
}


def listen(path: Path) -> None:
    """Make a socket."""
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


#: What is made in the place of the file, and what is said of it.
ODD: Final[dict[str, tuple[Callable[[Path], object], str]]] = {
    "pipe": (os.mkfifo, "is a pipe, and is read more than once; write it to a file first"),
    "socket": (listen, "is a socket"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "is a device"),
    "gzip": (lambda path: path.write_bytes(gzip.compress(LINE)), "gzip; unpack it first"),
    "bzip2": (lambda path: path.write_bytes(bz2.compress(LINE)), "bzip2; unpack it first"),
    "xz": (lambda path: path.write_bytes(lzma.compress(LINE)), "xz; unpack it first"),
    "zstd": (lambda path: path.write_bytes(b"\x28\xb5\x2f\xfd" + LINE), "zstd; unpack it first"),
    "zip": (lambda path: path.write_bytes(b"PK\x03\x04" + LINE), "zip archive; unpack it first"),
    "UTF-16": (lambda path: path.write_text(LINE.decode(), "utf-16"), "is UTF-16"),
    "byte order mark": (lambda path: path.write_text(LINE.decode(), "utf-8-sig"), "byte order"),
    "missing": (lambda _: None, "no such"),
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_that_cannot_be_read_as_it_is_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, kind: str
) -> None:
    """A pipe hung, or was said to be no JSON, as was what is compressed."""
    make, said = ODD[kind]
    file = tmp_path / "trace.jsonl"
    make(file)
    (tmp_path / "corpus.jsonl").write_bytes(LINE)
    named = {"FILE": str(file), "CORPUS": str(tmp_path / "corpus.jsonl")}
    arguments, status = COMMANDS[command]
    words = [named.get(word, word.replace("OUT", str(tmp_path / "out"))) for word in arguments]
    assert main(words) == status
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"retry-parity: {file}: ")
    assert said in line


@pytest.mark.parametrize("blank", ["", "  "])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_blank_path_is_no_path(
    capsys: pytest.CaptureFixture[str], command: str, blank: str
) -> None:
    """It stood for the current folder."""
    arguments, status = COMMANDS[command]
    words = [blank if word == "FILE" else word for word in arguments]
    try:
        found = main(words)
    except SystemExit as ended:
        found = int(str(ended.code))
    assert found == status
    assert "no path" in capsys.readouterr().err
