"""Rules on a real Orthanc: each fires once for what it is for, whatever comes again, dies or is full."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from orthanc_server import OrthancServer
from phantoms import ct_phantom
from server_fixtures import finished, settings

PLAIN = {"Pipeline": "plain"}

RULES: list[dict[str, Any]] = [
    {"Name": "ct", "Match": {"Modality": "CT", "Rows": {"Max": 40}}, "Derive": {**PLAIN, "SeriesDescription": "a"}},
    {
        "Name": "both",
        "Inputs": {"first": {"PatientID": {"Regex": "^T"}, "Modality": "CT"}, "second": {"Modality": "PT"}},
        "Same": ["FrameOfReferenceUID"],
        "Derive": {"Pipeline": "sum"},
    },
    {"Name": "sent", "Match": {"Modality": "MR", "RemoteAET": "MR1"}, "Derive": PLAIN},
    {
        "Name": "posted",
        "Match": {"Modality": "MR", "Origin": "RestApi", "Not": {"SeriesDescription": "secret"}},
        "Derive": {**PLAIN, "Priority": 3},
    },
]


@pytest.fixture(scope="module")
def server(orthanc_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancServer]:
    folder = tmp_path_factory.mktemp("rules")
    made = OrthancServer(folder, settings(folder / "library", Rules=RULES))
    try:
        yield made.start()
    finally:
        made.close()


def soon(condition: Callable[[], Any], what: str, seconds: float = 30) -> Any:
    """What a condition gives as soon as it is true."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, what
        time.sleep(0.05)
    return found


def quiet(server: OrthancServer, seconds: float = 2.5) -> None:
    """Until nothing has changed for a while: all series are stable, all jobs over."""
    last, since = None, time.monotonic()
    end = since + 60
    while time.monotonic() - since < seconds:
        assert time.monotonic() < end, server.log()[-2000:]
        jobs = server.json("/derived-series/jobs?expand")
        over = all(job["State"] in ("Success", "Failure") for job in jobs)
        now = (server.json("/changes?last")["Last"], len(jobs), over)
        if now != last or not over:
            last, since = now, time.monotonic()
        time.sleep(0.1)


def jobs_of(server: OrthancServer, series: str) -> list[dict[str, Any]]:
    """The jobs on a series, oldest first."""
    return [job for job in server.json("/derived-series/jobs?expand") if job["Content"]["ParentSeries"] == series]


def fired(server: OrthancServer, rule: str) -> dict[str, Any]:
    return next(each for each in server.json("/derived-series/rules") if each["Name"] == rule)


def derived(server: OrthancServer, series: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.json(f"/series/{series}/derived")
    return found


def test_a_rule_fires_once_and_again_for_more_instances(server: OrthancServer) -> None:
    parent = list(ct_phantom(slices=6))
    before = fired(server, "ct")["Fired"]
    ct = server.upload(parent[:4])
    (job,) = soon(lambda: jobs_of(server, ct), "the rule has not fired")
    assert finished(server, job["ID"])["State"] == "Success"
    (first,) = derived(server, ct)
    assert first["Provenance"]["Rule"]["Name"] == "ct" and first["Provenance"]["Rule"]["Depth"] == 1
    server.upload(parent[:4])  # the same once more
    quiet(server)
    assert len(jobs_of(server, ct)) == 1 and [each["ID"] for each in derived(server, ct)] == [first["ID"]]
    server.upload(parent[4:])
    quiet(server)
    assert [job["State"] for job in jobs_of(server, ct)] == ["Success", "Success"]
    (second,) = derived(server, ct)  # in place of the first
    assert second["ID"] != first["ID"] and len(server.json(f"/series/{second['ID']}")["Instances"]) == 6
    rule = fired(server, "ct")
    assert rule["Fired"] == before + 2 and rule["LastJob"] == second["Provenance"]["Job"]
    assert server.json("/derived-series/status")["Rules"] == [rule["Name"] for rule in RULES]
    server.delete_all()
