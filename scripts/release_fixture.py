"""Writes this version's files of jobs and derived series into tests/releases/VERSION: run it before each release.

Later versions must read them (tests/unit/jobs/test_releases.py). An existing folder is never written again.
"""

from __future__ import annotations

import dataclasses
import json
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from derived_series.jobs.queue.leftovers import Leftovers
from derived_series.jobs.queue.reserved_numbers import SeriesNumbers
from derived_series.jobs.queue.schema import VERSION
from derived_series.jobs.queue.sqlite_database import DATABASE
from derived_series.jobs.queue.store import JobStore
from derived_series.jobs.queue.verdict_log import VerdictLog
from derived_series.jobs.record import JobRecord, Problem, State
from derived_series.jobs.rules.evaluate import Firing
from derived_series.jobs.rules.log import Fired, FiringLog, Seen
from derived_series.software import version

RELEASES = Path(__file__).resolve().parent.parent / "tests" / "releases"
PARENT, DERIVED = (f"{digit * 8}-" * 4 + digit * 8 for digit in "ab")

REQUEST = {"Pipeline": "gaussian_smoothing", "Parameters": {"SigmaMm": 2.0}}
RESULT = {
    "ID": DERIVED,
    "SeriesInstanceUID": "2.25.1",
    "InstancesCount": 3,
    "ParentSeries": PARENT,
    "Warnings": ["a warning of ä"],
    "Path": f"/series/{DERIVED}",
    "Series": [
        {
            "Output": "result",
            "ID": DERIVED,
            "Path": f"/series/{DERIVED}",
            "SeriesInstanceUID": "2.25.1",
            "InstancesCount": 3,
        }
    ],
    "Destinations": {"pacs": "Success"},
}
PROVENANCE = {
    "Job": "done",
    "Created": "2026-01-02T03:04:05",
    "ParentSeries": PARENT,
    "Parents": [{"Input": "parent", "ID": PARENT, "SeriesInstanceUID": "1.2.3"}],
    "Pipeline": "gaussian_smoothing",
    "Parameters": {"SigmaMm": 2.0},
    "Code": {"File": "gaussian_smoothing.py", "SHA256": "00"},
    "Request": REQUEST,
    "Warnings": ["a warning of ä"],
}
VERDICT = {"State": "Accepted", "User": "Anna", "Time": "2026-01-02T03:05:06"}

_JOB = JobRecord("done", PARENT, REQUEST, None, "subject", "digest", created=1767323045.0)
JOBS = (
    dataclasses.replace(_JOB, state=State.SUCCESS, progress=100, attempt=1, completed=1767323050.0, result=RESULT),
    dataclasses.replace(
        _JOB,
        id="failed",
        digest="other",
        state=State.FAILURE,
        attempt=8,
        completed=1767323051.0,
        problem=Problem("UserCodeError", 500, "the moon is in the wrong phase", "ask it", None),
    ),
    dataclasses.replace(_JOB, id="waits", digest="third", image="image.npy", priority=3, subject="another"),
)
FIRED = Fired(Firing("smooth", {"": PARENT}, "subject", "instances", ("smooth",), 1), "done", 1767323045.0)


def write(folder: Path) -> None:
    """Write the jobs folder's database as SQL, and the metadata of a series as JSON."""
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as jobs, closing(JobStore(Path(jobs))) as store:
        log, verdicts, numbers = FiringLog(store), VerdictLog(store), SeriesNumbers(store)
        Leftovers(store, 1.0, lambda uids: 0)
        for job in JOBS:
            along = log.note(FIRED) if job.id == FIRED.job else None
            store.add(job, b"image" if job.image else None, most=10, along=along)
        log.see(Seen(7, 6), [PARENT])
        verdicts.put(DERIVED, VERDICT)
        numbers.reserve("waits", "study", 1, lambda: [1, 2])
        with closing(sqlite3.connect(Path(jobs) / DATABASE)) as database:
            lines = [*database.iterdump(), f"PRAGMA user_version={VERSION};"]
    (folder / "jobs.sql").write_text("\n".join(lines) + "\n", "utf-8")
    metadata = {"4300": PROVENANCE, "4301": VERDICT}
    (folder / "metadata.json").write_text(json.dumps(metadata, indent=2, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    if (RELEASES / version()).exists():
        sys.exit(f"{RELEASES / version()} is there: what a version wrote does not change")
    write(RELEASES / version())
