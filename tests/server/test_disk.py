"""Disks that are full or read-only: a clear answer or another attempt, nothing half stored."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from conftest import StartOrthanc
from orthanc_server import OrthancFailed, OrthancServer, merged
from phantoms import ct_phantom
from server_audit import all_jobs, all_over, fill, fingerprint, jobs_folder_is_tidy, remount, small_disk, volume
from server_fixtures import derive, finished, npy, settings, submit, until

pytestmark = pytest.mark.sqlite  # it looks at the disk

SLICES, ROWS, COLUMNS = 20, 192, 192  # 1.5 MB
PLAIN = {"Pipeline": "plain"}
SLOW = {"Pipeline": "plain", "Parameters": {"Seconds": 1.0}}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """More than Orthanc's database and a few series need."""
    with small_disk(tmp_path / "disk", 32) as folder:
        yield folder


def server_on(start: StartOrthanc, tmp_path: Path, *, jobs: Path, storage: Path, index: Path) -> OrthancServer:
    keys = settings(tmp_path / "library", JobsFolder=str(jobs / "jobs"), RetryPause=0.2)
    server = start(merged(keys, {"StorageDirectory": str(storage), "IndexDirectory": str(index)}))
    server.json("/derived-series/status")  # the workers are there
    return server


def ct(server: OrthancServer) -> str:
    return server.upload(ct_phantom(SLICES, ROWS, COLUMNS))


def post_image(server: OrthancServer, series: str) -> requests.Response:
    image = npy(np.full((SLICES, ROWS, COLUMNS), 5, np.int16))
    return server.post(f"/series/{series}/derive/ct/numpy", data=image, headers={"Prefer": "respond-async"})


def refusals(server: OrthancServer, series: str) -> list[requests.Response]:
    return [server.post(f"/series/{series}/derive", json={**PLAIN, "Asynchronous": True}), post_image(server, series)]


def all_succeeded_and_are_whole(server: OrthancServer, parent: str, jobs: int) -> None:
    """One series a job, of all instances, and nothing else."""
    all_jobs = all_over(server, 60)
    assert len(all_jobs) == jobs and {job["State"] for job in all_jobs} == {"Success"}, all_jobs
    derived = {job["Content"]["Result"]["ID"] for job in all_jobs}
    assert len(derived) == jobs and server.series_ids() == {parent, *derived}
    assert server.json("/statistics")["CountInstances"] == SLICES * (jobs + 1)
    for series in derived:
        assert len(volume(server, series)) == SLICES


def test_a_full_jobs_folder(start_orthanc: StartOrthanc, tmp_path: Path, disk: Path) -> None:
    """What is not on disk is not accepted; what runs goes on, and its outcome is written down when that can be."""
    server = server_on(start_orthanc, tmp_path, jobs=disk, storage=tmp_path / "s", index=tmp_path / "s")
    parent = ct(server)
    running = submit(server, parent, **SLOW)
    until(server, running, {"Running"})
    filler = fill(disk)
    for answer in refusals(server, parent):
        assert answer.status_code == 503 and int(answer.headers["Retry-After"]) > 0
        assert f"the disk of the jobs folder {disk / 'jobs'} is full" in answer.json()["Message"]
    assert list((disk / "jobs" / "images").glob("*")) == [], "no image without a job"
    end = time.monotonic() + 20
    while len(server.series_ids()) < 2 and time.monotonic() < end:
        time.sleep(0.05)
    assert len(server.series_ids()) == 2
    assert [job["ID"] for job in all_jobs(server)] == [running]
    assert server.json("/derived-series/status")["Jobs"]["Success"] == 0, "not told before it is on disk"
    filler.unlink()
    assert finished(server, running)["Content"]["Attempt"] == 1
    assert post_image(server, parent).status_code == 200
    all_succeeded_and_are_whole(server, parent, 2)
    assert server.stop() == 0
    jobs_folder_is_tidy(disk / "jobs")


def test_a_jobs_folder_that_is_full_while_orthanc_is_killed(
    start_orthanc: StartOrthanc, tmp_path: Path, disk: Path
) -> None:
    server = server_on(start_orthanc, tmp_path, jobs=disk, storage=tmp_path / "s", index=tmp_path / "s")
    parent = ct(server)
    jobs = [submit(server, parent, **SLOW) for _ in range(3)]
    until(server, jobs[0], {"Running"})
    filler = fill(disk)
    time.sleep(1.5)  # the first ones are through, which cannot be written down
    server.kill()
    filler.unlink()
    server.start()
    all_succeeded_and_are_whole(server, parent, 3)


def test_a_full_storage(start_orthanc: StartOrthanc, tmp_path: Path, disk: Path) -> None:
    """Room for a part of a series: none of it stays, and the next attempt with room has all."""
    server = server_on(start_orthanc, tmp_path, jobs=tmp_path, storage=disk, index=tmp_path / "i")
    parent = ct(server)
    before = fingerprint(server, parent)
    filler = fill(disk, but=SLICES * ROWS * COLUMNS)  # half a series
    jobs = [submit(server, parent, **PLAIN), post_image(server, parent).json()["ID"]]
    for job_id in jobs:
        job = until(server, job_id, {"Retry", "Success", "Failure"})
        assert job["State"] == "Retry" and "were not stored" in job["ErrorDescription"]
        assert "full disk" in job["ErrorDetails"]
    time.sleep(1.0)
    assert server.get("/system").status_code == 200
    filler.unlink()
    all_succeeded_and_are_whole(server, parent, 2)
    assert fingerprint(server, parent) == before


def test_a_storage_that_stays_full(start_orthanc: StartOrthanc, tmp_path: Path, disk: Path) -> None:
    """When the attempts are used up the job fails, nothing of it is left, and it can be resubmitted."""
    keys = settings(tmp_path / "library", JobsFolder=str(tmp_path / "jobs"), RetryPause=0.1, Attempts=3)
    server = start_orthanc(merged(keys, {"StorageDirectory": str(disk), "IndexDirectory": str(tmp_path / "i")}))
    parent = ct(server)
    filler = fill(disk, but=SLICES * ROWS * COLUMNS)
    job_id = post_image(server, parent).json()["ID"]
    job = finished(server, job_id)
    assert job["State"] == "Failure" and job["Content"]["Attempt"] == 3
    assert server.series_ids() == {parent} and server.json("/statistics")["CountInstances"] == SLICES
    answer = server.post(f"/series/{parent}/derive", json=PLAIN)
    assert answer.status_code == 502 and "were not stored" in answer.json()["Message"]
    assert server.series_ids() == {parent} and server.json("/statistics")["CountInstances"] == SLICES
    filler.unlink()
    assert server.post(f"/derived-series/jobs/{job_id}/resubmit").status_code == 200
    assert finished(server, job_id)["State"] == "Success"
    assert np.all(volume(server, finished(server, job_id)["Content"]["Result"]["ID"]).voxels() == 5)


def test_one_full_disk_for_everything(start_orthanc: StartOrthanc, tmp_path: Path, disk: Path) -> None:
    """The default: jobs, Orthanc's index and its storage share a disk."""
    server = server_on(start_orthanc, tmp_path, jobs=disk, storage=disk, index=disk)
    parent = ct(server)
    first = derive(server, parent, **PLAIN)
    running = submit(server, parent, **SLOW)
    until(server, running, {"Running"})
    filler = fill(disk)
    for answer in refusals(server, parent):
        assert answer.status_code == 503 and "is full" in answer.json()["Message"]
    time.sleep(2.5)  # it tries to store meanwhile
    assert server.get("/system").status_code == 200
    assert {job["ID"] for job in all_jobs(server)} == {first["JobID"], running}
    filler.unlink()
    all_succeeded_and_are_whole(server, parent, 2)


def test_a_read_only_storage(start_orthanc: StartOrthanc, tmp_path: Path, disk: Path) -> None:
    server = server_on(start_orthanc, tmp_path, jobs=tmp_path, storage=disk, index=tmp_path / "i")
    parent = ct(server)
    remount(disk, "ro")
    job_id = submit(server, parent, **PLAIN)
    job = until(server, job_id, {"Retry", "Success", "Failure"})
    assert job["State"] == "Retry" and "19 of 19 instances were not stored" in job["ErrorDescription"]
    time.sleep(0.5)
    assert server.json("/statistics")["CountInstances"] == SLICES
    remount(disk, "rw")
    all_succeeded_and_are_whole(server, parent, 1)


def test_a_read_only_jobs_folder_is_named_and_orthanc_does_not_start(
    start_orthanc: StartOrthanc, tmp_path: Path, disk: Path
) -> None:
    """Better than taking jobs that would be lost."""
    for made_before in (False, True):
        if made_before:
            remount(disk, "rw")
            (disk / "jobs").mkdir()
        remount(disk, "ro")
        with pytest.raises(OrthancFailed) as caught:
            server_on(start_orthanc, tmp_path, jobs=disk, storage=tmp_path / "s", index=tmp_path / "s")
        assert f"the jobs folder {disk / 'jobs'} cannot be used" in caught.value.log
        assert "JobsFolder in the configuration" in caught.value.log


def version(server: OrthancServer) -> tuple[int, ...]:
    text: Any = server.json("/system")["Version"]
    return tuple(int(number) for number in text.split(".")) if text[0].isdigit() else (9999,)


def test_an_orthanc_that_is_read_only(start_orthanc: StartOrthanc, tmp_path: Path) -> None:
    """``ReadOnly`` of newer Orthancs: an answer that says so, and no attempt after the other."""
    keys = settings(tmp_path / "library")
    server = start_orthanc(keys)
    if version(server) < (1, 12, 5):
        pytest.skip("this Orthanc knows no ReadOnly")
    parent = ct(server)
    server.restart({**keys, "ReadOnly": True})
    answer = server.post(f"/series/{parent}/derive", json=PLAIN)
    assert answer.status_code == 502 and "405" in answer.json()["Message"] and "ReadOnly" in answer.json()["Remedy"]
    assert server.series_ids() == {parent}
    (job,) = all_jobs(server)
    assert job["State"] == "Failure" and job["Content"]["Attempt"] == 1
    server.restart(keys)
    assert server.post(f"/derived-series/jobs/{job['ID']}/resubmit").status_code == 200
    all_succeeded_and_are_whole(server, parent, 1)
