"""A dry run, which a person waits for in front of a page, does not wait behind the jobs that have the workers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from derived_series.jobs.messages import DeriveTask, Outcome
from derived_series.jobs.pool.executor import ProcessExecutor
from derived_series.jobs.pool.overflow import OverflowExecutor
from derived_series.jobs.queue.runner import JobRunner
from derived_series.jobs.queue.store import JobStore
from derived_series.jobs.record import State
from derived_series.jobs.work.entry import WORK
from orthanc_server import OrthancServer
from phantoms import ct_phantom
from server_audit import all_jobs
from server_fixtures import derive, finished, settings, submit, until
from test_jobs_runner import LIMITS, Scripted, blocked, make_task
from test_jobs_store import job

DRY = {"Pipeline": "p", "DryRun": True}


class Places:
    """A runner whose workers never end, and a scripted place for previews."""

    def __init__(self, folder: Path, preview: Any):
        self.usual, self.extra = Scripted(blocked), Scripted(preview)
        self.store = JobStore(folder)
        self.runner = JobRunner(
            self.store, self.usual, WORK, make_task, LIMITS, lambda record: 30.0, previews=self.extra
        )
        self.runner.start()


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def test_a_dry_run_has_a_place_beside_the_jobs(tmp_path: Path) -> None:
    places = Places(tmp_path, lambda task: Outcome(result={"DryRun": True}))
    for name in ("a", "b", "c"):
        places.runner.submit(job(name), None)
    for name in ("dry", "dry too"):
        places.runner.submit(job(name, request={**DRY, "IfExists": "Replace"}), None)
        assert places.runner.wait(name, 10).state is State.SUCCESS
    assert {name for _, name, _ in places.usual.calls} == {"a", "b"} and places.store.get("c").state is State.PENDING
    assert {name for _, name, _ in places.extra.calls} == {"dry", "dry too"}
    places.runner.stop()


def test_one_at_a_time_and_none_has_leftovers(tmp_path: Path, gate: threading.Event) -> None:
    def preview(task: DeriveTask) -> Outcome:
        gate.wait(30)
        return Outcome(result={"DryRun": True})

    places = Places(tmp_path, preview)
    for name in ("a", "b"):
        places.runner.submit(job(name), None)
    for name in ("dry", "dry too"):
        places.runner.submit(job(name, request=DRY), None)
    end = time.monotonic() + 10
    while not places.extra.calls and time.monotonic() < end:
        time.sleep(0.01)
    states = [places.store.get(name).state for name in ("dry", "dry too")]
    assert states == [State.RUNNING, State.PENDING] and not places.store.get("dry").has_leftovers
    places.runner.cancel("dry")
    assert places.runner.wait("dry", 10).state is State.FAILURE
    gate.set()
    assert places.runner.wait("dry too", 10).state is State.SUCCESS
    assert not [call for call in places.usual.calls if call[0] == "discard"], "there is nothing to remove"
    places.runner.stop()


def test_where_workers_are_free_a_dry_run_is_a_job_like_any_other(tmp_path: Path) -> None:
    places = Places(tmp_path, lambda task: Outcome(result={"DryRun": True}))
    places.runner.submit(job("dry", request=DRY), None)
    until_called = time.monotonic() + 10
    while not places.usual.calls and time.monotonic() < until_called:
        time.sleep(0.01)
    assert places.usual.calls == [("derive", "dry", 1)] and not places.extra.calls
    places.runner.stop()


def nothing() -> None:
    """Initializes a worker."""


@pytest.mark.slow
def test_the_extra_process_is_not_ended_while_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("derived_series.jobs.pool.overflow._KEPT_SECONDS", 0.2)
    usual = ProcessExecutor(1, initializer=nothing)
    spare = OverflowExecutor(usual, lambda: ProcessExecutor(1, initializer=nothing))
    try:
        usual.submit(time.sleep, 60)
        assert spare.submit(time.sleep, 1.5).result(30) is None
    finally:
        spare.shutdown()
        usual.shutdown()


@pytest.fixture(scope="module")
def server(orthanc_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancServer]:
    folder = tmp_path_factory.mktemp("previews")
    keys = settings(folder / "library", Workers=1)
    (folder / "library" / "chains.py").write_text(CHAINS)
    with OrthancServer(folder, keys) as orthanc:
        yield orthanc


def test_a_preview_while_all_workers_are_busy(server: OrthancServer) -> None:
    server.delete_all()
    ct = server.upload(ct_phantom(slices=2))
    running = submit(server, ct, Pipeline="plain", Parameters={"Seconds": 60.0})
    until(server, running, {"Running"})
    waiting = submit(server, ct, Pipeline="plain")
    for _ in range(2):
        answer = derive(server, ct, Pipeline="gaussian_smoothing", DryRun=True, Preview=True)
        assert answer["DryRun"] and answer["Header"] and answer["Preview"]["PNG"]
    states = {job["ID"]: job["State"] for job in all_jobs(server)}
    assert (states[running], states[waiting]) == ("Running", "Pending")
    server.post(f"/derived-series/jobs/{running}/cancel")
    assert finished(server, waiting)["State"] == "Success"


# -- a job that asks its own server ------------------------------------------------------------------------------------

CHAINS = '''
"""Pipelines that ask their own server for more."""
import json
import urllib.error
import urllib.request

import requests

from derived_series import derivation
from derived_series.pipelines import Parameters, Pipeline


class Settings(Parameters):
    How: str = ""
    Url: str = ""


class Chain(Pipeline):
    parameters = Settings

    def blueprint_for(self, parent, parameters, blueprints):
        return blueprints["ct"] + derivation("nothing", "Smoothing")

    def process(self, container):
        asked, how = container.parameters, container.parameters.How
        wanted = {"Pipeline": "plain", "Asynchronous": how == "asynchronous"}
        if how == "urllib":
            try:
                urllib.request.urlopen(urllib.request.Request(asked.Url, json.dumps(wanted).encode()), timeout=100)
            except urllib.error.HTTPError as error:
                raise RuntimeError(f"{error.code} {error.read().decode()}")
        else:
            answer = requests.post(asked.Url, json=wanted, timeout=100)
            if not answer.ok:
                raise RuntimeError(f"{answer.status_code} {answer.text}")
        return container["parent"].voxels()
'''


@pytest.mark.parametrize("how", ["requests", "urllib"])
def test_a_job_that_would_wait_for_another_is_told_so_at_once(server: OrthancServer, how: str) -> None:
    server.delete_all()
    ct = server.upload(ct_phantom(slices=2))
    url = f"{server.url}/series/{ct}/derive"
    job_id = submit(server, ct, Pipeline="chain", Parameters={"How": how, "Url": url})
    done = finished(server, job_id, 50)
    assert done["State"] == "Failure"
    message = done["ErrorDescription"]
    assert "409" in message and f"the job {job_id} would wait for another" in message and "Asynchronous" in message
    assert server.series_ids() == {ct}
    assert derive(server, ct, Pipeline="plain")["InstancesCount"] == 2, "others wait as before"


def test_a_job_may_ask_for_another_and_go_on(server: OrthancServer) -> None:
    server.delete_all()
    ct = server.upload(ct_phantom(slices=2))
    url = f"{server.url}/series/{ct}/derive"
    assert derive(server, ct, Pipeline="chain", Parameters={"How": "asynchronous", "Url": url})["InstancesCount"] == 2
    for each in all_jobs(server):
        finished(server, each["ID"])
    assert len(server.series_ids()) == 3
