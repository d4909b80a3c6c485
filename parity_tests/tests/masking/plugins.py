"""The two versions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cpex.framework import Plugin, ToolPostInvokePayload, ToolPostInvokeResult

if TYPE_CHECKING:
    from cpex.framework import PluginConfig, PluginContext


class MaskPlugin(Plugin):
    """Masks each of the config's words, whatever its case."""

    def __init__(self, config: PluginConfig) -> None:
        """Read the words."""
        super().__init__(config)
        self.words: list[str] = (config.config or {})["words"]

    async def tool_post_invoke(
        self, payload: ToolPostInvokePayload, context: PluginContext
    ) -> ToolPostInvokeResult:
        """Give the result without the words."""
        del context
        masked = ToolPostInvokePayload(name=payload.name, result=self.mask(payload.result))
        return ToolPostInvokeResult(modified_payload=masked)

    def mask(self, text: str) -> str:
        """Mask a text."""
        for word in self.words:
            text = re.sub(re.escape(word), "*" * len(word), text, flags=re.IGNORECASE)
        return text


class RewrittenMaskPlugin(MaskPlugin):
    """The same in another way, and right."""

    def mask(self, text: str) -> str:
        """Mask a text without regular expressions."""
        for word in self.words:
            place = text.lower().find(word.lower())
            while word and place >= 0:
                text = text[:place] + "*" * len(word) + text[place + len(word) :]
                place = text.lower().find(word.lower())
        return text


class HastyMaskPlugin(MaskPlugin):
    """The same in another way: it stops after the first occurrence of a word."""

    def mask(self, text: str) -> str:
        """Mask a text, mostly."""
        for word in self.words:
            place = text.lower().find(word.lower())
            if place >= 0:
                text = text[:place] + "*" * len(word) + text[place + len(word) :]
        return text
