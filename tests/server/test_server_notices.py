"""An Orthanc that tells what becomes of its jobs, to a receiver that goes and comes; its health, metrics and log."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from derived_series.jobs.notices.fields import EVENTS
from notice_receiver import SECRET, NoticeReceiver, Received, notice_receiver
from orthanc_server import OrthancServer
from phantoms import ct_phantom
from server_fixtures import derive, finished, job, settings, submit
from telltale import SECRETS, TELLTALE


@dataclass(frozen=True, slots=True)
class Case:
    """A server, the receiver of its notices, and a series of a patient."""

    server: OrthancServer
    receiver: NoticeReceiver
    trusted: NoticeReceiver
    parent: str

    def of(self, job_id: str) -> list[Received]:
        """The notices on a job that were taken."""
        return [request for request in self.receiver.taken if request.json["Job"] == job_id]

    def events(self, job_id: str, count: int) -> list[str]:
        """What was told of a job, once that many notices have come."""
        self.receiver.wait(lambda _: len(self.of(job_id)) >= count)
        return [request.json["Event"] for request in self.of(job_id)]


@pytest.fixture(scope="module")
def case(orthanc_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    folder = tmp_path_factory.mktemp("telling")
    with notice_receiver() as receiver, notice_receiver() as trusted:
        chat = {"text": "{Event} {Pipeline}: {Message} {PatientName}"}
        entries = [
            {"Name": "ours", "URL": receiver.url, "Secret": SECRET, "Events": list(EVENTS), "RetryPause": 0.1},
            {"Name": "down", "URL": "http://127.0.0.1:9/T0KEN", "RetryPause": 0.1},
            {"Name": "chat", "URL": trusted.url, "Template": chat, "IncludePatientData": True},
        ]
        keys = settings(folder / "library", Notify=entries, LogFormat="json", Workers=2, RetryPause=0.1)
        (folder / "library" / "telltale.py").write_text(TELLTALE)
        with OrthancServer(folder, keys) as server:
            datasets = list(ct_phantom(slices=2, patient_id="SECRET-ID", patient_name="Doe^Jane"))
            for each in datasets:
                each.PatientBirthDate, each.SeriesDescription, each.AccessionNumber = "19591231", "SECRET", "SECRET"
            yield Case(server, receiver, trusted, server.upload(datasets))


def test_twenty_failures_are_told_once_each_whatever_goes_and_comes(case: Case) -> None:
    """The receiver ends and starts again, and so does Orthanc, by a SIGKILL, while most are still to be told."""
    request = {"Pipeline": "telltale", "Parameters": {"Raise": True, "Note": "confidential"}, "User": "SECRET"}
    jobs = [submit(case.server, case.parent, **request) for _ in range(8)]
    case.receiver.wait(lambda requests: len(requests) >= 4)
    case.receiver.stop()
    jobs += [submit(case.server, case.parent, **request) for _ in range(12)]
    for each in jobs:
        assert finished(case.server, each)["State"] == "Failure"
    before = len(case.receiver.taken)
    assert before < len(jobs)
    case.server.kill()
    case.receiver.start()
    assert len(case.receiver.taken) == before, "what is told now, the next process tells"
    case.server.start()

    taken = case.receiver.wait(lambda requests: len(requests) >= len(jobs))
    ends = {each: job(case.server, each)["CompletionTime"] for each in jobs}
    health = until_quiet(case.server)
    taken = case.receiver.taken
    assert Counter(each.json["Job"] for each in taken) == Counter(jobs), "each once"
    assert len({each.id for each in taken}) == 20 and {each.json["Event"] for each in taken} == {"Failure"}
    assert [each.json["Job"] for each in taken] == sorted(jobs, key=lambda each: ends[each]), "in their order"
    assert all(each.is_signed_with(SECRET) for each in taken)
    assert {each.json["Error"] for each in taken} == {"UserCodeError"}
    assert health["Checks"]["Notifications"]["Waiting"] == 20, (
        "those of the receiver that is down, which delays no other"
    )


def until_quiet(server: OrthancServer) -> Any:
    """The health once nothing more waits for the receiver that is there."""
    end = time.monotonic() + 20
    while any(each["Waiting"] for each in server.json("/derived-series/status")["Notify"] if each["Name"] != "down"):
        assert time.monotonic() < end
        time.sleep(0.05)
    return server.json("/derived-series/health")


def test_nothing_of_the_patient_is_told_to_whom_it_is_not_meant(case: Case) -> None:
    """Of a job that succeeds, of one that fails, of a verdict: by all fields that there are."""
    answer = derive(case.server, case.parent, Pipeline="telltale", SeriesDescription="SECRET result", User="SECRET")
    verdict = {"Verdict": "Accept", "Reason": "confidential", "User": "SECRET"}
    case.server.json(f"/series/{answer['ID']}/review", "POST", json=verdict)
    assert case.events(answer["JobID"], 2) == ["Success", "Accepted"]
    accepted = case.of(answer["JobID"])[1]
    assert accepted.json["Series"] == [answer["ID"]]
    uids = [
        answer["SeriesInstanceUID"],
        case.server.json(f"/series/{case.parent}")["MainDicomTags"]["SeriesInstanceUID"],
    ]
    for request in case.receiver.requests:
        text = request.body.decode() + str(request.headers)
        assert [word for word in (*SECRETS, *uids) if word in text] == [], text
    messages = [request.json["text"] for request in case.trusted.taken]
    assert any("cannot do Doe^Jane" in each and each.endswith(" Doe^Jane") for each in messages), messages


def test_a_worker_that_is_killed_is_told_once_and_its_job_is_done(case: Case, tmp_path: Path) -> None:
    parameters = {"How": "killed once", "Path": str(tmp_path / "marker")}
    job_id = submit(case.server, case.parent, Pipeline="bad", Parameters=parameters)
    assert finished(case.server, job_id)["State"] == "Success"
    assert case.events(job_id, 2) == ["WorkerGone", "Success"]


def test_what_waits_for_a_review_is_told_and_what_becomes_of_it(case: Case) -> None:
    request = {"Pipeline": "telltale", "Destinations": ["nowhere"], "HoldUntilAccepted": True}
    assert case.server.post(f"/series/{case.parent}/derive", json=request).status_code == 404
    case.server.put("/modalities/nowhere", json=["NOWHERE", "127.0.0.1", 9]).raise_for_status()
    answer = derive(case.server, case.parent, **request)
    assert case.events(answer["JobID"], 2) == ["Success", "WaitingForReview"]
    assert case.of(answer["JobID"])[1].json["ReviewPath"] == f"/derived-series/review/{answer['ID']}"
    verdict = {"Verdict": "Reject", "Code": "111218", "User": "SECRET"}
    case.server.json(f"/series/{answer['ID']}/review", "POST", json=verdict)
    rejected = case.receiver.wait(lambda requests: requests[-1].json["Event"] == "Rejected")[-1]
    assert rejected.json["Series"] == [answer["ID"]] and "SECRET" not in rejected.body.decode()


def test_health_sees_workers_that_are_gone_and_has_them_replaced(case: Case) -> None:
    assert case.server.json("/derived-series/health")["Checks"]["Workers"]["Alive"] == 2
    processes = case.server.json("/derived-series/status")["Processes"]
    for each in processes:
        os.kill(each["Pid"], signal.SIGKILL)
    end = time.monotonic() + 20
    while {each["Pid"] for each in processes} & set(case.server.children()):
        assert time.monotonic() < end
        time.sleep(0.02)
    seen = []
    while (answer := case.server.get("/derived-series/health")).json()["Checks"]["Workers"]["Alive"] < 2:
        seen.append(answer.status_code)
        assert time.monotonic() < end
    assert set(seen) <= {200, 503}
    assert answer.status_code == 200 and answer.json()["Status"] in ("Ok", "Warning")


def test_seconds_by_pipeline_and_phase_are_on_the_page_for_prometheus(case: Case) -> None:
    answer = derive(case.server, case.parent, Pipeline="telltale")
    page = case.server.get("/derived-series/metrics")
    assert page.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    phases = set(re.findall(r'derived_series_phase_seconds_count\{pipeline="telltale",phase="(\w+)"\}', page.text))
    assert phases == {"waiting", *(phase.lower() for phase in answer["Seconds"])}
    assert phases >= {"waiting", "fetching", "processing", "encoding", "storing", "verifying"}
    assert [word for word in (*SECRETS, "T0KEN") if word in page.text] == []


def test_every_line_that_belongs_to_a_job_says_so_and_is_json(case: Case) -> None:
    """In our own file, and behind Orthanc's prefix in Orthanc's log."""
    request = {"Pipeline": "telltale", "Parameters": {"Raise": True}}
    job_id = submit(case.server, case.parent, **request)
    finished(case.server, job_id)
    file = case.server.jobs_folder / "log.jsonl"
    lines = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    known = set(case.server.json("/derived-series/jobs"))
    for line in lines:
        named = known & set(re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", line["Message"]))
        assert not named or line["Job"] in named, line
    ours = [line for line in lines if line["Job"] == job_id]
    messages = "\n".join(line["Message"] for line in ours)
    assert "it begins" in messages and "it goes on" in messages and "cannot do Doe^Jane" in messages
    assert len({line["Process"] for line in ours}) == 2, "the worker's lines and the server's"
    in_orthancs = [json.loads(line[line.index("{") :]) for line in case.server.log().splitlines() if '"Job": "' in line]
    assert [line["Message"] for line in in_orthancs if line["Job"] == job_id and line["Level"] != "INFO"] == [
        line["Message"] for line in ours if line["Level"] != "INFO"
    ]
    assert "T0KEN" not in case.server.log() and SECRET not in case.server.log()
