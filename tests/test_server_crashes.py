"""Kills at random moments: every job that was accepted is finished exactly once, with all of its instances.

``DERIVED_SERIES_KILLS`` and ``DERIVED_SERIES_JOBS`` set how many, ``DERIVED_SERIES_SEED`` when.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import requests

from conftest import StartOrthanc
from derived_series.dicom.context import BuildContext
from orthanc_server import OrthancServer
from phantoms import ct_phantom
from server_fixtures import npy, settings

KILLS = int(os.environ.get("DERIVED_SERIES_KILLS", "12"))
JOBS = int(os.environ.get("DERIVED_SERIES_JOBS", "30"))
SEED = int(os.environ.get("DERIVED_SERIES_SEED", "20"))
SLICES = 60


def workers(server: OrthancServer) -> list[int]:
    found = []
    for pid in server.children():
        try:
            if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
        except OSError:
            continue
    return found


def kill_worker(server: OrthancServer, chance: random.Random) -> None:
    pids = workers(server)
    if pids:
        try:
            os.kill(chance.choice(pids), signal.SIGKILL)
        except ProcessLookupError:
            return


def test_kills_at_random_moments(start_orthanc: StartOrthanc, tmp_path: Path) -> None:
    print(f"seed {SEED}, {KILLS} kills, {JOBS} jobs")
    chance = random.Random(SEED)
    server = start_orthanc(settings(tmp_path / "library", RetryPause=0.05, Attempts=100, JobsHistory=100000))
    parent = server.upload(ct_phantom(slices=SLICES, rows=96, columns=96, noise=0))
    image = npy(np.full((SLICES, 96, 96), 7, np.int16))
    accepted: list[str] = []
    over = threading.Event()

    def submit() -> None:
        session = requests.Session()
        number = 0
        while len(accepted) < JOBS and not over.is_set():
            number += 1
            request = {"Pipeline": "plain", "Asynchronous": True, "Parameters": {"Seconds": 0.05 * (number % 3)}}
            try:
                if number % 2:
                    answer = session.post(f"{server.url}/series/{parent}/derive", json=request, timeout=20)
                else:
                    route = f"{server.url}/series/{parent}/derive/ct/numpy"
                    answer = session.post(route, data=image, headers={"Prefer": "respond-async"}, timeout=20)
                if answer.status_code == 200:
                    accepted.append(answer.json()["ID"])
            except requests.RequestException:
                time.sleep(0.05)  # it is down: what was not answered was not accepted
            time.sleep(0.5 * KILLS / JOBS)

    submitting = threading.Thread(target=submit)
    submitting.start()
    kinds: Counter[str] = Counter()
    try:
        for _ in range(KILLS):
            time.sleep(chance.uniform(0.05, 1.2))
            kind = chance.choice(["orthanc", "worker", "worker", "both"])
            kinds[kind] += 1
            if kind != "orthanc":
                kill_worker(server, chance)
            if kind != "worker":
                server.kill()
                time.sleep(0.3)
                assert not server.children(), "no child outlives Orthanc"
                server.start()
    finally:
        submitting.join(300)
        over.set()
    jobs = {}
    end = time.monotonic() + 300
    while time.monotonic() < end:
        jobs = {job["ID"]: job for job in server.json("/derived-series/jobs?expand")}
        if all(job["State"] in ("Success", "Failure") for job in jobs.values()):
            break
        time.sleep(0.2)
    attempts = Counter(job["Content"]["Attempt"] for job in jobs.values())
    print(f"kills {dict(kinds)}; attempts {dict(sorted(attempts.items()))}; {len(jobs)} jobs")
    failures = [job for job in jobs.values() if job["State"] != "Success"]
    assert not failures, failures[:3]
    assert len(accepted) == JOBS and set(accepted) <= set(jobs), "no accepted job is lost"
    _nothing_is_doubled_or_partial(server, parent, jobs)


def _nothing_is_doubled_or_partial(server: OrthancServer, parent: str, jobs: dict[str, object]) -> None:
    series = {each["ID"]: each for each in server.json("/series?expand")}
    assert len(series.pop(parent)["Instances"]) == SLICES
    uids = {each["MainDicomTags"]["SeriesInstanceUID"] for each in series.values()}
    assert uids == {BuildContext(uid_seed=job).uid("series") for job in jobs}
    assert len(series) == len(jobs)
    assert {len(each["Instances"]) for each in series.values()} == {SLICES}
    assert server.json("/statistics")["CountInstances"] == SLICES * (len(jobs) + 1)


@pytest.mark.parametrize("kill", range(6))
def test_a_kill_while_instances_are_stored(start_orthanc: StartOrthanc, tmp_path: Path, kill: int) -> None:
    """The moment that matters most: part of the series is in Orthanc."""
    server = start_orthanc(settings(tmp_path / "library", RetryPause=0.05))
    parent = server.upload(ct_phantom(slices=SLICES * 4, rows=96, columns=96, noise=0))
    answer = server.json(f"/series/{parent}/derive", "POST", json={"Pipeline": "plain", "Asynchronous": True})
    end = time.monotonic() + 30
    while server.json("/statistics")["CountInstances"] < SLICES * 4 + 1 + kill * 30 and time.monotonic() < end:
        time.sleep(0.002)
    kill_worker(server, random.Random(kill)) if kill % 2 else server.kill()
    if not kill % 2:
        server.start()
    while server.json(answer["Path"])["State"] not in ("Success", "Failure") and time.monotonic() < end:
        time.sleep(0.05)
    assert server.json(answer["Path"])["State"] == "Success"
    assert server.json("/statistics")["CountInstances"] == SLICES * 8
    assert len(server.series_ids()) == 2
