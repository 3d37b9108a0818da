"""Checks of a run's series: what a check does that nobody answers."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future
from types import SimpleNamespace
from typing import Any

import pytest

from derived_series.dicomweb.client import Connection
from derived_series.errors import Busy
from derived_series.jobs.pool.environments import Environments
from derived_series.jobs.pool.worker import WorkerDied
from derived_series.jobs.requests.derive import DeriveRequest
from derived_series.orthanc.bulk_checks import FitChecks, Look, Unanswered

PIPELINE = DeriveRequest.model_validate({"Pipeline": "x"})


class RecordedFuture(Future[Any]):
    """A future that records whether it was asked to end."""

    ended = False

    def cancel(self) -> bool:
        self.ended = True
        return super().cancel()


class OneAnswer(Executor):
    """Gives each task the same future."""

    def __init__(self, future: Future[Any]):
        self._future = future

    def submit(self, *task: Any, **more: Any) -> Future[Any]:
        return self._future


@pytest.fixture
def checks_with(monkeypatch: pytest.MonkeyPatch) -> Callable[[Future[Any]], FitChecks]:
    for name in ("_WORKER_SECONDS", "_ANSWER_SECONDS"):
        monkeypatch.setattr(f"derived_series.orthanc.bulk_checks.{name}", 0.01)
    catalogues: Any = SimpleNamespace(catalogue=lambda: SimpleNamespace(pipelines={}), environment_of=lambda entry: "")
    return lambda future: FitChecks(OneAnswer(future), Environments(), catalogues, Connection("http://localhost"), ())


def ended_with(error: BaseException) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()
    future.set_exception(error)
    return future


def test_a_check_that_takes_too_long_is_ended_and_said_to_be_unanswered(
    checks_with: Callable[[Future[Any]], FitChecks],
) -> None:
    future = RecordedFuture()
    future.set_running_or_notify_cancel()
    with pytest.raises(Unanswered, match="took over 0.01 s"):
        checks_with(future).looks(["a"], PIPELINE)
    assert future.ended


def test_a_check_that_ends_its_worker_is_unanswered(checks_with: Callable[[Future[Any]], FitChecks]) -> None:
    with pytest.raises(Unanswered, match="ended its worker"):
        checks_with(ended_with(WorkerDied(-11))).looks(["a"], PIPELINE)


@pytest.mark.parametrize("future", [Future(), ended_with(WorkerDied(None)), ended_with(CancelledError())])
def test_a_check_that_no_worker_begins_is_not_to_blame(
    checks_with: Callable[[Future[Any]], FitChecks], future: Future[Any]
) -> None:
    with pytest.raises(Busy) as refusal:
        checks_with(future).looks(["a"], PIPELINE)
    assert not isinstance(refusal.value, Unanswered)


def test_an_answer_is_a_look_for_each_series(checks_with: Callable[[Future[Any]], FitChecks]) -> None:
    future: Future[Any] = Future()
    future.set_result([{"Fits": True, "Reason": "", "Inputs": {"mask": "m"}}])
    checks = checks_with(future)
    assert checks.looks(["a"], PIPELINE) == [Look(True, "", {"mask": "m"})] == checks.looks_of_page(["a"], PIPELINE)
