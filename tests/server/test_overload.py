"""More work than there is room for, and ends with work under way: nothing accepted is lost, no process is left."""

from __future__ import annotations

import concurrent.futures
import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from conftest import StartOrthanc
from orthanc_server import OrthancServer
from phantoms import ct_phantom
from server_audit import alive, all_jobs, all_over, jobs_folder_is_tidy, survivors, volume, workers
from server_fixtures import npy, settings, submit, until

CLIENTS = 500
QUEUE = 300

GATE = '''
"""Pipelines that wait until they are let go, and that start processes and threads of their own."""
import subprocess
import sys
import threading
import time
from pathlib import Path

from derived_series import derivation
from derived_series.pipelines import Parameters, Pipeline


class Settings(Parameters):
    Gate: str = ""
    Family: str = ""


class Gate(Pipeline):
    """The parent's values, when the file Gate is there."""

    parameters = Settings

    def blueprint_for(self, parent, parameters, blueprints):
        return blueprints["ct"] + derivation("nothing", "Smoothing")

    def process(self, container):
        while container.parameters.Gate and not Path(container.parameters.Gate).exists():
            time.sleep(0.02)
        return container["parent"].voxels()


class Family(Gate):
    """Has children, a thread that never ends, and never ends itself."""

    def process(self, container):
        threading.Thread(target=time.sleep, args=(600,)).start()
        sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
        children = [subprocess.Popen(sleep), subprocess.Popen(["sh", "-c", "sleep 600 & wait"])]
        with open(container.parameters.Family, "a") as file:
            file.write("".join(f"{child.pid} " for child in children))
        time.sleep(600)
'''


def library(tmp_path: Path, **keys: Any) -> dict[str, Any]:
    keys_and_folder = settings(tmp_path / "library", **keys)
    (tmp_path / "library" / "gate.py").write_text(GATE)
    return keys_and_folder


@pytest.mark.sqlite
def test_500_submissions_at_the_same_moment(start_orthanc: StartOrthanc, tmp_path: Path) -> None:
    """As many as the queue holds are accepted, to the last place; the others are told to come again, and do."""
    server = start_orthanc(library(tmp_path, QueueSize=QUEUE))
    parent = server.upload(ct_phantom(2, 8, 8))
    gate = tmp_path / "gate"
    blockers = [submit(server, parent, Pipeline="gate", Parameters={"Gate": str(gate)}) for _ in range(2)]
    for job_id in blockers:
        until(server, job_id, {"Running"})
    values = volume(server, parent).voxels()
    barrier = threading.Barrier(CLIENTS)

    def send(number: int) -> requests.Response:
        url = f"{server.url}/series/{parent}/derive"
        description = f"job {number}"
        if number % 5:
            request = {"Pipeline": "gate", "Asynchronous": True, "SeriesDescription": description}
            return requests.post(url, json=request, timeout=120)
        headers = {"X-Derived-Series-Options": f'{{"Asynchronous": true, "SeriesDescription": "{description}"}}'}
        image = npy((values + number).astype(np.int16))
        return requests.post(f"{url}/ct/numpy", data=image, headers=headers, timeout=120)

    def first_try(number: int) -> requests.Response:
        barrier.wait()
        return send(number)

    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        answers = dict(enumerate(pool.map(first_try, range(CLIENTS))))
    statuses = Counter(answer.status_code for answer in answers.values())
    assert statuses == {200: QUEUE - len(blockers), 503: CLIENTS - QUEUE + len(blockers)}
    assert server.json("/derived-series/status")["Jobs"]["Pending"] == QUEUE - len(blockers)
    accepted = {number: answer.json()["ID"] for number, answer in answers.items() if answer.ok}
    assert {job["ID"] for job in all_jobs(server)} == {*blockers, *accepted.values()}
    images = server.jobs_folder / "images"
    assert len(list(images.iterdir())) == sum(number % 5 == 0 for number in accepted), "none of a refused request"
    for number in answers.keys() - accepted.keys():
        assert 1 <= int(answers[number].headers["Retry-After"]) <= 60
        assert answers[number].json()["HttpStatus"] == 503 and "queue is full" in answers[number].json()["Message"]

    gate.touch()
    waiting = sorted(answers.keys() - accepted.keys())
    end = time.monotonic() + 120
    while waiting and time.monotonic() < end:
        answer = send(waiting[0])
        if answer.ok:
            accepted[waiting.pop(0)] = answer.json()["ID"]
        else:
            assert answer.status_code == 503
            time.sleep(0.1)
    jobs = {job["ID"]: job for job in all_over(server, 180)}
    assert len(accepted) == CLIENTS and set(jobs) == {*blockers, *accepted.values()}
    assert Counter((job["State"], job["Content"]["Attempt"]) for job in jobs.values()) == {
        ("Success", 1): CLIENTS + len(blockers)
    }
    series = {each["ID"]: each for each in server.json("/series?expand")}
    assert len(series) == 1 + CLIENTS + len(blockers)
    assert {len(each["Instances"]) for each in series.values()} == {2}
    for number, job_id in accepted.items():
        result = jobs[job_id]["Content"]["Result"]
        assert series[result["ID"]]["MainDicomTags"]["SeriesDescription"] == f"job {number}"
    for number in range(0, CLIENTS, 50):
        derived = volume(server, jobs[accepted[number]]["Content"]["Result"]["ID"])
        assert np.array_equal(derived.voxels(), values + number)
    assert server.stop() == 0
    jobs_folder_is_tidy(server.jobs_folder)


def _busy_server(start_orthanc: StartOrthanc, tmp_path: Path) -> tuple[OrthancServer, list[int]]:
    """With both workers in user code that has children of its own, and a queue behind them; all its processes."""
    server = start_orthanc(library(tmp_path))
    parent = server.upload(ct_phantom(2, 8, 8))
    pid_file = tmp_path / "family"
    for _ in range(2):
        submit(server, parent, Pipeline="family", Parameters={"Family": str(pid_file)}, Priority=1)
    for _ in range(20):
        submit(server, parent, Pipeline="gate")
    end = time.monotonic() + 30
    while not (pid_file.exists() and len(pid_file.read_text().split()) == 4) and time.monotonic() < end:
        time.sleep(0.02)
    while len(server.children()) < 2 + 4 + 2 and time.monotonic() < end:  # the shell's own child comes last
        time.sleep(0.02)
    family = [pid for pid in server.children() if alive(pid)]
    assert {int(pid) for pid in pid_file.read_text().split()} < set(family)
    assert len(workers(server)) == 2 and len(family) >= 2 + 4 + 2
    return server, family


def test_it_stops_in_5_seconds_whatever_runs(start_orthanc: StartOrthanc, tmp_path: Path) -> None:
    server, family = _busy_server(start_orthanc, tmp_path)
    parent = next(iter(server.series_ids()))
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        waiting = [
            pool.submit(server.post, f"/series/{parent}/derive", json={"Pipeline": "gate"}, timeout=20)
            for _ in range(10)
        ]
        while len(all_jobs(server)) < 32:
            time.sleep(0.02)
        began = time.monotonic()
        os.kill(server.pid, signal.SIGTERM)
        while server.returncode is None and time.monotonic() < began + 30:
            time.sleep(0.01)
        assert server.returncode == 0 and time.monotonic() - began < 5.0
        assert survivors(family, 0.5) == []
        for future in waiting:
            try:
                assert future.result(5).status_code == 503
            except requests.ConnectionError:
                continue  # Orthanc was quicker than its answer
    server.start()
    states = Counter(job["State"] for job in all_jobs(server))
    assert states.total() == 32 and states["Failure"] == 0


@pytest.mark.parametrize("repetition", range(2))
def test_no_process_outlives_a_killed_orthanc(start_orthanc: StartOrthanc, tmp_path: Path, repetition: int) -> None:
    server, family = _busy_server(start_orthanc, tmp_path)
    server.kill()
    assert survivors(family, 2.0) == []


def test_it_stops_in_5_seconds_while_it_starts(start_orthanc: StartOrthanc, tmp_path: Path) -> None:
    """The workers are still importing what they need."""
    for _ in range(3):
        server = start_orthanc(library(tmp_path, Workers=4))
        family = server.children()
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 5.0
        assert survivors(family, 0.5) == []
