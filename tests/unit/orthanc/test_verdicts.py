"""Verdicts without a server: a series is sent or rejected, never both, and the last word counts."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from derived_series.errors import Busy
from derived_series.jobs.destination_states import destinations, with_states
from derived_series.jobs.metadata import PROVENANCE, REVIEW
from derived_series.jobs.own_requests import HEADER
from derived_series.jobs.queue.store import JobStore
from derived_series.jobs.record import JobRecord, Problem, State
from derived_series.jobs.requests.verdict import rejection_job_id
from derived_series.orthanc.reviews import Reviews
from orthanc_server import REPOSITORY
from route_client import Reply, RouteClient
from test_jobs_store import job

SERIES, PARENT, SECOND = (f"{digit * 8}-" * 4 + digit * 8 for digit in "abc")
NO_ANSWER = Problem("StorageError", 502, "it does not answer")


@pytest.fixture
def client(tmp_path: Path) -> Iterator[RouteClient]:
    route_client = RouteClient(tmp_path, BlueprintFolders=[str(REPOSITORY / "blueprints")])
    gateway = route_client.gateway
    gateway.add_series(PARENT, "ip")
    provenance = {"Job": "j", "Parents": [{"ID": PARENT, "SeriesInstanceUID": "1.2"}], "Request": {}}
    for series in (SERIES, SECOND):
        gateway.add_series(series, f"i-{series}")
        gateway.resources[f"/series/{series}/metadata/{PROVENANCE}"] = provenance
    gateway.resources["/studies/study/series"] = []
    yield route_client
    gateway.end()


@pytest.fixture
def store(client: RouteClient) -> Iterator[JobStore]:
    with closing(JobStore(client.gateway.folder / "storage" / "derived-series")) as opened:
        yield opened


def reviews_of(client: RouteClient) -> Reviews:
    """What the runner tells of the ends of jobs."""
    (handler,) = (route.handlers["POST"] for route in client.gateway.routes if route.pattern.endswith("/review"))
    reviews: Reviews = handler.__self__._reviews  # type: ignore[attr-defined]
    return reviews


def stored(store: JobStore, state: State, *series: str, **states: str) -> JobRecord:
    """A job that is over, with its series and the states of their destinations."""
    entries = [{"Output": f"o{at}", "ID": each, "Path": f"/series/{each}"} for at, each in enumerate(series)]
    result: dict[str, Any] = with_states({"Series": entries}, dict.fromkeys(series, states))
    problem = NO_ANSWER if state is State.FAILURE else None
    store.add(job("j", series=PARENT, state=state, result=result, problem=problem), None, most=9)
    return store.get("j")


def judge(client: RouteClient, verdict: str, series: str = SERIES, **more: Any) -> Reply:
    """A verdict, whose job is not waited for."""
    reason = {"Code": "SoftwareFailure"} if verdict == "Reject" else {}
    return client.request(
        "POST", f"/series/{series}/review", {"Verdict": verdict, "User": "Anna", **reason, **more}, {HEADER: "x"}
    )


def end_rejection(store: JobStore, state: State, series: str = SERIES) -> str:
    rejection = store.get(rejection_job_id(series, "j"))
    problem = NO_ANSWER if state is State.FAILURE else None
    result = None if state is State.FAILURE else {"Verdict": {"State": "Rejected", "User": "Anna"}}
    assert store.exchange(rejection, dataclasses.replace(rejection, state=state, problem=problem, result=result))
    return f"/series/{series}/jobs/{rejection.id}"


def test_an_accepted_series_whose_copy_was_not_written_is_in_the_audit_trail_and_gets_it_later(
    client: RouteClient, store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(store, State.SUCCESS, SERIES, pacs="Held")

    def full(path: str, body: bytes) -> None:
        raise Busy("Orthanc's disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(client.gateway, "put", full)
        assert judge(client, "Accept").status == 503
    acts = client.get(f"/series/{PARENT}/jobs/j").json["Content"]["Audit"]
    assert [(act["Action"], act["User"]) for act in acts] == [("Accept", "Anna")]
    assert [(series, action) for _, series, action, _ in client.gateway.acts] == [(SERIES, "Accept")]
    assert destinations(store.get("j"))["pacs"] == "Held"
    assert judge(client, "Accept", User="Bob").json["Destinations"] == {"pacs": "Pending"}
    copy = json.loads(client.gateway.written[f"/series/{SERIES}/metadata/{REVIEW}"])
    assert copy["State"] == "Accepted" and copy["User"] == "Anna"
    assert client.get(f"/series/{PARENT}/jobs/j").json["Content"]["Audit"] == acts, "it was accepted once"


def test_a_copy_that_says_something_else_is_reported_and_kept(client: RouteClient) -> None:
    assert judge(client, "Accept").status == 200
    path = f"/series/{SERIES}/metadata/{REVIEW}"
    client.gateway.resources[path] = {"State": "Rejected", "User": "Eve"}
    client.gateway.written.clear()
    assert "says Rejected by Eve" in judge(client, "Accept").json["Warnings"][0] and path not in client.gateway.written


def test_a_failed_rejection_is_not_resubmitted_against_a_later_verdict(client: RouteClient, store: JobStore) -> None:
    stored(store, State.SUCCESS, SERIES, pacs="Held")
    judge(client, "Reject")
    path = end_rejection(store, State.FAILURE)
    assert judge(client, "Accept", Known="Unreviewed").json["State"] == "Accepted"
    refusal = client.post(f"{path}/resubmit")
    assert refusal.status == 409 and "there is another verdict on the series" in refusal.json["Message"]
    assert client.get(f"/series/{SERIES}/review").json["State"] == "Accepted"


def test_a_failed_rejection_of_an_accepted_series_is_resubmitted_once_nothing_is_sent(
    client: RouteClient, store: JobStore
) -> None:
    derivation = stored(store, State.SUCCESS, SERIES, pacs="Success")
    assert judge(client, "Accept").status == 200
    assert judge(client, "Reject").json["State"] == "Rejecting"
    path = end_rejection(store, State.FAILURE)
    sending = dataclasses.replace(derivation, state=State.PENDING)
    assert store.exchange(derivation, sending)
    refusal = client.post(f"{path}/resubmit")
    assert refusal.status == 409 and "is being sent to its destinations by the job j" in refusal.json["Message"]
    assert store.exchange(sending, derivation)
    assert client.post(f"{path}/resubmit").status == 200
    assert client.get(f"/series/{SERIES}/review").json["State"] == "Rejecting"


def test_a_series_is_not_sent_while_another_of_its_job_is_being_rejected(client: RouteClient, store: JobStore) -> None:
    stored(store, State.FAILURE, SERIES, SECOND, pacs="Failure")
    assert judge(client, "Reject").json["State"] == "Rejecting"
    refusal = client.post(f"/series/{PARENT}/jobs/j/resubmit")
    assert refusal.status == 409 and refusal.json["Message"] == f"the series {SERIES} is being rejected"
    end_rejection(store, State.FAILURE)
    assert client.post(f"/series/{PARENT}/jobs/j/resubmit").status == 200
    assert judge(client, "Reject").status == 409, "now it is being sent"


@pytest.mark.parametrize("state", [State.SUCCESS, State.FAILURE])
def test_an_accepted_series_is_sent_when_the_rejection_of_another_is_over(
    client: RouteClient, store: JobStore, state: State
) -> None:
    stored(store, State.SUCCESS, SERIES, SECOND, pacs="Held")
    judge(client, "Reject")
    assert judge(client, "Accept", SECOND).json["Destinations"] == {"pacs": "Held"}
    end_rejection(store, state)
    reviews_of(client).observe(store.get(rejection_job_id(SERIES, "j")))
    sent = store.get("j")
    assert sent.state is State.PENDING and destinations(sent, SECOND) == {"pacs": "Pending"}
