"""SeriesNumbers (0020,0011) that jobs have reserved in the studies of their parents; in the database of the jobs."""

from __future__ import annotations

from collections.abc import Callable, Collection

from derived_series.identifiers import free_series_number
from derived_series.jobs.queue.store import JobStore

_SCHEMA = """
CREATE TABLE IF NOT EXISTS series_numbers (
    job TEXT PRIMARY KEY, study TEXT NOT NULL, number INTEGER NOT NULL
) WITHOUT ROWID
"""

#: A job that is over needs its number no more: its series, if it made one, is in the study.
_UNFINISHED = "job IN (SELECT id FROM jobs WHERE state IN ('Pending', 'Running', 'Retry'))"


class SeriesNumbers:
    """Of all jobs that are not over, no two have the same number in a study."""

    def __init__(self, store: JobStore):
        self._store = store
        with store.transaction() as db:
            db.execute(_SCHEMA)

    def reserve(
        self, job_id: str, study: str, parent_number: int | None, in_study: Callable[[], Collection[int]]
    ) -> int:
        """The number for a job's series: that of its former attempt, where the study has not got it meanwhile.

        :param study: stands for the study. :param parent_number: the parent's.
        :param in_study: reads the numbers of the study's series, but for the job's own. It is called when no other
            job can be over or get a number: one that has just stored its series is seen here or there.
        :raises Busy: the disk does not take it.
        """
        with self._store.transaction() as db:
            db.execute(f"DELETE FROM series_numbers WHERE job <> ? AND NOT {_UNFINISHED}", [job_id])
            taken = set(in_study())
            rows = db.execute("SELECT job, number FROM series_numbers WHERE study = ?", [study]).fetchall()
            taken |= {number for job, number in rows if job != job_id}
            former = next((number for job, number in rows if job == job_id), None)
            number = free_series_number(parent_number, taken) if former is None or former in taken else former
            db.execute("INSERT OR REPLACE INTO series_numbers VALUES (?, ?, ?)", [job_id, study, number])
        return number
