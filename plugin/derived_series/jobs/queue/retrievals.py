"""Retrievals: the series that jobs are about to retrieve from other servers, in the jobs database.

They are recorded before anything arrives, because a worker that is killed while waiting cannot mark what it retrieved.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from derived_series.jobs.plain import json_bytes
from derived_series.jobs.queue.store import JobStore

_SCHEMA = """
CREATE TABLE IF NOT EXISTS retrievals (
    series_uid TEXT NOT NULL, job TEXT NOT NULL, origin TEXT NOT NULL, time DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (series_uid, job)
)
"""

#: Seconds after which an announced series that has not arrived is no longer expected.
_EXPECTED_SECONDS = 86400.0


class Retrievals:
    """Entries by SeriesInstanceUID and job, removed when the series is marked."""

    def __init__(self, store: JobStore):
        self._store = store
        with store.transaction() as db:
            db.execute(_SCHEMA)

    def expect(self, series_uid: str, job_id: str, origin: Mapping[str, Any]) -> None:
        """Record that a job is about to retrieve a series; it is on disk when this returns.

        :param origin: the contents of the series' mark. :raises Busy: the disk refuses it.
        """
        now = time.time()
        with self._store.transaction() as db:
            db.execute("DELETE FROM retrievals WHERE time < ?", [now - _EXPECTED_SECONDS])
            db.execute("DELETE FROM retrievals WHERE series_uid = ? AND job = ?", [series_uid, job_id])
            db.execute(
                "INSERT INTO retrievals (series_uid, job, origin, time) VALUES (?, ?, ?, ?)",
                [series_uid, job_id, json_bytes(dict(origin)).decode(), now],
            )

    def of_job(self, job_id: str) -> dict[str, dict[str, Any]]:
        """The origins of the series that a job retrieves, by SeriesInstanceUID."""
        with self._store.reading() as db:
            rows = db.execute("SELECT series_uid, origin FROM retrievals WHERE job = ?", [job_id]).fetchall()
        return {series_uid: json.loads(origin) for series_uid, origin in rows}

    def is_expected(self, series_uid: str) -> bool:
        """Whether a job retrieves a series, or was about to."""
        with self._store.reading() as db:
            row = db.execute(
                "SELECT 1 FROM retrievals WHERE series_uid = ? AND time >= ? LIMIT 1",
                [series_uid, time.time() - _EXPECTED_SECONDS],
            ).fetchone()
        return row is not None

    def forget(self, series_uid: str, job_id: str) -> None:
        """Remove the entry of a series that is marked."""
        with self._store.transaction() as db:
            db.execute("DELETE FROM retrievals WHERE series_uid = ? AND job = ?", [series_uid, job_id])
