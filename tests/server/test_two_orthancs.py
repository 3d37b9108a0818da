"""Two Orthancs over one PostgreSQL: each answers for both; one leads, and the other when that one is gone."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest

from installed import not_installed
from orthanc_server import INDEX_PLUGINS, OrthancServer
from phantoms import ct_phantom
from postgresql_server import PostgresqlServer
from server_audit import volume
from server_fixtures import derive, finished, npy, submit, until
from two_orthancs import TwoOrthancs, for_rule
from waiting import soon

RULE = {
    "Name": "copy",
    "Match": {"Modality": "CT", "SeriesDescription": "for the rule"},
    "Derive": {"Pipeline": "plain"},
}


@pytest.fixture(scope="module")
def two(
    orthanc_installed: None, postgresql: PostgresqlServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TwoOrthancs]:
    if not all(path.exists() for path in INDEX_PLUGINS):
        not_installed("Orthanc's plugins for PostgreSQL", "run scripts/setup.sh")
    changes = {"DerivedSeries": {"Workers": 1, "Rules": [RULE]}}
    with TwoOrthancs(tmp_path_factory.mktemp("two"), postgresql, "two", changes) as servers:
        soon(lambda: servers.leads(servers.a) or servers.leads(servers.b))
        yield servers


@pytest.fixture(scope="module")
def ct(two: TwoOrthancs) -> str:
    """A series, sent to the one that does not lead."""
    return two.follower.upload(ct_phantom(slices=4))


def napping(seconds: float) -> dict[str, Any]:
    return {"Pipeline": "plain", "Parameters": {"Seconds": seconds}}


def test_what_is_asked_of_one_is_known_to_both(two: TwoOrthancs, ct: str) -> None:
    follower, leader = two.follower, two.leader
    answer = derive(follower, ct, Pipeline="plain")
    assert answer["InstancesCount"] == 4, "it has waited for what the other has run"
    for server in (follower, leader):
        assert finished(server, answer["JobID"])["State"] == "Success"
        assert server.json("/derived-series/status")["Nodes"]["All"] == ["a", "b"]
    assert [len(each.json("/derived-series/jobs")) for each in two.servers] == [1, 1]


def test_an_image_that_one_was_sent_is_derived_by_the_other(two: TwoOrthancs, ct: str) -> None:
    voxels = volume(two.a, ct).voxels() + 7
    route = f"/series/{ct}/derive/ct/numpy"
    answer = two.follower.post(route, data=npy(voxels.astype(np.int16))).json()
    assert np.array_equal(volume(two.leader, answer["ID"]).voxels(), voxels)


def test_progress_is_told_and_a_job_cancelled_by_the_one_that_does_not_run_it(two: TwoOrthancs, ct: str) -> None:
    mine = submit(two.follower, ct, **napping(60))
    soon(lambda: until(two.follower, mine, {"Running"})["Content"].get("Phase") == "Processing")
    two.follower.json(f"/series/{ct}/jobs/{mine}/cancel", "POST")
    job = finished(two.follower, mine)
    assert job["State"] == "Failure" and "cancelled" in job["Content"]["Error"]["Message"]
    assert [act["Action"] for act in two.leader.json(f"/series/{ct}/jobs/{mine}")["Content"]["Audit"]] == [
        "Derive",
        "Cancel",
    ]


def test_the_same_asked_of_both_at_once_is_done_once(two: TwoOrthancs, ct: str) -> None:
    jobs: list[str] = []

    def ask(server: OrthancServer) -> None:
        jobs.append(submit(server, ct, IfExists="Reuse", **napping(0.5)))

    threads = [threading.Thread(target=ask, args=(server,)) for server in two.servers * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(jobs) == 4 and len(set(jobs)) == 1
    finished(two.a, jobs[0])


def test_a_verdict_counts_on_both(two: TwoOrthancs, ct: str) -> None:
    series = derive(two.follower, ct, Pipeline="plain", SeriesDescription="judged")["ID"]
    two.follower.json(f"/series/{series}/review", "POST", json={"Verdict": "Accept", "User": "Anna"})
    state = two.leader.json(f"/series/{series}/review")
    assert (state["State"], state["User"], state["Warnings"]) == ("Accepted", "Anna", [])
    reject = {"Verdict": "Reject", "User": "Ben", "Code": "113037"}
    two.leader.json(f"/series/{series}/review", "POST", json={**reject, "Known": "Accepted"})
    assert two.follower.json(f"/series/{series}/review")["State"] == "Rejected"


def test_a_rule_fires_once_whoever_receives_the_series(two: TwoOrthancs) -> None:
    for number, server in enumerate((two.follower, two.leader)):
        series = server.upload(for_rule(number))
        soon(partial(server.json, f"/series/{series}/jobs"))
        time.sleep(2.5)  # StableAge, again
        (mine,) = server.json(f"/series/{series}/jobs")
        assert finished(server, mine)["State"] == "Success"


def test_when_the_one_that_leads_is_killed_the_other_does_its_jobs(two: TwoOrthancs, ct: str) -> None:
    leader, follower = two.leader, two.follower
    jobs = [submit(server, ct, **napping(1.0)) for server in (leader, follower) * 2]
    until(follower, jobs[0], {"Running"})
    before = follower.series_ids()
    leader.kill()
    for each in jobs:
        assert finished(follower, each)["State"] == "Success"
    assert len(follower.series_ids()) == len(before) + 4 and two.leads(follower)
    leader.start()
    assert not two.leads(leader)
    assert derive(leader, ct, Pipeline="plain")["InstancesCount"] == 4
