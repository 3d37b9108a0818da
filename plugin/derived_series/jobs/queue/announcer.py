"""Announcer: the interface by which the runner announces what becomes of jobs, written together with their records."""

from __future__ import annotations

from derived_series.jobs.queue.database import Note
from derived_series.jobs.record import JobRecord


class Announcer:
    """Announces nothing; the notifier overrides it."""

    def of_job(self, job: JobRecord, *, worker_died: bool) -> Note | None:
        """A note that records what to announce about a job's new record; for ``JobStore.update(along=...)``.

        :param worker_died: whether its attempt ended because the worker process did.
        :returns: None if there is nothing to announce, whatever the record was before.
        """
        return None

    def wake(self) -> None:
        """Send what was recorded; called when it is on disk."""
