"""Runs over many series without a server: what is asked, told, paused, cancelled, and refused."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from derived_series.errors import Busy, StorageError, UserCodeError
from derived_series.jobs.bulk.bulk_log import BulkLog
from derived_series.jobs.bulk.bulk_run import Decision, Member, MemberState, RunState
from derived_series.jobs.destination_states import with_states
from derived_series.jobs.messages import DeriveTask, Outcome, Work
from derived_series.jobs.metadata import PROVENANCE
from derived_series.jobs.queue.nodes import OneNode
from derived_series.jobs.queue.outcomes import cancelled_job
from derived_series.jobs.queue.store import JobStore
from derived_series.jobs.record import State
from derived_series.orthanc.bulk_checks import FitChecks, Look, Unanswered
from derived_series.orthanc.bulk_driver import BulkDriver
from derived_series.orthanc.bulk_finder import code_of
from derived_series.orthanc.reviews import Reviews
from derived_series.pipelines.code import Code
from orthanc_server import REPOSITORY
from route_client import FakeGateway, RouteClient
from test_bulk_log import write

ONE, TWO, DERIVED, STUDY, NEW = (f"{digit * 8}-" * 4 + digit * 8 for digit in "abcd1")
CT = {"Blueprint": "ct", "Factory": "numpy"}  # without a pipeline, no worker looks


def attempt(task: DeriveTask) -> Outcome:
    """What stands in for the work: one series is derived, the other cannot be."""
    if task.series == TWO:
        return Outcome(error=UserCodeError("of SECRET"))
    series = {"Output": "result", "ID": NEW, "Path": f"/series/{NEW}", "InstancesCount": 1, "Warnings": []}
    return Outcome(
        result={"Type": "Series", "ID": NEW, "Path": f"/series/{NEW}", "InstancesCount": 1, "Series": [series]}
    )


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RouteClient]:
    monkeypatch.setattr("derived_series.orthanc.app.WORK", Work(attempt, lambda task: Outcome()))
    route_client = RouteClient(tmp_path, BlueprintFolders=[str(REPOSITORY / "blueprints")], Workers=3)
    gateway = route_client.gateway
    for series, instance in ((ONE, "i1"), (TWO, "i2"), (DERIVED, "i3")):
        gateway.add_series(series, instance, study=STUDY)
    provenance = {"Job": "j", "ParentSeries": ONE, "Request": {"Pipeline": "x"}, "Pipeline": "x", "Output": "result"}
    gateway.resources[f"/series/{DERIVED}/metadata/{PROVENANCE}"] = provenance
    yield route_client
    gateway.end()


def begun(client: RouteClient, **request: Any) -> str:
    """The address of a new run; its thread is not running unless a test starts it."""
    reply = client.post("/derived-series/bulk", {**CT, "Resources": [STUDY], **request})
    assert reply.status == 200, reply.json
    return str(reply.json["Path"])


def is_done(client: RouteClient, path: str) -> bool:
    return bool(client.get(path).json["State"] == "Done")


def until(condition: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + 20
    while not (result := condition()):
        assert time.monotonic() < end, what
        time.sleep(0.01)
    return result


def dry_run(client: RouteClient, **request: Any) -> Any:
    reply = client.post("/derived-series/bulk", {**CT, "DryRun": True, **request})
    assert reply.status == 200, reply.json
    return reply.json


def test_a_dry_run_says_which_series_would_run_and_why_others_would_not(client: RouteClient) -> None:
    missing = ONE.replace("a", "e")
    answer = dry_run(client, Resources=[STUDY, missing])
    assert [(each["Series"], each["Runs"], each["Reason"]) for each in answer["Members"]] == [
        (ONE, True, ""),
        (TWO, True, ""),
        (DERIVED, False, "this plugin has derived it"),
        (missing, False, "there is no such series, study or patient in Orthanc"),
    ]
    assert answer["WouldRun"] == 2 and not answer["More"]
    assert client.get("/derived-series/bulk").json == [] == client.get("/derived-series/jobs").json
    assert dry_run(client, Resources=[DERIVED])["WouldRun"] == 1, "it was named itself"
    assert dry_run(client, Resources=[STUDY], Derived=True)["WouldRun"] == 3


def test_metadata_that_another_program_wrote_stops_no_run(client: RouteClient, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = client.gateway.get

    def get(path: str) -> Any:
        if path == f"/series/{TWO}/metadata/{PROVENANCE}":
            raise ValueError("Expecting value: line 1 column 1")
        return answer(path)

    monkeypatch.setattr(client.gateway, "get", get)
    client.gateway.resources[f"/series/{ONE}/metadata/{PROVENANCE}"] = ["seen"]
    would_run = [each["Series"] for each in dry_run(client, Resources=[STUDY])["Members"] if each["Runs"]]
    assert would_run == [ONE, TWO]


def test_a_dry_run_is_a_page(client: RouteClient) -> None:
    first = dry_run(client, Resources=[STUDY], Limit=1)
    assert [each["Number"] for each in first["Members"]] == [1] and first["More"]
    last = dry_run(client, Resources=[STUDY], Limit=2, Since=1)
    assert [each["Number"] for each in last["Members"]] == [2, 3] and not last["More"]


def test_a_dry_run_knows_what_has_been_derived_already(client: RouteClient) -> None:
    job = client.post(f"/series/{ONE}/derive", {**CT, "Asynchronous": True}).json["ID"]
    (entry, _) = dry_run(client, Resources=[ONE, TWO])["Members"]
    assert (entry["Runs"], entry["Reason"], entry["Job"]) == (False, "it has been derived already", job)
    assert dry_run(client, Resources=[ONE], IfExists="New")["WouldRun"] == 1


def test_a_query_is_orthancs(client: RouteClient, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def find(path: str, body: str) -> Any:
        asked.append((path, json.loads(body)))
        return [STUDY, STUDY.replace("d", "e")]  # the second is removed meanwhile

    monkeypatch.setattr(client.gateway, "post", find)
    client.gateway.resources["/system"] = {"HasLabels": True}
    query = {
        "Query": {"Level": "Study", "Query": {"PatientID": "SECRET*"}, "Labels": ["new"], "LabelsConstraint": "Any"}
    }
    assert dry_run(client, **query)["WouldRun"] == 2
    ((path, body),) = asked
    assert path == "/tools/find" and body["Level"] == "Study" and body["Query"] == {"PatientID": "SECRET*"}
    assert body["Labels"] == ["new"] and body["LabelsConstraint"] == "Any" and body["Expand"] is False
    client.gateway.resources["/system"] = {}
    reply = client.post("/derived-series/bulk", {**CT, **query, "DryRun": True})
    assert reply.status == 409 and "no labels" in reply.json["Message"], "else it would answer all resources"


def test_a_query_that_matches_too_much_is_refused_as_a_whole(
    client: RouteClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(path: str, body: str) -> Any:
        return [STUDY, *([STUDY.replace("d", "e")] * 2)][: json.loads(body)["Limit"]]

    monkeypatch.setattr(client.gateway, "post", find)
    monkeypatch.setattr("derived_series.orthanc.bulk_finder._MOST_RESOURCES", 2)
    query = {"Resources": None, "Query": {"Query": {"PatientID": "x"}}}
    reply = client.post("/derived-series/bulk", {**CT, **query, "DryRun": True})
    assert reply.status == 409 and "matches more than 2 resources" in reply.json["Message"]
    path = begun(client, **query)
    client.gateway.begin()
    document = until(lambda: (run := client.get(path).json)["State"] == "Done" and run, "it is not done")
    assert document["Problem"].startswith("the query matches more than 2 resources (begin several runs")
    assert document["Series"] == 0
    monkeypatch.setattr("derived_series.orthanc.bulk_finder._MOST_RESOURCES", 3)
    assert dry_run(client, **query)["WouldRun"] == 2


def test_no_series_is_missed_when_another_is_deleted_during_the_search(
    made_before: RouteClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, everything = made_before.gateway, made_before.gateway.resources["/series"]
    get = gateway.get

    def listed(path: str) -> Any:
        address, _, query = path.partition("?")
        if address != "/series":
            return get(path)
        pages = dict(part.split("=") for part in query.split("&") if part)
        since, limit = int(pages.get("since", 0)), int(pages.get("limit", len(everything)))
        page = everything[since : since + limit]
        everything.pop(0)  # the next page begins one series later
        return page

    monkeypatch.setattr(gateway, "get", listed)
    monkeypatch.setattr("derived_series.orthanc.bulk_finder._PAGE_SERIES", 2, raising=False)
    answer = made_before.post("/derived-series/bulk", {**AGAIN, "DryRun": True}).json
    assert [each["Series"] for each in answer["Members"]] == [ONE, TWO]


def test_a_run_is_told_without_what_it_asked_for(client: RouteClient) -> None:
    path = begun(client, Resources=None, Query={"Query": {"PatientID": "SECRET"}}, Name="night", Parameters={})
    text = json.dumps([client.get(path).json, client.get("/derived-series/bulk?expand").json])
    assert "SECRET" not in text
    document = client.get(path).json
    assert document["Asked"]["Query"] == {"Level": "Study", "Tags": ["PatientID"]} and document["Name"] == "night"
    assert document["State"] == "Finding" and document["Versions"]["Name"] == "ct" and document["Versions"]["Code"]


def test_a_run_is_paused_resumed_cancelled_and_forgotten_by_somebody(client: RouteClient) -> None:
    path = begun(client)
    assert client.delete(path).status == 409, "it is not over"
    assert client.post(f"{path}/resume").status == 409, "it is not paused"
    assert client.post(f"{path}/pause").json["State"] == "Paused"
    assert client.post(f"{path}/pause").status == 409
    assert client.post(f"{path}/resume").json["State"] == "Finding", "its series were not looked for yet"
    assert client.post(f"{path}/cancel").json["State"] == "Cancelling"
    client.gateway.begin()
    document = until(lambda: (run := client.get(path).json)["State"] == "Cancelled" and run, "it is not cancelled")
    acts = [(act["Action"], act["Address"]) for act in document["Audit"]]
    assert [action for action, _ in acts] == ["StartRun", "PauseRun", "ResumeRun", "CancelRun"]
    assert {address for _, address in acts} == {"192.0.2.7"}
    assert client.post(f"{path}/cancel").status == 409 and client.delete(path).status == 200
    assert client.get(path).status == 404
    lines = (client.gateway.folder / "storage" / "derived-series" / "audit.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["Action"] for line in lines] == [
        *("StartRun", "PauseRun", "ResumeRun", "CancelRun", "DeleteRun"),
    ]
    assert all(json.loads(line)["Run"] == path.rpartition("/")[2] for line in lines)


def test_each_job_is_begun_once_after_those_that_people_ask_for_and_names_its_run(client: RouteClient) -> None:
    path = begun(client, Throttle={"AtOnce": 5}, Hours=["00:00-24:00"])
    client.gateway.begin()
    until(lambda: client.get(path).json["State"] == "Done", "it is not done")
    jobs = client.get("/derived-series/jobs?expand").json
    assert sorted(job["Content"]["ParentSeries"] for job in jobs) == [ONE, TWO]
    run = path.rpartition("/")[2]
    for job in jobs:
        assert job["Priority"] == -100 and job["Content"]["Bulk"] == run
        (act,) = client.get(job["Path"]).json["Content"]["Audit"]
        assert act["Action"] == "Derive" and act["Bulk"] == run and act["Address"] == "192.0.2.7"
    table = client.get(f"{path}/table").json
    assert table["Total"] == 3 and "SECRET" not in json.dumps(table)
    rows = [(each["State"], each["Reason"], each["Derived"]) for each in table["Members"]]
    assert rows[:2] == [("Success", "", [NEW]), ("Failure", "UserCodeError", [])] and rows[2][0] == "Skipped"
    assert client.get(f"{path}/table?since=2&limit=1").json["Members"][0]["Series"] == DERIVED
    answer = client.get(f"{path}/table.csv").answer
    assert answer.content_type.startswith("text/csv") and answer.body.count(b"\r\n") == 4
    assert client.get(f"{path}/report").status == 404, "it compares nothing"


def test_a_run_leaves_a_worker_to_others_unless_it_is_told_not_to(client: RouteClient) -> None:
    assert client.get(begun(client)).json["Throttle"] == {"AtOnce": 2, "PerHour": None}
    throttle = {"AtOnce": 7, "PerHour": 1}
    path = begun(client, Throttle=throttle)
    assert client.get(path).json["Throttle"] == throttle
    client.gateway.begin()
    document = until(lambda: (run := client.get(path).json)["Counts"]["Success"] and run, "nothing is derived")
    assert document["Waits"]["For"] == "PerHour" and document["Counts"]["Waiting"] == 1


def test_what_failed_is_begun_again_when_somebody_says_so(client: RouteClient) -> None:
    path = begun(client)
    client.gateway.begin()
    until(lambda: client.get(path).json["State"] == "Done", "it is not done")
    failed = {each["Series"]: each["Job"] for each in client.get(f"{path}/table").json["Members"]}[TWO]
    assert client.post(f"{path}/retry").json["State"] == "Running"
    until(lambda: client.get(path).json["State"] == "Done", "it is not done again")
    rows = {each["Series"]: each for each in client.get(f"{path}/table").json["Members"]}
    assert rows[TWO]["State"] == "Failure" and rows[TWO]["Job"] != failed, "with another job"
    assert len(client.get("/derived-series/jobs").json) == 3, "what has succeeded is left alone"


@pytest.fixture
def sending(client: RouteClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[RouteClient]:
    """A series is derived, which its destination takes only when it is sent a second time."""

    def work(task: DeriveTask) -> Outcome:
        if task.result is not None:
            return Outcome(result=with_states(task.result, {NEW: {"pacs": "Success"}}))
        client.gateway.add_series(NEW, "i4", study="another")
        result = with_states(attempt(task).result or {}, {NEW: {"pacs": "Failure"}})
        return Outcome(result=result, error=StorageError("pacs does not answer"))

    client.gateway.end()
    client.gateway.resources["/modalities"] = ["pacs"]
    monkeypatch.setattr("derived_series.orthanc.app.WORK", Work(work, lambda task: Outcome()))
    again = RouteClient.again(client)
    again.gateway.begin()
    yield again
    again.gateway.end()


@pytest.mark.parametrize("if_exists", ["Reuse", "New"])
def test_what_is_stored_and_was_not_delivered_is_only_sent_again(sending: RouteClient, if_exists: str) -> None:
    path = begun(sending, Resources=[ONE], Destinations=["pacs"], IfExists=if_exists)
    until(lambda: is_done(sending, path), "it is not done")
    assert sending.get(f"{path}/table").json["Members"][0]["State"] == "Failure"
    sending.post(f"{path}/retry")
    until(lambda: is_done(sending, path), "it is not done again")
    (member,) = sending.get(f"{path}/table").json["Members"]
    assert member["State"] == "Success" and member["Derived"] == [NEW]
    (job,) = sending.get("/derived-series/jobs?expand").json
    acts = sending.get(f"/series/{ONE}/jobs/{job['ID']}").json["Content"]["Audit"]
    assert [act["Action"] for act in acts] == ["Derive", "Resubmit"]


def test_who_asks_for_an_undelivered_series_again_has_it_sent(sending: RouteClient) -> None:
    request = {**CT, "Destinations": ["pacs"]}
    failed = sending.post(f"/series/{ONE}/derive", request)
    assert failed.status == 502
    answer = sending.post(f"/series/{ONE}/derive", {**request, "IfExists": "Reuse"}).json
    assert answer["ID"] == NEW and answer["Destinations"] == {"pacs": "Success"}
    assert [answer["JobID"]] == sending.get("/derived-series/jobs").json


def test_who_asks_for_a_series_again_whose_delivery_was_cancelled_is_told(sending: RouteClient) -> None:
    request = {**CT, "Destinations": ["pacs"], "IfExists": "Reuse"}
    assert sending.post(f"/series/{ONE}/derive", request).status == 502
    store = JobStore(sending.gateway.folder / "storage" / "derived-series")
    (failed,) = store.page()
    assert store.exchange(failed, cancelled_job(failed))
    refusal = sending.post(f"/series/{ONE}/derive", request)
    assert refusal.status == 409 and "resubmit the job" in refusal.json["Remedy"]
    assert store.page()[0].result == cancelled_job(failed).result
    assert sending.post(f"/series/{ONE}/jobs/{failed.id}/resubmit").status == 200
    until(lambda: store.page()[0].state is State.SUCCESS, "it is not sent")
    store.close()


def test_what_is_there_already_is_used_again_and_not_made(client: RouteClient) -> None:
    client.gateway.add_series(NEW, "i4", study="another")
    client.gateway.begin()
    first = begun(client, Resources=[ONE])
    until(lambda: client.get(first).json["State"] == "Done", "the first is not done")
    second = begun(client, Resources=[ONE])
    until(lambda: client.get(second).json["State"] == "Done", "the second is not done")
    rows = [client.get(f"{path}/table").json["Members"][0] for path in (first, second)]
    assert rows[0]["Job"] == rows[1]["Job"] and rows[1]["State"] == "Success" and rows[1]["Derived"] == [NEW]
    (job,) = client.get("/derived-series/jobs?expand").json
    assert job["Content"]["Bulk"] == first.rpartition("/")[2]


def test_outside_its_hours_a_run_begins_nothing_and_says_until_when(client: RouteClient) -> None:
    hour = time.localtime().tm_hour
    path = begun(client, Hours=[f"{(hour + 3) % 24:02}:00-{(hour + 4) % 24:02}:00"])
    client.gateway.begin()
    document = until(lambda: (run := client.get(path).json)["State"] == "Running" and run, "its series are not found")
    assert document["Waits"]["For"] == "Hours" and document["Waits"]["Until"] and document["Counts"]["Waiting"] == 2
    assert client.get("/derived-series/jobs").json == []


def test_what_is_open_at_a_stop_goes_on_at_the_next_start(client: RouteClient, tmp_path: Path) -> None:
    path = begun(client)
    client.gateway.end()
    other = RouteClient.again(client)
    try:
        other.gateway.begin()
        until(lambda: other.get(path).json["State"] == "Done", "it does not go on")
    finally:
        other.gateway.end()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (StorageError("Orthanc answers 500"), "Orthanc answers 500"),
        (ValueError("of SECRET"), "an error of the plugin (ValueError)"),
    ],
)
def test_a_run_that_meets_an_error_fails_alone_and_says_it_once(
    client: RouteClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    words: str,
) -> None:
    def find(path: str, body: str) -> Any:
        raise error

    monkeypatch.setattr(client.gateway, "post", find)
    monkeypatch.setattr("derived_series.orthanc.bulk_driver._LOOK_SOON_SECONDS", 0.01)
    monkeypatch.setattr("derived_series.orthanc.bulk_driver._LOOK_SECONDS", 0.01)
    wrong = begun(client, Resources=None, Query={"Query": {"PatientID": "SECRET"}})
    others = [begun(client, Resources=[ONE]), begun(client, Resources=[ONE], IfExists="New")]
    client.gateway.begin()
    for path in others:
        until(partial(is_done, client, path), "the others do not go on")
    document = client.get(wrong).json
    assert document["State"] == "Failed" and words in document["Problem"] and "SECRET" not in json.dumps(document)
    assert sum("has failed" in record.getMessage() for record in caplog.records) == 1
    assert "has failed" in client.post(f"{wrong}/pause").json["Message"]
    monkeypatch.setattr(client.gateway, "post", lambda path, body: [])
    assert client.post(f"{wrong}/resume").json["Problem"] is None
    until(lambda: client.get(wrong).json["State"] == "Done", "it does not go on")
    assert client.delete(wrong).status == 200


@pytest.mark.parametrize("more", [{}, {"DryRun": True}])
def test_a_mistyped_tag_is_refused_before_there_is_a_run(client: RouteClient, more: Any) -> None:
    query = {"Query": {"PatientIDD": "x", "0010,0020": "x", "0010-0020": "x", "PatientID": "x", "Modalty": "CT"}}
    reply = client.post("/derived-series/bulk", {**CT, "Query": query, **more})
    assert reply.status == 400 and "there is no tag 'PatientIDD', 'Modalty'" in reply.json["Message"]
    assert client.get("/derived-series/bulk").json == []


def test_what_cannot_be_done_to_a_run_is_said_in_words(client: RouteClient) -> None:
    path = begun(client)
    client.post(f"{path}/pause")
    assert client.post(f"{path}/pause").json["Message"].endswith("is paused already")
    client.post(f"{path}/cancel")
    assert client.post(f"{path}/cancel").json["Message"].endswith("is being cancelled already")


def jobs_that_are_over(client: RouteClient) -> list[Any]:
    """The jobs, when there are two and all are over."""
    jobs: list[Any] = client.get("/derived-series/jobs?expand").json
    return jobs if len(jobs) == 2 and all("CompletionTime" in job for job in jobs) else []


def test_a_job_whose_end_nobody_noticed_is_looked_up(client: RouteClient, monkeypatch: pytest.MonkeyPatch) -> None:
    path = begun(client)
    with monkeypatch.context() as deaf:
        deaf.setattr(BulkDriver, "observe", lambda driver, job: None)
        client.gateway.begin()
        jobs = until(lambda: jobs_that_are_over(client), "the jobs do not end")
        assert client.get(path).json["Counts"]["Submitted"] == 2
        client.gateway.end()
    (failed,) = (job["Path"] for job in jobs if job["State"] == "Failure")
    assert client.delete(failed).status == 200
    other = RouteClient.again(client)
    try:
        other.gateway.begin()
        until(lambda: other.get(path).json["State"] == "Done", "it does not go on")
        rows = [(each["State"], each["Reason"]) for each in other.get(f"{path}/table").json["Members"]]
        assert rows[:2] == [("Success", ""), ("Failure", "its job is not remembered any more")]
    finally:
        other.gateway.end()


def test_a_job_that_was_run_again_and_whose_end_nobody_noticed_is_looked_up(client: RouteClient) -> None:
    path = begun(client, Resources=[TWO])
    client.gateway.begin()
    until(lambda: client.get(path).json["State"] == "Done", "it is not done")
    client.gateway.end()
    with closing(JobStore(client.gateway.folder / "storage" / "derived-series")) as store:
        (job,) = store.page()
        success = dataclasses.replace(job, state=State.SUCCESS, result={"Series": [{"Output": "result", "ID": NEW}]})
        assert store.exchange(job, success)
    other = RouteClient.again(client)
    try:
        other.gateway.begin()
        until(lambda: other.get(path).json["Counts"]["Success"] == 1, "it stays a failure")
        assert other.get(f"{path}/table").json["Members"][0]["Derived"] == [NEW]
    finally:
        other.gateway.end()


def test_who_asks_for_one_series_does_not_wait_for_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begins, order = threading.Event(), []

    def slow(task: DeriveTask) -> Outcome:
        begins.wait(20)
        order.append("run" if task.by.get("Bulk") else "person")
        return attempt(task)

    monkeypatch.setattr("derived_series.orthanc.app.WORK", Work(slow, lambda task: Outcome()))
    alone = RouteClient(tmp_path, BlueprintFolders=[str(REPOSITORY / "blueprints")], Workers=1)
    many = [f"{index:08x}-" * 4 + f"{index:08x}" for index in range(1, 7)]
    for series in (*many, ONE):
        alone.gateway.add_series(series, f"i{series[:8]}", study=STUDY)
    try:
        alone.gateway.begin()
        path = begun(alone, Resources=many, Throttle={"AtOnce": 6})
        until(lambda: alone.get(path).json["Counts"]["Submitted"] == 6, "its jobs are not begun")
        alone.post(f"/series/{ONE}/derive", {**CT, "Asynchronous": True})
        begins.set()
        until(lambda: alone.get(path).json["State"] == "Done", "it is not done")
    finally:
        begins.set()
        alone.gateway.end()
    assert order == ["run", "person", *["run"] * 5], "after the one that ran already"


def test_a_series_at_which_nothing_can_be_seen_is_passed_over_in_the_end(
    client: RouteClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []

    def blind(checks: FitChecks, series: list[str], asked: Any) -> list[Look]:
        looks.append(len(series))
        return [Look(None, "its first instance cannot be read") if each == ONE else Look(True) for each in series]

    monkeypatch.setattr(FitChecks, "looks", blind)
    for name in ("_LOOK_SOON_SECONDS", "_LOOK_SECONDS"):
        monkeypatch.setattr(f"derived_series.orthanc.bulk_driver.{name}", 0.01)
    path = begun(client, Throttle={"AtOnce": 9})
    client.gateway.begin()
    until(lambda: client.get(path).json["State"] == "Done", "it is not done")
    rows = {each["Series"]: each for each in client.get(f"{path}/table").json["Members"]}
    assert (rows[ONE]["State"], rows[ONE]["Reason"]) == ("Skipped", "its first instance cannot be read")
    assert rows[TWO]["Job"] and len(looks) == 3


def test_a_series_whose_check_is_not_answered_is_looked_at_by_itself_and_passed_over_in_the_end(
    client: RouteClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[list[str]] = []

    def hang(checks: FitChecks, series: list[str], asked: Any) -> list[Look]:
        looks.append(series)
        if len(looks) == 1:
            raise Busy("all workers are busy")
        if ONE in series:
            raise Unanswered("the check took over 120 s")
        return [Look(True) for _ in series]

    monkeypatch.setattr(FitChecks, "looks", hang)
    for name in ("_LOOK_SOON_SECONDS", "_LOOK_SECONDS"):
        monkeypatch.setattr(f"derived_series.orthanc.bulk_driver.{name}", 0.01)
    path = begun(client, Throttle={"AtOnce": 9})
    client.gateway.begin()
    until(lambda: client.get(path).json["State"] == "Done", "it is not done")
    rows = {each["Series"]: each for each in client.get(f"{path}/table").json["Members"]}
    assert (rows[ONE]["State"], rows[ONE]["Reason"]) == ("Skipped", "the check took over 120 s")
    assert rows[TWO]["Job"] and looks == [[ONE, TWO], [ONE, TWO], [ONE], [ONE], [ONE], [TWO]]


def log_of(client: RouteClient) -> BulkLog:
    """The runs, as another Orthanc reads and writes them."""
    return BulkLog(JobStore(client.gateway.folder / "storage" / "derived-series"))


def test_a_member_whose_job_another_orthanc_begins_meanwhile_gets_no_second_one(
    client: RouteClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = FitChecks.looks

    def slow(checks: FitChecks, series: list[str], asked: Any) -> list[Look]:
        (member, *_) = log.members(run)
        if member.state is MemberState.WAITING:
            job = client.post(f"/series/{ONE}/derive", {**CT, "Asynchronous": True, "IfExists": "New"}).json["ID"]
            write(log, run, [dataclasses.replace(member, state=MemberState.SUBMITTED, job=job)])
            jobs.append(job)
        return looks(checks, series, asked)

    jobs: list[str] = []
    monkeypatch.setattr(FitChecks, "looks", slow)
    for name in ("_LOOK_SOON_SECONDS", "_LOOK_SECONDS", "_RECONCILE_SECONDS"):
        monkeypatch.setattr(f"derived_series.orthanc.bulk_driver.{name}", 0.01)
    path, log = begun(client, IfExists="New", Throttle={"AtOnce": 9}), log_of(client)
    run = path.rpartition("/")[2]
    client.gateway.begin()
    document = until(lambda: (run := client.get(path).json)["State"] in ("Done", "Failed") and run, "it is not over")
    assert (document["State"], document["Problem"]) == ("Done", None)
    assert [log.members(run)[0].job] == jobs and len(client.get("/derived-series/jobs").json) == 2


def test_a_run_whose_failed_members_are_tried_again_while_it_ends_goes_on(
    client: RouteClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_open = BulkLog.is_open
    answers: list[str] = []

    def slow(log: BulkLog, run: str) -> bool:
        result = is_open(log, run)
        if not result and not answers:
            answers.append(client.post(f"{path}/retry").json["State"])
        return result

    monkeypatch.setattr(BulkLog, "is_open", slow)
    path = begun(client)
    client.gateway.begin()
    counts = until(lambda: (run := client.get(path).json)["State"] == "Done" and run, "it is not done")["Counts"]
    assert answers == ["Running"] and (counts["Waiting"], counts["Failure"]) == (0, 1)
    assert len(client.get("/derived-series/jobs").json) == 3


@pytest.mark.parametrize(("verb", "state"), [("cancel", "Cancelled"), ("pause", "Paused")])
def test_a_run_that_is_paused_or_cancelled_when_it_meets_an_error_has_not_failed(
    client: RouteClient, monkeypatch: pytest.MonkeyPatch, verb: str, state: str
) -> None:
    def find(path: str, body: str) -> Any:
        client.post(f"{run}/{verb}")
        raise StorageError("Orthanc answers 500")

    monkeypatch.setattr(client.gateway, "post", find)
    for name in ("_LOOK_SOON_SECONDS", "_LOOK_SECONDS"):
        monkeypatch.setattr(f"derived_series.orthanc.bulk_driver.{name}", 0.01)
    run = begun(client, Resources=None, Query={"Query": {"PatientID": "x"}})
    other = begun(client, Resources=[ONE])
    client.gateway.begin()
    until(partial(is_done, client, other), "the other does not go on")
    until(lambda: client.get(run).json["State"] == state, "it has failed")


def test_a_run_is_not_forgotten_while_a_decision_is_not_carried_out(made_before: RouteClient) -> None:
    path, log = compared(made_before, "2")
    assert made_before.post(f"{path}/replace", {"Agreeing": True}).json == {"Count": 1}
    refusal = made_before.delete(path)
    assert refusal.status == 409 and "is not carried out yet" in refusal.json["Message"] and log.undecided()


def test_cancelling_leaves_a_job_alone_that_somebody_else_has_asked_for(
    client: RouteClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on = threading.Event()

    def slow(task: DeriveTask) -> Outcome:
        goes_on.wait(20)
        return attempt(task)

    monkeypatch.setattr("derived_series.orthanc.app.WORK", Work(slow, lambda task: Outcome()))
    other = RouteClient.again(client)
    try:
        single = other.post(f"/series/{ONE}/derive", {**CT, "Asynchronous": True}).json["Path"]
        path = begun(other, Throttle={"AtOnce": 1})
        other.gateway.begin()
        until(lambda: other.get(path).json["Counts"]["Submitted"] == 1, "its job is not begun")
        other.post(f"{path}/cancel")
        document = until(lambda: (run := other.get(path).json)["State"] == "Cancelled" and run, "it is not cancelled")
        assert document["Counts"]["Cancelled"] == 2 and other.get(single).json["State"] == "Running"
        goes_on.set()
        until(lambda: other.get(single).json["State"] == "Success", "the single one was cancelled")
    finally:
        goes_on.set()
        other.gateway.end()


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"Resources": [ONE], "Pipeline": "none"}, 404, "no pipeline 'none'"),
        ({"Again": {"Pipeline": "none"}}, 404, "no pipeline 'none'"),
        ({"Resources": [ONE], **CT, "Destinations": ["nowhere"]}, 404, "nowhere"),
        ({"Resources": [ONE], "Pipeline": "gaussian_smoothing", "Parameters": {"SigmaMm": -1}}, 400, "SigmaMm"),
        ({"Resources": [ONE]}, 400, "Pipeline"),
        ({"Resources": [], **CT}, 400, "Resources is empty"),
        ({"Resources": [ONE], **CT, "Limit": 1}, 400, "Limit: only with DryRun"),
        ({"Compare": {"Accepted": "nope"}, **CT}, 404, "no pipeline 'nope'"),
    ],
)
def test_a_wrong_run_is_refused_before_it_is_one(client: RouteClient, body: Any, status: int, words: str) -> None:
    reply = client.post("/derived-series/bulk", body)
    assert reply.status == status and words in reply.json["Message"]
    assert client.get("/derived-series/bulk").json == []


def test_what_other_versions_made_is_looked_for_by_its_provenance(
    client: RouteClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    present = client.get("/derived-series/pipelines/gaussian_smoothing").json["Sha256"]
    old, gone = "0" * 64, NEW.replace("1", "9")
    series = {name: f"{number:08x}-" * 4 + f"{number:08x}" for number, name in enumerate("abcdef", 2)}

    def derived(name: str, code: str = old, parent: str = ONE, pipeline: str = "gaussian_smoothing") -> None:
        client.gateway.add_series(series[name], name)
        client.gateway.resources[f"/series/{series[name]}/metadata/{PROVENANCE}"] = {
            **{"Job": f"job of {name}", "Created": f"2026-01-0{len(series)}T00:00:00", "ParentSeries": parent},
            **{"Pipeline": pipeline, "Output": "result", "Code": {"Sha256": code}, "Request": {"Pipeline": pipeline}},
        }

    derived("a")
    derived("b", code=present)
    derived("c", parent=gone)
    derived("d", pipeline="median")
    derived("e")
    client.gateway.add_series(series["f"], "f")  # somebody else has written there
    client.gateway.resources[f"/series/{series['f']}/metadata/{PROVENANCE}"] = ["nothing of ours"]
    everything = [ONE, TWO, *series.values()]
    client.gateway.resources["/series"] = everything
    rejected = {"State": "Rejected"}
    monkeypatch.setattr(Reviews, "of", lambda reviews, each: rejected if each == series["e"] else None)

    def again(**keys: str) -> list[tuple[str, bool, str]]:
        reply = client.post(
            "/derived-series/bulk", {"Again": {"Pipeline": "gaussian_smoothing", **keys}, "DryRun": True}
        )
        return [(each["Reference"][0], each["Runs"], each["Reason"]) for each in reply.json["Members"]]

    others = [
        (series["a"], True, ""),
        (series["c"], False, "its parent is not in Orthanc any more"),
        (series["e"], False, "it was rejected"),
    ]
    assert again() == others == again(Version="00000000")
    assert again(Version=present[:12]) == [(series["b"], True, "")]
    assert [each for each, _, _ in again(OlderThan="2026-02-01")] == [series[name] for name in "abce"]
    assert again(OlderThan="2025-01-01") == []


def test_only_what_is_compared_is_decided(client: RouteClient) -> None:
    path = begun(client)
    assert client.post(f"{path}/replace", {"Agreeing": True}).status == 409
    assert client.post(f"{path}/discard", {}).status == 400
    pairs = {"Pairs": [{"Parent": ONE, "Reference": TWO}]}
    compared = client.post("/derived-series/bulk", {**CT, "Compare": pairs}).json["Path"]
    refusal = client.post(f"{compared}/replace", {"Agreeing": True})
    assert refusal.status == 409 and "which stay" in refusal.json["Message"]
    assert client.post(f"{compared}/discard", {"Agreeing": True}).json == {"Count": 0}


def test_what_a_job_makes_that_is_run_again_after_the_run_was_done_is_compared(
    client: RouteClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = [Outcome(error=UserCodeError("of SECRET"))]
    work = Work(lambda task: first.pop() if first else attempt(task), lambda task: Outcome())
    monkeypatch.setattr("derived_series.orthanc.app.WORK", work)
    figures = {"": {"Kind": "Labels", "Dice": {"1": 1.0}}}
    monkeypatch.setattr("derived_series.orthanc.bulk_comparisons.compare", lambda *asked: figures)
    other = RouteClient.again(client)
    try:
        other.gateway.begin()
        path = begun(other, Resources=None, Compare={"Pairs": [{"Parent": ONE, "Reference": TWO}]})
        until(partial(is_done, other, path), "it is not done")
        (row,) = other.get(f"{path}/table").json["Members"]
        assert (row["State"], row["Agrees"]) == ("Failure", None)
        until(lambda: other.post(f"/series/{ONE}/jobs/{row['Job']}/resubmit").status == 200, "it is not run again")
        until(lambda: other.get(path).json["Compared"] == {"Agree": 1, "Disagree": 0}, "it is not compared")
        until(partial(is_done, other, path), "it is not done again")
    finally:
        other.gateway.end()


OLD = NEW.replace("1", "7")
AGAIN = {"Again": {"Pipeline": "gaussian_smoothing"}}


@pytest.fixture
def made_before(client: RouteClient) -> RouteClient:
    """An old version has derived from both series; the runs' thread is not running."""
    everything = [ONE, TWO]
    for parent in (ONE, TWO):
        old = OLD if parent == ONE else OLD.replace("7", "8")
        client.gateway.add_series(old, f"of {old}")
        client.gateway.resources[f"/series/{old}/metadata/{PROVENANCE}"] = {
            **{"Job": f"job of {old}", "ParentSeries": parent, "Pipeline": "gaussian_smoothing", "Output": "result"},
            **{"Code": {"Sha256": "0" * 64}, "Request": {"Pipeline": "gaussian_smoothing"}},
        }
        everything.append(old)
    client.gateway.resources["/series"] = everything
    client.gateway.resources["/studies/study/series"] = []  # without documents that reject a series
    return client


def made_of(new: str, number: int) -> str:
    digits = f"{new}{number}" * 4
    return f"{digits}-" * 4 + digits


def compared(client: RouteClient, new: str) -> tuple[str, BulkLog]:
    """A run that has made both again, the second of which disagrees: its address, and the log."""
    run = client.post("/derived-series/bulk", AGAIN).json["ID"]
    log = log_of(client)
    olds = [OLD, OLD.replace("7", "8")]
    members = []
    for at, (parent, old) in enumerate(zip((ONE, TWO), olds, strict=True), 1):
        client.gateway.add_series(made_of(new, at), f"{new}-{at}")
        derived, reference = {"result": made_of(new, at)}, {"result": old}
        member = Member(at, parent, MemberState.SUCCESS, derived=derived, reference=reference, agrees=at == 1)
        members.append(dataclasses.replace(member, comparison={"result": {"Kind": "Nothing", "Problem": "x"}}))
    log.put(run, members, lambda current: dataclasses.replace(current, state=RunState.DONE, has_members=True))
    return f"/derived-series/bulk/{run}", log


def test_what_another_run_has_made_again_is_passed_over_until_it_is_decided(made_before: RouteClient) -> None:
    client = made_before
    path, log = compared(client, "2")
    run = path.rpartition("/")[2]

    def reasons() -> list[str]:
        answer = client.post("/derived-series/bulk", {**AGAIN, "DryRun": True}).json
        return [each["Reason"] for each in answer["Members"]]

    assert reasons() == [f"made again by run {run}, not decided"] * 2
    one, two = log.members(run)
    write(log, run, [dataclasses.replace(one, decision=Decision.DISCARD), two])
    assert reasons() == [f"made again by run {run}, not decided"] * 2, "it is not done yet"
    write(log, run, [dataclasses.replace(one, decision=Decision.DISCARDED)])
    client.gateway.delete(f"/series/{made_of('2', 2)}")
    assert reasons() == ["", ""], "nothing new is there any more"


def test_an_old_series_is_replaced_once(made_before: RouteClient) -> None:
    client = made_before
    (first, _), (second, _) = compared(client, "2"), compared(client, "3")
    assert client.post(f"{first}/replace", {"Agreeing": True}).json == {"Count": 1}
    answer = client.post(f"{second}/replace", {"Agreeing": True}).json
    reason = f"its old series is replaced by run {first.rpartition('/')[2]}: discard the new one, or leave it"
    assert answer == {"Count": 0, "Refused": [{"Number": 1, "Reason": reason}]}
    client.gateway.delete(f"/series/{OLD.replace('7', '8')}")
    gone = client.post(f"{second}/replace", {"Members": [1, 2]})
    assert gone.status == 409 and reason in gone.json["Message"]
    assert "2: its old series is not in Orthanc any more" in gone.json["Message"]
    assert client.post(f"{second}/discard", {"Members": [1, 2]}).json == {"Count": 2}


def remove_new(client: RouteClient, monkeypatch: pytest.MonkeyPatch) -> None:
    client.gateway.delete(f"/series/{made_of('2', 1)}")


def reject_new(client: RouteClient, monkeypatch: pytest.MonkeyPatch) -> None:
    new = made_of("2", 1)
    monkeypatch.setattr(Reviews, "of", lambda reviews, each: {"State": "Rejected"} if each == new else None)


LOST = pytest.mark.parametrize(
    ("lose", "reason"),
    [(remove_new, "its new series is not in Orthanc any more"), (reject_new, "its new series is rejected")],
)


@LOST
def test_an_old_series_is_not_replaced_by_one_that_is_gone_or_rejected(
    made_before: RouteClient, monkeypatch: pytest.MonkeyPatch, lose: Any, reason: str
) -> None:
    path, _ = compared(made_before, "2")
    lose(made_before, monkeypatch)
    answer = made_before.post(f"{path}/replace", {"Agreeing": True}).json
    assert answer == {"Count": 0, "Refused": [{"Number": 1, "Reason": reason}]}


@LOST
def test_an_old_series_stays_when_the_new_one_is_lost_before_it_is_replaced(
    made_before: RouteClient, monkeypatch: pytest.MonkeyPatch, lose: Any, reason: str
) -> None:
    client = made_before
    path, log = compared(client, "2")
    assert client.post(f"{path}/replace", {"Agreeing": True}).json == {"Count": 1}
    lose(client, monkeypatch)
    client.gateway.begin()
    until(lambda: not log.undecided(), "it is not carried out")
    (row, _) = client.get(f"{path}/table").json["Members"]
    assert (row["Decision"], row["Reason"]) == ("Kept", reason) and client.gateway.has_series(OLD)


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is done now that no other Orthanc does meanwhile."""
    purposes: list[str] = []

    @contextmanager
    def lone(nodes: OneNode, purpose: str) -> Iterator[None]:
        purposes.append(purpose)
        yield
        purposes.remove(purpose)

    monkeypatch.setattr(OneNode, "alone", lone)
    return purposes


def test_one_orthanc_at_a_time_decides_what_is_replaced(
    made_before: RouteClient, alone: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = compared(made_before, "2")
    made_again, decide = BulkLog.made_again, BulkLog.decide
    purposes: list[list[str]] = []

    def looked(log: BulkLog, besides: str = "") -> list[tuple[str, Member]]:
        purposes.append(list(alone))
        return made_again(log, besides)

    def decided(log: BulkLog, run: str, decision: Decision, numbers: list[int]) -> int:
        purposes.append(list(alone))
        return decide(log, run, decision, numbers)

    monkeypatch.setattr(BulkLog, "made_again", looked)
    monkeypatch.setattr(BulkLog, "decide", decided)
    assert made_before.post(f"{path}/replace", {"Agreeing": True}).json == {"Count": 1}
    assert purposes == [["replacements"]] * 2


def test_no_verdict_is_given_while_a_decision_is_carried_out(
    made_before: RouteClient, alone: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = made_before
    path, log = compared(client, "2")

    def delete(gateway: FakeGateway, address: str) -> None:
        deleted.append((address, list(alone)))

    deleted: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(FakeGateway, "delete", delete)
    client.post(f"{path}/replace", {"Agreeing": True})
    client.gateway.begin()
    until(lambda: not log.undecided(), "it is not carried out")
    assert deleted == [(f"/series/{OLD}", ["verdicts"])]


def test_a_decision_names_members_that_there_are(made_before: RouteClient) -> None:
    client = made_before
    path, log = compared(client, "2")
    for verb in ("replace", "discard"):
        reply = client.post(f"{path}/{verb}", {"Members": [1, 99, -1]})
        assert reply.status == 404 and "has no members 99, -1" in reply.json["Message"]
    assert log.undecided() == [], "nothing was done"
    assert client.post(f"{path}/replace", {"Members": [1]}).json == {"Count": 1}
    refusal = client.post(f"{path}/discard", {"Members": [1]})
    assert refusal.status == 409 and "1: it is decided already (Replace)" in refusal.json["Message"]
    answer = client.post(f"{path}/discard", {"Members": [1, 2]}).json
    assert answer == {"Count": 1, "Refused": [{"Number": 1, "Reason": "it is decided already (Replace)"}]}


@pytest.mark.parametrize(
    ("path", "known"),
    [
        ("/derived-series/jobs?state=Failure", "expand, since, limit"),
        ("/derived-series/bulk?state=Failed", "expand, since, limit"),
        ("/series/0-0-0-0-0/jobs?since=3", "expand"),
        ("/derived-series/recent?limit=-1", "it has none"),
        ("/derived-series/pipelines?expanded", "expand"),
        ("/derived-series/rules?name=r", "it has none"),
    ],
)
def test_a_parameter_that_a_list_does_not_have_is_refused(client: RouteClient, path: str, known: str) -> None:
    refusal = client.get(path)
    assert refusal.status == 400 and "has no parameter" in refusal.json["Message"] and known in json.dumps(refusal.json)
    assert client.get(f"{path.partition('?')[0]}?_=1&token=x&api-key=y").status == 200, "what others add"


def test_a_page_of_the_table_has_a_bound(client: RouteClient) -> None:
    refusal = client.get(f"{begun(client)}/table?limit=5000")
    assert refusal.status == 400 and "above the 1000 members of one page" in refusal.json["Message"]


def test_the_code_of_a_provenance_is_the_catalogues() -> None:
    for code in (Code(), Code({"_helper.py": "0a"})):
        provenance = {"Code": {"Name": "x", "File": "x.py", "Sha256": "ab", **code.to_json()}}
        assert code_of(provenance) == code.digest("ab")
    assert code_of({}) == ""
