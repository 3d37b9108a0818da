"""What the code of jobs says is kept by job, read from a place on, and bounded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from derived_series.jobs.queue.job_logs import MOST_BYTES, JobLogs
from derived_series.jobs.queue.store import JobStore
from store_places import StorePlace


@pytest.fixture
def store(store_place: StorePlace) -> Iterator[JobStore]:
    jobs = store_place.open()
    yield jobs
    jobs.close()


def test_lines_are_read_from_a_place_on(store: JobStore) -> None:
    logs = JobLogs(store)
    assert logs.read("a", 0) == ([], 0)
    logs.append("a", ["one", "zwölf", "of\nseveral"])
    logs.append("b", ["another job's"])
    lines, following = logs.read("a", 0)
    assert lines == ["one", "zwölf", "of several"]
    logs.append("a", ["last"])
    assert logs.read("a", following)[0] == ["last"]
    store.files.append_log("a", b"half a li", MOST_BYTES, b"")
    assert logs.read("a", following)[0] == ["last"], "what is being written is not read before its end"


def test_a_log_has_a_bound_and_says_so(store: JobStore) -> None:
    logs, line = JobLogs(store), "x" * 1999
    for _ in range(MOST_BYTES // 2000 + 10):
        logs.append("a", [line])
    lines, place = [], 0  # type: ignore[var-annotated]
    while True:
        more, following = logs.read("a", place)
        if following == place:
            break
        lines, place = lines + more, following
    assert place <= MOST_BYTES + 100
    assert lines[:-1] == [line] * (MOST_BYTES // 2000) and "is left out" in lines[-1]


def test_a_log_goes_with_its_job(store: JobStore) -> None:
    logs = JobLogs(store)
    logs.append("a", ["one"])
    store.delete("a")
    assert logs.read("a", 0) == ([], 0)


def test_a_disk_that_refuses_a_log_costs_nothing_else(tmp_path: Path) -> None:
    store = JobStore(tmp_path)
    logs = JobLogs(store)
    (tmp_path / "logs").write_text("no folder")
    logs.append("a", ["two"])
    assert logs.read("a", 0) == ([], 0)
    store.close()
