"""The operators' guide and the stack of these tests: the gateway's settings, and its defaults."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from cpex.framework.settings import PluginsSettings
from mcpgateway.config import Settings as GatewaySettings

from gateway.stack import Settings, of_the_guide

GUIDE: Final = Path(__file__).resolve().parents[3] / "docs" / "MIGRATION.md"


def documented() -> dict[str, str]:
    """Give the variables of the guide's table, each with its default."""
    rows = re.findall(r"^\| `([A-Z_]+)` \| `?(.*?)`? \|", GUIDE.read_text("utf-8"), re.MULTILINE)
    return dict(rows)


def default(name: str) -> str:
    """Give a variable's default in the installed gateway."""
    plugins = name.removeprefix("PLUGINS_")
    fields = GatewaySettings.model_fields if plugins == name else PluginsSettings.model_fields
    field = fields.get(name) or fields.get(plugins.lower())
    if field is None:
        return "not set"
    return str(field.default).lower() if isinstance(field.default, bool) else str(field.default)


def test_the_guide_has_what_the_stack_needs_of_the_gateway() -> None:
    """What these tests set for the plugin an operator is asked to set, with the true default."""
    needed = of_the_guide(Settings(workers=2), Path("work"), Path("plugins.yaml"))
    assert documented() == {name: default(name) for name in needed}
