"""Dashboard and alerts ask for what is there, and a real Prometheus takes all of it."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import prometheus_client
import pytest
import yaml
from moving_figures import figures
from prometheus_client import CollectorRegistry

import retry_parity
from retry_parity import metrics
from retry_parity.lifetime import bound
from retry_parity.metrics import TABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

HERE: Final = Path(__file__).parent
DASHBOARDS: Final = Path(retry_parity.__file__).parent / "dashboards"
ALERTS: Final = DASHBOARDS / "alerts.yaml"
MIGRATION_GUIDE: Final = HERE.parent.parent / "docs" / "MIGRATION.md"

#: Metrics that neither the dashboard nor an alert shows, each with its reason.
NOT_SHOWN: Final[Mapping[str, str]] = {
    "retry_migration_guard_info": "a label to look up once the panel shows that it has tripped",
}

needs_prometheus = pytest.mark.skipif(
    shutil.which("promtool") is None,
    reason="Prometheus is not installed; Debian's package prometheus has it",
)


def dashboard() -> dict[str, Any]:
    """Read the dashboard."""
    found: dict[str, Any] = json.loads((DASHBOARDS / "retry-migration.json").read_text())
    return found


def panels() -> list[dict[str, Any]]:
    """Give the panels that show something."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def dashboard_exprs() -> dict[str, str]:
    """Give what the dashboard asks, with its variables filled in."""
    asked = {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in panels()
        for target in panel["targets"]
    }
    asked |= {
        each["name"]: each["expr"] for each in dashboard()["annotations"]["list"] if "expr" in each
    }
    filled = {"$plugin": ".*", "$__rate_interval": "1m", "$__range": "1m"}
    for variable, value in filled.items():
        asked = {name: expr.replace(variable, value) for name, expr in asked.items()}
    return asked


def alerts() -> list[dict[str, Any]]:
    """Give the alerts."""
    [group] = yaml.safe_load(ALERTS.read_text())["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


def names_in(expr: str) -> set[str]:
    """Give the metrics that an expression asks for."""
    bare = re.sub(r'"[^"]*"', "", expr)
    names = set(re.findall(r"\b[a-z]+_[a-z_]+\b(?!\s*\()", re.sub(r"\bby \([^)]*\)", "", bare)))
    labels = set(re.findall(r"\b[a-z_]+(?=\s*(?:=~|=|!=))", bare))
    return {re.sub("_(bucket|sum|count)$", "", name) for name in names - labels}


def test_dashboard_and_alerts_ask_for_metrics_of_the_table_and_for_all_of_them() -> None:
    """A renamed metric must not leave a panel empty or an alert silent."""
    exprs = [*dashboard_exprs().values(), *(rule["expr"] for rule in alerts())]
    asked = {name for expr in exprs for name in names_in(expr)}
    assert asked | set(NOT_SHOWN) == {metric.name for metric in TABLE}
    assert asked.isdisjoint(NOT_SHOWN)


def test_labels_that_are_asked_for_are_those_of_the_metric() -> None:
    """A label that no series has matches nothing, and says nothing."""
    labels = {metric.name: {*metric.labels, "le"} for metric in TABLE}
    for expr in [*dashboard_exprs().values(), *(rule["expr"] for rule in alerts())]:
        for name, matchers in re.findall(r"(retry_migration_[a-z_]+)\{([^}]*)\}", expr):
            used = set(re.findall(r"([a-z_]+)\s*(?:=~|!=|=)", matchers))
            assert used <= labels[re.sub("_(bucket|sum|count)$", "", name)], expr


def test_every_panel_tells_what_to_do_and_has_a_unit() -> None:
    """An operator at night reads the panel, not the source."""
    for panel in panels():
        assert len(panel["description"]) > 60, panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]


def test_panels_do_not_overlap() -> None:
    """Each place of the grid belongs to one panel."""
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        places = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not places & taken, panel["title"]
        taken |= places


def test_every_alert_says_what_it_is_and_what_to_do() -> None:
    """Each points to a section of the guide."""
    for rule in alerts():
        assert set(rule["annotations"]) == {"summary", "description", "runbook"}
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert rule["annotations"]["runbook"].startswith("docs/MIGRATION.md#")


def test_every_runbook_is_a_section_of_the_guide() -> None:
    """By the anchors that headings get."""
    headings = re.findall(r"^#+ (.*)$", MIGRATION_GUIDE.read_text(), flags=re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}
    wanted = {rule["annotations"]["runbook"].partition("#")[2] for rule in alerts()}
    assert wanted <= anchors


def promtool(*arguments: str, given: bytes = b"") -> str:
    """Run promtool; give what it says, which must be no complaint."""
    done = subprocess.run(  # noqa: S603 - our own
        ["promtool", *arguments],  # noqa: S607 - the installed one
        input=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    said = done.stdout.decode()
    assert done.returncode == 0, said
    return said


@needs_prometheus
def test_promtool_takes_the_rules() -> None:
    """As Prometheus will."""
    assert f"{len(alerts())} rules found" in promtool("check", "rules", str(ALERTS))


@needs_prometheus
def test_every_alert_fires_and_stays_silent_as_it_must() -> None:
    """Each alert is in the rules' own tests, which say when it fires and when not."""
    tests = HERE / "alerts_test.yaml"
    assert "SUCCESS" in promtool("test", "rules", str(tests))
    for rule in alerts():
        assert re.search(rf"\b{rule['alert']}\b", tests.read_text()), rule["alert"]


@needs_prometheus
def test_promtool_takes_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names, help and units as Prometheus wants them."""
    registry = CollectorRegistry()
    monkeypatch.setattr(prometheus_client, "REGISTRY", registry)
    metrics.expose(lambda: {"retry": figures()})
    assert promtool("check", "metrics", given=prometheus_client.generate_latest(registry)) == ""


def free_port() -> int:
    """Give a port that was free a moment ago."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def until(condition: Callable[[], bool], within_s: float = 30) -> None:
    """Ask again and again."""
    pause, end = threading.Event(), time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end
        pause.wait(0.05)


@contextmanager
def running(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    """Keep a process for a while."""
    process = subprocess.Popen(  # noqa: S603 - our own
        bound(command),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=HERE,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


class Prometheus:
    """A Prometheus server."""

    def __init__(self, port: int) -> None:
        self._address = f"http://127.0.0.1:{port}"

    def get(self, path: str, **parameters: str) -> Any:
        """Ask its API."""
        url = f"{self._address}{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url) as answer:  # noqa: S310 - our own
            return json.load(answer)["data"]

    def ask(self, expr: str) -> list[Any]:
        """Evaluate an expression now."""
        found: list[Any] = self.get("/api/v1/query", query=expr)["result"]
        return found

    def is_ready(self) -> bool:
        """Whether it answers."""
        try:
            return self.ask("vector(1)") != []
        except OSError:
            return False


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[Prometheus]:
    """A server that scrapes two workers."""
    with ExitStack() as stack:
        pages = []
        for _ in range(2):
            worker = stack.enter_context(running(sys.executable, "moving_figures.py"))
            assert worker.stdout is not None
            pages.append(f"127.0.0.1:{int(worker.stdout.readline())}")
        every = "250ms"
        config = tmp_path / "prometheus.yaml"
        config.write_text(
            yaml.safe_dump(
                {
                    "global": {"scrape_interval": every, "evaluation_interval": every},
                    "rule_files": [str(ALERTS)],
                    "scrape_configs": [
                        {"job_name": "gateway", "static_configs": [{"targets": pages}]}
                    ],
                }
            )
        )
        port = free_port()
        stack.enter_context(
            running(
                "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={tmp_path / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            )
        )
        server = Prometheus(port)
        until(server.is_ready)
        yield server


@needs_prometheus
def test_a_real_prometheus_answers_every_panel(prometheus: Prometheus) -> None:
    """Two workers are scraped, every panel has data, and the alerts that must fire do."""
    scraped = "count(count_over_time(retry_migration_fallbacks_total[1m]) >= 3)"
    until(lambda: [each["value"][1] for each in prometheus.ask(scraped)] == ["2"])
    exprs = dashboard_exprs()
    assert exprs.pop("Guard tripped")  # an annotation that is empty on a good day
    empty = [name for name, expr in exprs.items() if prometheus.ask(expr) == []]
    assert empty == []
    odd = [name for name, expr in exprs.items() if "NaN" in str(prometheus.ask(expr))]
    assert odd == []
    until(lambda: {"RetryMigrationUnexplainedDivergence"} <= firing(prometheus))
    assert "RetryMigrationGuardTripped" not in firing(prometheus)


def firing(prometheus: Prometheus) -> set[str]:
    """Give the alerts that fire."""
    return {
        each["labels"]["alertname"]
        for each in prometheus.get("/api/v1/alerts")["alerts"]
        if each["state"] == "firing"
    }
