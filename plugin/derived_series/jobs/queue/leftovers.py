"""Leftovers: removing what still arrives in Orthanc for attempts that ended without a series."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from derived_series.errors import DerivedSeriesError
from derived_series.identifiers import series_uids_of
from derived_series.jobs.about_job import about_job
from derived_series.jobs.queue.store import JobStore

_log = logging.getLogger(__name__)

#: Seconds between two searches.
_LOOK_SECONDS = 0.5

_STOP_SECONDS = 2.0


class Leftovers:
    """A thread that searches for leftovers and removes them. The jobs that it searches for are on disk, for restarts.

    :param span: seconds after the end of an attempt in which something may arrive, as long as a request may last.
    :param remove: removes the series with these SeriesInstanceUIDs and returns how many there were.
    :param leads: whether this Orthanc is the one that removes.
    """

    def __init__(
        self,
        store: JobStore,
        span: float,
        remove: Callable[[tuple[str, ...]], int],
        leads: Callable[[], bool] = lambda: True,
    ):
        self._leads = leads
        self._store = store
        self._span = span
        self._remove = remove
        self._lock = threading.RLock()
        self._until: dict[str, float] = {}
        self._running: set[str] = set()  # what arrives for these may belong to the running attempt
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="leftovers", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def lead(self) -> None:
        """Search for the leftovers of all jobs marked on disk. :raises Busy: the marks cannot be read."""
        with self._lock:
            with self._store.reading() as db:
                rows = db.execute("SELECT job FROM leftovers").fetchall()
            known = [job for (job,) in rows if job not in self._running]
            self._until = dict.fromkeys(known, time.monotonic() + self._span) | self._until
        self._woken.set()

    def resign(self) -> None:
        """Stop searching: another Orthanc does it now."""
        with self._lock:
            self._until.clear()
            self._running.clear()

    def stop(self) -> None:
        self._stopping.set()
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_SECONDS)

    def expect(self, job_id: str) -> None:
        """Search for leftovers of a job, whose attempt has ended without a series or is being ended.

        :raises Busy: the disk refuses it.
        """
        with self._lock:
            with self._store.transaction(leading=True) as db:
                db.execute("INSERT INTO leftovers (job) VALUES (?) ON CONFLICT DO NOTHING", [job_id])
            self._running.discard(job_id)
            self._until[job_id] = time.monotonic() + self._span
        self._woken.set()

    def begin(self, job_id: str) -> None:
        """Pause for a job whose next attempt begins, since what arrives may be its own."""
        with self._lock:
            if self._until.pop(job_id, None) is not None:
                self._running.add(job_id)

    def forget(self, job_id: str) -> None:
        """Stop searching for a job whose series is stored and verified."""
        with self._lock:
            if not self.is_expected(job_id):
                return
            with self._store.transaction(leading=True) as db:
                db.execute("DELETE FROM leftovers WHERE job = ?", [job_id])
            self._until.pop(job_id, None)
            self._running.discard(job_id)

    def is_expected(self, job_id: str) -> bool:
        """Whether something of a former attempt may still arrive while the next one stores."""
        with self._lock:
            return job_id in self._until or job_id in self._running

    def _work(self) -> None:
        while not self._stopping.is_set():
            self._woken.wait(_LOOK_SECONDS if self._until else None)
            self._woken.clear()
            for job_id in list(self._until):
                if self._stopping.is_set():
                    return
                with about_job(job_id):
                    self._try(job_id)

    def _try(self, job_id: str) -> None:
        try:
            self._look(job_id)
        except DerivedSeriesError as error:  # Orthanc or the disk: the next search tries again
            _log.warning("what the job %s has left cannot be removed yet: %s", job_id, error)
        except Exception:  # the boundary of this thread: without it, nothing would be removed any more
            if not self._stopping.is_set():
                _log.exception("what the job %s has left cannot be removed yet", job_id)

    def _look(self, job_id: str) -> None:
        with self._lock:  # so that no attempt begins meanwhile
            until = self._until.get(job_id)
            if until is None or not self._leads():
                return
            now = time.monotonic()
            if removed := self._remove(series_uids_of(job_id)):
                _log.warning("removed %d series that a former attempt at the job %s has left", removed, job_id)
            if now >= until:
                self.forget(job_id)
