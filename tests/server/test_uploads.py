"""What is kept of jobs that failed, for how long; who has the jobs folder; and what a full one leaves."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from conftest import StartOrthanc
from derived_series.errors import Busy, Conflict, DerivedSeriesError, NotFound
from derived_series.jobs.messages import Outcome
from derived_series.jobs.queue.folder_lock import lock_folder
from derived_series.jobs.queue.full_store import FullStore
from derived_series.jobs.queue.limits import Limits
from derived_series.jobs.queue.store import JobStore
from derived_series.jobs.queue.uploads import Upload, failed_uploads, superfluous
from derived_series.jobs.record import State
from derived_series.jobs.rules.evaluate import Firing
from derived_series.jobs.rules.log import Fired, FiringLog
from orthanc_server import OrthancFailed, merged
from phantoms import ct_phantom
from server_audit import fill, small_disk
from server_fixtures import derive, finished, settings, submit
from test_jobs_runner import Start, start
from test_jobs_store import job
from waiting import soon

pytestmark = pytest.mark.sqlite  # it looks at the disk

__all__ = ["start"]

DAY_SECONDS = 86400.0


def test_what_goes_is_too_old_or_beyond_the_bound() -> None:
    uploads = [
        Upload("new", 60, 100 * DAY_SECONDS),
        Upload("big", 50, 99 * DAY_SECONDS),
        Upload("small", 40, 98 * DAY_SECONDS),
    ]
    uploads.append(Upload("old", 1, 90 * DAY_SECONDS))
    limits = Limits(upload_days=7, upload_bytes=100)
    gone = {upload.job_id: why for upload, why in superfluous(uploads, limits, 100 * DAY_SECONDS)}
    assert set(gone) == {"big", "old"}
    assert "FailedUploadsMB" in gone["big"] and "FailedUploadsDays" in gone["old"]
    assert not list(superfluous(uploads, Limits(upload_days=11, upload_bytes=151), 100 * DAY_SECONDS))


def test_uploads_of_failed_jobs_are_bounded_and_told(
    start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = JobStore(tmp_path / "jobs")
    past = {"state": State.FAILURE, "image": "image.npy"}
    store.add(job("old", completed=time.time() - 9 * DAY_SECONDS, **past), b"x" * 10, most=9)
    store.add(job("kept", completed=time.time() - DAY_SECONDS, **past), b"x" * 10, most=9)
    store.close()
    limits = Limits(attempts=1, upload_days=7, upload_bytes=100)
    started = start(lambda task: Outcome(error=NotFound("gone")), limits=limits)
    soon(lambda: {each.job_id for each in failed_uploads(started.store)} == {"kept"}, "the old one is still there")
    soon(lambda: "the image of job old (10 bytes) is removed" in caplog.text, "the log does not say so")
    started.runner.submit(job("new", image="image.npy"), b"x" * 95)
    assert started.runner.wait("new", 10).state is State.FAILURE
    soon(lambda: {each.job_id for each in failed_uploads(started.store)} == {"new"}, "more than the bound is there")
    with pytest.raises(Conflict, match="the image of job kept is not kept any more"):
        started.runner.resubmit("kept")
    started.runner.resubmit("new")


def fired(name: str, when: float, series: str) -> Fired:
    return Fired(Firing("rule", {"": series}, name, name, ("rule",), 1), name, when)


def test_firings_are_forgotten(tmp_path: Path) -> None:
    store = JobStore(tmp_path)
    log = FiringLog(store)
    for name, when in {"a": 1.0, "b": 2.0, "c": 3.0}.items():
        store.add(job(name), None, most=9, along=log.note(fired(name, when, name)))
    assert [each.job for each in log.before(3.0)] == ["a", "b"]
    log.forget(log.before(2.0))
    assert log.find("rule", "a") is None and log.find("rule", "b") is not None


def test_the_log_of_firings_is_pruned_of_series_that_are_gone(start_orthanc: StartOrthanc, tmp_path: Path) -> None:
    rule = {"Name": "ct", "Match": {"Modality": "CT"}, "Derive": {"Pipeline": "plain"}}
    server = start_orthanc(settings(tmp_path / "library", Rules=[rule], JobsFolder=str(tmp_path / "jobs")))
    server.upload(ct_phantom(slices=2))
    soon(lambda: server.json("/derived-series/jobs"), "the rule has not fired")
    finished(server, server.json("/derived-series/jobs")[0])
    server.stop()
    with sqlite3.connect(tmp_path / "jobs" / "jobs.sqlite") as db:
        columns = "rule, digest, subject, job, inputs, chain, depth, time"
        row = f"INSERT INTO firings ({columns}) SELECT rule, ?, ?, ?, ?, chain, depth, ? FROM firings LIMIT 1"
        gone = '{"": "00000000-00000000-00000000-00000000-00000000"}'
        now = time.time()
        db.execute(row, ["gone", "gone", "gone", gone, now - 31 * DAY_SECONDS])
        db.execute(row, ["young", "young", "young", gone, now - 29 * DAY_SECONDS])
        db.execute("UPDATE firings SET time = ? WHERE digest NOT IN ('gone', 'young')", [now - 99 * DAY_SECONDS])
    server.start()
    soon(lambda: "1 firings of rules are forgotten" in server.log(), "nothing was pruned")
    with sqlite3.connect(tmp_path / "jobs" / "jobs.sqlite") as db:
        assert len(db.execute("SELECT 1 FROM firings").fetchall()) == 2
        assert not db.execute("SELECT 1 FROM firings WHERE digest = 'gone'").fetchall()


# -- two for one folder ------------------------------------------------------------------------------------------------


def test_a_locked_folder_names_who_has_it(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from derived_series.jobs.queue.folder_lock import lock_folder\n"
        "lock_folder(Path(sys.argv[1]), 'the first'); print('locked', flush=True); time.sleep(60)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as first:
        assert first.stdout is not None and first.stdout.readline() == "locked\n"
        with pytest.raises(DerivedSeriesError, match=rf"in use by another Orthanc: the first, process {first.pid} on"):
            lock_folder(tmp_path, "the second")
        first.kill()
        first.wait()
        lock_folder(tmp_path, "the second")  # the kernel has given it back
    handle = os.open(tmp_path / "lock", os.O_RDONLY)
    assert os.read(handle, 99).startswith(b"the second, process")


def test_two_orthancs_over_one_jobs_folder(start_orthanc: StartOrthanc, tmp_path: Path) -> None:
    keys = settings(tmp_path / "library", JobsFolder=str(tmp_path / "jobs"))
    first = start_orthanc({**keys, "Name": "Radiology"})
    ct = first.upload(ct_phantom(slices=2))
    with pytest.raises(OrthancFailed) as caught:
        start_orthanc({**keys, "Name": "Another"})
    assert f"in use by another Orthanc: 'Radiology' at {first.url}, process {first.pid}" in caught.value.log
    assert "JobsFolder" in caught.value.log
    assert derive(first, ct, Pipeline="plain")["InstancesCount"] == 2
    first.kill()
    again = start_orthanc({**keys, "Name": "Another"})
    assert again.json("/derived-series/status")["Deriving"] is True


# -- a full disk at the start --------------------------------------------------------------------------------


def test_a_store_on_a_full_disk_takes_nothing_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "images" / "a").mkdir(parents=True)
    store = FullStore(tmp_path, "the disk is full")
    log = FiringLog(store)
    store.shut()
    calls: list[Any] = [
        lambda: store.add(job("a"), None, most=9),
        lambda: store.get("a"),
        store.page,
        lambda: store.update(job("a")),
        log.waiting,
    ]
    for call in calls:
        with pytest.raises(Busy, match="the disk is full: nothing is derived"):
            call()
    assert store.remove_stray_images() == 0 and (tmp_path / "images" / "a").exists(), "it may be a job's"
    assert store.unfinished() == []


@pytest.mark.parametrize("there_before", [True, False])
def test_a_full_jobs_disk_does_not_stop_orthanc_from_starting(
    start_orthanc: StartOrthanc, tmp_path: Path, there_before: bool
) -> None:
    with small_disk(tmp_path / "disk", 8) as disk:
        rule = {"Name": "ct", "Match": {"Modality": "MR"}, "Derive": {"Pipeline": "plain"}}
        keys = settings(tmp_path / "library", JobsFolder=str(disk / "jobs"), Rules=[rule])
        job_id = None
        if there_before:
            server = start_orthanc(keys)
            ct = server.upload(ct_phantom(slices=2))
            job_id = submit(server, ct, Pipeline="plain", Parameters={"Seconds": 1.5})
            server.kill()
            filler = fill(disk)
            server.start()
        else:
            filler = fill(disk)
            server = start_orthanc(keys)
            ct = server.upload(ct_phantom(slices=2))
        status = server.json("/derived-series/status")
        assert status["Deriving"] is False
        full = f"the disk of the jobs folder {disk / 'jobs'} is full"
        assert [each["Message"] for each in status["Problems"] if each["File"] == str(disk / "jobs")] == [full]
        for answer in (
            server.post(f"/series/{ct}/derive", json={"Pipeline": "plain"}),
            server.post(f"/series/{ct}/derive", json={"Pipeline": "plain", "Asynchronous": True}),
            server.get("/derived-series/jobs?expand"),
            server.get("/derived-series/jobs/x"),
        ):
            assert answer.status_code == 503 and "is full: nothing is derived" in answer.json()["Message"]
            assert "restart" in answer.json()["Remedy"]
        assert server.get(f"/series/{ct}").status_code == 200 and server.get("/derived-series/").status_code == 200
        assert server.get("/derived-series/blueprints").status_code == 200
        assert server.series_ids() == {ct}
        assert server.stop() == 0
        filler.unlink()
        server.start()
        assert server.json("/derived-series/status")["Deriving"] is True
        if job_id is not None:
            assert finished(server, job_id)["State"] == "Success"
        assert derive(server, ct, Pipeline="plain")["InstancesCount"] == 2
        server.close()


def test_the_bounds_are_settings_and_in_the_status(start_orthanc: StartOrthanc, tmp_path: Path) -> None:
    keys = settings(tmp_path / "library", FailedUploadsDays=2.5, FailedUploadsMB=1)
    server = start_orthanc(merged(keys, {}))
    ct = server.upload(ct_phantom(slices=2))
    image = b"\x93NUMPY" + bytes(700_000)
    for _ in range(2):
        answer = server.post(f"/series/{ct}/derive/ct/numpy", data=image)
        assert answer.status_code == 400
    uploads = {"Count": 1, "Bytes": len(image), "MaxBytes": 1 << 20, "MaxDays": 2.5}
    line = "is removed: uploads of failed jobs have more than 1 MB (FailedUploadsMB)"
    soon(lambda: server.json("/derived-series/status")["FailedUploads"] == uploads, "two are kept")
    assert line in server.log(), "the log tells of it before the status does"
    jobs = server.json("/derived-series/jobs")
    answers = [server.post(f"/derived-series/jobs/{each}/resubmit") for each in jobs]
    assert [answer.status_code for answer in answers] == [409, 200]
    assert "is not kept any more" in answers[0].json()["Message"]
