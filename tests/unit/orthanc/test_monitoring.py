"""Health and metrics: what is wrong is said with its grade, and Prometheus' own parser reads the page."""

from __future__ import annotations

import json
import math
import re
import shutil
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from derived_series.errors import Busy
from derived_series.jobs.destination_states import with_states
from derived_series.jobs.notices.outbox import Notice, Outbox
from derived_series.jobs.queue.sqlite_database import SqliteDatabase
from derived_series.jobs.queue.store import JobStore
from derived_series.jobs.record import JobRecord, Problem, State
from derived_series.orthanc import catalogues
from derived_series.orthanc.metrics import Metrics
from derived_series.orthanc.prometheus import Family, Histogram, Sample, exposition
from installed import not_installed
from orthanc_server import REPOSITORY, free_port
from route_client import FakeGateway, RouteClient, ThreadedWorkers
from test_jobs_store import job

GIGABYTE = 1 << 30
#: A receiver that nothing is sent to: it is asked to wait for what never comes.
RECEIVER = {"URL": "http://127.0.0.1:9/T0KEN", "Name": "nobody", "RetryPause": 3600}
RULE = {"Name": "r", "Match": {"Modality": "CT"}, "Derive": {"Pipeline": "not_there"}}


@pytest.fixture
def sound(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What the machine has, for a test to change."""
    machine = SimpleNamespace(free=100 * GIGABYTE, alive=1)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=machine.free))
    monkeypatch.setattr(ThreadedWorkers, "processes", lambda self: [{}] * machine.alive)
    return machine


Start = Callable[..., RouteClient]


def section(title: str) -> str:
    """A section of the document on monitoring."""
    text = (REPOSITORY / "docs" / "monitoring.md").read_text("utf-8")
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


@pytest.fixture
def start(tmp_path: Path, sound: SimpleNamespace) -> Iterator[Start]:
    clients: list[RouteClient] = []

    def begin(**section: Any) -> RouteClient:
        keys = {"BlueprintFolders": [str(REPOSITORY / "blueprints")], "Workers": 1, "Notify": [RECEIVER], **section}
        client = RouteClient(tmp_path, **keys)
        clients.append(client)
        client.gateway.begin()
        assert client.get("/derived-series/status").status == 200  # the folders are loaded
        return client

    yield begin
    for each in clients:
        each.gateway.end()


def health(client: RouteClient) -> tuple[int, str, dict[str, Any]]:
    reply = client.get("/derived-series/health")
    return reply.status, reply.json["Status"], reply.json["Checks"]


def test_a_sound_server(start: Start) -> None:
    status, grade, checks = health(start())
    assert (status, grade) == (200, "Ok"), checks
    assert list(checks) == [
        *("Store", "Disk", "Scheduler", "Workers", "Queue", "Environments", "Notifications", "Configuration")
    ]
    assert checks["Workers"] == {"Status": "Ok", "Alive": 1, "Configured": 1}
    assert checks["Disk"] == {"Status": "Ok", "FreeBytes": 100 * GIGABYTE}
    assert checks["Queue"]["OldestWaitingSeconds"] == 0 and checks["Configuration"]["Problems"] == 0


def test_the_document_has_each_check_with_its_figures(start: Start) -> None:
    (example,) = re.findall(r"```json\n(.*?)```", section("Health"), re.DOTALL)
    shown = json.loads(example)["Checks"]
    assert re.findall(r"^\| `(\w+)` \|", section("Health"), re.MULTILINE) == list(shown)
    checks = health(start())[2]
    assert {name: check.keys() - {"Message"} for name, check in shown.items()} == {
        name: check.keys() for name, check in checks.items()
    }


def test_workers_on_other_machines_that_are_missing(start: Start) -> None:
    nobody = {"Scheduler": f"tcp://127.0.0.1:{free_port()}", "Workers": 2}
    status, grade, checks = health(start(Environments={"gpu": nobody}))
    assert (status, grade, checks["Environments"]["Status"]) == (200, "Warning", "Warning")
    assert "workers on other machines are missing" in checks["Environments"]["Message"]
    assert (checks["Environments"]["WorkersElsewhere"], checks["Environments"]["WorkersElsewhereConfigured"]) == (0, 2)


def cannot_write(client: RouteClient, machine: SimpleNamespace, patch: pytest.MonkeyPatch) -> None:
    def full(store: JobStore) -> None:
        raise Busy("the disk is full")

    patch.setattr(JobStore, "try_to_write", full)


def waits(client: RouteClient, machine: SimpleNamespace, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(JobStore, "oldest_waiting", lambda self: time.time() - 7200)


def is_behind(client: RouteClient, machine: SimpleNamespace, patch: pytest.MonkeyPatch) -> None:
    plain = Outbox.tallies
    patch.setattr(
        Outbox,
        "tallies",
        lambda self: {name: type(each)(3, time.time() - 3600, 1, 2) for name, each in plain(self).items()},
    )


FAULTS: dict[str, tuple[dict[str, Any], Callable[..., object], str, str, dict[str, Any]]] = {
    "no room": ({}, lambda c, m, p: setattr(m, "free", GIGABYTE // 2), "Disk", "Error", {"FreeBytes": GIGABYTE // 2}),
    "little room": ({}, lambda c, m, p: setattr(m, "free", 5 * GIGABYTE), "Disk", "Warning", {}),
    "a full disk": ({}, cannot_write, "Store", "Error", {}),
    "a scheduler that is gone": ({}, lambda c, m, p: c.gateway.end(), "Scheduler", "Error", {}),
    "no worker": ({}, lambda c, m, p: setattr(m, "alive", 0), "Workers", "Error", {"Alive": 0}),
    "too few workers": ({"Workers": 2}, lambda c, m, p: None, "Workers", "Warning", {"Alive": 1, "Configured": 2}),
    "a job that waits": ({}, waits, "Queue", "Warning", {}),
    "a receiver that is down": (
        {},
        is_behind,
        "Notifications",
        "Warning",
        {"Receivers": 1, "Waiting": 3, "GivenUp": 2},
    ),
    "a rule of nothing": ({"Rules": [RULE]}, lambda c, m, p: None, "Configuration", "Warning", {"Problems": 1}),
    "an environment": (
        {"Environments": {"torch": {"Python": "/nowhere/python"}}},
        lambda c, m, p: None,
        "Environments",
        "Warning",
        {"Configured": 1, "Failed": 1},
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told_with_its_grade(
    fault: str, start: Start, sound: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    section, breaks, name, grade, figures = FAULTS[fault]
    client = start(**section)
    breaks(client, sound, monkeypatch)
    status, worst, checks = health(client)
    assert checks[name]["Status"] == worst == grade, checks
    assert figures.items() <= checks[name].items() and checks[name]["Message"]
    assert status == (503 if grade == "Error" else 200)
    assert "T0KEN" not in str(checks) and str(client.gateway.folder) not in str(checks)


def test_a_full_queue_is_an_error(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    client = start(QueueSize=3)
    monkeypatch.setattr(
        JobStore, "counts", lambda self: {**dict.fromkeys(State, 0), State.PENDING: 2, State.RUNNING: 1}
    )
    status, _, checks = health(client)
    assert status == 503 and checks["Queue"]["Waiting"] == 2 and "503" in checks["Queue"]["Message"]


def test_a_file_that_cannot_be_loaded_is_a_fault(start: Start, tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "broken.py").write_text("import nothing_of_this_name\n")
    status, grade, checks = health(start(BlueprintFolders=[str(tmp_path / "ours")]))
    assert (status, grade) == (200, "Warning") and checks["Configuration"]["Problems"] == 1


UNKNOWN_DESTINATION = {"Name": "r", "Match": {"Derived": "ct"}, "SendTo": ["NOWHERE"]}
WRONG_INPUT = {
    "Name": "r",
    "Inputs": {"ct": {"Modality": "CT"}, "mask": {"Modality": "SEG"}},
    "Derive": {"Pipeline": "gaussian_smoothing"},
}


@pytest.mark.parametrize("rule", [UNKNOWN_DESTINATION, WRONG_INPUT], ids=["destination", "input"])
def test_a_rule_that_names_what_is_not_there_is_a_fault(start: Start, rule: dict[str, Any]) -> None:
    client = start(Rules=[rule])
    (listed,) = client.get("/derived-series/rules").json
    assert len(listed["Problems"]) == 1
    status, grade, checks = health(client)
    assert (status, grade) == (200, "Warning") and checks["Configuration"]["Problems"] == 1, checks
    assert "/derived-series/rules" in checks["Configuration"]["Message"]


def test_folders_that_cannot_be_loaded_are_an_error_that_does_not_grow(
    tmp_path: Path, sound: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has the cause once, at the beginning of its entry."""
    cause = AttributeError("'dict' object has no attribute 'of ours'")

    def fail(folders: tuple[str, ...]) -> None:
        raise cause

    monkeypatch.setattr(catalogues, "describe", fail)
    client = RouteClient(tmp_path, BlueprintFolders=[str(REPOSITORY / "blueprints")], Workers=1)
    client.gateway.begin()
    try:
        replies = [client.get("/derived-series/status") for _ in range(5)]
        depth = len(list(traceback.walk_tb(cause.__traceback__)))
        replies += [client.get("/derived-series/pipelines") for _ in range(20)]
        assert len(list(traceback.walk_tb(cause.__traceback__))) == depth, "its traceback does not grow"
        for reply in replies:
            assert reply.status == 500 and str(cause) in reply.json["Message"] and "log" in reply.json["Remedy"]
        status, _, checks = health(client)
        assert status == 503 and checks["Configuration"]["Status"] == "Error", checks
    finally:
        client.gateway.end()
    entries = [each.getMessage() for each in caplog.records if str(cause) in each.getMessage()]
    assert len(entries) == 1 and entries[0].startswith(f"AttributeError: {cause}"), entries
    assert sum(each.exc_info is not None for each in caplog.records) == 1


# -- metrics ---------------------------------------------------------------------------------------------------------


def parsed(page: str) -> dict[str, Any]:
    """The families of a page by name, as Prometheus' own library reads them."""
    try:
        from prometheus_client.parser import text_string_to_metric_families
    except ImportError:
        not_installed("prometheus_client", "pip install -e .[dev]")
    return {family.name: family for family in text_string_to_metric_families(page)}


def test_labels_may_be_anything() -> None:
    odd = 'a "quote", a \\ and\na line'
    page = exposition(
        [
            Family(
                "x",
                "gauge",
                "help",
                (
                    Sample(
                        1.5,
                        (("name", odd), ("other", "{}")),
                    ),
                    Sample(2e21),
                ),
            )
        ]
    )
    samples = parsed(page)["x"].samples
    assert samples[0].labels == {"name": odd, "other": "{}"} and samples[0].value == 1.5
    assert samples[1].labels == {} and samples[1].value == 2e21


def test_a_histograms_buckets_count_all_below() -> None:
    histogram = Histogram("x_seconds", "help", ("pipeline",), (0.5, 1.0))
    for value in (0.1, 0.5, 0.7, 30.0):
        histogram.observe(value, "p")
    histogram.observe(2.0, "q")
    family = parsed(exposition([histogram.family()]))["x_seconds"]
    assert family.type == "histogram"
    values = {(each.name, each.labels["pipeline"], each.labels.get("le")): each.value for each in family.samples}
    assert [values["x_seconds_bucket", "p", bound] for bound in ("0.5", "1", "+Inf")] == [2, 3, 4]
    assert values["x_seconds_count", "p", None] == 4 and math.isclose(values["x_seconds_sum", "p", None], 31.3)
    assert values["x_seconds_bucket", "q", "+Inf"] == values["x_seconds_count", "q", None] == 1


def observed(folder: Path, *records: JobRecord) -> dict[str, Any]:
    """The families of the jobs, after these have been observed."""
    with closing(JobStore(folder, SqliteDatabase(folder, in_memory=True))) as store:
        metrics = Metrics(FakeGateway(folder, {}), store)
        for record in records:
            metrics.observe(record)
        return parsed(exposition(metrics.families()))


def sums(family: Any) -> dict[tuple[str, str], tuple[float, float]]:
    """Sum and count of a histogram, by pipeline and its other label."""
    values: dict[tuple[str, str], dict[str, float]] = {}
    for each in family.samples:
        other = each.labels.get("phase") or each.labels.get("state")
        values.setdefault((each.labels["pipeline"], other), {})[each.name.rpartition("_")[2]] = each.value
    return {labels: (each["sum"], each["count"]) for labels, each in values.items()}


def test_seconds_of_jobs_by_pipeline_and_phase(tmp_path: Path) -> None:
    running = job("a", state=State.RUNNING, attempt=1, created=100.0, started=103.0)
    seconds = {"Fetching": 0.2, "Processing": 40.0, "Encoding": 0.1, "Storing": 0.4, "Verifying": 0.3}
    result = {"ID": "x", "InstancesCount": 40, "Seconds": seconds}
    done = job("a", state=State.SUCCESS, attempt=1, runtime=41.0, result=result)
    image = {"Blueprint": "ct", "Factory": "numpy"}
    failed = job("b", state=State.FAILURE, runtime=2.0, request=image, problem=Problem("ShapeMismatch", 422, "m"))
    odd = job("c", state=State.FAILURE, runtime=2.0, problem=Problem("Doe^Jane", 500, "m"))
    preview = job("d", state=State.SUCCESS, request={"DryRun": True}, result={"DryRun": True})
    families = observed(tmp_path, running, done, failed, odd, preview)
    assert sums(families["derived_series_phase_seconds"]) == {
        ("p", "waiting"): (3.0, 1),
        **{("p", phase.lower()): (value, 1) for phase, value in seconds.items()},
    }
    assert sums(families["derived_series_job_seconds"]) == {
        ("p", "success"): (41.0, 1),
        ("p", "failure"): (2.0, 1),
        ("ct/numpy", "failure"): (2.0, 1),
    }
    failures = {tuple(each.labels.values()): each.value for each in families["derived_series_failures"].samples}
    assert failures == {("ct/numpy", "ShapeMismatch"): 1, ("p", "DerivedSeriesError"): 1}
    (instances,) = families["derived_series_instances_stored"].samples
    assert (instances.labels, instances.value) == ({"pipeline": "p"}, 40)


def test_instances_are_counted_once_however_often_their_job_sends_them_on(tmp_path: Path) -> None:
    entries = [{"Output": name, "ID": name, "Path": f"/series/{name}", "InstancesCount": 20} for name in ("x", "y")]
    result = {"InstancesCount": 40, "Series": entries}
    hold = {"Pipeline": "p", "HoldUntilAccepted": True, "Destinations": ["pacs"]}
    records = [
        job("a", state=State.SUCCESS, request=hold, result=with_states(result, {"x": {"pacs": x}, "y": {"pacs": y}}))
        for x, y in (("Held", "Held"), ("Success", "Held"), ("Success", "Success"))
    ]
    by_rule = with_states(result, {"x": {"ward": "Success"}, "y": {}})
    records += [job("b", state=State.SUCCESS, result=each) for each in (result, by_rule)]
    (instances,) = observed(tmp_path, *records)["derived_series_instances_stored"].samples
    assert instances.value == 80


def test_a_job_that_is_run_again_has_not_waited_since_it_was_made(tmp_path: Path) -> None:
    again = job("a", state=State.RUNNING, attempt=1, created=100.0, started=103.0, runtime=1.0)
    second = job("b", state=State.RUNNING, attempt=2, created=100.0, started=103.0)
    assert sums(observed(tmp_path, again, second)["derived_series_phase_seconds"]) == {}


def test_the_page(start: Start) -> None:
    client = start()
    store_notice(client)
    reply = client.get("/derived-series/metrics")
    assert reply.status == 200 and reply.answer.content_type == "text/plain; version=0.0.4; charset=utf-8"
    families = parsed(reply.answer.body.decode())
    single = {name: family.samples[0].value for name, family in families.items() if len(family.samples) == 1}
    assert single["derived_series_disk_free_bytes"] == 100 * GIGABYTE
    assert single["derived_series_oldest_waiting_seconds"] == 0
    assert single["derived_series_notices_waiting"] == 1 and single["derived_series_notices_sent"] == 0
    assert families["derived_series_notices_waiting"].samples[0].labels == {"receiver": "nobody"}
    workers = {each.labels["state"]: each.value for each in families["derived_series_workers"].samples}
    assert workers == {"alive": 1, "configured": 1}
    states = {each.labels["state"]: each.value for each in families["derived_series_jobs"].samples}
    assert states == {state.value.lower(): 0 for state in State}
    assert "T0KEN" not in reply.answer.body.decode()
    named = set(re.findall(r"`(derived_series_\w+)`", section("Metrics")))
    assert named == set(re.findall(r"^# TYPE (\w+) ", reply.answer.body.decode(), re.MULTILINE))


def store_notice(client: RouteClient) -> None:
    """Have one wait."""
    with closing(JobStore(client.gateway.folder / "storage" / "derived-series")) as store:
        outbox = Outbox(store, ["nobody"])
        with store.transaction() as db:
            outbox.put(db, [Notice("msg_1", "nobody", {}, time.time())])
