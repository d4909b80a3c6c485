"""Which path a call takes."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from cpex.framework import PluginConfig

from retry_legacy import NATIVE_AVAILABLE, PythonRetryWithBackoffPlugin, native
from retry_legacy.state import CHAINS

from .driver import Driver

if TYPE_CHECKING:
    from .driver import Load

WITHOUT_EXTENSION = """
import sys
sys.modules["retry_legacy._native"] = None
from cpex.framework import PluginConfig
import retry_legacy
assert not retry_legacy.NATIVE_AVAILABLE
config = PluginConfig(name="retry", kind="k", config={})
retry_legacy.RetryWithBackoffPlugin(config)
retry_legacy.set_clock(lambda: 1.0)
retry_legacy.clear_state()
assert retry_legacy.live_chains() == 0
try:
    retry_legacy.RetryWithBackoffPlugin(config, native=True)
except ImportError as error:
    print(error)
"""


def stores() -> tuple[int, int]:
    """Count the chains of the fast path and of the Python path."""
    return native.live_chains(), len(CHAINS)


def test_a_call_takes_the_fast_path_by_default(load: Load) -> None:
    """Where the extension module is there, it is used."""
    load().delay()
    assert stores() == (1, 0)


def test_a_tool_with_its_text_checked_takes_the_python_path(load: Load) -> None:
    """The path is chosen by the tool's effective config, not by the base."""
    plugin = load(tool_overrides={"text": {"check_text_content": True}})
    plugin.delay(tool="text")
    plugin.delay(tool="other")
    assert stores() == (1, 1)


def test_an_override_may_bring_a_tool_back_to_the_fast_path(load: Load) -> None:
    """Text checks of the base can be switched off for one tool."""
    plugin = load(check_text_content=True, tool_overrides={"quick": {"check_text_content": False}})
    plugin.delay(tool="quick")
    assert stores() == (1, 0)


def test_python_alone_can_be_forced(load: Load) -> None:
    """With native=False no call reaches the fast path."""
    load(native=False).delay()
    assert stores() == (0, 1)


def test_the_python_class_is_the_forced_path() -> None:
    """It exists so that a plugin kind can name it."""
    config = PluginConfig(name="retry", kind="k", config={"jitter": False})
    assert Driver(PythonRetryWithBackoffPlugin(config)).delay() == 200
    assert stores() == (0, 1)


def test_without_the_extension_module_python_takes_over() -> None:
    """A plugin loads and works; only requiring the fast path raises."""
    assert NATIVE_AVAILABLE
    done = subprocess.run(  # noqa: S603 - our own interpreter, our own text
        [sys.executable, "-c", WITHOUT_EXTENSION], capture_output=True, text=True, check=True
    )
    assert "retry_legacy._native" in done.stdout
