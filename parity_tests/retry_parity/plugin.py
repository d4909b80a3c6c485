"""The plugin that stands where one implementation stood, and asks the flag which one decides."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final, cast

from cpex.framework import (
    Plugin,
    PluginConfig,
    PluginContext,
    ResourcePostFetchPayload,
    ResourcePostFetchResult,
    ToolPostInvokePayload,
    ToolPostInvokeResult,
)

from retry_parity import upkeep
from retry_parity.deciding.certificate import Requirement
from retry_parity.evidence_files import config_hash
from retry_parity.flag import COMPARING, Flag, Implementation, read_flag, without_section
from retry_parity.lane import Lane
from retry_parity.migration import migration_of
from retry_parity.refusal import ConfigRefusedError, refused
from retry_parity.settings import MigrationSettings, read_settings
from retry_parity.traces.recording import recorder_of

if TYPE_CHECKING:
    from cpex.framework.extensions import Extensions

    from retry_parity.traces.recording import Recorder

#: The gateway's Rust runtime retries by itself, without calling any hook, when the only plugin on
#: tool_post_invoke has this name (`_build_rust_native_tool_post_invoke_retry_policy` of gateway
#: 1.0.7: it reads the plugin's config and does not ask the plugin).
BYPASSED_NAME: Final = "RetryWithBackoffPlugin"

_log = logging.getLogger("retry_parity")


class MigrationPlugin(Plugin):
    """The hybrid, the Rust core, or both, as the flag says.

    Takes the config keys of the implementations, and a section ``migration:`` (see `settings`).
    The implementations are imported when they are needed: under ``legacy`` the core is not
    imported, under ``rust`` the hybrid is not unless a share of the calls is compared. Chains,
    counters, the guard and the flag's value are the process's, never this object's: the gateway
    rebuilds plugin objects every 30 s, for each team and tool.
    """

    def __init__(self, config: PluginConfig) -> None:
        """Read the flag and load what it asks for.

        Args:
            config: The plugin's entry. It is not changed.

        Raises:
            FlagError: The flag or the ``migration:`` section cannot be used, or ``rust`` is asked
                for without the certificate that it requires.
            ConfigRefusedError: The hybrid refuses the config. One line says where, what was given
                and what is allowed; the hybrid's exception is the cause.
            ValueError: The core refuses the config, under ``rust``: its ConfigError, unchanged.
            ImportError: An implementation that the flag asks for cannot be imported.
        """
        super().__init__(config)
        self._flag = self._read_flag(config)
        settings = read_settings(config.config)
        upkeep.check(settings)
        self._migration = migration_of(config.name)
        inner = config.model_copy(update={"config": without_section(config.config)})
        hashed = config_hash(inner.config)
        required = self._required(settings, hashed)
        # Before there is a lane: the service may flip it while it loads.
        with self._migration.loading(self._flag, required) as self._claim:
            self._lane = self._load(inner, settings)
        # Only a config that is taken changes what holds for all objects of the name.
        self._migration.configure(settings, self._flag, hashed)
        self._recorder = self._make_recorder(inner, settings)
        self._decide = self._lane.decide
        if config.name == BYPASSED_NAME and self._flag.implementation in COMPARING:
            _log.warning(
                "plugin name %s: a gateway with the Rust runtime retries by itself for a plugin of "
                "this name and calls no hook, so nothing is compared; use another name in %s",
                BYPASSED_NAME,
                self._flag.implementation,
            )

    @property
    def flag(self) -> Flag:
        """The value of the flag that this object was loaded with, and where it came from."""
        return self._flag

    async def initialize(self) -> None:
        """Begin to follow the flag service and to write evidence, once per process."""
        upkeep.start(self._migration)

    async def shutdown(self) -> None:
        """Write the evidence so far: this object may be the last one that the process had."""
        await asyncio.to_thread(upkeep.flush)

    async def tool_post_invoke(
        self,
        payload: ToolPostInvokePayload,
        context: PluginContext,
        extensions: Extensions | None = None,
    ) -> ToolPostInvokeResult:
        """Say whether and when the gateway retries the call.

        Args:
            payload: Tool name and result.
            context: Carries the request id.
            extensions: cpex hands them to hooks of three parameters; only the Rust core gets them.

        Returns:
            The result object of the deciding implementation.
        """
        if self._recorder is not None:
            with contextlib.suppress(Exception):
                self._recorder.record(
                    payload.name, context.global_context.request_id, payload.result
                )
        result: ToolPostInvokeResult = self._decide(payload, context, extensions)
        return result

    async def resource_post_fetch(
        self, payload: ResourcePostFetchPayload, context: PluginContext
    ) -> ResourcePostFetchResult:
        """Attach the base policy's metadata; a resource is never retried."""
        return cast(
            "ResourcePostFetchResult", await self._lane.resource_post_fetch(payload, context)
        )

    def to_rust_native_policy(self, tool_name: str, ceiling: int) -> dict[str, object] | None:
        """Describe a tool's policy for a gateway that retries by itself.

        A gateway that has a policy does not call the hook. Where both sides run, that would take
        those calls away from the comparison without a trace, so there is no policy then: the
        gateway calls the hook, and the comparison sees every call. The two policies are compared.

        Args:
            tool_name: Whose policy.
            ceiling: The most retries the gateway allows.

        Returns:
            The deciding implementation's policy. ``None`` when the hook must be called: where both
            sides run, and for a tool whose text content is checked.
        """
        return self._lane.to_rust_native_policy(tool_name, ceiling)

    def _read_flag(self, config: PluginConfig) -> Flag:
        return read_flag(config.config)

    def _required(self, settings: MigrationSettings, config: str) -> Requirement | None:
        path = settings.require_certificate
        if path is None:
            return None
        return Requirement(path, self._migration.name, config, settings.candidate)

    def _make_recorder(self, config: PluginConfig, settings: MigrationSettings) -> Recorder | None:
        """Give what takes the whole traffic; ``None`` where nobody writes it down."""
        if settings.evidence.capture != "full" or settings.evidence.directory is None:
            return None
        recorder = recorder_of(config.name)
        recorder.config = config.config
        return recorder

    def _load(self, config: PluginConfig, settings: MigrationSettings) -> Lane:
        try:
            return self._make_lane(config, settings)
        except (ConfigRefusedError, ImportError):
            raise
        except Exception as error:
            if self._flag.implementation is Implementation.RUST:
                raise
            raise refused(error, config.config) from error

    def _make_lane(self, config: PluginConfig, settings: MigrationSettings) -> Lane:
        return Lane(config, flag=self._flag.implementation, settings=settings)
