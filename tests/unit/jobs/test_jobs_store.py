"""The store: what was accepted is on disk, what was not leaves nothing."""

from __future__ import annotations

import dataclasses
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest

from derived_series.errors import Busy, Conflict, DerivedSeriesError, NotFound
from derived_series.jobs.queue.job_files import FolderFiles
from derived_series.jobs.queue.limits import Limits
from derived_series.jobs.queue.runner import JobRunner
from derived_series.jobs.queue.store import JobStore
from derived_series.jobs.queue.uploads import KeptUploads
from derived_series.jobs.record import JobRecord, Problem, State
from derived_series.jobs.rules.evaluate import Firing
from derived_series.jobs.rules.log import Fired, FiringLog
from derived_series.jobs.work.entry import WORK
from store_places import StorePlace


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
def store(store_place: StorePlace) -> Iterator[JobStore]:
    with closing(store_place.open()) as opened:
        yield opened


def test_a_record_comes_back_as_it_was(store: JobStore, store_place: StorePlace) -> None:
    record = job("a", image="image.npy", priority=3, attempt=2, problem=Problem("NotFound", 404, "m", "r", None))
    store.add(record, b"bytes", most=10)
    assert store.get("a") == record
    changed = dataclasses.replace(
        record, state=State.SUCCESS, progress=100, completed=1.5, has_leftovers=True, result={"ID": "x"}
    )
    assert store.update(changed)
    with closing(store_place.open()) as again:
        assert again.get("a") == changed
    assert store.image_size(changed) == 5 and store.read_image(changed) == b"bytes"
    assert store.read_image(changed, 1, 3) == b"yte" and store.read_image(changed, 4, 9) == b"s"
    store.remove_image("a")
    assert store.image_size(changed) is None
    with pytest.raises(NotFound, match="no image"):
        store.read_image(changed)


def test_an_image_of_several_parts_is_read_from_any_place(store: JobStore) -> None:
    image = bytes(range(256)) * (5 << 12)  # 5 MB
    store.add(job("a", image="image.npy"), image, most=9)
    record = store.get("a")
    assert store.read_image(record) == image
    for start, count in ((0, 1), ((1 << 20) - 1, 2), (3 << 20, 1 << 20), (len(image) - 3, 99), (len(image), 5)):
        assert store.read_image(record, start, count) == image[start : start + count]


def test_an_attempt_is_begun_once_and_its_results_count_while_it_is_the_last(store: JobStore) -> None:
    store.add(job("a"), None, most=9)
    first = dataclasses.replace(store.get("a"), state=State.RUNNING, attempt=1)
    assert store.claim(first) and not store.claim(first), "not twice"
    again = dataclasses.replace(first, state=State.PENDING, attempts_lost_to_restarts=1)
    assert store.update(again)
    second = dataclasses.replace(again, state=State.RUNNING, attempt=2)
    assert store.claim(second)
    assert not store.update(dataclasses.replace(first, state=State.SUCCESS, result={"ID": "late"}))
    assert store.get("a") == second
    done = dataclasses.replace(second, state=State.SUCCESS, result={"ID": "x"})
    assert store.update(done) and not store.claim(dataclasses.replace(second, attempt=3)), "it waits no more"
    store.delete("a")
    assert not store.update(done) and store.find("a") is None, "what is forgotten does not come back"


def test_what_is_resubmitted_at_this_moment_is_not_forgotten(store: JobStore) -> None:
    """Several Orthancs may be asked for both."""
    failed = job("a", state=State.FAILURE)
    store.add(failed, b"image", most=9)
    assert store.exchange(failed, dataclasses.replace(failed, state=State.PENDING))
    with pytest.raises(Conflict, match="is not over"):
        store.delete("a")
    assert store.get("a").state is State.PENDING


def test_an_image_and_its_job_go_together(store: JobStore, store_place: StorePlace) -> None:
    """One Orthanc resubmits a job while another removes the images of old failures."""
    failed = job("a", state=State.FAILURE, image="image.npy")
    store.add(failed, b"image", most=9)
    again = dataclasses.replace(failed, state=State.PENDING)
    assert store.exchange(failed, again, store.if_image_is_kept(failed))
    assert not store.remove_image_of_failed("a") and store.read_image(again) == b"image"
    assert store.exchange(again, failed)
    assert store.remove_image_of_failed("a") and store_place.kept_images() == set()
    with pytest.raises(Conflict, match="the image of job a is not kept any more"):
        store.exchange(failed, again, store.if_image_is_kept(failed))
    assert store.get("a") == failed and not store.remove_image_of_failed("b")


def test_an_image_is_kept_whose_job_is_resubmitted_just_before_it_would_go(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add(job("a", state=State.FAILURE, image="image.npy", completed=1.0), b"image", most=9)
    runner = JobRunner(store, ThreadPoolExecutor(1), WORK, cast(Any, None), Limits(), lambda record: 60.0)
    remove = store.remove_image_of_failed

    def late(job_id: str) -> bool:
        runner.resubmit(job_id)  # by another Orthanc
        return remove(job_id)

    monkeypatch.setattr(store, "remove_image_of_failed", late)
    KeptUploads(store, Limits()).tidy_when_due(time.time())
    assert store.get("a").state is State.PENDING and store.read_image(store.get("a")) == b"image"


def test_a_record_is_exchanged_for_what_was_made_from_it_alone(store: JobStore) -> None:
    store.add(job("a", state=State.FAILURE), None, most=9)
    failed = store.get("a")
    assert store.exchange(failed, dataclasses.replace(failed, state=State.PENDING))
    assert not store.exchange(failed, dataclasses.replace(failed, state=State.PENDING, progress=7))
    assert store.get("a").progress == 0 and not store.exchange(job("b"), job("b"))


def test_the_same_identifier_or_firing_is_refused_and_leaves_nothing(store: JobStore) -> None:
    store.add(job("a"), None, most=9)
    with pytest.raises(Conflict):
        store.add(job("a", image="image.npy", priority=7), b"x", most=9)
    log = FiringLog(store)
    firing = Firing("r", {"": "s"}, "subject", "digest", ("r",), 1)
    store.add(job("b"), None, most=9, along=log.note(Fired(firing, "b", 1.0)))
    with pytest.raises(Conflict):
        store.add(job("c"), None, most=9, along=log.note(Fired(firing, "c", 2.0)))
    assert [each.id for each in store.page()] == ["a", "b"] and store.get("a").priority == 0


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "\x7f\u2028 %s ? ' \\", "x" * 100_000])
def test_any_text_comes_back(store: JobStore, text: str) -> None:
    """In what a request, an error or a result says; a database takes neither NUL nor half a character."""
    record = job("a", request={"Pipeline": "p", "Parameters": {"t": text}}, result={"Warnings": [text]})
    store.add(dataclasses.replace(record, problem=Problem("UserCodeError", 500, text)), None, most=9)
    assert store.get("a").request["Parameters"]["t"] == text
    problem = store.get("a").problem
    assert problem is not None and problem.message == text and store.get("a").result == {"Warnings": [text]}


def test_what_is_looked_for_in_requests_and_results(store: JobStore) -> None:
    store.add(job("one", result={"ID": "x"}), None, most=99)
    store.add(job("two", result={"Series": [{"ID": "y_"}, {"ID": "z"}]}), None, most=99)
    store.add(job("rejection", request={"Verdict": "Reject"}, result={"ID": "note"}), None, most=99)
    store.add(job("preview", request={"Pipeline": "p", "DryRun": True}, result={"DryRun": True}), None, most=99)
    makers = {series: store.maker_of(series) for series in ("x", "y_", "z", "note", "y", "yz", "%")}
    assert {series: maker and maker.id for series, maker in makers.items()} == {
        **{"x": "one", "y_": "two", "z": "two"},
        **dict.fromkeys(["note", "y", "yz", "%"]),
    }
    assert [each.id for each in store.newest_series(9)] == ["two", "one"]
    assert [each.id for each in store.newest_series(1)] == ["two"] and len(store.newest_series(-1)) == 2
    assert [each.id for each in store.rejections()] == ["rejection"]
    ready = store.next_ready(0.0, preview=True)
    assert ready is not None and ready.id == "preview"


def test_jobs_are_taken_by_pipeline(store: JobStore) -> None:
    store.add(job("p"), None, most=99)
    store.add(job("q", request={"Pipeline": "q"}), None, most=99)
    store.add(job("none", request={"Blueprint": "ct"}), None, most=99)

    def ready(**which: Any) -> str | None:
        taken = store.next_ready(0.0, **which)
        return None if taken is None else taken.id

    assert ready(only=["q", "r"]) == "q" and ready(only=[]) is None
    assert ready(without=["p"]) == "q" and ready(without=["p", "q"]) == "none" and ready(pipelines=False) == "none"


def test_what_is_asked_to_end_is_known_until_it_is_over(store: JobStore) -> None:
    store.add(job("a"), None, most=9)
    with store.transaction() as db:
        db.execute("INSERT INTO cancellations (job) VALUES ('a')")
    assert store.cancellations() == ["a"]
    store.update(dataclasses.replace(store.get("a"), state=State.FAILURE))
    assert store.cancellations() == []


def test_an_unknown_job(store: JobStore) -> None:
    assert store.find("../../etc/passwd") is None
    with pytest.raises(NotFound):
        store.get("x")


@pytest.mark.slow
def test_a_killed_process_has_lost_nothing_that_it_accepted(store_place: StorePlace) -> None:
    script = (
        "import sys, time; sys.path[:0] = sys.argv[3:]\n"
        "from test_jobs_store import *\n"
        "store = StorePlace(Path(sys.argv[1]), sys.argv[2] or None).open()\n"
        "for number in range(10**6):\n"
        "    store.add(job(f'{number}', image='image.npy'), b'x' * 5000, most=10**6)\n"
        "    print(number, flush=True)\n"
    )
    for _ in range(3 if store_place.address is None else 1):
        arguments = [sys.executable, "-c", script, str(store_place.folder), store_place.address or "", *sys.path]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            accepted = [process.stdout.readline().strip() for _ in range(20)]
            process.kill()
            accepted += process.stdout.read().split()
        store = store_place.open()
        for name in accepted:
            assert store.image_size(store.get(name)) == 5000
        store.remove_stray_images()
        assert store_place.kept_images() == {stored.id for stored in store.page()}
        for stored in store.page():
            assert store.update(dataclasses.replace(stored, state=State.FAILURE))
            store.delete(stored.id)
        store.close()


def test_what_a_crash_left_of_images_is_removed(store: JobStore, store_place: StorePlace) -> None:
    for name, state in (("done", State.SUCCESS), ("failed", State.FAILURE), ("waits", State.PENDING)):
        store.add(job(name, image="image.npy", state=state), b"x", most=10)
    if isinstance(store.files, FolderFiles):
        store.files.job_folder("never accepted").mkdir()
    store.remove_stray_images()
    assert store_place.kept_images() == {"failed", "waits"}, "a failed job may be resubmitted"


def test_a_report_is_read_by_whoever_has_the_jobs(store: JobStore, store_place: StorePlace) -> None:
    assert not store.files.has_report("run") and store.files.read_report("run") is None
    for text in (b"<p>first", b"<p>\x00\xff again" * 100_000):
        store.files.write_report("run", text)
        other = store_place.open()
        assert other.files.has_report("run") and other.files.read_report("run") == text
        other.close()


def test_the_queue_is_bounded_whoever_comes(store: JobStore, store_place: StorePlace) -> None:
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
    assert len(store_place.kept_images()) == 50, "nothing is left of those that were refused"


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
        assert store.find("does not") is None and not (folder / "jobs" / "images" / "does not").exists()
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


def test_a_database_of_another_version_is_refused_and_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = JobStore(tmp_path)
    with store.transaction() as db:
        db.execute("PRAGMA user_version=99")
    store.close()
    opened: list[sqlite3.Connection] = []
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *of, **how: opened.append(connect(*of, **how)) or opened[-1])  # type: ignore[func-returns-value]
    with pytest.raises(DerivedSeriesError, match="version 99"):
        JobStore(store.folder)
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        opened[0].execute("SELECT 1")


def test_a_postgresql_of_a_newer_version_is_refused_with_words(jobs_address: str, tmp_path: Path) -> None:
    StorePlace(tmp_path, jobs_address).open().close()
    import psycopg

    with psycopg.connect(jobs_address) as connection:
        connection.execute("UPDATE derived_series.versions SET version = 99")
    with pytest.raises(DerivedSeriesError, match="version 99, this plugin knows") as refusal:
        StorePlace(tmp_path, jobs_address).open()
    assert "on all Orthancs" in str(refusal.value)


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
    assert [former.id for former in store.stored_before(store.get("replacing"))] == ["running"]


def test_a_series_whose_delivery_failed_is_there_and_an_older_job_does_not_replace_it(store: JobStore) -> None:
    result = {"ID": "x", "Destinations": {"pacs": "Failure"}}
    waiting = {"state": State.RETRY, "request": {"Pipeline": "p", "IfExists": "Replace"}}
    for name, changes in {
        "older": waiting,
        "undelivered": {"state": State.FAILURE, "result": result},
        "failed": {"state": State.FAILURE},
        "released": {"state": State.PENDING, "result": result},
        "another": {"state": State.SUCCESS, "result": result, "subject": "another", "digest": "another"},
        "newer": waiting,
    }.items():
        store.add(job(name, **changes), None, most=100)  # type: ignore[arg-type]
    assert [former.id for former in store.with_digest("digest")] == ["newer", "released", "undelivered", "older"]
    assert [former.id for former in store.stored_before(store.get("newer"))] == ["undelivered", "released"]
    assert store.stored_before(store.get("older")) == []
    with store.transaction() as db:
        db.executemany("INSERT INTO cancellations (job) VALUES (?)", [["newer"], ["released"]])
    assert [former.id for former in store.with_digest("digest")] == ["released", "undelivered", "older"]


def test_pages_and_history(store: JobStore, store_place: StorePlace) -> None:
    for number in range(10):
        state = State.PENDING if number == 0 else State.SUCCESS
        store.add(job(str(number), state=state, image="image.npy"), b"x", most=100)
    assert [listed.id for listed in store.page(2, 3)] == ["2", "3", "4"]
    assert [listed.id for listed in store.page(8)] == ["8", "9"]
    store.forget_oldest(4)
    assert [listed.id for listed in store.page()] == ["0", "6", "7", "8", "9"]
    assert store_place.kept_images() == {"0", "6", "7", "8", "9"}
    assert store.counts()[State.SUCCESS] == 4


def test_the_jobs_that_ended_first_are_forgotten_first(store: JobStore) -> None:
    """One that waited for long is there for whoever waits for its end; the clock may be set back."""
    now = time.time()
    for name, completed in {"former": None, "slow": now, "first": now - 9, "future": now + 9e4, "last": now}.items():
        store.add(job(name, state=State.FAILURE, completed=completed), None, most=9)
    left = []
    for keep in (4, 3, 2, 1):
        store.forget_oldest(keep)
        left.append([each.id for each in store.page()])
    assert left == [["slow", "first", "future", "last"], ["slow", "first", "last"], ["slow", "last"], ["last"]]


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
