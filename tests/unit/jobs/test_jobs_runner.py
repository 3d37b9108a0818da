"""The runner: retries, time-outs, cancelling, what is left over, and the restart. The executor is a scripted one:
the runner knows no more of its workers than ``concurrent.futures.Executor`` says."""

from __future__ import annotations

import dataclasses
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, Future
from contextlib import closing
from datetime import datetime
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from derived_series.dicomweb.client import Connection
from derived_series.errors import Busy, Conflict, NotFound, StorageError
from derived_series.jobs.messages import DeriveTask, Outcome
from derived_series.jobs.pool.worker import WorkerDied
from derived_series.jobs.queue.database import Note
from derived_series.jobs.queue.limits import Limits
from derived_series.jobs.queue.runner import JobRunner
from derived_series.jobs.queue.store import JobStore
from derived_series.jobs.record import JobRecord, State
from derived_series.jobs.work.entry import WORK, derive, discard
from test_jobs_store import job

Script = Callable[[DeriveTask], Outcome]


class Scripted(Executor):
    """Every task runs a script in a thread; a running task is cancelled when its script can be."""

    def __init__(self, script: Script, discarding: Script = lambda task: Outcome()):
        self.scripts: dict[Any, Script] = {derive: script, discard: discarding}
        self.calls: list[tuple[str, str, int]] = []
        self.futures: list[Future[Any]] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        task: DeriveTask = args[0]
        self.calls.append((fn.__name__, task.job_id, task.attempt))
        future = Cancellable()
        self.futures.append(future)
        threading.Thread(target=self._run, args=(future, self.scripts[fn], task), daemon=True).start()
        return future

    @staticmethod
    def _run(future: Future[Any], script: Script, task: DeriveTask) -> None:
        try:
            result = script(task)
        except BaseException as error:
            if not future.done():
                future.set_exception(error)
            return
        if not future.done():
            future.set_result(result)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        for future in self.futures:
            future.cancel()


class Cancellable(Future[Any]):
    def cancel(self) -> bool:
        if self.done():
            return False
        self.set_exception(CancelledError())
        return True


def make_task(record: JobRecord) -> DeriveTask:
    return DeriveTask(
        record.id, record.attempt, record.series, record.request, datetime.now(), Connection("http://x"), ()
    )


LIMITS = Limits(parallel=2, queue=100, history=100, attempts=3, timeout=30.0, pause=0.05)


class Started:
    """A runner on a scripted executor."""

    def __init__(self, folder: Path, executor: Scripted, limits: Limits):
        self.executor = executor
        self.store = JobStore(folder)
        self.runner = JobRunner(self.store, executor, WORK, make_task, limits, lambda record: limits.timeout)
        self.runner.start()

    def run(self, name: str, **changes: Any) -> JobRecord:
        self.runner.submit(job(name, **changes), None)
        return self.runner.wait(name, 10)


Start = Callable[..., Started]


def test_a_job_that_has_failed_already_is_told_of_and_not_run(tmp_path: Path) -> None:
    observed: SimpleQueue[tuple[str, State]] = SimpleQueue()
    executor, store = Scripted(lambda task: Outcome(result={})), JobStore(tmp_path / "jobs")
    runner = JobRunner(
        store, executor, WORK, make_task, LIMITS, lambda record: 30.0, lambda one: observed.put((one.id, one.state))
    )
    runner.start()
    runner.submit(job("a", state=State.FAILURE), None)
    assert observed.get(timeout=10) == ("a", State.FAILURE)
    assert executor.calls == [] and store.get("a").state is State.FAILURE
    runner.resubmit("a")
    assert runner.wait("a", 10).state is State.SUCCESS
    runner.stop()
    store.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Started] = []

    def begin(script: Script, discarding: Script = lambda task: Outcome(), limits: Limits = LIMITS) -> Started:
        runner = Started(tmp_path / "jobs", Scripted(script, discarding), limits)
        started.append(runner)
        return runner

    yield begin
    for each in started:
        each.runner.stop()
        each.store.close()


def fails_until(attempt: int, error: BaseException) -> Script:
    def script(task: DeriveTask) -> Outcome:
        if task.attempt < attempt:
            raise error
        return Outcome(result={"ID": "series"})

    return script


def blocked(task: DeriveTask) -> Outcome:
    time.sleep(60)
    return Outcome()


def test_success(start: Start) -> None:
    done = start(lambda task: Outcome(result={"ID": task.job_id})).run("a")
    assert done.state is State.SUCCESS and done.result == {"ID": "a"} and done.progress == 100
    assert done.attempt == 1 and not done.has_leftovers and done.problem is None
    assert done.started and done.completed and done.completed >= done.started


def test_transient_failures_are_tried_again_with_growing_pauses(start: Start) -> None:
    began = time.monotonic()
    done = start(fails_until(3, StorageError("lost", transient=True))).run("a")
    assert done.state is State.SUCCESS and done.attempt == 3
    assert time.monotonic() - began >= 0.05 + 0.1


@pytest.mark.parametrize(("attempts", "pause"), [(0, 10.0), (1, 20.0), (2, 40.0), (3, 60.0), (30, 60.0)])
def test_each_pause_is_twice_the_last_one_up_to_a_minute(tmp_path: Path, attempts: int, pause: float) -> None:
    limits = dataclasses.replace(LIMITS, attempts=99, pause=10.0)
    executor = Scripted(fails_until(99, StorageError("lost", transient=True)))
    waiting: SimpleQueue[JobRecord] = SimpleQueue()
    store = JobStore(tmp_path)
    store.add(job("a", attempt=attempts), None, most=9)
    began = time.time()

    def observe(record: JobRecord) -> None:
        if record.state is State.RETRY:
            waiting.put(record)

    runner = JobRunner(store, executor, WORK, make_task, limits, lambda record: 30.0, observe)
    runner.start()
    try:
        record = waiting.get(timeout=30)
    finally:
        runner.stop()
    assert record.attempt == attempts + 1
    assert began + pause <= record.next_try <= time.time() + pause


def test_a_killed_worker_is_tried_again_after_what_it_left_was_removed(start: Start) -> None:
    started = start(fails_until(2, WorkerDied(-9)))
    assert started.run("a").state is State.SUCCESS
    assert started.executor.calls == [("derive", "a", 1), ("discard", "a", 1), ("derive", "a", 2)]


def test_not_for_ever(start: Start) -> None:
    done = start(fails_until(99, StorageError("lost", transient=True))).run("a")
    assert done.state is State.FAILURE and done.attempt == 3
    assert done.problem is not None and done.problem.message == "lost"


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (NotFound("gone", remedy="look"), "NotFound", "gone"),
        (StorageError("refused"), "StorageError", "refused"),
        (WorkerDied(-11), "UserCodeError", "SIGSEGV"),
        (WorkerDied(0), "UserCodeError", "exit code 0"),
        (SystemExit(2), "UserCodeError", "SystemExit"),
    ],
)
def test_lasting_failures_are_not_tried_again(start: Start, error: BaseException, kind: str, message: str) -> None:
    started = start(fails_until(2, error))
    done = started.run("a")
    assert done.state is State.FAILURE and done.attempt == 1
    assert done.problem is not None and done.problem.kind == kind and message in done.problem.message
    assert ("discard", "a", 1) in started.executor.calls


def test_what_cleaned_up_after_itself_is_not_cleaned_again(start: Start) -> None:
    started = start(lambda task: Outcome(error=NotFound("gone"), clean=True))
    assert started.run("a").state is State.FAILURE
    assert started.executor.calls == [("derive", "a", 1)]


def test_it_is_over_only_when_nothing_is_left(start: Start) -> None:
    removed: list[float] = []

    def slow(task: DeriveTask) -> Outcome:
        time.sleep(0.3)
        removed.append(time.monotonic())
        return Outcome()

    started = start(fails_until(9, WorkerDied(-11)), slow)
    started.run("a")
    assert removed and time.monotonic() >= removed[0]


def test_what_cannot_be_removed_is_removed_at_the_next_start(start: Start, tmp_path: Path) -> None:
    unreachable = StorageError("no answer", transient=True)
    first = start(fails_until(9, WorkerDied(-11)), lambda task: Outcome(error=unreachable, clean=False))
    done = first.run("a")
    assert done.state is State.FAILURE and done.has_leftovers
    first.runner.stop()
    first.store.close()
    second = start(blocked)
    end = time.monotonic() + 10
    while second.store.get("a").has_leftovers and time.monotonic() < end:
        time.sleep(0.01)
    assert second.store.get("a") == dataclasses.replace(done, has_leftovers=False)
    assert second.executor.calls == [("discard", "a", 1)]


def test_time_outs(start: Start) -> None:
    limits = dataclasses.replace(LIMITS, timeout=0.2)
    done = start(blocked, limits=limits).run("a")
    assert done.state is State.FAILURE and done.problem is not None
    assert "took longer than 0.2 s" in done.problem.message and done.problem.http_status == 500


def test_cancelling(start: Start) -> None:
    started = start(blocked)
    for name in ("a", "b", "c"):
        started.runner.submit(job(name), None)
    while len(started.executor.calls) < 2:
        time.sleep(0.01)
    for name in ("c", "a"):
        started.runner.cancel(name)
        done = started.runner.wait(name, 10)
        assert done.state is State.FAILURE and done.problem is not None and done.problem.kind == "Cancelled"
        with pytest.raises(Conflict):
            started.runner.cancel(name)
    assert ("derive", "c", 1) not in started.executor.calls
    assert ("discard", "a", 1) in started.executor.calls
    assert started.store.get("b").state is State.RUNNING


def test_resubmitting_and_deleting(start: Start) -> None:
    fail = threading.Event()
    fail.set()

    def script(task: DeriveTask) -> Outcome:
        return Outcome(error=NotFound("gone")) if fail.is_set() else Outcome(result={"ID": "x"})

    started = start(script)
    assert started.run("a").state is State.FAILURE
    fail.clear()
    started.runner.resubmit("a")
    done = started.runner.wait("a", 10)
    assert done.state is State.SUCCESS and done.attempt == 1 and done.problem is None
    with pytest.raises(Conflict, match="has succeeded: only a failed job"):
        started.runner.resubmit("a")
    started.runner.delete("a")
    with pytest.raises(NotFound):
        started.runner.delete("a")


def test_a_job_can_be_resubmitted_as_soon_as_its_end_is_seen(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """The runner lets go of a job a moment after its end is on disk."""
    started = start(lambda task: Outcome(error=NotFound("gone")))
    update = started.store.update

    def slowly(record: JobRecord, along: Note | None = None) -> bool:
        is_written = update(record, along)
        time.sleep(0.3 if record.state.is_final else 0)
        return is_written

    monkeypatch.setattr(started.store, "update", slowly)
    started.runner.submit(job("a"), None)
    for act in (started.runner.resubmit, started.runner.delete):
        while started.store.get("a").state is not State.FAILURE:
            time.sleep(0.001)
        act("a")


def test_a_running_job_is_not_forgotten(start: Start) -> None:
    started = start(blocked)
    started.runner.submit(job("a"), None)
    with pytest.raises(Conflict, match="not over"):
        started.runner.delete("a")


def test_progress_is_of_the_attempt_that_runs(start: Start) -> None:
    started = start(blocked)
    started.runner.submit(job("a"), None)
    while not started.executor.calls:
        time.sleep(0.001)
    assert started.runner.tell_progress("a", 1, 40), "known to run as soon as a worker has it"
    assert not started.runner.tell_progress("a", 2, 50)
    assert not started.runner.tell_progress("b", 1, 50)
    assert started.runner.progress_of(started.store.get("a")) == 40
    started.runner.cancel("a")
    started.runner.wait("a", 10)
    assert not started.runner.tell_progress("a", 1, 50)


def test_a_restart_takes_up_what_ran_and_what_waited(start: Start) -> None:
    first = start(blocked)
    for name in ("a", "b", "c", "d"):
        first.runner.submit(job(name), None)
    while len(first.executor.calls) < 2:
        time.sleep(0.01)
    waiting = threading.Thread(target=first.runner.wait, args=("a", 60))
    waiting.start()
    time.sleep(0.1)
    began = time.monotonic()
    first.runner.stop()
    waiting.join(5)
    assert time.monotonic() - began < 3 and not waiting.is_alive()
    with pytest.raises(Busy):
        first.runner.submit(job("e"), None)
    first.store.close()
    second = start(lambda task: Outcome(result={"ID": task.job_id}))
    for name, attempt in {"a": 2, "b": 2, "c": 1, "d": 1}.items():
        done = second.runner.wait(name, 10)
        assert done.state is State.SUCCESS and done.attempt == attempt


def test_a_job_that_ran_at_the_end_is_known_to_have_left_something(start: Start) -> None:
    """So that it is removed even when the job is cancelled before it runs again."""
    first = start(blocked)
    for name in ("a", "b", "c"):
        first.runner.submit(job(name), None)
    while len(first.executor.calls) < 2:
        time.sleep(0.01)
    first.runner.stop()
    assert [first.store.get(name).has_leftovers for name in ("a", "b", "c")] == [True, True, False]
    first.store.close()
    second = start(blocked, limits=dataclasses.replace(LIMITS, parallel=0))
    second.runner.cancel("a")
    assert second.runner.wait("a", 10).state is State.FAILURE
    assert second.executor.calls == [("discard", "a", 1)]


def test_an_attempt_that_is_being_ended_is_not_wanted_any_more(start: Start) -> None:
    gate = threading.Event()

    def slow(task: DeriveTask) -> Outcome:
        gate.wait(10)
        return Outcome()

    started = start(blocked, slow)
    started.runner.submit(job("a"), None)
    while not started.executor.calls:
        time.sleep(0.001)
    assert started.runner.tell_progress("a", 1, 40), "known to run as soon as a worker has it"
    started.runner.cancel("a")
    while len(started.executor.calls) < 2:
        time.sleep(0.01)
    assert not started.runner.tell_progress("a", 1, 50)
    gate.set()
    assert started.runner.wait("a", 10).state is State.FAILURE


def test_a_job_that_ends_orthanc_every_time_is_given_up(start: Start, tmp_path: Path) -> None:
    store = JobStore(tmp_path / "jobs")
    store.add(
        job("a", state=State.RUNNING, attempt=102, attempts_lost_to_restarts=99, has_leftovers=True), None, most=9
    )
    store.close()
    started = start(blocked)
    done = started.runner.wait("a", 10)
    assert done.state is State.FAILURE and done.problem is not None
    assert "ended during 100 attempts" in done.problem.message
    end = time.monotonic() + 10
    while started.store.get("a").has_leftovers and time.monotonic() < end:
        time.sleep(0.01)
    assert started.executor.calls == [("discard", "a", 102)]


def test_attempts_that_orthancs_end_cut_short_do_not_count(start: Start, tmp_path: Path) -> None:
    """More of them than Attempts, and the job is done all the same."""
    store = JobStore(tmp_path / "jobs")
    store.add(job("a", state=State.RUNNING, attempt=30, attempts_lost_to_restarts=29, has_leftovers=True), None, most=9)
    store.close()
    with (
        closing(sqlite3.connect(tmp_path / "jobs" / "jobs.sqlite")) as database,
        database,
    ):  # as an older version made it
        database.execute("ALTER TABLE jobs DROP COLUMN lost")
    started = start(lambda task: Outcome(result={"ID": "x"}))
    done = started.runner.wait("a", 10)
    assert done.state is State.SUCCESS and done.attempt == 31 and done.attempts_lost_to_restarts == 1


def test_28_an_unexpected_error_does_not_stop_the_others(start: Start) -> None:
    """A record that makes the scheduler itself fail; and one after it that must run all the same."""
    started = start(lambda task: Outcome(result={}))
    started.runner._messages.put(("done", None))  # type: ignore[arg-type]
    started.runner._running["x"] = None  # type: ignore[assignment]
    started.runner._messages.put(("cancel", "x"))
    time.sleep(0.3)
    del started.runner._running["x"]
    assert started.run("a").state is State.SUCCESS


@pytest.mark.slow
def test_a_disk_that_is_full_for_a_while_loses_no_outcome(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    started = start(lambda task: Outcome(result={"ID": "x"}))
    update, refusals = started.store.update, iter(range(2))

    def unwilling(record: JobRecord, along: Note | None = None) -> bool:
        if record.state is State.SUCCESS and next(refusals, None) is not None:
            raise Busy("the disk is full")
        return update(record, along)

    monkeypatch.setattr(started.store, "update", unwilling)
    done = started.run("a")
    assert done.state is State.SUCCESS and started.executor.calls == [("derive", "a", 1)]


@pytest.mark.slow
def test_500_concurrent_submissions(start: Start) -> None:
    limits = dataclasses.replace(LIMITS, queue=300)
    gate = threading.Event()

    def script(task: DeriveTask) -> Outcome:
        gate.wait(60)
        return Outcome(result={"ID": task.job_id})

    started = start(script, limits=limits)
    accepted: list[str] = []
    refused: list[str] = []

    def submit(thread: int) -> None:
        for number in range(25):
            name = f"{thread}-{number}"
            try:
                started.runner.submit(job(name), None)
                accepted.append(name)
            except Busy:
                refused.append(name)

    threads = [threading.Thread(target=submit, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(accepted) == 300 and len(refused) == 200
    gate.set()
    for name in accepted:
        assert started.runner.wait(name, 30).state is State.SUCCESS
    assert sorted(call[1] for call in started.executor.calls) == sorted(accepted)
