"""What tools are given, and what they answer, is nobody's business."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from gateway.stack import EVIDENCE, Tool
from gateway.tests.configurations import DRILL, EVERY, SECRET
from gateway.tests.evidence import Evidence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.stack import Stack


def _forms() -> Iterator[str]:
    raw = SECRET.encode()
    yield SECRET
    yield raw.hex()
    for before in range(3):
        # The first and the last characters depend on what is around.
        yield base64.b64encode(b"\0" * before + raw).decode()[4:-4]


@pytest.mark.parametrize("begun", EVERY, ids=str, indirect=True)
def test_planted_secrets_turn_up_nowhere(stack: Stack, request: pytest.FixtureRequest) -> None:
    """What is in arguments, texts and structured content is not in evidence, log or metrics.

    Neither as it is nor in a form in which programs write texts.
    """
    for tool in Tool:
        assert SECRET in stack.call(tool, f"secret-{tool}", 1, "structured", note=SECRET).text
    if request.node.callspec.params["begun"] is DRILL:
        evidence = Evidence(stack)
        evidence.wait_for_decisions(stack.attempts())
        contents = {sample["result"]["structuredContent"] for sample in evidence.samples()}
        assert "object" in contents, "no sample of a result with structured content"
    folder = stack.folder / EVIDENCE
    written = [path.read_text() for path in folder.rglob("*") if path.is_file()]
    assert written or folder.is_file()
    outputs = [*written, *stack.said(), stack.gateway.metrics()]
    assert not [text for text in outputs for form in _forms() if form in text]
