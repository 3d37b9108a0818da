"""The point from which a series may be complete: a cancellation before it is followed, one after it is not just so."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from derived_series.errors import Conflict, NotFound, StorageError
from derived_series.jobs.messages import DeriveTask, Outcome
from derived_series.jobs.queue import completions
from derived_series.jobs.queue.completions import Completions
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
    ("what", "is_asked_for"),
    [
        ({"state": State.RETRY, "has_leftovers": False}, False),  # it was removed
        ({"state": State.PENDING, "has_leftovers": True}, True),  # Orthanc has ended meanwhile
        ({"state": State.RUNNING, "has_leftovers": True}, True),
    ],
)
def test_a_completion_counts_as_long_as_its_series_may_be_there(
    asked: Completions, store: JobStore, held: Held, what: dict[str, object], is_asked_for: bool
) -> None:
    held.instances = {"1.2": 3}
    assert asked.begin("a", 1, {"1.2": 3})
    store.update(dataclasses.replace(store.get("a"), **what))  # type: ignore[arg-type]
    if is_asked_for:
        with pytest.raises(Conflict, match="is complete"):
            asked.cancel("a")
    else:
        asked.cancel("a")
    assert store.cancellations() == ([] if is_asked_for else ["a"])


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
        for number in range(40):
            name = f"{number}"
            store.add(job(name, state=State.RUNNING, attempt=1), None, most=99)
            both = [pool.submit(cancel, name), pool.submit(asked.begin, name, 1, {"1.2": 3})]
            assert [future.result() for future in both] in ([True, False], [False, True])


# -- the runner --------------------------------------------------------------------------------------------------------


class Worker:
    """A worker whose attempts do what a test says."""

    def __init__(self, folder: Path, held: Held):
        self.goes_on = threading.Event()
        self.executor = Scripted(self.work, self.discard)
        self.store = JobStore(folder)
        self.held = held
        self.removed: list[str] = []
        self.answers: list[Outcome] = []
        self.runner = JobRunner(self.store, self.executor, WORK, make_task, LIMITS, lambda record: 30.0, held=held)
        self.runner.start()

    def work(self, task: DeriveTask) -> Outcome:
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


def test_a_cancellation_is_followed_when_the_attempt_that_completes_fails(begin: Callable[[], Worker]) -> None:
    worker = begin()
    worker.begun()
    worker.answers = [Outcome(error=StorageError("away", transient=True))]
    assert worker.runner.begin_completion("a", 1, {"1.2": 3})
    threading.Timer(0.3, worker.goes_on.set).start()
    try:
        worker.runner.cancel("a")
    except Conflict:  # the next attempt was quicker
        assert worker.store.get("a").state is State.SUCCESS
        return
    assert is_cancelled(worker.runner.wait("a", 10))


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
