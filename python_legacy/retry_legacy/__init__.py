"""The hybrid retry plugin, faithful to the published 0.3.1: the reference of the migration.

A tool result is judged by a fast path in Rust (`RetryStateManager`), or in Python where text
content is checked, where the extension module is missing, or where Python alone is asked for.
Quirks are kept on purpose; the migration's ledger lists those the Rust core does not share.
"""

from __future__ import annotations

from retry_legacy.backoff import set_random
from retry_legacy.clock import set_clock
from retry_legacy.config import RetryConfig
from retry_legacy.native import NATIVE_AVAILABLE
from retry_legacy.plugin import PythonRetryWithBackoffPlugin, RetryWithBackoffPlugin
from retry_legacy.state import chain_failures, clear_state, live_chains, store_bytes

if NATIVE_AVAILABLE:
    from retry_legacy._native import RetryStateManager

__all__ = [
    "NATIVE_AVAILABLE",
    "PythonRetryWithBackoffPlugin",
    "RetryConfig",
    "RetryStateManager",
    "RetryWithBackoffPlugin",
    "chain_failures",
    "clear_state",
    "live_chains",
    "set_clock",
    "set_random",
    "store_bytes",
]
