"""Comparisons of runs: whatever one of them meets, it ends, and says that there are no figures."""

from __future__ import annotations

from concurrent.futures import Executor, Future
from typing import Any

import pytest

from derived_series.dicomweb.client import Connection
from derived_series.errors import StorageError
from derived_series.jobs.bulk.bulk_run import Member, MemberState
from derived_series.jobs.requests.bulk import AgreementLimits
from derived_series.orthanc.bulk_comparisons import Comparisons

MEMBER = Member(1, "parent", MemberState.SUCCESS, derived={"result": "new"}, reference={"result": "old"})


class Failing(Executor):
    """Every task ends with an error."""

    def __init__(self, error: Exception):
        self._error = error

    def submit(self, *task: Any, **more: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_exception(self._error)
        return future


class Hanging(Executor):
    """No task ends."""

    def submit(self, *task: Any, **more: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        return future


def test_a_comparison_that_hangs_does_not_hold_the_others_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    comparisons = Comparisons(Hanging(), Connection("http://localhost"), "", lambda: None)
    comparisons.begin("run", MEMBER, AgreementLimits())
    assert comparisons.take() is None and not comparisons.is_free, "it has an hour"
    monkeypatch.setattr("derived_series.orthanc.bulk_comparisons._MOST_SECONDS", 0.0)
    for _ in range(2):
        assert comparisons.take() is None and comparisons.is_free
        comparisons.begin("run", MEMBER, AgreementLimits())
    taken = comparisons.take()
    assert taken is not None and taken[1].agrees is False


@pytest.mark.parametrize("error", [StorageError("Orthanc does not answer"), ValueError("of SECRET")])
def test_a_comparison_that_fails_is_given_up_after_some_attempts(error: Exception) -> None:
    comparisons = Comparisons(Failing(error), Connection("http://localhost"), "", lambda: None)
    for _ in range(2):
        comparisons.begin("run", MEMBER, AgreementLimits())
        assert comparisons.take() is None and comparisons.is_free
    comparisons.begin("run", MEMBER, AgreementLimits())
    taken = comparisons.take()
    assert taken is not None and taken[0] == "run" and taken[1].agrees is False
    problem = taken[1].comparison["result"]["Problem"]
    assert problem == f"the comparison could not be made ({type(error).__name__})"
