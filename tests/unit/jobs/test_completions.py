"""The point from which a series may be complete: a cancellation before it is followed, one after it is not just so."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from derived_series.errors import Busy, Conflict, NotFound, StorageError
from derived_series.identifiers import series_uids_of
from derived_series.jobs.messages import DeriveTask, Outcome
from derived_series.jobs.queue import completions
from derived_series.jobs.queue.completions import Completions, closed_result
from derived_series.jobs.queue.database import Note
from derived_series.jobs.queue.leftovers import Leftovers
from derived_series.jobs.queue.nodes import OneNode
from derived_series.jobs.queue.runner import JobRunner
from derived_series.jobs.queue.store import JobStore
from derived_series.jobs.queue.waiting import WaitingRoom
from derived_series.jobs.record import JobRecord, State
from derived_series.jobs.work.entry import WORK
from store_places import StorePlace
from test_jobs_runner import LIMITS, Scripted, make_task
from test_jobs_store import job
from waiting import soon

ANSWER = {"ID": "series", "SeriesInstanceUID": "1.2", "InstancesCount": 3}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completions, "_PATIENCE_SECONDS", 0.2)


# -- what is written ---------------------------------------------------------------------------------------------------


class Held:
    """What Orthanc has."""

    def __init__(self) -> None:
        self.instances: dict[str, int] = {}

    def __call__(self, series: Iterable[str]) -> Mapping[str, int]:
        return {each: self.instances[each] for each in series if each in self.instances}


@pytest.fixture
def held() -> Held:
    return Held()


@pytest.fixture
def store(store_place: StorePlace) -> Iterator[JobStore]:
    with closing(store_place.open()) as opened:
        yield opened


@pytest.fixture
def asked(store: JobStore, held: Held, impatient: None) -> Completions:
    """For a job that runs."""
    store.add(job("a", state=State.RUNNING, attempt=1, has_leftovers=True), None, most=9)
    return Completions(store, held, WaitingRoom())


def test_what_is_cancelled_is_not_completed(asked: Completions, store: JobStore) -> None:
    asked.cancel("a")
    assert store.cancellations() == ["a"]
    assert not asked.begin("a", 1, {"1.2": 3}) and not asked.note_result("a", 1, ANSWER)
    asked.cancel("a")


def test_what_is_completed_is_not_cancelled(asked: Completions, store: JobStore, held: Held) -> None:
    assert asked.begin("a", 1, {"1.2": 3, "1.3": 1}) and asked.begin("a", 1, {"1.2": 3, "1.3": 1})
    assert not asked.cancel("a", wait=False)
    held.instances = {"1.2": 2, "1.3": 1}
    with pytest.raises(Conflict, match="is complete") as refused:
        asked.cancel("a")
    assert "wait for the end" in (refused.value.remedy or "") and store.cancellations() == []
    assert asked.note_result("a", 1, ANSWER)


def test_what_waits_long_for_its_last_instance_is_cancelled(asked: Completions, store: JobStore, held: Held) -> None:
    assert asked.begin("a", 1, {"1.2": 3})
    held.instances = {"1.2": 2, "of another": 3}
    asked.cancel("a")
    assert store.cancellations() == ["a"] and not asked.note_result("a", 1, ANSWER)


def test_a_stored_result_stays_and_its_delivery_is_cancelled(asked: Completions, store: JobStore, held: Held) -> None:
    held.instances = {"1.2": 3}
    assert asked.begin("a", 1, {"1.2": 3}) and asked.note_result("a", 1, ANSWER)
    record = store.get("a")
    assert (record.state, record.result, record.has_leftovers) == (State.RUNNING, ANSWER, False)
    asked.cancel("a")
    assert store.cancellations() == ["a"]


@pytest.mark.parametrize(
    "other",
    [
        {"attempt": 2, "state": State.RUNNING},
        {"attempt": 1, "state": State.RETRY},
        {"attempt": 1, "state": State.SUCCESS},
    ],
)
def test_only_the_attempt_that_runs_completes(asked: Completions, store: JobStore, other: dict[str, object]) -> None:
    store.exchange(store.get("a"), dataclasses.replace(store.get("a"), **other))  # type: ignore[arg-type]
    assert not asked.begin("a", 1, {"1.2": 3}) and not asked.note_result("a", 1, ANSWER)
    assert not asked.begin("b", 1, {"1.2": 3}) and not asked.note_result("b", 1, ANSWER)


@pytest.mark.parametrize(
    ("what", "is_on_the_way", "counts"),
    [
        ({"state": State.RETRY, "has_leftovers": False}, False, False),  # it was removed
        ({"state": State.RETRY, "has_leftovers": False}, True, True),  # its last instance may still arrive
        ({"state": State.PENDING, "has_leftovers": True}, False, True),  # Orthanc has ended meanwhile
        ({"state": State.RUNNING, "has_leftovers": True}, False, True),
    ],
)
def test_a_completion_counts_as_long_as_its_series_may_be_there(
    asked: Completions, store: JobStore, held: Held, what: dict[str, object], is_on_the_way: bool, counts: bool
) -> None:
    held.instances = {"1.2": 3}
    assert asked.begin("a", 1, {"1.2": 3})
    with store.transaction() as db:
        db.executemany("INSERT INTO leftovers (job) VALUES (?)", [["a"]] if is_on_the_way else [])
    store.update(dataclasses.replace(store.get("a"), **what))  # type: ignore[arg-type]
    if counts:
        with pytest.raises(Conflict, match="is complete"):
            asked.cancel("a")
    else:
        asked.cancel("a")
    assert store.cancellations() == ([] if counts else ["a"])


def test_the_next_attempt_is_cancelled_at_once_while_nothing_of_it_is_there(store: JobStore, held: Held) -> None:
    store.add(job("a", state=State.RUNNING, attempt=1, has_leftovers=True), None, most=9)
    asked = Completions(store, held, WaitingRoom())
    assert asked.begin("a", 1, {"1.2": 3})
    store.exchange(store.get("a"), dataclasses.replace(store.get("a"), attempt=2))
    held.instances = {"1.2": 2}  # with the last one of the first attempt it would be complete
    assert not asked.cancel("a", wait=False)
    held.instances = {}
    assert asked.cancel("a", wait=False)


def test_what_has_to_be_done_to_its_end_is_not_cancelled(asked: Completions, store: JobStore) -> None:
    assert not asked.settle("a", 1), "it completes nothing"
    assert asked.begin("a", 1, {"1.2": 3}) and asked.settle("a", 1) and not asked.settle("a", 2)
    for state in (State.RUNNING, State.RETRY):  # the series was removed again, and is made again
        store.update(dataclasses.replace(store.get("a"), state=state, has_leftovers=state is State.RUNNING))
        with pytest.raises(Conflict, match="what follows cannot be cancelled"):
            asked.cancel("a")
    assert store.cancellations() == []


def test_the_next_attempt_does_not_forget_what_has_to_be_done(asked: Completions, store: JobStore) -> None:
    assert asked.begin("a", 1, {"1.2": 3}) and asked.settle("a", 1)
    store.exchange(store.get("a"), dataclasses.replace(store.get("a"), attempt=2))
    assert asked.begin("a", 2, {"1.2": 3})
    with pytest.raises(Conflict, match="what follows cannot be cancelled"):
        asked.cancel("a")


def test_what_may_have_been_complete_is_made_again_before_it_is_cancelled(store: JobStore, held: Held) -> None:
    """Its worker was lost then: it is being removed, and what is cancelled was never complete."""
    store.add(job("a", state=State.RUNNING, attempt=1, has_leftovers=True), None, most=9)
    asked = Completions(store, held, WaitingRoom())
    with store.transaction() as db:
        db.execute("INSERT INTO leftovers (job) VALUES ('a')")
    assert asked.begin("a", 1, {"1.2": 3}) and closed_result(store, "a", 1) is None
    assert not asked.cancel("a", wait=False), "it is waited for"
    store.update(dataclasses.replace(store.get("a"), state=State.RETRY, has_leftovers=False))
    with pytest.raises(Conflict, match="may have been complete") as refused:
        asked.cancel("a")
    assert "once the next attempt has begun" in (refused.value.remedy or "") and store.cancellations() == []
    store.claim(dataclasses.replace(store.get("a"), state=State.RUNNING, attempt=2))
    assert asked.cancel("a", wait=False)


def test_the_patience_goes_by_one_clock(store: JobStore, held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the Orthanc which the worker reached may differ, or be set."""
    store.add(job("a", state=State.RUNNING, attempt=1, has_leftovers=True), None, most=9)
    asked, real = Completions(store, held, WaitingRoom()), time.time
    for difference in (-0.5, 3600.0):
        monkeypatch.setattr(time, "time", lambda: real() + difference)  # noqa: B023
        assert asked.begin("a", 1, {"1.2": 3})
        monkeypatch.setattr(time, "time", real)
        assert not asked.cancel("a", wait=False)


def test_a_completion_that_begins_meanwhile_is_waited_for(
    store: JobStore, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was there of the first attempt; the second one sends its only instance now."""
    store.add(job("a", state=State.RUNNING, attempt=1, has_leftovers=True), None, most=9)
    asked = Completions(store, held, WaitingRoom())
    assert asked.begin("a", 1, {"1.2": 1})
    store.exchange(store.get("a"), dataclasses.replace(store.get("a"), attempt=2))
    looks = []

    def look(series: Iterable[str]) -> Mapping[str, int]:
        looks.append(asked.begin("a", 2, {"1.2": 1}))
        return {}

    monkeypatch.setattr(asked, "_held", look)
    assert not asked.cancel("a", wait=False)
    assert looks == [True] and store.cancellations() == []


def test_an_attempt_that_has_ended_notes_nothing(asked: Completions, store: JobStore) -> None:
    """Its message was on the way while the runner looked, and then has its series removed."""
    assert asked.begin("a", 1, {"1.2": 3})
    assert closed_result(store, "a", 2) is None and asked.settle("a", 1), "another attempt's end is late"
    assert closed_result(store, "a", 1) is None
    assert not asked.note_result("a", 1, ANSWER) and not asked.settle("a", 1)
    assert asked.begin("a", 1, {"1.2": 3}) and asked.note_result("a", 1, ANSWER)
    assert closed_result(store, "a", 1) == ANSWER and closed_result(store, "a", 2) is None


def test_nothing_is_looked_for_of_what_is_noted(asked: Completions, store: JobStore) -> None:
    """After a restart, Orthanc would take the series for what an earlier attempt has left."""
    with store.transaction() as db:
        db.execute("INSERT INTO leftovers (job) VALUES ('a')")
    assert asked.begin("a", 1, {"1.2": 3}) and asked.note_result("a", 1, ANSWER)
    with store.reading() as db:
        assert db.execute("SELECT job FROM leftovers").fetchall() == []


def test_a_stop_ends_the_waiting(store: JobStore, held: Held) -> None:
    store.add(job("a", state=State.RUNNING, attempt=1), None, most=9)
    room = WaitingRoom()
    asked = Completions(store, held, room)
    assert asked.begin("a", 1, {"1.2": 3})
    room.close()
    with pytest.raises(Busy, match="stopping"):
        asked.cancel("a")


def test_of_a_job_that_is_over_nothing_is_kept(asked: Completions, store: JobStore) -> None:
    asked.begin("a", 1, {"1.2": 3})
    store.update(dataclasses.replace(store.get("a"), state=State.FAILURE))
    with pytest.raises(Conflict, match="is over"):
        asked.cancel("a")
    store.exchange(store.get("a"), dataclasses.replace(store.get("a"), state=State.PENDING))
    asked.cancel("a")
    assert store.cancellations() == ["a"]


def test_an_unknown_job_is_not_cancelled(asked: Completions) -> None:
    with pytest.raises(NotFound, match="no job b"):
        asked.cancel("b")


def test_one_of_both_counts_when_they_come_at_once(store: JobStore, held: Held, impatient: None) -> None:
    asked = Completions(store, held, WaitingRoom())
    held.instances = {"1.2": 3}

    def cancel(name: str) -> bool:
        try:
            asked.cancel(name)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        for number in range(12):
            name = f"{number}"
            store.add(job(name, state=State.RUNNING, attempt=1), None, most=99)
            both = [pool.submit(cancel, name), pool.submit(asked.begin, name, 1, {"1.2": 3})]
            assert [future.result() for future in both] in ([True, False], [False, True])


# -- the runner --------------------------------------------------------------------------------------------------------


def with_result(record: JobRecord) -> DeriveTask:
    return dataclasses.replace(make_task(record), result=record.result)


class Worker:
    """A worker whose attempts do what a test says."""

    def __init__(self, folder: Path, held: Held):
        self.goes_on = threading.Event()
        self.executor = Scripted(self.work, self.discard)
        self.store = JobStore(folder)
        self.held = held
        self.removed: list[str] = []
        self.answers: list[Outcome] = []
        self.tasks: list[DeriveTask] = []
        self.runner = JobRunner(self.store, self.executor, WORK, with_result, LIMITS, lambda record: 30.0, held=held)
        self.runner.start()

    def work(self, task: DeriveTask) -> Outcome:
        self.tasks.append(task)
        self.goes_on.wait(30)
        return self.answers.pop(0) if self.answers else Outcome(result=ANSWER)

    def discard(self, task: DeriveTask) -> Outcome:
        self.removed.append(task.job_id)
        return Outcome()

    def begun(self) -> None:
        self.runner.submit(job("a"), None)
        soon(lambda: self.runner.runs("a", 1))

    def end(self) -> None:
        self.goes_on.set()
        self.runner.stop()
        self.store.close()


@pytest.fixture
def begin(tmp_path: Path, held: Held) -> Iterator[Callable[[], Worker]]:
    workers: list[Worker] = []

    def start() -> Worker:
        workers.append(Worker(tmp_path / "jobs", held))
        return workers[-1]

    yield start
    for worker in workers:
        worker.end()


def is_cancelled(record: JobRecord) -> bool:
    return record.state is State.FAILURE and record.problem is not None and record.problem.kind == "Cancelled"


def test_a_cancellation_waits_for_an_attempt_that_completes(begin: Callable[[], Worker]) -> None:
    worker = begin()
    worker.begun()
    assert worker.runner.begin_completion("a", 1, {"1.2": 3})
    threading.Timer(0.3, worker.goes_on.set).start()
    began = time.monotonic()
    with pytest.raises(Conflict, match="is over"):
        worker.runner.cancel("a")
    assert time.monotonic() - began < 4, "it looks again as soon as the job is over"
    assert worker.store.get("a").state is State.SUCCESS and worker.removed == []


def test_what_was_waited_for_and_has_failed_is_made_again(begin: Callable[[], Worker]) -> None:
    """Its series may have been complete, and what is cancelled never was."""
    worker = begin()
    worker.begun()
    worker.answers = [Outcome(error=StorageError("away", transient=True))]
    assert worker.runner.begin_completion("a", 1, {"1.2": 3})
    threading.Timer(0.3, worker.goes_on.set).start()
    with pytest.raises(Conflict, match="it is made again|is over"):
        worker.runner.cancel("a")
    assert worker.runner.wait("a", 10).state is State.SUCCESS


def test_an_attempt_that_is_cancelled_completes_nothing(begin: Callable[[], Worker]) -> None:
    worker = begin()
    worker.begun()
    worker.runner.cancel("a")
    assert not worker.runner.begin_completion("a", 1, {"1.2": 3})
    assert is_cancelled(worker.runner.wait("a", 10)) and worker.removed == ["a"]


def test_who_cancels_a_delivery_keeps_the_series(begin: Callable[[], Worker], held: Held) -> None:
    worker = begin()
    worker.begun()
    held.instances = {"1.2": 3}
    assert worker.runner.begin_completion("a", 1, {"1.2": 3}) and worker.runner.note_result("a", 1, ANSWER)
    worker.runner.cancel("a")
    done = worker.runner.wait("a", 10)
    assert is_cancelled(done) and done.result == ANSWER and worker.removed == []


SENT = {"a": "Success", "b": "Pending", "c": "Failure", "d": "Refused", "e": "Held"}
CLOSED_SENT = {**SENT, "b": "Cancelled", "c": "Cancelled"}


@pytest.mark.parametrize("end", ["is ended", "fails by itself", "waits for another attempt"])
def test_a_cancelled_delivery_is_only_taken_up_by_a_user(
    begin: Callable[[], Worker], held: Held, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    worker = begin()
    worker.begun()
    held.instances = {"1.2": 3}
    answer = {**ANSWER, "Destinations": SENT}
    assert worker.runner.begin_completion("a", 1, {"1.2": 3}) and worker.runner.note_result("a", 1, answer)
    name = "a"
    if end == "waits for another attempt":
        name = "b"
        waiting = job(name, state=State.RETRY, attempt=1, next_try=time.time() + 50, result=answer)
        worker.store.add(waiting, None, most=9)
    with monkeypatch.context() as patch:
        if end == "fails by itself":
            worker.answers = [Outcome(error=StorageError("it refuses"), result=answer)]
            patch.setattr(worker.runner, "_say", lambda what, job_id: worker.goes_on.set())
        worker.runner.cancel(name)
        soon(lambda: worker.store.get(name).state.is_final)
    done = worker.store.get(name)
    assert is_cancelled(done) and done.result == {**ANSWER, "Destinations": CLOSED_SENT}
    assert done.problem is not None and "they stay" in done.problem.message
    worker.goes_on.set()

    def sent_again(*, even_cancelled: bool) -> Any:
        """The destinations that an attempt gets."""
        worker.store.exchange(worker.store.get(name), done)
        worker.tasks.clear()
        worker.runner.resubmit(name, even_cancelled=even_cancelled)
        soon(lambda: any(task.job_id == name for task in worker.tasks))
        soon(lambda: worker.store.get(name).state is State.SUCCESS)
        return (worker.tasks[-1].result or {})["Destinations"]

    assert sent_again(even_cancelled=False) == {**CLOSED_SENT, "d": "Pending"}
    assert sent_again(even_cancelled=True) == {**SENT, "b": "Pending", "c": "Pending", "d": "Pending"}


def test_a_worker_that_dies_while_it_delivers_leaves_the_series(begin: Callable[[], Worker], held: Held) -> None:
    worker = begin()
    worker.begun()
    held.instances = {"1.2": 3}
    assert worker.runner.begin_completion("a", 1, {"1.2": 3}) and worker.runner.note_result("a", 1, ANSWER)
    worker.answers = [Outcome(error=StorageError("the worker process was killed", transient=True), clean=False)]
    worker.goes_on.set()
    done = worker.runner.wait("a", 10)
    assert done.result == ANSWER and worker.removed == []
    soon(lambda: worker.store.get("a").state is State.SUCCESS)


def test_a_cancellation_outlives_a_restart(begin: Callable[[], Worker], monkeypatch: pytest.MonkeyPatch) -> None:
    """Orthanc ends after its answer, and before the job has ended."""
    first = begin()
    first.begun()
    monkeypatch.setattr(first.runner, "_say", lambda what, job_id: None)
    first.runner.cancel("a")
    first.runner.stop()
    first.store.close()
    second = begin()
    assert is_cancelled(second.runner.wait("a", 10))
    assert ("derive", "a", 2) not in second.executor.calls and second.removed == ["a"]


def test_a_cancellation_while_an_attempt_is_cleared_away_is_followed(begin: Callable[[], Worker]) -> None:
    """Without that, the job would be tried again after the cancellation was accepted."""
    worker = begin()
    clearing = threading.Event()
    worker.executor.scripts[WORK.discard] = lambda task: Outcome(clean=clearing.wait(10))
    worker.begun()
    worker.answers = [Outcome(error=StorageError("away", transient=True), clean=False)]
    worker.goes_on.set()
    soon(lambda: ("discard", "a", 1) in worker.executor.calls)
    worker.runner.cancel("a")
    time.sleep(0.2)
    clearing.set()
    assert is_cancelled(worker.runner.wait("a", 10))
    assert ("derive", "a", 2) not in worker.executor.calls


# -- moments between ---------------------------------------------------------------------------------------------------


def end_before_the_word(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the attempt end after a cancellation is written, and before the runner hears of it."""
    say = worker.runner._say

    def late(what: str, job_id: str) -> None:
        worker.goes_on.set()
        soon(worker.executor.futures[-1].done)
        say(what, job_id)

    monkeypatch.setattr(worker.runner, "_say", late)


def test_what_is_cancelled_does_not_succeed_when_its_last_instance_arrives_now(
    begin: Callable[[], Worker], held: Held, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = begin()
    worker.begun()
    assert worker.runner.begin_completion("a", 1, {"1.2": 3})
    held.instances = {"1.2": 2}
    end_before_the_word(worker, monkeypatch)
    worker.runner.cancel("a")
    assert not worker.runner.settle("a", 1)
    done = worker.runner.wait("a", 10)
    assert is_cancelled(done) and done.result is None and worker.removed == ["a"]


def test_a_dry_run_that_is_cancelled_does_not_succeed(
    begin: Callable[[], Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = begin()
    worker.answers = [Outcome(result={"DryRun": True})]
    worker.runner.submit(job("a", request={"DryRun": True}), None)
    soon(lambda: worker.runner.runs("a", 1))
    end_before_the_word(worker, monkeypatch)
    worker.runner.cancel("a")
    done = worker.runner.wait("a", 10)
    assert is_cancelled(done) and done.result is None and worker.removed == []


def cancelled_before(folder: Path, **record: object) -> None:
    """A store with a job whose cancellation is written."""
    with closing(JobStore(folder / "jobs")) as store:
        store.add(job("a", **record), None, most=9)
        with store.transaction() as db:
            db.execute("INSERT INTO cancellations (job) VALUES ('a')")


def test_a_full_disk_at_the_start_delays_a_cancellation(
    begin: Callable[[], Worker], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancelled_before(tmp_path, state=State.PENDING, attempt=1)
    cancellations, refusals = JobStore.cancellations, iter(range(1))

    def refused(store: JobStore) -> list[str]:
        if next(refusals, None) is not None:
            raise Busy("the disk is full")
        return cancellations(store)

    monkeypatch.setattr(JobStore, "cancellations", refused)
    worker = begin()
    assert is_cancelled(worker.runner.wait("a", 10)) and worker.executor.calls == []


def test_a_full_disk_while_leftovers_are_noted_delays_a_cancellation(
    begin: Callable[[], Worker], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancelled_before(tmp_path, state=State.PENDING, attempt=1, has_leftovers=True)
    expect, refusals = Leftovers.expect, iter(range(1))

    def refused(leftovers: Leftovers, job_id: str) -> None:
        if next(refusals, None) is not None:
            raise Busy("the disk is full")
        expect(leftovers, job_id)

    monkeypatch.setattr(Leftovers, "expect", refused)
    worker = begin()
    assert is_cancelled(worker.runner.wait("a", 10)) and worker.removed == ["a"]


def test_one_job_that_cannot_be_cancelled_keeps_no_other_waiting(tmp_path: Path, held: Held) -> None:
    class Looking(OneNode):
        look_seconds = 0.2

    def make(record: JobRecord) -> DeriveTask:
        if record.id == "a":
            raise StorageError("Orthanc does not say")
        return make_task(record)

    def slow(task: DeriveTask) -> Outcome:
        time.sleep(0.05)
        return Outcome(result=ANSWER)

    executor = Scripted(slow)
    with closing(JobStore(tmp_path)) as store:
        waiting = {"state": State.RETRY, "attempt": 1, "has_leftovers": True, "next_try": time.time() + 500}
        store.add(job("a", **waiting), None, most=9)
        runner = JobRunner(store, executor, WORK, make, LIMITS, lambda record: 30.0, nodes=Looking(), held=held)
        runner.start()
        runner.lead()
        runner.cancel("a")
        names = [f"{number}" for number in range(30)]
        for name in names:
            runner.submit(job(name), None)
        for name in names:
            assert runner.wait(name, 10).state is State.SUCCESS
        runner.stop()


def test_what_changes_while_it_is_taken_up_is_looked_at_again(
    begin: Callable[[], Worker], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its attempt notes its result through another Orthanc while this one begins to lead."""
    with closing(JobStore(tmp_path / "jobs")) as store:
        store.add(job("a", state=State.RUNNING, attempt=1), None, most=9)
    unfinished = JobStore.unfinished

    def then_noted(store: JobStore) -> list[JobRecord]:
        jobs = unfinished(store)
        if jobs and jobs[0].result is None and jobs[0].state is State.RUNNING:
            store.exchange(jobs[0], dataclasses.replace(jobs[0], result=ANSWER))
        return jobs

    monkeypatch.setattr(JobStore, "unfinished", then_noted)
    worker = begin()
    worker.answers = [Outcome(result={**ANSWER, "Sent": True})]
    worker.goes_on.set()
    seen = worker.runner.wait("a", 10)
    assert seen.state is State.SUCCESS and seen.attempt == 2 and worker.tasks[-1].result == ANSWER, "it is only sent on"


def test_what_is_noted_while_another_begins_to_lead_is_not_removed(tmp_path: Path, held: Held) -> None:
    """Its attempt notes its result after the search for leftovers could have begun."""
    orthanc = {"a"}

    def remove(series: tuple[str, ...]) -> int:
        gone = {name for name in orthanc if series == series_uids_of(name)}
        orthanc.difference_update(gone)
        return len(gone)

    class Late(JobStore):
        """A store in which the result is noted just before the job is taken up."""

        def update(self, record: JobRecord, along: Note | None = None) -> bool:
            if record.state is State.PENDING and record.result is None:
                time.sleep(1.0)  # in which leftovers would be looked for
                assert Completions(self, held, WaitingRoom()).note_result("a", 1, ANSWER)
            return super().update(record, along)

    with closing(Late(tmp_path)) as store:
        store.add(job("a", state=State.RUNNING, attempt=1, has_leftovers=True), None, most=9)
        with store.transaction() as db:
            db.execute("INSERT INTO leftovers (job) VALUES ('a')")  # of an attempt before
        assert Completions(store, held, WaitingRoom()).begin("a", 1, {"1.2": 3})
        leftovers = Leftovers(store, 60.0, remove)
        leftovers.start()
        executor = Scripted(lambda task: Outcome(result=task.result))
        runner = JobRunner(
            store, executor, WORK, with_result, LIMITS, lambda record: 30.0, leftovers=leftovers, held=held
        )
        runner.start()
        done = runner.wait("a", 20)
        time.sleep(0.7)
        runner.stop()
        leftovers.stop()
    assert done.state is State.SUCCESS and done.result == ANSWER and orthanc == {"a"}


def test_what_is_left_over_is_known_before_a_job_begins(tmp_path: Path, held: Held) -> None:
    """Else the instances of an attempt that has begun would be taken for an earlier one's."""
    removals: list[str] = []
    with closing(JobStore(tmp_path)) as store:
        store.add(job("a", state=State.RETRY, attempt=1), None, most=9)
        with store.transaction() as db:
            db.execute("INSERT INTO leftovers (job) VALUES ('a')")
        leftovers = Leftovers(store, 60.0, lambda series: len(removals))
        leftovers.start()

        def slow(task: DeriveTask) -> Outcome:
            assert leftovers.is_expected("a")
            leftovers.lead()  # again, as after an error of the disk
            looked = leftovers._until.copy()
            return Outcome(result={**ANSWER, "Looked": list(looked)})

        runner = JobRunner(
            store, Scripted(slow), WORK, make_task, LIMITS, lambda record: 30.0, leftovers=leftovers, held=held
        )
        runner.start()
        done = runner.wait("a", 10)
        runner.stop()
        leftovers.stop()
    assert done.result == {**ANSWER, "Looked": []}


def test_a_late_word_does_not_cancel_what_was_resubmitted(begin: Callable[[], Worker]) -> None:
    worker = begin()
    worker.begun()
    worker.runner.cancel("a")
    assert is_cancelled(worker.runner.wait("a", 10))
    worker.runner.resubmit("a")
    soon(lambda: worker.runner.runs("a", 1))
    worker.runner.hear("cancel", "a")
    time.sleep(0.2)
    worker.goes_on.set()
    assert worker.runner.wait("a", 10).state is State.SUCCESS


def test_a_first_result_of_a_cancelled_job_does_not_stay(
    begin: Callable[[], Worker], held: Held, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server did not take "Stored", and a destination has failed."""
    worker = begin()
    worker.begun()
    worker.answers = [Outcome(result=ANSWER, error=StorageError("the destination is away", transient=True))]
    assert worker.runner.begin_completion("a", 1, {"1.2": 3})
    held.instances = {"1.2": 2}
    end_before_the_word(worker, monkeypatch)
    worker.runner.cancel("a")
    done = worker.runner.wait("a", 10)
    assert is_cancelled(done) and done.result is None and worker.removed == ["a"]
