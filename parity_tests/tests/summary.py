"""What tests have to say at the end of a session, besides passing.

They say it in properties of their reports, which come from the workers of xdist as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

#: Properties that are shown as they are, each under its name.
LEDGER, STRATA = "ledger", "strata"
#: A property with four counts; see `hunting.Catch`.
FAULT = "fault"


def show(reporter: pytest.TerminalReporter) -> None:
    """Show what the full run met, and how many of the injected faults' answers were found."""
    told = {
        (report.nodeid, key): value
        for outcome in ("passed", "failed")
        for report in reporter.stats.get(outcome, [])
        for key, value in getattr(report, "user_properties", ())  # a failed collection has none
    }
    catches = []
    for (_, key), value in told.items():
        if key in {LEDGER, STRATA}:
            reporter.section(key)
            reporter.write_line(value)
        elif key == FAULT:
            catches.append(value)
    if catches:
        changed, found, equal = (sum(counts) for counts in zip(*catches, strict=True))
        reporter.section("faults")
        reporter.write_line(
            f"{len(catches)} faults changed {changed:,} answers: {found:,} were found, {equal:,} "
            "are the hybrid's too"
        )
