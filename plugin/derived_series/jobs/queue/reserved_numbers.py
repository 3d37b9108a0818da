"""SeriesNumbers (0020,0011) reserved by jobs in the studies of their parents, in the jobs database."""

from __future__ import annotations

from collections.abc import Callable, Collection

from derived_series.identifiers import free_series_numbers
from derived_series.jobs.queue.store import JobStore

#: A job that is over no longer needs its number: its series, if any, is in the study.
_UNFINISHED = "job IN (SELECT id FROM jobs WHERE state IN ('Pending', 'Running', 'Retry'))"


class SeriesNumbers:
    """Reserves SeriesNumbers so that no two unfinished jobs have the same one in a study."""

    def __init__(self, store: JobStore):
        self._store = store

    def reserve(
        self,
        job_id: str,
        study: str,
        parent_number: int | None,
        in_study: Callable[[], Collection[int]],
        count: int = 1,
    ) -> int:
        """Reserve the number for a job's series: that of its former attempt, if the study has not used it meanwhile.

        For several series it is the first of consecutive numbers.

        :param study: identifies the study. :param parent_number: the parent's SeriesNumber.
        :param in_study: reads the numbers of the study's series, except the job's own. It is called while no other job
            can end or get a number, so that a job that has just stored its series is seen in one of the two places.
        :raises Busy: the disk refuses it.
        """
        with self._store.transaction(leading=True) as db:
            db.execute(f"DELETE FROM series_numbers WHERE job <> ? AND NOT {_UNFINISHED}", [job_id])
            taken = set(in_study())
            rows = db.execute("SELECT job, number, count FROM series_numbers WHERE study = ?", [study]).fetchall()
            taken |= {first + k for job, first, length in rows if job != job_id for k in range(length)}
            former = next((first for job, first, _ in rows if job == job_id), None)
            if former is None or not taken.isdisjoint(range(former, former + count)):
                former = free_series_numbers(parent_number, taken, count)
            number = int(former)
            db.execute(
                "INSERT INTO series_numbers (job, study, number, count) VALUES (?, ?, ?, ?) ON CONFLICT (job) "
                "DO UPDATE SET study = excluded.study, number = excluded.number, count = excluded.count",
                [job_id, study, number, count],
            )
        return number
