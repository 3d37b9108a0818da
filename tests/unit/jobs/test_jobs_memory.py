"""The memory of a worker: what it keeps between tasks, and what it says when a task takes too much."""

from __future__ import annotations

import ctypes
import subprocess
import sys
import threading
from datetime import datetime
from pathlib import Path
from typing import NoReturn

import pytest

from derived_series.dicomweb.client import Connection
from derived_series.errors import UserCodeError
from derived_series.jobs.messages import DeriveTask, Outcome
from derived_series.jobs.pool.executor import ProcessExecutor
from derived_series.jobs.work.attempt import Attempt, make_attempt
from derived_series.jobs.work.reporter import Reporter
from derived_series.pipelines.user_calls import call_user_code

_SCRIPT = """
import sys
import numpy as np
from derived_series.jobs.pool.memory import give_back, keep_freed

def megabytes():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 >> 20

keep_freed()
before = megabytes()
for _ in range(3):
    blocks = [np.ones(50 << 17), *(bytes(1 << 20) for _ in range(150))]
    del blocks
kept = megabytes()
give_back()
print(before, kept, megabytes())
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="glibc's malloc alone can be told")
def test_what_is_freed_is_kept_until_it_is_given_back() -> None:
    """200 MB three times, in large and in small blocks: they are kept once, not three times."""
    plugin = Path(__file__).resolve().parents[3] / "plugin"
    run = subprocess.run(
        [sys.executable, "-c", _SCRIPT], env={"PYTHONPATH": str(plugin)}, capture_output=True, text=True, check=True
    )
    before, kept, after = map(int, run.stdout.split())
    assert 190 <= kept - before <= 260
    assert after - before <= 20


def numerics() -> None:
    """Initialize a worker as a real one is."""
    import numpy  # noqa: F401


def take_all(step: int, is_noisy: bool) -> Outcome:
    """An attempt whose pipeline takes memory in steps until there is none."""

    def process() -> NoReturn:
        kept = []
        while True:
            kept.append(bytearray(step))
            if is_noisy and len(kept) % 50 == 0:
                print(len(kept))

    def work(attempt: Attempt) -> NoReturn:
        call_user_code("process of pipeline 'p'", process)
        raise AssertionError("unreachable")

    task = DeriveTask(
        "job",
        1,
        "series",
        {"Pipeline": "p"},
        datetime(2026, 1, 2),
        Connection("http://127.0.0.1:9"),
        (),
        memory_limit=500 << 20,
        progress_route="/x",
    )
    return make_attempt(task, work)


@pytest.mark.parametrize(("step", "is_noisy"), [(1 << 30, False), (1 << 20, True), (1 << 16, False)])
def test_memory_that_runs_out_is_told_as_that(step: int, is_noisy: bool) -> None:
    """In one step or in small ones, after which there is not enough for the thread that reports either."""
    executor = ProcessExecutor(1, initializer=numerics)
    try:
        error = executor.submit(take_all, step, is_noisy).result(60).error
        assert isinstance(error, UserCodeError) and "memory" in str(error)
        assert executor.submit(abs, -1).result(20) == 1
    finally:
        executor.shutdown()


def test_reports_wait_for_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(thread: threading.Thread) -> NoReturn:
        raise RuntimeError("can't start new thread")

    sent: list[dict[str, object]] = []
    reporter = Reporter(Connection("http://127.0.0.1:9"), "/x", 1)
    monkeypatch.setattr(reporter, "_send", sent.append)
    monkeypatch.setattr(threading.Thread, "start", fail)
    reporter.line("one")
    reporter.line("two")
    reporter.close()
    assert sent == [{"Attempt": 1, "Lines": ["one", "two"]}]
