"""What every command says of files that it cannot read as they are: one line, and nobody waits."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import socket
from typing import TYPE_CHECKING, Final

import evidence_material as material
import pytest
from test_cli_streams import commands

from retry_parity import arguments
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
    "minimize --config": (["minimize", "CORPUS", "--config", "FILE", "--out", "OUT"], 3),
    "convert": (["convert", "FILE", "--out", "OUT.parquet"], 2),
    "synthesize": (["synthesize", "--from", "FILE", "--calls", "9", "--out", "OUT.parquet"], 2),
    "compare --trace": (["compare", "legacy", "rust", "--trace", "FILE"], 2),
    "compare --config": (
        ["compare", "legacy", "rust", "--trace", "CORPUS", "--config", "FILE"],
        2,
    ),
    "compare --constraints": (
        ["compare", "pypi:cpex-retry-with-backoff==0.3.1", "rust", "--constraints", "FILE"],
        2,
    ),
    "verdict": (["verdict", "FILE"], 3),
    "verdict --thresholds": (["verdict", "CORPUS", "--thresholds", "FILE"], 3),
    "verdict --config": (["verdict", "CORPUS", "--config", "FILE"], 3),
    "report": (["report", "FILE", "--html", "OUT.html"], 3),
    "report --thresholds": (
        ["report", "CORPUS", "--thresholds", "FILE", "--html", "OUT.html"],
        3,
    ),
    "report --config": (["report", "CORPUS", "--config", "FILE", "--html", "OUT.html"], 3),
    "merge": (["merge", "FILE", "--out", "OUT"], 2),
}


def asked(command: str, file: str, folder: Path) -> tuple[list[str], int]:
    """Give the words of a command that reads a file and writes into a folder, and its status."""
    words, status = COMMANDS[command]
    named = {"FILE": file, "CORPUS": str(folder / "corpus.jsonl")}
    return [named.get(word, word.replace("OUT", str(folder / "out"))) for word in words], status


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
    "lz4": (lambda path: path.write_bytes(b"\x04\x22\x4d\x18" + LINE), "lz4; unpack it first"),
    "UTF-16": (lambda path: path.write_text(LINE.decode(), "utf-16"), "is UTF-16"),
    "UTF-16 without a mark": (
        lambda path: path.write_text(LINE.decode(), "utf-16-be"),
        "has zero bytes, as UTF-16 has",
    ),
    "a link to itself": (lambda path: path.symlink_to(path), "symbolic links"),
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
    words, status = asked(command, str(file), tmp_path)
    assert main(words) == status
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"retry-parity: {file}: ")
    assert said in line


#: Options that name what is written, and the argument that names a folder.
OTHERS: Final = {"--out", "--html", "--markdown", "--json", "--certificate", "guard"}


def test_every_file_that_is_read_is_tried() -> None:
    """A new argument of a new command is tried as well."""
    found = set()
    for name, command in commands().items():
        for action in command._actions:  # noqa: SLF001 - argparse does not tell otherwise
            option = next(iter(action.option_strings), None)
            if (option or name) not in OTHERS and (
                action.type is arguments.path or action.dest == "evidence"
            ):
                is_main = option in {None, "--from"}
                found.add(name if is_main else f"{name} {option}")
    assert found == set(COMMANDS)


@pytest.mark.parametrize("name", ["-", "/dev/stdin", "/dev/fd/{}", "/proc/self/fd/{}"])
@pytest.mark.parametrize("command", COMMANDS)
def test_what_has_no_name_of_its_own_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    name: str,
) -> None:
    """A worker has other descriptors: it found no such file, or another one."""
    monkeypatch.chdir(tmp_path)
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_bytes(LINE)
    with corpus.open() as file:
        given = name.format(file.fileno())
        words, status = asked(command, given, tmp_path)
        assert main(words) == status
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"retry-parity: {given}: ")
    assert line.endswith(("first", "name the file itself"))


@pytest.mark.parametrize(
    "command", [name for name in COMMANDS if name not in {"replay", "minimize", "convert"}]
)
def test_parquet_is_no_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    """It was no UTF-8 at column 8; where traces are read it is one, whatever its name is."""
    file, corpus = tmp_path / "file.jsonl", tmp_path / "corpus.jsonl"
    file.write_bytes(b"PAR1\x15\x04")
    corpus.write_bytes(LINE)
    words, status = asked(command, str(file), tmp_path)
    assert main(words) == status
    is_trace = command in {"synthesize", "compare --trace"}
    said = (
        "no Parquet file that can be read" if is_trace else "is Parquet; a text file is read here"
    )
    assert f"{file}: " in (line := capsys.readouterr().err)
    assert said in line


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("nowhere")])
@pytest.mark.parametrize("command", ["replay", "convert", "synthesize", "compare --trace"])
def test_no_trace_of_a_folder_is_left_out_unseen(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    command: str,
    make: Callable[[Path], object],
) -> None:
    """What was no file was passed over, and its calls were missing."""
    for run in ("good", "odd"):
        (tmp_path / "traces" / run).mkdir(parents=True)
    (tmp_path / "traces" / "good" / "trace.jsonl").write_bytes(LINE)
    make(odd := tmp_path / "traces" / "odd" / "trace.jsonl")
    words, status = asked(command, str(tmp_path / "traces"), tmp_path)
    assert main(words) == status
    assert capsys.readouterr().err.startswith(f"retry-parity: {odd}: ")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_name_of_two_lines_is_said_in_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    """It made a second line, in which anything could have been said."""
    (tmp_path / "corpus.jsonl").write_bytes(LINE)
    words, status = asked(command, str(tmp_path / "a\nb"), tmp_path)
    assert main(words) == status
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"retry-parity: {tmp_path}/a\\nb: ")


@pytest.mark.parametrize(
    "words", [["merge", "IN", "--out", "LOOP"], ["verdict", "IN", "--json", "LOOP"]]
)
def test_a_link_to_itself_is_written_over(tmp_path: Path, words: list[str]) -> None:
    """It ended with a traceback and 1, which is "not ready" of a verdict."""
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    material.write_evidence(tmp_path / "in")
    named = {"IN": str(tmp_path / "in"), "LOOP": str(loop)}
    assert main([named.get(word, word) for word in words]) == 0
    assert loop.is_file()


@pytest.mark.parametrize("blank", ["", "  "])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_blank_path_is_no_path(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, blank: str
) -> None:
    """It stood for the current folder."""
    words, status = asked(command, blank, tmp_path)
    try:
        found = main(words)
    except SystemExit as ended:
        found = int(str(ended.code))
    assert found == status
    assert "no path" in capsys.readouterr().err
