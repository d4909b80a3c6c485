"""The flags file of a gateway: made from the example that ships, changed while the gateway runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

# The plugin's package is not imported at the top: a Python that lacks it shall be told so in one
# line.


class FlagsFile:
    """A flags file with two flags, each set by its default variant."""

    def __init__(self, path: Path) -> None:
        """Name it; nothing is written yet."""
        self.path = path

    def write(self, implementation: str, canary: str = "some") -> None:
        """Write it anew, in one step.

        Args:
            implementation: The variant of the flag: who decides.
            canary: The variant of the share: none, start, some, half, all (0, 1, 5, 50, 100 %).
        """
        self.put(self.text(implementation, canary))

    def put(self, text: str) -> None:
        """Put any contents in place, in one step: a reader sees the old file or the new one."""
        new = self.path.with_suffix(".new")
        new.write_text(text, encoding="utf-8")
        new.replace(self.path)

    @staticmethod
    def text(implementation: str, canary: str = "some") -> str:
        """Give what `write` writes."""
        from retry_parity.flag_provider import CANARY_FLAG, IMPLEMENTATION_FLAG

        content = _example()
        content["flags"][IMPLEMENTATION_FLAG]["defaultVariant"] = implementation
        content["flags"][CANARY_FLAG]["defaultVariant"] = canary
        return json.dumps(content, indent=2) + "\n"

    @staticmethod
    def canary_percent(canary: str) -> float:
        """Give the share that a variant stands for, 0 to 100."""
        from retry_parity.flag_provider import CANARY_FLAG

        return float(_example()["flags"][CANARY_FLAG]["variants"][canary])


def _example() -> dict[str, Any]:
    from importlib.resources import files

    text = files("retry_parity").joinpath("flags.example.json").read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(text)
    return content
