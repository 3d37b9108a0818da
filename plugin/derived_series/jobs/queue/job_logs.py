"""JobLogs: the output of jobs' code, up to a limit, kept as long as the job is."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from derived_series.errors import DerivedSeriesError
from derived_series.jobs.queue.store import JobStore

_log = logging.getLogger(__name__)

#: The most bytes that are kept for a job.
MOST_BYTES = 1 << 20

_FULL = "... what follows is left out: it is in Orthanc's log\n"


class JobLogs:
    """The logs of jobs. Lines are written without a flush to disk, so a crash may lose some."""

    def __init__(self, store: JobStore):
        self._store = store
        self._lock = threading.Lock()

    def append(self, job_id: str, lines: Sequence[str]) -> None:
        """Append lines; if the disk refuses them, only they are lost."""
        text = "".join(line.replace("\n", " ") + "\n" for line in lines).encode("utf-8", "backslashreplace")
        try:
            with self._lock:
                self._store.files.append_log(job_id, text, MOST_BYTES, _FULL.encode())
        except (OSError, DerivedSeriesError) as error:
            _log.info("lines of the job %s cannot be kept: %s", job_id, error, extra={"job": job_id})

    def read(self, job_id: str, since: int) -> tuple[list[str], int]:
        """The complete lines from an offset on, and the offset of the next ones.

        :param since: 0, or an offset that was returned before.
        """
        data = self._store.files.read_log(job_id, since)
        whole = data[: data.rfind(b"\n") + 1]
        lines = [line for line in whole.decode("utf-8", "replace").splitlines() if line]
        return lines, since + len(whole)
