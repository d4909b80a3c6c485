# ruff: noqa: INP001 - a script
"""Compares the published hybrid with the rewrite that followed it, and looks for what that broke.

Nothing tells the comparison what to look for: the regressions are public knowledge, and each has to
turn up among the causes, reduced to a scenario that shows it. Exit status 0 when all do, 1 when one
is missing, 2 when the comparison cannot be run::

    .venv/bin/python parity_tests/published/regressions.py [SCENARIOS]
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from retry_parity.differential.builds import BuildError
from retry_parity.differential.campaign import Limits
from retry_parity.differential.compare import Plan, compare_builds
from retry_parity.differential.environments import Environments
from retry_parity.subject import RetrySubject

if TYPE_CHECKING:
    from collections.abc import Mapping

    from retry_parity.differential.campaign import Outcome

HYBRID = "pypi:cpex-retry-with-backoff==0.3.1"
REWRITE = "pypi:cpex-retry-with-backoff==0.3.6"
#: The framework whose dicts keep nothing in their own storage.
CPEX = "0.1.2"
#: Ever so many scenarios show all of them, which a number of seconds would not on a slow machine.
SCENARIOS = 6000
#: A bound for a machine in trouble; what is asked for is found in a fraction of it.
MOST_SECONDS = 900.0

#: What the rewrite broke: what differs, and a word of the smallest scenario that shows it.
REGRESSIONS: Mapping[str, tuple[str, str]] = {
    "wrapped failing results are never retried": ("retry-lost", "copy-on-write("),
    "the metadata is gone": ("metadata: retry_policy is missing in the candidate", ""),
    "more than 10 retries are refused": ("load-refused-only-by-candidate", "'max_retries': "),
    "a cap below the base is refused": ("load-refused-only-by-candidate", "'max_backoff_ms': "),
    "texts with NaN are not retried": ("retry-lost", "NaN"),
}


def main(arguments: list[str]) -> int:
    """Compare, and say which regressions were found, and when."""
    subject = RetrySubject()
    scenarios = int(arguments[0]) if arguments else SCENARIOS
    found: dict[str, float] = {}

    def all_found(outcome: Outcome) -> bool:
        for cause in outcome.causes:
            told = "\n".join(subject.show(cause.smallest.scenario, 99))
            for name, (what, word) in REGRESSIONS.items():
                if cause.smallest.finding.what.startswith(what) and word in told:
                    found.setdefault(name, outcome.elapsed)
        return len(found) == len(REGRESSIONS)

    plan = Plan(HYBRID, REWRITE, Limits(MOST_SECONDS, scenarios, all_found), "regressions")
    try:
        outcome, _ = compare_builds(plan, subject, Environments(CPEX))
    except BuildError as error:
        sys.stderr.write(f"regressions: {error}\n")
        return 2
    for name in REGRESSIONS:
        told = f"found after {found[name]:.0f} s" if name in found else "MISSING"
        sys.stdout.write(f"{told}: {name}\n")
    sys.stdout.write(
        f"{outcome.decisions:,} decisions in {outcome.seconds:.0f} s, "
        f"{len(outcome.causes)} causes in {outcome.elapsed:.0f} s\n"
    )
    return int(len(found) < len(REGRESSIONS))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
