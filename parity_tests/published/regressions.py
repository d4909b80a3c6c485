# ruff: noqa: INP001 - a script
"""Compares the published hybrid with the rewrite that followed it, and looks for what that broke.

Nothing tells the comparison what to look for: the regressions are public knowledge, and each has to
turn up among the causes, reduced to a scenario that shows it. Exit status 0 when all do, 1 when one
is missing, 2 when the comparison cannot be run::

    .venv/bin/python parity_tests/published/regressions.py [SECONDS]
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from retry_parity.differential.builds import BuildError
from retry_parity.differential.campaign import Limits
from retry_parity.differential.compare import Plan, compare_builds
from retry_parity.differential.environments import Environments
from retry_parity.subject import RetrySubject

if TYPE_CHECKING:
    from collections.abc import Mapping

HYBRID = "pypi:cpex-retry-with-backoff==0.3.1"
REWRITE = "pypi:cpex-retry-with-backoff==0.3.6"
#: The framework whose dicts keep nothing in their own storage.
CPEX = "0.1.2"
SECONDS = 60.0

#: What the rewrite broke: what differs, and a word of the smallest scenario that shows it.
REGRESSIONS: Mapping[str, tuple[str, str]] = {
    "wrapped failing results are never retried": ("retry-lost", "copy-on-write("),
    "the metadata is gone": ("metadata: retry_policy is missing in the candidate", ""),
    "more than 10 retries are refused": ("load-refused-only-by-candidate", "'max_retries': "),
    "a cap below the base is refused": ("load-refused-only-by-candidate", "'max_backoff_ms': "),
    "texts with NaN are not retried": ("retry-lost", "NaN"),
}


def main(arguments: list[str]) -> int:
    """Compare, and say which regressions were found.

    How far a time goes depends on the machine: where it was not enough, a longer one follows, and
    the output says so.
    """
    times = [float(arguments[0])] if arguments else [SECONDS, 3 * SECONDS]
    for seconds in times:
        try:
            missing = look(seconds)
        except BuildError as error:
            sys.stderr.write(f"regressions: {error}\n")
            return 2
        if not missing:
            return 0
    return 1


def look(seconds: float) -> int:
    """Compare for some seconds; give how many regressions were not found."""
    subject = RetrySubject()
    begun = time.monotonic()
    plan = Plan(HYBRID, REWRITE, Limits(seconds, None), "regressions")
    outcome, _ = compare_builds(plan, subject, Environments(CPEX))
    shown = [
        (cause.smallest.finding.what, "\n".join(subject.show(cause.smallest.scenario, 99)))
        for cause in outcome.causes
    ]
    missing = 0
    for name, (what, word) in REGRESSIONS.items():
        found = any(each.startswith(what) and word in told for each, told in shown)
        missing += not found
        sys.stdout.write(f"{'found' if found else 'MISSING'} in {seconds:g} s: {name}\n")
    sys.stdout.write(
        f"{outcome.decisions:,} decisions, {len(shown)} causes, "
        f"{time.monotonic() - begun:.0f} s with the environments\n"
    )
    sys.stdout.flush()
    return missing


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
