"""The tasks of workers that requests of pages wait for: one that hangs is not in the way of derivations for ever."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from functools import partial
from types import SimpleNamespace
from typing import Any, NoReturn, cast

import pytest

from derived_series.dicomweb.client import Connection
from derived_series.errors import Busy
from derived_series.jobs.pool.environments import AnyEnvironment, Environments
from derived_series.jobs.pool.executor import ProcessExecutor
from derived_series.jobs.pool.overflow import OverflowExecutor
from derived_series.orthanc import waiters
from derived_series.orthanc.http import Request
from derived_series.orthanc.routes.fitting import FittingRoutes


def nothing() -> None:
    """Initializes a worker."""


def hang() -> NoReturn:
    threading.Event().wait()
    raise AssertionError("unreachable")


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiters, "_WORKER_SECONDS", 0.3)
    monkeypatch.setattr(waiters, "_LEFT_SECONDS", 0.3)


@pytest.fixture
def jobs() -> Iterator[ProcessExecutor]:
    processes = ProcessExecutor(1, initializer=nothing)
    yield processes
    processes.shutdown()


def test_a_task_that_hangs_gives_its_worker_back(
    short: None, jobs: ProcessExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    pages = OverflowExecutor(jobs, partial(ProcessExecutor, 1, initializer=nothing))
    try:
        jobs.submit(nothing).result(20)
        task = pages.submit(hang)
        with pytest.raises(Busy):
            waiters.answer_of(task)
        assert not task.done(), "it may be about to succeed"
        assert jobs.submit(abs, -1).result(20) == 1
        assert task.cancelled() or task.exception() is not None
        assert "a task of a page was ended" in caplog.text
    finally:
        pages.shutdown()


def test_a_task_that_ends_in_time_is_left_alone(short: None) -> None:
    task: Future[int] = Future()
    task.set_running_or_notify_cancel()
    with pytest.raises(Busy):
        waiters.answer_of(task)
    task.set_result(1)
    assert waiters.answer_of(task) == 1
    timers = [each for each in threading.enumerate() if isinstance(each, threading.Timer) and each.args == (task,)]
    assert all(each.finished.is_set() for each in timers)


class Running(Future[list[dict[str, object]]]):
    """A running task, which a cancel ends."""

    def __init__(self) -> None:
        super().__init__()
        self.set_running_or_notify_cancel()
        self.ended = threading.Event()

    def cancel(self) -> bool:
        self.ended.set()
        return True

    def submit(self, *call: object) -> Running:
        """Be the only task of an executor."""
        return self

    fit = submit


def test_the_tasks_in_all_environments_end(short: None) -> None:
    """The form of a series asks each Python; the first that hangs ends the request."""
    here, there = Running(), Running()
    stub = cast(Any, None)
    gateway = cast(Any, SimpleNamespace(series=lambda series: {}))
    environments = Environments({"there": cast(AnyEnvironment, there)})
    routes = FittingRoutes(
        gateway, cast(Any, here), environments, stub, stub, stub, Connection("http://here"), waiters.Waiters(1), ()
    )
    with pytest.raises(Busy):
        routes.pipelines(Request("GET", "/", ("series",), {}, {}, b"", ""))
    assert here.ended.wait(20) and there.ended.wait(20)
