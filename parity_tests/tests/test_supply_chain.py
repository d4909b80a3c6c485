"""`.ci/supply_chain`: it finds what it is there for, and says what it cannot look for."""

from __future__ import annotations

import importlib.util
import json
import shutil
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / ".ci" / "supply_chain"


def loaded() -> Any:
    """Load the program as a module."""
    loader = SourceFileLoader("supply_chain", str(PROGRAM))
    spec = importlib.util.spec_from_loader("supply_chain", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give the program, looking at a copy of what it reads."""
    module = loaded()
    manifests = [f"{folder}/Cargo.toml" for folder in module.crate_folders()]
    manifests += [str(Path(lock).with_name("Cargo.toml")) for lock in module.cargo_locks()]
    for name in (*manifests, *module.cargo_locks(), "uv.lock", "deny.toml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    return module


def edit(path: Path, old: str, new: str) -> None:
    """Replace the first of a text that has to be there."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "old", "new", "told"),
    [
        ("uv.lock", 'hash = "sha256:', 'hash = "md5:', "no SHA-256"),
        ("uv.lock", 'registry = "https://pypi.org', 'registry = "https://pypi.example', "allowed"),
        ("uv.lock", '{ registry = "https://pypi.org/simple" }', '{ git = "https://x" }', "git"),
        ("uv.lock", "https://files.pythonhosted.org/", "https://files.example/", "files.example"),
        ("Cargo.lock", "registry+https://github.com", "git+https://github.com", "crates.io"),
        ("Cargo.lock", 'checksum = "', 'checksum = "x', "no SHA-256"),
        ("Cargo.lock", 'name = "retry-core"', 'name = "somebody"', "from a path"),
    ],
)
def test_what_comes_from_elsewhere_is_found(
    name: str, old: str, new: str, told: str, program: Any
) -> None:
    """A package that is from no index, from another one, or without a hash is one line each."""
    check: Callable[[], list[str]] = (
        program.python_lock if name == "uv.lock" else program.cargo_lock
    )
    assert check() == []
    edit(program.ROOT / name, old, new)
    (line,) = check()
    assert told in line


@pytest.mark.parametrize(
    ("manifest", "old", "told"),
    [
        ("parity_tests/Cargo.toml", 'panic = "unwind"', "profile"),
        ("python_legacy/Cargo.toml", 'unwrap_used = "deny"', "lints"),
        ("benches/Cargo.toml", 'lto = "fat"', "profile"),
        ("parity_tests/rust_clock/Cargo.toml", 'missing_docs = "deny"', "lints"),
    ],
)
def test_what_is_built_beside_the_product_is_built_and_linted_like_it(
    manifest: str, old: str, told: str, program: Any
) -> None:
    """Workspaces cannot share their lints and profile; a copy that differs is one line."""
    assert program.alike() == []
    edit(program.ROOT / manifest, old, "")
    assert program.alike() == [f"{manifest}: {told}: allowed: what Cargo.toml has"]


@pytest.mark.parametrize(
    ("line", "is_pinned"),
    [
        ("anyio==4.16.0", True),
        ("uvicorn[standard]==0.54.0 ; sys_platform != 'win32'", True),
        ("anyio==4.16.0 \\\n    --hash=sha256:" + "0" * 64, True),
        ("anyio>=4.16.0", False),
        ("anyio==4.*", False),
        ("anyio", False),
        ("anyio @ https://example.com/anyio.whl", False),
        ("-r other.txt", False),
        ("--extra-index-url https://example.com", False),
    ],
)
def test_a_requirement_is_an_exact_pin(line: str, *, is_pinned: bool, program: Any) -> None:
    """Anything else leaves a choice to the day on which it is installed."""
    file = program.ROOT / "parity_tests" / "gateway" / "requirements.txt"
    file.parent.mkdir(parents=True)
    file.write_text(f"# a comment\n{line}  # why\n    # via somebody\n", encoding="utf-8")
    assert len(program.pins()) == (not is_pinned)


@pytest.mark.parametrize(
    ("expression", "is_allowed"),
    [
        ("MIT", True),
        ("Apache-2.0 OR GPL-3.0-only", True),
        ("MPL-2.0 AND (Apache-2.0 OR MIT)", True),
        ("MIT AND GPL-3.0-only", False),
        ("(MIT OR GPL-3.0-only) AND SSPL-1.0", False),
        ("GPL", False),
        ("unknown", False),
    ],
)
def test_a_licence_has_to_be_satisfied_by_what_is_allowed(
    expression: str, *, is_allowed: bool, program: Any
) -> None:
    """One choice of an OR is enough; of an AND all parts are needed."""
    assert program.allowed(expression) is is_allowed


def test_unsafe_code_is_counted_and_argued_for(program: Any) -> None:
    """Not forbidden in the core, one block more, or one without its argument: each is a line."""
    for file in (ROOT / "rust").rglob("*.rs"):
        copy = program.ROOT / file.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)
    before = program.unsafe_code()
    core, bindings = (
        program.ROOT / "rust" / name / "src" / "lib.rs" for name in ("core", "python")
    )
    edit(core, "#![forbid(unsafe_code)]", "")
    with bindings.open("a", encoding="utf-8") as file:
        file.write("\nfn f() {\n\n\n\n\n    unsafe { g() }\n}\n")
    forbidden, argued, counted = (line for line in program.unsafe_code() if line not in before)
    assert forbidden == "rust/core/src/lib.rs: no #![forbid(unsafe_code)]"
    assert argued.endswith("an unsafe block without a SAFETY comment")
    assert counted == "rust/python/src/lib.rs: 1 unsafe blocks, .ci/supply_chain tells of 0"


@contextmanager
def osv(status: int, vulnerable: str) -> Iterator[str]:
    """Answer as OSV does: one package has a known vulnerability."""

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
            hit = {"vulns": [{"id": "GHSA-0000", "modified": "2026-11-01T00:00:00Z"}]}
            results = [hit if each["package"]["name"] == vulnerable else {} for each in asked]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps({"results": results}).encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/querybatch"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("ecosystem", ["PyPI", "crates.io"])
def test_a_known_vulnerability_is_found(ecosystem: str, program: Any) -> None:
    """Every locked package and crate is asked about, with its version."""
    name = {"PyPI": "anyio", "crates.io": "memchr"}[ecosystem]
    with osv(200, name) as url:
        (line,) = program.osv(url)
    assert line.startswith(f"{ecosystem} {name} ")
    assert line.endswith(": GHSA-0000")
    with osv(200, "nobody") as url:
        assert program.osv(url) == []


def test_what_cannot_be_asked_is_not_taken_for_harmless(
    program: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody there, or an error: one line says what was not checked, which fails if required."""
    with osv(503, "nobody") as url, pytest.raises(program.NotCheckedError, match="503"):
        program.osv(url)
    for name in ("locks_are_current", "python_licences", "unsafe_code", "crates"):
        monkeypatch.setattr(program, name, list)
    monkeypatch.setattr(program, "rustsec", lambda _: [])
    nobody = ["--advisories", "--osv", url]
    assert program.main(nobody) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("supply chain: not checked: known vulnerabilities of ")
    assert program.main([*nobody, "--required"]) == 1
    with osv(200, "anyio") as url:
        assert program.main(["--advisories", "--osv", url]) == 1
