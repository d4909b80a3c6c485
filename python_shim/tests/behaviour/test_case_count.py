"""The suite itself: which cases there are."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

GROUPS = {
    "delay arithmetic": (4, ("test_delay_arithmetic",)),
    "failure detection": (22, ("test_failure_flags", "test_failure_text")),
    "override merging": (4, ("test_override_merging",)),
    "clamping": (5, ("test_clamping",)),
    "chain behaviour": (11, ("test_chain_behaviour",)),
    "state and TTL": (4, ("test_state_and_ttl",)),
    "path selection": (4, ("test_path_selection",)),
    "metadata": (5, ("test_metadata",)),
    "resource hook": (1, ("test_resource_hook",)),
}


def cases(module: str) -> list[Callable[..., None]]:
    """Give the cases of a module of this folder."""
    loaded = importlib.import_module(f".{module}", __package__)
    functions = inspect.getmembers(loaded, inspect.isfunction)
    return [function for name, function in functions if name.startswith("test_")]


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_has_as_many_cases_as_the_specification_lists(group: str) -> None:
    """A case that is lost or split shows here, not in a total nobody adds up."""
    expected, modules = GROUPS[group]
    names = [case.__name__ for module in modules for case in cases(module)]
    assert len(names) == expected, names


def test_the_groups_are_sixty_cases_in_all_and_leave_no_module_out() -> None:
    """Every test module of this folder belongs to a group."""
    assert sum(count for count, _ in GROUPS.values()) == 60
    grouped = {module for _, modules in GROUPS.values() for module in modules}
    found = {file.stem for file in Path(__file__).parent.glob("test_*.py")}
    assert found - grouped == {Path(__file__).stem}


def test_every_case_runs_once_on_each_implementation_and_states_its_rule() -> None:
    """A case takes the implementation through ``retry``, has no parameters, and has a docstring."""
    for _, modules in GROUPS.values():
        for case in (case for module in modules for case in cases(module)):
            assert "retry" in inspect.signature(case).parameters, case.__name__
            assert not getattr(case, "pytestmark", []), case.__name__
            assert case.__doc__, case.__name__
