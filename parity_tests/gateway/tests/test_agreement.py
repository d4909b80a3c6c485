"""Who decided, and whether both sides agreed, on all calls that one gateway has seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from gateway.tests.configurations import ONE_WORKER
from gateway.tests.page import page_of

if TYPE_CHECKING:
    from gateway.tests.conftest import Begun

_DECIDES: Final = {"legacy": "legacy", "shadow": "legacy", "canary": "rust", "rust": "rust"}
_COMPARES: Final = {"shadow", "canary"}


@pytest.mark.parametrize("begun", ONE_WORKER, ids=str, indirect=True)
def test_every_attempt_is_decided_once_by_whom_the_flag_says(
    begun: Begun, request: pytest.FixtureRequest
) -> None:
    """No attempt behind the gateway escapes the plugin, or the comparison where there is one.

    Retries, timeouts, exceptions and plugin objects that are replaced are among them. Counters are
    the process's: an object that is built anew begins none at 0.
    """
    begun.wait()
    value = str(request.node.callspec.params["begun"])
    page, attempts = page_of(begun.stack.gateway), begun.stack.attempts()
    assert page.values("decisions_total", "implementation") == {_DECIDES[value]: attempts}
    compared = page.values("comparisons_total", "result")
    assert sum(compared.values()) == (attempts if value != "legacy" else 0)
    assert set(compared) <= ({"match", "accepted"} if value in _COMPARES else {"not compared"})
    for name in ("candidate_errors", "harness_errors", "fallbacks", "guard_trips"):
        assert page.total(f"{name}_total") == 0
    dropped = [line for line in begun.stack.said() if "evidence cannot be kept" in line]
    # In shadow there is a file in the place of the folder.
    assert bool(page.total("evidence_dropped_total")) is bool(dropped) is (value == "shadow")
    assert len(dropped) == len(set(dropped))
