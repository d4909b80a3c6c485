"""Plugin objects that the gateway replaces while a chain is open."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.tests.calls import REBUILT
from gateway.tests.configurations import ONE_WORKER

if TYPE_CHECKING:
    from gateway.tests.conftest import Begun


@pytest.mark.parametrize("begun", ONE_WORKER, ids=str, indirect=True)
def test_a_chain_of_a_team_outlives_a_changed_plugin_binding(begun: Begun) -> None:
    """A team's tool has a plugin object of its own; replacing it keeps the budget of open chains.

    An operator who writes a plugin binding makes the gateway replace the object at once. Done after
    each attempt, no two attempts of the chain are decided by the same object. (Of several workers
    only the one that takes the binding does so; without Redis the others hear nothing.)
    """
    ended = begun.calls[REBUILT].result()
    assert ended.rebuilt >= REBUILT.rebuilds
    assert ended.answer.failed
    assert ended.attempts == 3
