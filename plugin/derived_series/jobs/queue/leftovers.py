"""What may still arrive in Orthanc under the UIDs of attempts that have ended without a series, and its removal."""

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

#: Seconds between two looks.
_LOOK_SECONDS = 0.5

_STOP_SECONDS = 2.0


class Leftovers:
    """A thread that looks, and removes what it finds at once. On disk are the jobs it looks for: a start begins again.

    :param span: seconds after the end of an attempt in which something may arrive: as long as a request may last.
    :param remove: removes all that Orthanc holds under SeriesInstanceUIDs; the number of series.
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
        self._running: set[str] = set()  # what arrives now may be of the attempt that runs
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="leftovers", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def lead(self) -> None:
        """Look for what all are looked for whose marks are on disk. :raises Busy: it cannot be read."""
        with self._lock:
            with self._store.reading() as db:
                known = [job for (job,) in db.execute("SELECT job FROM leftovers").fetchall()]
            self._until = dict.fromkeys(known, time.monotonic() + self._span) | self._until
        self._woken.set()

    def resign(self) -> None:
        """Another looks for all of it now."""
        with self._lock:
            self._until.clear()
            self._running.clear()

    def stop(self) -> None:
        self._stopping.set()
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_SECONDS)

    def expect(self, job_id: str) -> None:
        """An attempt has ended without a series, or is being ended.

        :raises Busy: the disk does not take it.
        """
        with self._lock:
            with self._store.transaction(leading=True) as db:
                db.execute("INSERT INTO leftovers (job) VALUES (?) ON CONFLICT DO NOTHING", [job_id])
            self._running.discard(job_id)
            self._until[job_id] = time.monotonic() + self._span
        self._woken.set()

    def begin(self, job_id: str) -> None:
        """Another attempt begins: from now on, what arrives may be its own."""
        with self._lock:
            if self._until.pop(job_id, None) is not None:
                self._running.add(job_id)

    def forget(self, job_id: str) -> None:
        """The job's series is stored and verified, and stays."""
        with self._lock:
            if not self.is_expected(job_id):
                return
            with self._store.transaction(leading=True) as db:
                db.execute("DELETE FROM leftovers WHERE job = ?", [job_id])
            self._until.pop(job_id, None)
            self._running.discard(job_id)

    def is_expected(self, job_id: str) -> bool:
        """Whether something of a former attempt may arrive while the job's next one stores."""
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
        except DerivedSeriesError as error:  # Orthanc or the disk: the next look tries again
            _log.warning("what the job %s has left cannot be removed yet: %s", job_id, error)
        except Exception:  # the one boundary of this thread: without it, nothing would be removed any more
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
