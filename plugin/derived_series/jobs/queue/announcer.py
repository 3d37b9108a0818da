"""Who is told what becomes of jobs: the runner writes down what is to be told together with what it tells."""

from __future__ import annotations

from derived_series.jobs.queue.database import Note
from derived_series.jobs.record import JobRecord


class Announcer:
    """Tells nobody; the notices' one tells those who are configured."""

    def of_job(self, job: JobRecord, *, worker_died: bool) -> Note | None:
        """What writes down that a job is about to have this record; for ``JobStore.update(along=...)``.

        :param worker_died: its attempt has ended because the worker process did.
        :returns: None where there is nothing to tell, whatever the record was before.
        """
        return None

    def wake(self) -> None:
        """Something that was written down is on disk now."""
