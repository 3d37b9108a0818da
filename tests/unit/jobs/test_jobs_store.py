"""The store: what was accepted is on disk, what was not leaves nothing."""

from __future__ import annotations

import dataclasses
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from derived_series.errors import Busy, DerivedSeriesError, NotFound
from derived_series.jobs.queue.store import JobStore
from derived_series.jobs.record import JobRecord, Problem, State


def job(name: str, **changes: object) -> JobRecord:
    record = JobRecord(
        id=name,
        series="series",
        request={"Pipeline": "p", "Parameters": {"ä": [1, None]}},
        image=None,
        subject="subject",
        digest="digest",
        created=time.time(),
    )
    return dataclasses.replace(record, **changes)  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[JobStore]:
    with closing(JobStore(tmp_path / "jobs")) as opened:
        yield opened


def test_a_record_comes_back_as_it_was(store: JobStore) -> None:
    record = job("a", image="image.npy", priority=3, problem=Problem("NotFound", 404, "m", "r", None))
    store.add(record, b"bytes", most=10)
    assert store.get("a") == record
    changed = dataclasses.replace(
        record, state=State.SUCCESS, attempt=2, progress=100, completed=1.5, has_leftovers=True, result={"ID": "x"}
    )
    store.update(changed)
    with closing(JobStore(store.folder)) as again:
        assert again.get("a") == changed
    path = store.image_path(changed)
    assert path is not None and path.read_bytes() == b"bytes"


def test_an_unknown_job(store: JobStore) -> None:
    assert store.find("../../etc/passwd") is None
    with pytest.raises(NotFound):
        store.get("x")


@pytest.mark.slow
def test_a_killed_process_has_lost_nothing_that_it_accepted(tmp_path: Path) -> None:
    script = (
        "import sys, time; sys.path[:0] = sys.argv[2:]\n"
        "from test_jobs_store import *\n"
        "store = JobStore(Path(sys.argv[1]))\n"
        "for number in range(10**6):\n"
        "    store.add(job(f'{number}', image='image.npy'), b'x' * 5000, most=10**6)\n"
        "    print(number, flush=True)\n"
    )
    for _ in range(3):
        folder = tmp_path / "jobs"
        arguments = [sys.executable, "-c", script, str(folder), *sys.path]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            accepted = [process.stdout.readline().strip() for _ in range(20)]
            process.kill()
            accepted += process.stdout.read().split()
        store = JobStore(folder)
        for name in accepted:
            path = store.image_path(store.get(name))
            assert path is not None and path.stat().st_size == 5000
        store.remove_stray_images()
        assert {path.name for path in (folder / "images").iterdir()} == {stored.id for stored in store.page()}
        for stored in store.page():
            store.delete(stored.id)
        store.close()


def test_what_a_crash_left_of_images_is_removed(store: JobStore) -> None:
    for name, state in (("done", State.SUCCESS), ("failed", State.FAILURE), ("waits", State.PENDING)):
        store.add(job(name, image="image.npy", state=state), b"x", most=10)
    store.job_folder("never accepted").mkdir()
    store.remove_stray_images()
    assert sorted(os.listdir(store.folder / "images")) == ["failed", "waits"], "a failed job may be resubmitted"


def test_the_queue_is_bounded_whoever_comes(store: JobStore) -> None:
    refused: list[str] = []

    def submit(thread: int) -> None:
        for number in range(20):
            try:
                store.add(job(f"{thread}-{number}", image="image.nii"), b"x", most=50)
            except Busy as busy:
                assert busy.retry_after > 0
                refused.append(f"{thread}-{number}")

    threads = [threading.Thread(target=submit, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.unfinished()) == 50 and len(refused) == 110
    assert len(list((store.folder / "images").iterdir())) == 50, "nothing is left of those that were refused"


def test_a_full_disk_is_busy_and_leaves_nothing(tmp_path: Path) -> None:
    """A file system of its own, too small for the image; only root can mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("cannot mount a small file system here")
    try:
        store = JobStore(folder / "jobs")
        store.add(job("fits", image="image.npy"), b"x" * 1000, most=10)
        with pytest.raises(Busy, match="is full") as caught:
            store.add(job("does not", image="image.npy"), b"x" * 2_000_000, most=10)
        assert caught.value.http_status == 503
        assert store.find("does not") is None and not store.job_folder("does not").exists()
        filler = folder / "filler"
        with filler.open("wb", buffering=0) as file, pytest.raises(OSError):
            while True:
                file.write(bytes(1000))
        with pytest.raises(Busy, match="full"):
            for number in range(100):
                store.add(job(f"row {number}"), None, most=1000)
        filler.unlink()
        store.add(job("again"), None, most=1000)
        assert store.get("fits").image == "image.npy"
        store.close()
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DerivedSeriesError, match="cannot be used") as caught:
        JobStore(tmp_path / "file" / "jobs")
    assert caught.value.remedy and "JobsFolder" in caught.value.remedy


def test_a_database_of_another_version_is_refused_and_closed(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store._db.execute("PRAGMA user_version=99")
    store.close()
    opened: list[sqlite3.Connection] = []
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *of, **how: opened.append(connect(*of, **how)) or opened[-1])  # type: ignore[func-returns-value]
    with pytest.raises(DerivedSeriesError, match="version 99"):
        JobStore(store.folder)
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        opened[0].execute("SELECT 1")


def test_the_order_of_jobs(store: JobStore) -> None:
    for name, changes in {
        "old": {},
        "urgent": {"priority": 5},
        "later": {"priority": 9, "state": State.RETRY, "next_try": 100.0},
        "done": {"priority": 9, "state": State.SUCCESS},
    }.items():
        store.add(job(name, **changes), None, most=100)  # type: ignore[arg-type]
    order = []
    while (next_job := store.next_ready(50.0)) is not None:
        order.append(next_job.id)
        store.update(dataclasses.replace(next_job, state=State.SUCCESS))
    assert order == ["urgent", "old"]
    assert store.next_time() == 100.0
    ready = store.next_ready(100.0)
    assert ready is not None and ready.id == "later"


def test_one_that_replaces_waits_for_others_on_its_subject(store: JobStore) -> None:
    store.add(job("running", state=State.RUNNING), None, most=100)
    store.add(job("replacing", request={"Pipeline": "p", "IfExists": "Replace"}), None, most=100)
    store.add(job("other", subject="another"), None, most=100)
    ready = store.next_ready(0.0)
    assert ready is not None and ready.id == "other"
    store.update(dataclasses.replace(store.get("running"), state=State.SUCCESS, result={"ID": "x"}))
    ready = store.next_ready(0.0)
    assert ready is not None and ready.id == "replacing"
    assert [former.id for former in store.succeeded_on("subject", but="replacing")] == ["running"]


def test_pages_and_history(store: JobStore) -> None:
    for number in range(10):
        state = State.PENDING if number == 0 else State.SUCCESS
        store.add(job(str(number), state=state, image="image.npy"), b"x", most=100)
    assert [listed.id for listed in store.page(2, 3)] == ["2", "3", "4"]
    assert [listed.id for listed in store.page(8)] == ["8", "9"]
    store.forget_oldest(4)
    assert [listed.id for listed in store.page()] == ["0", "6", "7", "8", "9"]
    assert sorted(os.listdir(store.folder / "images")) == ["0", "6", "7", "8", "9"]
    assert store.counts()[State.SUCCESS] == 4


def test_jobs_whose_destinations_wait_for_a_verdict_are_not_forgotten(store: JobStore) -> None:
    for name, states in {
        "held": {"a": "Success", "b": "Held"},
        "failed": {"a": "Failure"},
        "rejected": {"a": "Rejected", "b": "Success"},
        "none": {},
    }.items():
        store.add(job(name, state=State.SUCCESS, result={"ID": "x", "Destinations": states}), None, most=100)
    store.add(job("plain", state=State.SUCCESS, result={"ID": "x"}), None, most=100)
    store.add(job("running", state=State.RUNNING), None, most=100)
    assert [waiting.id for waiting in store.undelivered()] == ["held", "failed"]
    store.forget_oldest(0)
    assert [waiting.id for waiting in store.page()] == ["held", "running"]
