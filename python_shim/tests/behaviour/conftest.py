"""Runs every case on every implementation that is registered, or on those that are chosen."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from .harness import Retry
from .implementation import Implementation, ImplementationHooks, rust_core

if TYPE_CHECKING:
    from collections.abc import Iterator

_OPTION = "--implementation"
_PROPERTY = "implementation"
_KNOWN = pytest.StashKey[dict[str, Implementation]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the choice of implementations (known when this folder is named on the command line)."""
    parser.addoption(
        _OPTION,
        action="append",
        metavar="NAME",
        help="run the behaviour suite on this implementation only (repeatable)",
    )


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare the hook that adds implementations."""
    pluginmanager.add_hookspecs(ImplementationHooks)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Refuse an unknown implementation at once, not in every module."""
    _chosen(session.config)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each case its implementations."""
    if "implementation" in metafunc.fixturenames:
        chosen = _chosen(metafunc.config)
        metafunc.parametrize("implementation", chosen, ids=[one.name for one in chosen])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many cases hold on each implementation."""
    run: Counter[str] = Counter()
    broken: Counter[str] = Counter()
    cases = {
        report.nodeid: (name, outcome)
        for outcome in ("passed", "failed", "error")  # the last word counts
        for report in terminalreporter.stats.get(outcome, [])
        for key, name in getattr(report, "user_properties", ())  # a failed collection has none
        if key == _PROPERTY
    }
    for name, outcome in cases.values():
        run[name] += 1
        broken[name] += outcome != "passed"
    if run:
        terminalreporter.section("behaviour")
        for name, count in run.items():
            terminalreporter.write_line(f"{name}: {count - broken[name]} of {count} cases hold")


@pytest.fixture
def retry(implementation: Implementation, request: pytest.FixtureRequest) -> Iterator[Retry]:
    """Run a case on one implementation: empty state, stopped clock, fresh request ids."""
    request.node.user_properties.append((_PROPERTY, implementation.name))
    case = Retry(implementation)
    yield case
    case.close()


def _chosen(config: pytest.Config) -> list[Implementation]:
    if _KNOWN not in config.stash:
        added = config.hook.pytest_behaviour_implementations(implementation=Implementation)
        every = (rust_core(), *(one for some in added for one in some))
        config.stash[_KNOWN] = {one.name: one for one in every}
    known = config.stash[_KNOWN]
    names = config.getoption(_OPTION, default=None) or list(known)
    unknown = [name for name in names if name not in known]
    if unknown:
        message = f"{_OPTION}: {', '.join(unknown)} unknown, known are {', '.join(known)}"
        raise pytest.UsageError(message)
    return [known[name] for name in dict.fromkeys(names)]
