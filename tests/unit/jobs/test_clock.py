"""A time of day that jumps holds no retry."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from derived_series.errors import InvalidRequest, StorageError
from derived_series.jobs.messages import Outcome
from derived_series.jobs.queue.clock import SteadyClock
from derived_series.jobs.queue.database import Note
from derived_series.jobs.queue.store import JobStore
from derived_series.jobs.record import JobRecord, State
from derived_series.orthanc.routes.jobs import _number
from test_jobs_runner import Start, fails_until, start
from test_jobs_store import job

__all__ = ["start"]


@pytest.mark.parametrize("jump", [-86400.0, -30.0, 86400.0])
def test_a_clock_that_is_set(start: Start, monkeypatch: pytest.MonkeyPatch, jump: float) -> None:
    real = time.time
    started = start(fails_until(3, StorageError("lost", transient=True)))
    update = started.store.update

    def jumping(record: JobRecord, along: Note | None = None) -> bool:
        if record.state is State.RETRY:
            monkeypatch.setattr(time, "time", lambda: real() + jump)
        return update(record, along)

    monkeypatch.setattr(started.store, "update", jumping)
    done = started.run("a")
    assert done.state is State.SUCCESS and done.attempt == 3


def test_a_clock_that_was_set_back_over_a_restart(start: Start, tmp_path: Path) -> None:
    store = JobStore(tmp_path / "jobs")
    store.add(job("a", state=State.RETRY, attempt=1, next_try=time.time() + 86400), None, most=9)
    store.close()
    assert start(lambda task: Outcome(result={"ID": "x"})).runner.wait("a", 10).state is State.SUCCESS


def test_it_goes_as_the_time_of_day_goes() -> None:
    assert abs(SteadyClock().now() - time.time()) < 60


@pytest.mark.parametrize("text", ["1" * 24, "9" * 5000, "-1", "1.5", "x", "", "\u0661"])
def test_numbers_of_jobs_that_are_not_numbers(text: str) -> None:
    with pytest.raises(InvalidRequest, match="not a whole number"):
        _number({"since": text}, "since")
    assert _number({"since": "12"}, "since") == 12 and _number({}, "since") == 0
