"""The whole stack: servers that fail as told, the real gateway before them, the plugin in it.

Everything lives in one work folder: the plugin list, the database, the token, the logs. Nothing of
the caller's environment reaches the gateway except what every program needs.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import sys
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Self

from gateway.client import Answer, Client
from gateway.programs import Program, StartError, free_port, readable, uninterrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

HERE: Final = Path(__file__).resolve().parent
#: The values of the flag, all of which are started and tested here.
IMPLEMENTATIONS: Final = ("legacy", "shadow", "canary", "rust")
PLUGIN_NAME: Final = "RetryWithBackoff"
#: Where the plugin logs.
LOGGER: Final = "retry_parity"
#: The file in the work folder that has the administrator's token.
TOKEN: Final = "token"  # noqa: S105 - a file's name
#: The file in the work folder that has the flags, and the folder that has the evidence, where the
#: settings ask for them.
FLAGS: Final = "flags.json"
EVIDENCE: Final = "evidence"

_KIND: Final = "retry_parity.MigrationPlugin"
_PRIORITY: Final = 170
_APP: Final = "mcpgateway.main:app"
_ADMIN: Final = "admin@example.com"
_JWT: Final = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+")
_TOKEN_MINUTES: Final = 7 * 24 * 60
_NEEDED: Final = ("mcpgateway", "gunicorn", "uvicorn_worker", "mcp", "retry_parity")
#: A tenth of this on a quiet machine; others may be starting at the same time.
_START_S: Final = 120.0
#: What any program may need to run at all. No proxy: every address here is this machine's.
_INHERITED: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "SYSTEMROOT")


class Tool(StrEnum):
    """The tools that a stack has as a rule, as the gateway names them."""

    MCP = "upstream-flaky"
    REST = "rest-flaky"


def _nothing() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a stack is set up.

    Attributes:
        plugin_name: The plugin's name.
        plugin: The plugin's ``config`` besides the ``migration`` section.
        migration: That section.
        environment: Variables of the gateway besides those that the stack needs.
        workers: 1 is a plain uvicorn; more are gunicorn workers that are forked from a master
            which has loaded the gateway already.
        port: The gateway's port; ``None`` takes a free one.
        tool_timeout_s: When the gateway gives up waiting for a tool, whole seconds. It is the same
            for all tools: gateway 1.0.7 stores a tool's own ``timeout_ms`` and does not use it.
        max_tool_retries: The most retries the gateway allows.
        log_level: Of the gateway.
    """

    plugin_name: str = PLUGIN_NAME
    plugin: Mapping[str, Any] = field(default_factory=_nothing)
    migration: Mapping[str, Any] = field(default_factory=_nothing)
    environment: Mapping[str, str] = field(default_factory=_nothing)
    workers: int = 1
    port: int | None = None
    tool_timeout_s: int = 60
    max_tool_retries: int = 5
    log_level: str = "INFO"


class Stack:
    """A running stack."""

    def __init__(  # noqa: PLR0913 - the parts
        self,
        settings: Settings,
        folder: Path,
        *,
        gateway: Client,
        upstreams: Client,
        token: str,
        program: Program,
    ) -> None:
        """Take the parts; `running` puts them together."""
        self.settings = settings
        self.folder = folder
        self.gateway = gateway
        self.upstreams = upstreams
        self.token = token
        self.program = program
        self._log = _Log(program.log, settings.plugin_name)

    def register_mcp_server(self, name: str, path: str = "/mcp") -> None:
        """Register an MCP server; the gateway puts its name and a dash before those of its tools.

        Args:
            name: Its name in the gateway.
            path: Where it is, among what is behind the gateway.

        Raises:
            RequestError: The gateway refuses it.
        """
        address = {"name": name, "url": f"{self.upstreams.url}{path}"}
        self.gateway.json("POST", "/gateways", address | {"transport": "STREAMABLEHTTP"})

    def register_rest_tool(self, name: str, *, team: str | None = None) -> None:
        """Register the REST service once more, under a name of its own.

        Args:
            name: The tool's name.
            team: Whose tool it is; ``None`` makes it everybody's.

        Raises:
            RequestError: The gateway refuses it.
        """
        properties = {
            "case": {"type": "string"},
            "failures": {"type": "integer"},
            "manner": {"type": "string"},
            "note": {"type": "string"},
        }
        tool: dict[str, object] = {
            "name": name,
            "url": f"{self.upstreams.url}/flaky",
            "integration_type": "REST",
            "request_type": "POST",
            "input_schema": {"type": "object", "properties": properties, "required": ["case"]},
        }
        body: dict[str, object] = {"tool": tool}
        if team is not None:
            body["team_id"] = team
        self.gateway.json("POST", "/tools", body)

    def team(self) -> str:
        """Give the id of the administrator's own team."""
        return str(self.gateway.json("GET", "/teams/")["teams"][0]["id"])

    def rebuild_plugin(self, tool: str, *, through: Client | None = None) -> None:
        """Have the gateway build the plugin object of a team's tool anew, by an operator's means.

        Writes the tool's plugin binding, with nothing in it; the gateway drops the objects of this
        team and tool and builds others at once. Of several workers only the one that takes the
        binding does so.

        Args:
            tool: Which tool.
            through: A client that keeps its worker; ``None`` takes any.

        Raises:
            RequestError: The gateway refuses.
        """
        binding = {
            "tool_names": [tool],
            "plugin_id": self.settings.plugin_name,
            "mode": "sequential",
            "priority": _PRIORITY,
            "config": {},
        }
        teams = {self.team(): {"policies": [binding]}}
        (through or self.gateway).json("POST", "/v1/tools/plugin_bindings/", {"teams": teams})

    def call(  # noqa: PLR0913 - what a case is made of, and how it is sent
        self,
        tool: str,
        case: str,
        failures: int = 0,
        manner: str = "error",
        *,
        note: str = "",
        request_id: str | None = None,
        through: Client | None = None,
    ) -> Answer:
        """Call a tool; `upstreams` says what the arguments do.

        Args:
            tool: The tool, as the gateway names it.
            case: Whose attempts are counted.
            failures: How many attempts fail.
            manner: How they fail.
            note: What the tool's answers repeat.
            request_id: What the plugin shall see as the request's id, where the gateway's settings
                let the caller say so; ``None`` lets the gateway choose.
            through: A client that keeps its connection, and so its worker; ``None`` takes any.
        """
        arguments = {"case": case, "failures": failures, "manner": manner, "note": note}
        return (through or self.gateway).call_tool(tool, arguments, request_id=request_id)

    def attempts(self, case: str | None = None) -> int:
        """Say how many attempts of a case, or of all, have arrived behind the gateway."""
        path = "/attempts" if case is None else f"/attempts/{case}"
        return int(self.upstreams.json("GET", path)["attempts"])

    def plugins_built(self) -> int:
        """Say how often the gateway has built the plugin object so far, in all of its workers."""
        return self._log.read().built

    def said(self) -> list[str]:
        """Give what the plugin has logged so far, in all workers: "LEVEL message"."""
        return list(self._log.read().said)


class _Log:
    """What the gateway's log says of the plugin, read as it grows."""

    def __init__(self, path: Path, plugin_name: str) -> None:
        self.built = 0
        self.said: list[str] = []
        self._path = path
        self._building = f"Loaded plugin: {plugin_name} "
        self._offset = 0
        self._lock = threading.Lock()

    def read(self) -> Self:
        """Read the lines that are new."""
        with self._lock, self._path.open("rb") as log:
            log.seek(self._offset)
            new = log.read()
            whole = new[: new.rfind(b"\n") + 1]
            self._offset += len(whole)
            for line in whole.decode(errors="replace").splitlines():
                self._take(line)
        return self

    def _take(self, line: str) -> None:
        self.built += self._building in line
        told = f" {LOGGER}: "
        if LOGGER in line and told in (entry := readable(line)):
            self.said.append(entry.replace(told, " ", 1))


@dataclass(frozen=True, slots=True)
class Behind:
    """What is behind the gateway.

    Attributes:
        program: A Python program and its arguments. It takes ``--port`` too, answers at
            ``/health``, and counts attempts as `Stack.attempts` asks for them.
        register: Makes its tools known to the gateway.
    """

    program: Sequence[str]
    register: Callable[[Stack], None]


def _register_flaky(stack: Stack) -> None:
    server, _, _ = Tool.MCP.partition("-")
    stack.register_mcp_server(server)
    stack.register_rest_tool(Tool.REST)


#: What fails as it is told: `Tool`.
FLAKY: Final = Behind((str(HERE / "upstreams.py"),), _register_flaky)


@contextmanager
def running(settings: Settings, folder: Path, behind: Behind = FLAKY) -> Iterator[Stack]:
    """Start a stack, and end it and everything it started at the end of the block.

    Args:
        settings: How it is set up.
        folder: The work folder, made if it is not there. A database of an earlier run is removed.
        behind: What is behind the gateway.

    Raises:
        StartError: Something is missing or did not start.
        RequestError: The gateway refuses to register a server or tool.
    """
    check_installed()
    folder = prepare(folder)
    # The upstream's port is chosen while the gateway's may be given.
    port, upstream_port = free_port(settings.port), free_port()
    environment = _environment(settings, folder, port)
    with ExitStack() as programs:

        def start(name: str, *command: str) -> Program:
            with uninterrupted():
                program = Program(
                    name,
                    [sys.executable, *command],
                    log=folder / f"{name}.log",
                    folder=folder,
                    environment=environment,
                )
                return programs.enter_context(program)

        # All at once: each of them spends seconds on its imports.
        upstreams = start("upstreams", "-P", *behind.program, "--port", str(upstream_port))
        program = start("gateway", *_serve(settings, port))
        token = _token(start("token", *_make_token()), folder / TOKEN)
        upstream_client, gateway_client = Client(upstream_port), Client(port, token)
        upstreams.wait_until(upstream_client.is_healthy, _START_S)
        program.wait_until(gateway_client.is_healthy, _START_S)
        stack = Stack(
            settings,
            folder,
            gateway=gateway_client,
            upstreams=upstream_client,
            token=token,
            program=program,
        )
        behind.register(stack)
        yield stack


def check_installed() -> None:
    """See whether this Python has what a stack needs.

    Raises:
        StartError: Something is missing.
    """
    for module in _NEEDED:
        if find_spec(module) is None:
            message = (
                f"{sys.executable} has no module {module}; `make gateway` and `make test-gateway` "
                "make an environment that has everything"
            )
            raise StartError(message)


def prepare(folder: Path) -> Path:
    """Make a work folder, or empty one of what an earlier run must not hand on.

    Returns:
        Its absolute path.

    Raises:
        StartError: It cannot be made.
    """
    folder = folder.resolve()
    try:
        for name in ("tmp", "prometheus"):
            (folder / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"the work folder {folder} cannot be made: {error.strerror}"
        raise StartError(message) from error
    for old in (*folder.glob("gateway.db*"), *(folder / "prometheus").iterdir()):
        old.unlink()
    return folder


def _environment(settings: Settings, folder: Path, port: int) -> dict[str, str]:
    plugins = folder / "plugins.yaml"
    # JSON is YAML, and needs no library.
    plugins.write_text(json.dumps(_plugins(settings), indent=2) + "\n", encoding="utf-8")
    environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    environment |= of_the_guide(settings, folder, plugins)
    # What no operator of the plugin has to set for it.
    environment |= {
        "AUTH_ENCRYPTION_SECRET": secrets.token_urlsafe(48),
        "AUTH_REQUIRED": "true",
        "CACHE_TYPE": "memory",
        "DATABASE_URL": f"sqlite:///{folder / 'gateway.db'}",
        "JWT_SECRET_KEY": secrets.token_urlsafe(48),
        # The gateway calls itself there.
        "PORT": str(port),
        "PYTHONUNBUFFERED": "1",
        # 500 requests a minute, which is less than a test sends.
        "RATE_LIMITING_ENABLED": "false",
        # Without authorities: no address here has TLS, and reading them for each call of an MCP
        # server is a third of all that the gateway does.
        "SSL_CERT_DIR": str(folder / "tmp"),
        "SSRF_ALLOW_LOCALHOST": "true",
        # The gateway's lock files are there; another gateway's are none of its business.
        "TMPDIR": str(folder / "tmp"),
        "TOOL_TIMEOUT": str(settings.tool_timeout_s),
    }
    return environment | dict(settings.environment)


def of_the_guide(settings: Settings, folder: Path, plugins: Path) -> dict[str, str]:
    """Give the gateway's variables that docs/MIGRATION.md has an operator set, and why.

    Args:
        settings: How the stack is set up.
        folder: Its work folder.
        plugins: The plugin list.
    """
    variables = {
        "ENABLE_METRICS": "true",
        "LOG_LEVEL": settings.log_level,
        "MAX_TOOL_RETRIES": str(settings.max_tool_retries),
        "PLUGINS_CONFIG_FILE": str(plugins),
        "PLUGINS_ENABLED": "true",
        "PLUGINS_FAIL_ON_PLUGIN_ERROR": "true",
    }
    if settings.workers > 1:
        variables["PROMETHEUS_MULTIPROC_DIR"] = str(folder / "prometheus")
    return variables


def _plugins(settings: Settings) -> dict[str, object]:
    entry = {
        "name": settings.plugin_name,
        "kind": _KIND,
        "hooks": ["tool_post_invoke", "resource_post_fetch"],
        "mode": "sequential",
        "priority": _PRIORITY,
        "config": {**settings.plugin, "migration": dict(settings.migration)},
    }
    return {"plugins": [entry], "plugin_dirs": []}


def _serve(settings: Settings, port: int) -> list[str]:
    if settings.workers == 1:
        return ["-m", "uvicorn", _APP, "--host", "127.0.0.1", "--port", str(port)]
    return [
        *("-m", "gunicorn", _APP, "--config", str(HERE / "workers.py")),
        *("--workers", str(settings.workers), "--bind", f"127.0.0.1:{port}"),
    ]


def _make_token() -> list[str]:
    command = ["-m", "mcpgateway.utils.create_jwt_token", "--admin"]
    return [*command, "--username", _ADMIN, "--exp", str(_TOKEN_MINUTES)]


def _token(maker: Program, file: Path) -> str:
    """Wait for the token, and put it where nobody else reads it."""
    maker.finish(_START_S)
    # Log lines of the gateway's settings are around it.
    found = _JWT.search(maker.log.read_text(encoding="utf-8"))
    if found is None:
        message = f"the gateway's program made no token; its log is {maker.log}"
        raise StartError(message)
    maker.log.unlink()
    file.unlink(missing_ok=True)
    file.touch(mode=0o600)
    file.write_text(found.group(), encoding="utf-8")
    return found.group()
