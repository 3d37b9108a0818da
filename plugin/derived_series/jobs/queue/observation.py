"""Tells the observer of jobs that have another state."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection

from derived_series.errors import Busy
from derived_series.jobs.about_job import about_job
from derived_series.jobs.record import JobRecord

_log = logging.getLogger(__name__)

_TELL_AGAIN_SECONDS = 1.0


class Observation:
    """Calls the observer, which may raise anything: that costs nothing else.

    :param observe: called with each job that has another state, by the runner's thread.
    """

    def __init__(self, observe: Callable[[JobRecord], None]):
        self._observe = observe
        self._untold: dict[str, float] = {}  # by job, when the observer is called again, by the monotonic clock

    def tell(self, job: JobRecord) -> None:
        """Call the observer; a second later again, if the disk does not take what it has to write."""
        self._untold.pop(job.id, None)
        try:
            with about_job(job.id):
                self._observe(job)
        except Busy as error:
            _log.error("the jobs cannot be written: %s", error, extra={"job": job.id})
            self._untold[job.id] = time.monotonic() + _TELL_AGAIN_SECONDS
        except Exception:  # the boundary to observers
            _log.exception("what observes the jobs has met an error (job %s)", job.id, extra={"job": job.id})

    def tell_again(self, find: Callable[[str], JobRecord | None]) -> None:
        """Call the observer again where that is due. :param find: the record of a job; None: it is forgotten."""
        now = time.monotonic()
        for job_id in [job_id for job_id, due in self._untold.items() if due <= now]:
            if (job := find(job_id)) is not None:
                self.tell(job)
            else:
                del self._untold[job_id]

    def due(self) -> Collection[float]:
        """When the observer is to be called again, by the monotonic clock."""
        return self._untold.values()

    def clear(self) -> None:
        """Call the observer no more for what it has not taken."""
        self._untold.clear()
