"""Kills at random moments: every accepted job is finished exactly once, and nothing partial or doubled is left.

``CRASH_KILLS``, ``CRASH_JOBS``: how many (``make test-crash``: 100 over 200). ``CRASH_SEED``: which moments, and what
is killed; a seed settles what is done when, not where the server is by then.
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import requests

from job_orders import Orders, Senders
from orthanc_server import OrthancFailed, OrthancServer, free_port, merged
from phantoms import ct_phantom
from server_audit import all_over, command_line, fingerprint, jobs_folder_is_tidy, kill, survivors, volume, workers
from server_fixtures import npy, settings

KILLS = int(os.environ.get("CRASH_KILLS", "6"))
JOBS = int(os.environ.get("CRASH_JOBS", "12"))
SEED = int(os.environ.get("CRASH_SEED", "1"))

#: Up to four STOW requests for a series: there are moments at which part of it is stored.
SLICES = (1, 12, 45, 100)
ROWS, COLUMNS = 16, 12

SHIFT = '''
"""A pipeline whose result tells which job made it."""
import time

from derived_series import derivation
from derived_series.pipelines import Parameters, Pipeline


class Settings(Parameters):
    By: float = 0.0
    Seconds: float = 0.0


class Shift(Pipeline):
    """The parent's values, shifted."""

    parameters = Settings

    def blueprint_for(self, parent, parameters, blueprints):
        return blueprints["ct"] + derivation("shifted", "Smoothing")

    def process(self, container):
        time.sleep(container.parameters.Seconds)
        return container["parent"].voxels() + container.parameters.By
'''


@dataclass
class Parent:
    """A series to derive from, as it was before anything else happened."""

    orthanc_id: str
    voxels: npt.NDArray[np.float32]
    affine: npt.NDArray[np.float64]
    fingerprint: list[str]


class Submitters(Senders):
    """Of jobs by a pipeline and by an image; most threads wait for their turn."""

    def __init__(self, servers: list[OrthancServer], parents: list[Parent], orders: Orders, more: dict[str, Any]):
        super().__init__(orders, threads=3, pause=(0.0, 0.1), seed=SEED)
        self.servers = servers
        self.parents = parents
        self.more = more

    def send(self, chance: random.Random) -> None:
        index = chance.randrange(len(self.parents))
        parent = self.parents[index]
        number = self.orders.begin(index)
        options = {"SeriesDescription": f"job {number}", "Asynchronous": True, **self.more}
        server = chance.choice(self.servers)
        route = f"{server.url}/series/{parent.orthanc_id}/derive"
        try:
            if "IfExists" in self.more or chance.random() < 0.5:
                parameters = {"By": number, "Seconds": chance.choice([0.0, 0.05, 0.2])}
                options |= {"Pipeline": "shift", "Parameters": parameters}
                answer = requests.post(route, json=options, timeout=20)
            else:
                image = npy((parent.voxels + number).astype(np.int16))
                headers = {"X-Derived-Series-Options": json.dumps(options)}
                answer = requests.post(f"{route}/ct/numpy", data=image, headers=headers, timeout=20)
        except requests.RequestException:
            self.orders.unanswered.add(number)  # not accepted, unless it is found
            time.sleep(chance.uniform(0.0, 0.5))
            return
        if answer.status_code == 200:
            self.orders.answered[number] = answer.json()["ID"]
        elif len(self.servers) > 1:  # with the database it goes away in the midst of what it had accepted
            self.orders.unanswered.add(number)
        elif answer.status_code != 503 or int(answer.headers["Retry-After"]) < 1:  # 503: it starts, or it stops
            self.orders.refused.append(answer.text)


@pytest.fixture
def server(orthanc_installed: None, tmp_path: Path) -> Iterator[OrthancServer]:
    """On a port that stays the same: what a dying worker still sends would reach the next Orthanc."""
    library = tmp_path / "library"
    keys = settings(library, RetryPause=0.05, Attempts=100, JobsHistory=100_000)
    (library / "shift.py").write_text(SHIFT)
    with OrthancServer(tmp_path, merged(keys, {"HttpPort": free_port()})) as orthanc:
        yield orthanc


def upload_parents(server: OrthancServer, slices: tuple[int, ...]) -> list[Parent]:
    parents = []
    for number, count in enumerate(slices):
        datasets = ct_phantom(count, ROWS, COLUMNS, patient_id=f"P{number}", study=f"s{number}", series=f"c{number}")
        series_id = server.upload(datasets)
        stored = volume(server, series_id)
        parents.append(Parent(series_id, stored.voxels(), stored.affine_lps, fingerprint(server, series_id)))
    return parents


def wait_for_some_to_finish(server: OrthancServer, jobs: int) -> None:
    """So that kills come at all moments of a job, and not only while a new Orthanc's workers are importing."""

    def done() -> int:
        return int(server.json("/derived-series/status")["Jobs"]["Success"]) if jobs else 0

    enough = done() + jobs
    end = time.monotonic() + 5
    while done() < enough and time.monotonic() < end:
        time.sleep(0.02)


def strike(server: OrthancServer, kind: str, chance: random.Random) -> None:
    """Kill, and start again what does not start again by itself; no process outlives its Orthanc."""
    family = server.children()
    victims = workers(server)
    if kind in ("worker", "both") and victims:
        for pid in chance.sample(victims, chance.randint(1, len(victims))):
            kill(pid)
    if kind == "worker":
        return
    server.kill()
    if kind == "while starting":
        starting = threading.Thread(target=_start_in_vain, args=(server,))
        starting.start()
        time.sleep(chance.uniform(0.05, 0.8))
        family += server.children()
        server.kill()
        starting.join()
    if server.returncode is not None:
        server.start()
    left = survivors(family, 10.0)  # at once, but for those that were still importing what they need
    assert left == [], "no child outlives Orthanc: " + "; ".join(map(command_line, left))


def _start_in_vain(server: OrthancServer) -> None:
    try:
        server.start()
    except OrthancFailed:
        return


def kill_and_submit(
    server: OrthancServer, parents: list[Parent], kills: int, jobs: int, more: dict[str, Any]
) -> tuple[Orders, Counter[str]]:
    chance = random.Random(SEED)
    submissions = Orders()
    kinds: Counter[str] = Counter()
    with Submitters([server], parents, submissions, more) as submitters:
        for number in range(kills):
            submitters.allowed = 8 + jobs * (number + 1) // kills
            wait_for_some_to_finish(server, chance.choice([0, 1, 1, 2, 3]))
            time.sleep(chance.uniform(0.0, 0.4))
            kind = chance.choices(["orthanc", "worker", "both", "while starting"], [4, 4, 4, 1])[0]
            kinds[kind] += 1
            strike(server, kind, chance)
        end = time.monotonic() + 60
        while len(submissions.answered) < jobs and time.monotonic() < end:
            time.sleep(0.02)
    assert not submissions.refused
    return submissions, kinds


def number_of(job: Any) -> int:
    return int(job["Content"]["Request"]["SeriesDescription"].removeprefix("job "))


def accepted(jobs: list[Any], submissions: Orders) -> dict[int, Any]:
    """The jobs that there are, by number: all that were answered, maybe some that were not, none twice."""
    by_number = {number_of(job): job for job in jobs}
    assert len(by_number) == len(jobs), "no submission became two jobs"
    for number, job_id in submissions.answered.items():
        assert number in by_number, f"job {number} was accepted and is lost"
        assert by_number[number]["ID"] == job_id
    assert set(by_number) - set(submissions.answered) <= submissions.unanswered
    failed = [job for job in jobs if job["State"] != "Success"]
    assert not failed, f"{len(failed)} of {len(jobs)} jobs failed: {failed[:2]}"
    return by_number


@pytest.mark.sqlite
def test_what_is_accepted_is_done_once(server: OrthancServer, capsys: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    parents = upload_parents(server, SLICES)
    submissions, kinds = kill_and_submit(server, parents, KILLS, JOBS, {})
    jobs = accepted(all_over(server, 300), submissions)
    _report(capsys, f"seed {SEED}", kinds, submissions, list(jobs.values()), began)
    assert len(jobs) >= JOBS

    series = {each["ID"]: each for each in server.json("/series?expand")}
    for parent in parents:
        assert parent.orthanc_id in series and fingerprint(server, parent.orthanc_id) == parent.fingerprint
        del series[parent.orthanc_id]
    described = [each["MainDicomTags"]["SeriesDescription"] for each in series.values()]
    assert sorted(described) == sorted(f"job {number}" for number in jobs), "one series a job"
    for number, job in jobs.items():
        result = job["Content"]["Result"]
        parent = parents[submissions.parents[number]]
        assert job["Content"]["ParentSeries"] == parent.orthanc_id and job["Progress"] == 100
        assert series[result["ID"]]["MainDicomTags"]["SeriesDescription"] == f"job {number}"
        derived = volume(server, result["ID"])
        assert len(derived) == result["InstancesCount"] == len(parent.voxels), "no partial series"
        assert derived.series_instance_uid == result["SeriesInstanceUID"]
        assert np.array_equal(derived.voxels(), parent.voxels + number)
        assert np.allclose(derived.affine_lps, parent.affine, atol=1e-3)
    instances = sum(len(parent.voxels) for parent in parents)
    instances += sum(job["Content"]["Result"]["InstancesCount"] for job in jobs.values())
    assert server.json("/statistics")["CountInstances"] == instances
    assert server.stop() == 0 and server.survivors == []
    jobs_folder_is_tidy(server.jobs_folder)


def test_what_is_replaced_is_there_once(server: OrthancServer, capsys: pytest.CaptureFixture[str]) -> None:
    """``IfExists: Replace``: whatever dies meanwhile, there is one series in the end, and before that never none."""
    began = time.monotonic()
    kills, jobs_wanted = max(6, KILLS // 10), max(12, JOBS // 10)
    (parent,) = upload_parents(server, (45,))
    submissions, kinds = kill_and_submit(server, [parent], kills, jobs_wanted, {"IfExists": "Replace"})
    jobs = accepted(all_over(server, 300), submissions)
    _report(capsys, f"replacing, seed {SEED}", kinds, submissions, list(jobs.values()), began)
    left = server.series_ids() - {parent.orthanc_id}
    assert len(left) == 1
    number = int(server.json(f"/series/{min(left)}")["MainDicomTags"]["SeriesDescription"].removeprefix("job "))
    assert np.array_equal(volume(server, min(left)).voxels(), parent.voxels + number)
    assert fingerprint(server, parent.orthanc_id) == parent.fingerprint


def _report(
    capsys: pytest.CaptureFixture[str],
    what: str,
    kinds: Counter[str],
    submissions: Orders,
    jobs: list[Any],
    began: float,
) -> None:
    attempts = Counter(job["Content"]["Attempt"] for job in jobs)
    unanswered = len(jobs) - len(submissions.answered)
    with capsys.disabled():
        print(
            f"\n{what}: {kinds.total()} kills {dict(kinds)} over {len(jobs)} jobs, "
            f"{len(submissions.unanswered)} submissions without an answer ({unanswered} of them accepted), "
            f"attempts {dict(sorted(attempts.items()))}, {time.monotonic() - began:.0f} s"
        )
