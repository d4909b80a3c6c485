"""docs/DIVERGENCES.md out of the ledger: `python -m retry_parity.divergences`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from retry_parity.ledger import Scope, shipped_ledger

if TYPE_CHECKING:
    from retry_parity.ledger import Entry, Ledger

_HEAD: Final = """\
<!-- Generated from parity_tests/retry_parity/ledger.toml by `make generated`. Do not edit. -->
# Where the Rust core differs from the hybrid

Each difference below is accepted for its reason. Every other difference is a divergence and fails a
comparison. Continuous integration fails on an entry that a full run never meets, that explains an
injected fault too, or that is past its review date; in a gateway an entry past its date still
explains, and the log says that it is due.

| id | the hybrid | the Rust core | seen in | review by |
|---|---|---|---|---|
"""

#: The module of each scope's predicates.
_MODULES: Final = {
    Scope.DECISION: "predicates",
    Scope.LOAD: "load_predicates",
    Scope.POLICY: "policy_predicates",
    Scope.PROCESS: "process_probes",
}


def document(ledger: Ledger) -> str:
    """Give the document as Markdown: a table, then a section for each entry."""
    rows = "".join(
        f"| [{entry.id}](#{entry.id}) | {entry.reference} | {entry.candidate} "
        f"| {entry.scope} | {entry.review_by} |\n"
        for entry in ledger.entries
    )
    return _HEAD + rows + "".join(map(_section, ledger.entries))


def _section(entry: Entry) -> str:
    module = _MODULES[entry.scope]
    covers = ", ".join(f"`{kind}`" for kind in sorted(entry.covers)) or "no answer"
    verb = "Shown" if entry.scope is Scope.PROCESS else "Recognised"
    return (
        f"\n## {entry.id}\n\n"
        f"Accepted because {entry.reason}.\n\n"
        f"| smallest case | {entry.example.given} |\n|---|---|\n"
        f"| the hybrid | {entry.example.reference} |\n"
        f"| the Rust core | {entry.example.candidate} |\n\n"
        f"Explains: {covers}. {verb} by `{entry.predicate}` in `retry_parity/{module}.py`.\n"
    )


if __name__ == "__main__":
    sys.stdout.write(document(shipped_ledger()))
