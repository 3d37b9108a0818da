"""What the code of jobs has said: so much of it, as long as the job is known."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from derived_series.errors import DerivedSeriesError
from derived_series.jobs.queue.store import JobStore

_log = logging.getLogger(__name__)

#: Bytes of one job that are kept.
MOST_BYTES = 1 << 20

_FULL = "... what follows is left out: it is in Orthanc's log\n"


class JobLogs:
    """Lines are written as they come; that nothing is lost in a crash is not worth a flush to the disk for each."""

    def __init__(self, store: JobStore):
        self._store = store
        self._lock = threading.Lock()

    def append(self, job_id: str, lines: Sequence[str]) -> None:
        """Keep lines. A disk that does not take them costs nothing but them."""
        text = "".join(line.replace("\n", " ") + "\n" for line in lines).encode("utf-8", "backslashreplace")
        try:
            with self._lock:
                self._store.files.append_log(job_id, text, MOST_BYTES, _FULL.encode())
        except (OSError, DerivedSeriesError) as error:
            _log.info("lines of the job %s cannot be kept: %s", job_id, error, extra={"job": job_id})

    def read(self, job_id: str, since: int) -> tuple[list[str], int]:
        """The whole lines from a place on, and the place of what comes next.

        :param since: 0, or a place that was answered before.
        """
        data = self._store.files.read_log(job_id, since)
        whole = data[: data.rfind(b"\n") + 1]
        lines = [line for line in whole.decode("utf-8", "replace").splitlines() if line]
        return lines, since + len(whole)
