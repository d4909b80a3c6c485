"""The figures arrive on a metrics page as they are, whoever makes the page and whatever fails."""

from __future__ import annotations

import importlib
import logging
import os
import subprocess
import sys
import textwrap
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Final

import prometheus_client
import pytest
from moving_figures import figures
from prometheus_client import CollectorRegistry, parser
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics import parser as openmetrics_parser

from retry_parity import metrics
from retry_parity.flag import Implementation
from retry_parity.lifetime import bound
from retry_parity.metrics import TABLE
from retry_parity.metrics.reader import LONGEST_VALUE, MOST_VALUES, OTHERS
from retry_parity.metrics.table import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from retry_parity.figures import Figures

HERE: Final = Path(__file__).parent

#: A page's lines: name and labels, and the number.
Page = dict[tuple[str, frozenset[tuple[str, str]]], float]


def line(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    """Name a line of a page."""
    return f"retry_migration_{name}", frozenset(labels.items())


def page_of(registry: CollectorRegistry) -> Page:
    """Write the page of a registry and read it as Prometheus does."""
    text = prometheus_client.generate_latest(registry).decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parser.text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> CollectorRegistry:
    """A registry of the test's own in the place of the process's."""
    own = CollectorRegistry(auto_describe=True)
    monkeypatch.setattr(prometheus_client, "REGISTRY", own)
    return own


def exposed(registry: CollectorRegistry, **by_plugin: Figures) -> Page:
    """Give the page of one process with these figures."""
    assert metrics.expose(lambda: by_plugin) is None
    return page_of(registry)


class Worker:
    """A process with a mirror, which does as it is told, line by line."""

    PROGRAM = """
    import os, sys
    from moving_figures import figures
    from retry_parity.figures import ServiceState
    from retry_parity.flag import Implementation
    from retry_parity.metrics import expose

    now, born = {}, {}
    os.register_at_fork(after_in_child=lambda: now.update(born))
    mirror = expose(lambda: now)

    def show(**by_plugin):
        now.update(by_plugin)
        mirror.update(now)

    for told in sys.stdin:
        exec(told)
        print("done", flush=True)
    """

    def __init__(self, directory: Path) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own
            bound([sys.executable, "-W", "error", "-c", textwrap.dedent(self.PROGRAM)]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=HERE,
            env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(directory)},
        )
        self.pid = self._process.pid

    def do(self, told: str) -> None:
        """Have it do one line."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(told, file=self._process.stdin, flush=True)
        assert self._process.stdout.readline() == "done\n"

    def end(self) -> None:
        """End it, as if killed."""
        self._process.kill()
        self._process.communicate()


class Workers:
    """Processes whose figures are on one page."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.directory = directory
        self._stack = stack

    def start(self, *told: str) -> Worker:
        """Start one more."""
        worker = Worker(self.directory)
        self._stack.callback(worker.end)
        for each in told:
            worker.do(each)
        return worker

    def page(self) -> Page:
        """Read the page that they share."""
        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=str(self.directory))  # type: ignore[no-untyped-call] # it has no types
        return page_of(registry)


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    """No process yet."""
    with ExitStack() as stack:
        yield Workers(tmp_path, stack)


def without_pid(page: Page) -> Page:
    """Give a page without the process ids."""
    return {
        (name, frozenset(label for label in labels if label[0] != "pid")): value
        for (name, labels), value in page.items()
    }


# --- one process, one page


def test_every_metric_of_the_table_is_on_the_page(registry: CollectorRegistry) -> None:
    """Name, type, help and labels as the table has them, in both formats of a page."""
    exposed(registry, retry=figures())
    plain = prometheus_client.generate_latest(registry)
    newer = openmetrics.generate_latest(registry)  # type: ignore[no-untyped-call] # it has no types
    for read, text in ((parser, plain), (openmetrics_parser, newer)):
        found = read.text_string_to_metric_families(text.decode())
        families = {family.name: family for family in found}
        for metric in TABLE:
            family = families.pop(metric.family)
            assert (family.type, family.documentation) == (metric.kind, metric.help)
            allowed = {*metric.labels, "le"} if metric.kind is Kind.HISTOGRAM else {*metric.labels}
            assert family.samples
            assert {label for each in family.samples for label in each.labels} <= allowed
        assert families == {}


def test_numbers_are_those_of_the_figures(registry: CollectorRegistry) -> None:
    """Sides are named as operators know them; what never happened is 0, so that a rise shows."""
    page = exposed(registry, retry=figures(3, guard_tripped=True), other=figures(5))
    shown = {
        line("decisions_total", plugin="retry", implementation="rust", outcome="raised"): 3,
        line("decisions_total", plugin="retry", implementation="legacy", outcome="no retry"): 21,
        line("decisions_total", plugin="retry", implementation="rust", outcome="retry"): 0,
        line("outcomes_total", plugin="other", implementation="legacy", outcome="retry"): 10,
        line("comparisons_total", plugin="retry", result="match"): 18,
        line("comparisons_total", plugin="retry", result="accepted"): 6,
        line("comparisons_total", plugin="retry", result="divergent"): 6,
        line("comparisons_total", plugin="retry", result="not compared"): 3,
        line("accepted_total", plugin="retry", entry="jitter-range"): 6,
        line("divergences_total", plugin="retry", signature="retry-lost+metadata"): 3,
        line("harness_errors_total", plugin="retry", step="ledger"): 3,
        line("harness_errors_total", plugin="retry", step="snapshot"): 0,
        line("guard_tripped", plugin="retry"): 1,
        line("guard_tripped", plugin="other"): 0,
        line("flag_info", plugin="retry", implementation="canary", source="flag service"): 1,
        line("canary_ratio", plugin="retry"): 0.05,
        line("flag_service_state", plugin="retry", state="ready"): 1,
        line("flag_service_state", plugin="retry", state="gone"): 0,
        line("live_chains", plugin="retry", implementation="rust"): 4,
        line("evidence_bytes", plugin="other"): 5_000,
        line("read_errors_total"): 0,
    }
    assert {each: page.get(each) for each in shown} == shown


def test_latencies_are_histograms(registry: CollectorRegistry) -> None:
    """A duration at a bound counts within it; one beyond all bounds counts in the total."""
    page = exposed(registry, retry=figures())
    bucket = "hook_duration_seconds_bucket"
    legacy = {"plugin": "retry", "implementation": "legacy"}
    assert [
        page[line(bucket, **legacy, le=le)] for le in ("7e-06", "1e-05", "3e-05", "0.1", "+Inf")
    ] == [0, 1, 3, 3, 4]
    assert page[line(bucket, plugin="retry", implementation="rust", le="1e-06")] == 1
    assert page[line("hook_duration_seconds_count", **legacy)] == 4
    assert page[line("hook_duration_seconds_sum", **legacy)] == pytest.approx(0.300051)


def test_a_flag_value_that_holds_no_longer_is_gone(registry: CollectorRegistry) -> None:
    """One worker is under one value only."""
    exposed(registry, retry=figures())
    now = figures(implementation=Implementation.RUST, source="RETRY_IMPLEMENTATION")
    page = exposed(registry, retry=now)
    assert [dict(labels) for name, labels in page if name == "retry_migration_flag_info"] == [
        {"plugin": "retry", "implementation": "rust", "source": "RETRY_IMPLEMENTATION"}
    ]


def test_labels_are_bounded(registry: CollectorRegistry) -> None:
    """Signatures without end make a bounded page, keep their series, and none is lost."""
    exposed(registry, retry=figures(divergent={"first": 1}))
    many = {f"signature {number}": 1 for number in range(1_000)}
    page = exposed(registry, retry=figures(divergent={**many, "first": 1}))
    counted = {
        dict(labels)["signature"]: value
        for (name, labels), value in page.items()
        if name == "retry_migration_divergences_total"
    }
    assert len(counted) == MOST_VALUES + 1
    assert counted["first"] == 1
    assert counted[OTHERS] == 1_001 - MOST_VALUES
    assert sum(counted.values()) == 1_001


def test_labels_are_one_short_line_of_plain_text(registry: CollectorRegistry) -> None:
    """Whatever a name holds, the page stays one that every reader takes."""
    odd = 'delay:"Bäd"\n\\name\ud800' + "x" * 500
    page = exposed(registry, näme=figures(candidate_errors={odd: 1}))
    [error] = [
        dict(labels)["error"] for name, labels in page if name.endswith("candidate_errors_total")
    ]
    start, _, digest = error.rpartition("~")
    assert start == ('delay:"B?d"?\\name?' + "x" * 500)[: LONGEST_VALUE - 9]
    assert len(digest) == 8


def test_names_that_look_alike_are_not_one(registry: CollectorRegistry) -> None:
    """Two plugins whose names have no plain form keep their own counters."""
    page = exposed(registry, 重试=figures(1), 插件=figures(2))
    counted = [value for (name, _), value in page.items() if name.endswith("fallbacks_total")]
    assert sorted(counted) == [1, 2]


# --- failures


@pytest.mark.parametrize(
    ("setting", "lines"), [({"ENABLE_METRICS": False}, 1), ({"ENABLE_METRICS": True}, 0), ({}, 0)]
)
def test_a_page_that_the_gateway_does_not_show_is_one_line_of_the_log(
    setting: dict[str, bool],
    lines: int,
    registry: CollectorRegistry,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The gateway's metrics are off by default; without a gateway there is nothing to put on."""
    gateway = SimpleNamespace(settings=SimpleNamespace(**setting))
    monkeypatch.setitem(sys.modules, "mcpgateway.config", gateway)
    exposed(registry, retry=figures())
    exposed(registry, retry=figures())
    assert [each.message.count("ENABLE_METRICS=true") for each in caplog.records] == [1] * lines


def test_what_cannot_be_read_is_left_out_and_counted(
    registry: CollectorRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    """One number that fails costs its metric; the rest of the page, and of the gateway, stays."""
    registry.register(prometheus_client.Counter("of_the_gateway", "", registry=None))
    broken = replace(figures(), accepted=None, evidence_bytes="much")  # type: ignore[arg-type] # broken
    exposed(registry, retry=broken, other=figures())
    page = page_of(registry)
    assert page["of_the_gateway_total", frozenset()] == 0
    assert page[line("accepted_total", plugin="other", entry="jitter-range")] == 2
    assert page[line("evidence_bytes", plugin="other")] == 1_000
    assert line("evidence_bytes", plugin="retry") not in page
    assert page[line("fallbacks_total", plugin="retry")] == 1
    assert page[line("read_errors_total")] == 4
    assert len(caplog.records) == 1


def test_figures_that_cannot_be_had_leave_the_rest_of_the_page(
    registry: CollectorRegistry,
) -> None:
    """A panic of the Rust side included, which is no Exception."""

    class PanicException(BaseException):
        pass

    def read() -> Mapping[str, Figures]:
        raise PanicException

    metrics.expose(read)
    page = page_of(registry)
    assert page[line("read_errors_total")] == 1
    assert {name for name, _ in page} == {
        "retry_migration_read_errors_total",
        "retry_migration_build_info",
    }


def test_an_interrupt_is_passed_on(registry: CollectorRegistry) -> None:
    """Who stops the process is no failure of a metric."""

    def read() -> Mapping[str, Figures]:
        raise KeyboardInterrupt

    metrics.expose(read)
    with pytest.raises(KeyboardInterrupt):
        page_of(registry)


def test_exposing_again_is_the_same_as_once(registry: CollectorRegistry) -> None:
    """The gateway builds its plugins anew every 30 s; the latest figures count."""
    exposed(registry, retry=figures(1))
    page = exposed(registry, retry=figures(2), other=figures(1))
    assert page[line("fallbacks_total", plugin="retry")] == 2
    assert page[line("fallbacks_total", plugin="other")] == 1


def test_a_module_that_is_loaded_anew_finds_what_stands(
    registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is registered twice, and nothing is said."""
    exposed(registry, retry=figures(1))
    monkeypatch.delitem(sys.modules, "retry_parity.metrics")
    anew = importlib.import_module("retry_parity.metrics")
    assert anew is not metrics
    assert anew.expose(lambda: {"retry": figures(2)}) is None
    assert page_of(registry)[line("fallbacks_total", plugin="retry")] == 2
    assert caplog.records == []


def test_a_name_that_is_taken_is_said_once(
    registry: CollectorRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    """The plugin goes on without metrics."""
    taken = "retry_migration_fallbacks"
    registry.register(prometheus_client.Counter(taken, "", registry=None))
    caplog.set_level(logging.WARNING)
    for _ in range(3):
        assert metrics.expose(dict) is None
    assert [taken in record.getMessage() for record in caplog.records] == [True]
    assert {name for name, _ in page_of(registry)} >= {f"{taken}_total"}


def test_without_prometheus_client_nothing_is_exposed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra."""
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    assert metrics.expose(dict) is None


# --- several processes, one page


def test_one_worker_shows_the_same_page_in_both_modes(
    registry: CollectorRegistry, workers: Workers
) -> None:
    """The modes differ in who writes the page and in nothing that is on it."""
    workers.start("show(retry=figures(3), other=figures(2))")
    expected = exposed(registry, retry=figures(3), other=figures(2))
    assert without_pid(workers.page()) == pytest.approx(expected)


def test_two_workers_add_up(workers: Workers) -> None:
    """Counts are sums, the guard is tripped where one is, a flag value counts its workers."""
    first = workers.start("show(retry=figures(1))", "show(retry=figures(3, guard_tripped=True))")
    second = workers.start("show(retry=figures(5, canary_percent=10.0))")
    page = workers.page()
    shown = {
        line("comparisons_total", plugin="retry", result="match"): 48,
        line("divergences_total", plugin="retry", signature="delay"): 8,
        line("guard_tripped", plugin="retry"): 1,
        line("flag_info", plugin="retry", implementation="canary", source="flag service"): 2,
        line("flag_service_state", plugin="retry", state="ready"): 2,
        line("canary_ratio", plugin="retry", pid=str(first.pid)): 0.05,
        line("canary_ratio", plugin="retry", pid=str(second.pid)): 0.1,
        line("live_chains", plugin="retry", implementation="legacy"): 6,
        line("evidence_bytes", plugin="retry"): 8_000,
        line(
            "hook_duration_seconds_bucket", plugin="retry", implementation="legacy", le="3e-05"
        ): 24,
        line(
            "hook_duration_seconds_bucket", plugin="retry", implementation="legacy", le="+Inf"
        ): 32,
        line("hook_duration_seconds_count", plugin="retry", implementation="rust"): 16,
        line("read_errors_total"): 0,
    }
    assert {each: page.get(each) for each in shown} == shown
    names = {name for name, _ in page}
    for metric in TABLE:
        assert any(name.startswith(metric.name) for name in names), metric.name


def test_a_flag_value_that_holds_no_longer_counts_no_worker(workers: Workers) -> None:
    """Files cannot forget a label set, so it goes to 0."""
    worker = workers.start("show(retry=figures())")
    worker.do("show(retry=figures(implementation=Implementation.RUST, source='default'))")
    worker.do("show(other=figures())")
    page = workers.page()
    canary = {"implementation": "canary", "source": "flag service"}
    assert page[line("flag_info", plugin="retry", **canary)] == 0
    assert page[line("flag_info", plugin="other", **canary)] == 1
    assert page[line("flag_info", plugin="retry", implementation="rust", source="default")] == 1


def test_a_dead_worker_keeps_its_counts_and_loses_its_state(workers: Workers) -> None:
    """The gateway recycles its workers and never says which are gone."""
    first = workers.start("show(retry=figures(3))")
    second = workers.start("show(retry=figures(5))")
    first.end()
    second.do("show(retry=figures(6))")
    page = workers.page()
    assert page[line("fallbacks_total", plugin="retry")] == 9
    flag = line("flag_info", plugin="retry", implementation="canary", source="flag service")
    assert page[flag] == 1
    assert page[line("live_chains", plugin="retry", implementation="legacy")] == 3


def foreign_file(path: Path) -> None:
    """A file of another program."""
    path.write_bytes(b"something")


def foreign_folder(path: Path) -> None:
    """A folder."""
    path.mkdir()


def foreign_pipe(path: Path) -> None:
    """A pipe, which a reader would wait for."""
    os.mkfifo(path)


def foreign_link(path: Path) -> None:
    """A link to nothing."""
    path.symlink_to("nowhere")


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("gauge_liveall_worker-1.db", foreign_file),
        ("gauge_livesum_99999999999999999999.db", foreign_file),
        ("gauge_livesum_-1.db", foreign_pipe),
        ("gauge_livesum_\u0663.db", foreign_file),
        ("gauge_livesum_DEAD.txt", foreign_link),
        ("gauge_livesum_DEAD.db", foreign_link),
        ("gauge_livesum_DEAD.db", foreign_pipe),
        ("gauge_liveother_DEAD.db", foreign_file),
        ("other_OURS.db", foreign_file),
        ("other_OURS.db", foreign_pipe),
        ("counter_OURS.db", foreign_folder),
        ("gauge_livemax_OURS.db", foreign_folder),
        ("gauge_livesum_DEAD.db", foreign_file),
        ("gauge_livesum_DEAD.db", foreign_folder),
        ("lost+found", foreign_folder),
    ],
)
def test_what_others_have_in_the_folder_does_not_stop_the_clean_up(
    workers: Workers, name: str, make: Callable[[Path], None]
) -> None:
    """A number was made of any name; one that is none kept the dead workers' figures for good.

    What cannot be ours stays, also in the place of one of ours, which alone is then not shown; a
    file under a dead process's number goes with it.
    """
    first = workers.start("show(retry=figures(3))")
    first.end()
    second = workers.start()
    name = name.replace("OURS", str(second.pid))
    foreign = workers.directory / name.replace("DEAD", str(first.pid + 1_000_000_000))
    make(foreign)
    second.do("show(retry=figures(5))")
    assert not list(workers.directory.glob(f"gauge_live*_{first.pid}.db"))
    assert list(workers.directory.glob(f"gauge_live*_{second.pid}.db"))
    is_ours = name == "gauge_livesum_DEAD.db" and make is foreign_file
    assert os.path.lexists(foreign) is not is_ours


def test_a_file_that_a_killed_process_of_this_number_left_torn_is_replaced(
    workers: Workers,
) -> None:
    """It kept the process from showing anything, for as long as it was there."""
    worker = workers.start()
    torn = workers.directory / f"gauge_livesum_{worker.pid}.db"
    torn.write_bytes(b"\xff" * 64)
    worker.do("show(retry=figures(3))")
    assert workers.page()[line("live_chains", plugin="retry", implementation="legacy")] == 3


def test_a_process_id_that_comes_again_goes_on(workers: Workers) -> None:
    """After a restart of a container the ids are the same, and the old files may be there."""
    first = workers.start("show(retry=figures(3, implementation=Implementation.SHADOW))")
    first.end()
    second = workers.start()
    for file in workers.directory.glob(f"*_{first.pid}.db"):
        file.rename(file.with_name(file.name.replace(str(first.pid), str(second.pid))))
    second.do("show(retry=figures(2))")
    page = workers.page()
    assert page[line("fallbacks_total", plugin="retry")] == 5
    source = {"source": "flag service"}
    assert page[line("flag_info", plugin="retry", implementation="shadow", **source)] == 0
    assert page[line("flag_info", plugin="retry", implementation="canary", **source)] == 1


FORK: Final = (
    "child = os.fork(); "
    "(show(retry=figures({counted})), os._exit(0)) if child == 0 else os.waitpid(child, 0)"
)


def test_a_child_does_not_count_again_what_its_parent_had(workers: Workers) -> None:
    """Nor what the parent had counted and not yet shown, which it shows itself."""
    parent = workers.start(
        "show(retry=figures(7))",
        "now.update(retry=figures(10))",
        FORK.format(counted=12),
        "show(retry=figures(10))",
    )
    page = workers.page()
    assert page[line("fallbacks_total", plugin="retry")] == 12
    count = line("hook_duration_seconds_count", plugin="retry", implementation="legacy")
    assert page[count] == 48
    files = {file.name for file in workers.directory.glob("counter_*.db")}
    assert len(files) == 2
    assert f"counter_{parent.pid}.db" in files


def test_a_child_that_counts_from_zero_adds_all_of_it(workers: Workers) -> None:
    """The evidence begins anew in a child, and some other counts do not."""
    workers.start(
        "show(retry=figures(10))",
        "born.update(retry=figures(0, guard_trips=10, divergent={}))",
        FORK.format(counted="15, guard_trips=11"),
    )
    page = workers.page()
    assert page[line("fallbacks_total", plugin="retry")] == 25
    assert page[line("divergences_total", plugin="retry", signature="delay")] == 25
    assert page[line("guard_trips_total", plugin="retry")] == 11


def test_preloaded_workers_count_and_their_parent_is_none(workers: Workers) -> None:
    """A parent that serves no calls shows nothing; every metric is there from the first moment."""
    workers.start("now.update(retry=figures(0))", FORK.format(counted=2), FORK.format(counted=3))
    page = workers.page()
    assert page[line("fallbacks_total", plugin="retry")] == 5
    assert page[line("harness_errors_total", plugin="retry", step="record")] == 0
    assert page[line("read_errors_total")] == 0


def test_a_child_shows_its_state_at_once(workers: Workers) -> None:
    """What its parent has shown already is new in the child's own files."""
    workers.start(
        "show(retry=figures())",
        "pipe = os.pipe(); child = os.fork(); "
        "(show(retry=figures()), os.write(pipe[1], b'.'), os.read(0, 1), os._exit(0))"
        " if child == 0 else os.read(pipe[0], 1)",
    )
    page = workers.page()
    flag = line("flag_info", plugin="retry", implementation="canary", source="flag service")
    assert page[flag] == 2


def test_counting_that_began_anew_goes_on(workers: Workers) -> None:
    """Counts that fall have begun at 0 again; what was shown stays."""
    workers.start("show(retry=figures(5))", "show(retry=figures(2))")
    assert workers.page()[line("fallbacks_total", plugin="retry")] == 7


def test_a_folder_that_is_missing_is_counted_and_harms_nobody(tmp_path: Path) -> None:
    """It may come later: then everything is there."""
    with ExitStack() as stack:
        workers = Workers(tmp_path / "missing", stack)
        worker = workers.start("show(retry=figures(5))")
        workers.directory.mkdir()
        worker.do("show(retry=figures(6))")
        page = workers.page()
    assert page[line("fallbacks_total", plugin="retry")] == 6
    assert page[line("read_errors_total")] == 1


def test_exposing_again_gives_the_same_mirror(workers: Workers) -> None:
    """Two mirrors would count everything twice."""
    workers.start(
        "assert expose(lambda: now) is mirror",
        "from prometheus_client import REGISTRY",
        "assert not [each for each in REGISTRY.collect() if each.name.startswith('retry_')]",
    )
