"""Completions: the point of an attempt from which its series may be complete, so that its job is not just cancelled.

A worker asks before it sends the last instance of a job's series. Its answer and a cancellation exclude each other, as
both are written in transactions that look for the other. So of a job that is cancelled before, no series is ever
complete.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from derived_series.errors import Conflict
from derived_series.jobs.queue.database import Transaction
from derived_series.jobs.queue.store import JobStore
from derived_series.jobs.queue.waiting import WaitingRoom
from derived_series.jobs.record import State

#: Seconds that a cancellation waits for the end of an attempt that completes its series; usually it takes 0.1.
_PATIENCE_SECONDS = 5.0
_LOOK_SECONDS = 0.25


class Completions:
    """Begins completions, and decides whether a job can be cancelled. Safe for threads.

    :param held: the number of instances in Orthanc by SeriesInstanceUID, for some SeriesInstanceUIDs.
    :param room: where threads wait for the ends of jobs.
    """

    def __init__(self, store: JobStore, held: Callable[[Iterable[str]], Mapping[str, int]], room: WaitingRoom):
        self._store = store
        self._held = held
        self._room = room

    def begin(self, job_id: str, attempt: int, series: Mapping[str, int]) -> bool:
        """Record that an attempt completes its series now.

        :param series: the number of instances by SeriesInstanceUID.
        :returns: False: the job was cancelled, or another attempt counts.
        :raises Busy: that cannot be written now.
        """
        with suppress(Conflict), self._store.transaction() as db:
            _require_wanted(db, job_id, attempt)
            db.execute(
                "INSERT INTO completions (job, series) VALUES (?, ?) ON CONFLICT (job) DO UPDATE SET series = "
                "excluded.series",
                [job_id, json.dumps(dict(series))],
            )
            return True
        return False

    def note_result(self, job_id: str, attempt: int, result: Mapping[str, Any]) -> bool:
        """Record that an attempt has stored its series, and only sends them on: they stay, whatever comes after.

        :param result: the job's answer.
        :returns: False: the job was cancelled, or another attempt counts. :raises Busy: it cannot be written now.
        """
        job = self._store.find(job_id)
        if job is None or job.attempt != attempt or job.state is not State.RUNNING:
            return False
        stored = dataclasses.replace(job, result=dict(result), has_leftovers=False)
        with suppress(Conflict):
            return self._store.exchange(job, stored, lambda db: _require_wanted(db, job_id, attempt))
        return False

    def cancel(self, job_id: str) -> None:
        """Record that a job is to be ended, for the Orthanc that leads.

        A series that is being completed is waited for. If it takes long, because a worker or the network is slow, and
        the series is not complete in Orthanc, the job is cancelled.

        :raises Conflict: the job is over, or its series is complete.
        :raises NotFound: there is no such job. :raises Busy: it cannot be written now.
        """
        self._store.get(job_id)
        end = time.monotonic() + _PATIENCE_SECONDS
        while (completing := self._ask(job_id)) is not None:
            if (left := end - time.monotonic()) > 0:
                self._room.wait(job_id, min(left, _LOOK_SECONDS), lambda: self._store.get(job_id).state.is_final)
                continue
            held = self._held(completing)
            if any(held.get(series, 0) >= instances for series, instances in completing.items()):
                raise Conflict(
                    f"the derived series of job {job_id} is complete, so that it cannot be cancelled",
                    remedy="wait for the end of the job; then the series can be rejected or deleted",
                )
            self._ask(job_id, even_completing=True)
            return

    def _ask(self, job_id: str, *, even_completing: bool = False) -> Mapping[str, int] | None:
        """Record a cancellation. The series that are being completed, for which it is not recorded; else None."""
        with self._store.transaction() as db:
            row = db.execute(
                "SELECT state, result, series FROM (SELECT id, state, result FROM jobs WHERE id = ?) AS asked "
                "LEFT JOIN completions ON completions.job = asked.id",
                [job_id],
            ).fetchone()
            state, result, completing = (State.FAILURE.value, None, None) if row is None else row
            if State(state).is_final:
                raise Conflict(f"the job {job_id} is over and cannot be cancelled")
            if completing is not None and result is None and not even_completing:
                return dict(json.loads(completing))
            db.execute("INSERT INTO cancellations (job) VALUES (?) ON CONFLICT DO NOTHING", [job_id])
        return None


def _require_wanted(db: Transaction, job_id: str, attempt: int) -> None:
    """Require that an attempt is running and its job not cancelled. :raises Conflict: it is not."""
    row = db.execute(
        "SELECT 1 FROM jobs WHERE id = ? AND attempt = ? AND state = 'Running' "
        "AND id NOT IN (SELECT job FROM cancellations)",
        [job_id, attempt],
    ).fetchone()
    if row is None:
        raise Conflict(f"attempt {attempt} of job {job_id} is not wanted")
