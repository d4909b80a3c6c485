"""Adds the hybrid and the migration plugin to the behaviour suite (a pytest plugin).

The suite belongs to the product and does not know them. Nothing is imported before a case runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from cpex.framework import Plugin

_FLAG_VARIABLE = "RETRY_IMPLEMENTATION"
_PLUGIN_NAME = "behaviour-suite"


@pytest.hookimpl(optionalhook=True)
def pytest_behaviour_implementations(implementation: Callable[..., object]) -> list[object]:
    """Give the four implementations the migration adds.

    Args:
        implementation: Makes one, from its name, ``make(config, ceiling)``, ``set_time_ns``,
            ``clear``, ``complaints`` and whether it gives native policies. The environment carries
            the ceiling as ``MAX_TOOL_RETRIES``.
    """
    return [
        implementation("hybrid-native", _hybrid(native=True), _set_hybrid_time_ns, _clear_hybrid),
        implementation("hybrid-python", _hybrid(native=False), _set_hybrid_time_ns, _clear_hybrid),
        *(
            implementation(
                f"migration-{flag}",
                _migration(flag),
                _set_time_ns,
                _clear,
                _complaints,
                # Where both run the hook must see every call, so the gateway is given no policy.
                native_policy=flag == "rust",
            )
            for flag in ("shadow", "canary", "rust")
        ),
    ]


def _hybrid(*, native: bool) -> Callable[[dict[str, Any], int | None], Plugin]:
    def make(config: dict[str, Any], ceiling: int | None) -> Plugin:
        del ceiling
        from retry_legacy import RetryWithBackoffPlugin

        return RetryWithBackoffPlugin(
            _config("retry_legacy.RetryWithBackoffPlugin", config), native=native
        )

    return make


def _migration(flag: str) -> Callable[[dict[str, Any], int | None], Plugin]:
    def make(config: dict[str, Any], ceiling: int | None) -> Plugin:
        del ceiling
        from retry_parity import MigrationPlugin

        # The whole share: the core decides every chain, and the hybrid is compared to it.
        flagged = {**config, "migration": {"implementation": flag, "canary_percent": 100}}
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv(_FLAG_VARIABLE, raising=False)  # it would win over the config
            return MigrationPlugin(_config("retry_parity.MigrationPlugin", flagged))

    return make


def _config(kind: str, config: dict[str, Any]) -> Any:
    from cpex.framework import PluginConfig

    return PluginConfig(name=_PLUGIN_NAME, kind=kind, config=config)


def _stopped_at(reading_ns: int | None) -> Callable[[], float] | None:
    return None if reading_ns is None else lambda: reading_ns / 1e9


def _set_hybrid_time_ns(reading_ns: int | None) -> None:
    import retry_legacy

    retry_legacy.set_clock(_stopped_at(reading_ns))


def _clear_hybrid() -> None:
    import retry_legacy

    retry_legacy.clear_state()


def _set_time_ns(reading_ns: int | None) -> None:
    from retry_parity import _native
    from retry_with_backoff import _core

    _set_hybrid_time_ns(reading_ns)
    _core.set_clock(_stopped_at(reading_ns))
    _native.set_clock(_stopped_at(reading_ns))


def _clear() -> None:
    from retry_parity import _native
    from retry_with_backoff import _core

    _clear_hybrid()
    _core.clear_state()
    _native.forget_chains()


def _complaints() -> list[str]:
    """Give what the comparison found since the last call, and begin to count anew."""
    from retry_parity import evidence

    counts = evidence.evidence_of(_PLUGIN_NAME).counts()
    evidence.reset(_PLUGIN_NAME)
    return [
        f"{what}: {name} ({count} times)"
        for what, found in (
            ("unexplained divergence", counts.divergent),
            ("the candidate failed", counts.candidate_errors),
            ("the comparison failed", counts.harness_errors),
            ("not compared", counts.ignored),
        )
        for name, count in found.items()
        if name != evidence.SAMPLED_OUT  # under ``rust`` nothing is compared, as it is asked for
    ]
