"""Completions: the point of an attempt from which its series may be complete, so that its job is not just cancelled.

A worker asks before it sends the last instance of a job's series. Its answer and a cancellation exclude each other, as
both are written in transactions that look for the other. So of a job that is cancelled before, no series is ever
complete.
"""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from derived_series.errors import Busy, Conflict
from derived_series.jobs.queue.database import Transaction
from derived_series.jobs.queue.store import JobStore, is_wanted
from derived_series.jobs.queue.waiting import WaitingRoom
from derived_series.jobs.record import State

#: Seconds for which a cancellation waits for the end of an attempt that completes its series; usually it takes 0.1.
_PATIENCE_SECONDS = 5.0
_LOOK_SECONDS = 0.25
_REMEMBERED_SECONDS = 600.0

_REMEDY = "wait for the end of the job; then the series can be rejected or deleted"


@dataclass(frozen=True, slots=True)
class Completion:
    """The completion of a job's series by an attempt.

    :param attempt: its number. :param began: seconds since 1970; with the attempt, tells it from others of the job.
    :param series: the number of instances by SeriesInstanceUID.
    :param is_settled: whether the series were verified, and something depends on them by now.
    :param is_current: whether no later attempt has begun.
    :param is_closed: whether the attempt has ended without a result. :param is_running: whether its job still runs.
    """

    attempt: int
    began: float
    series: Mapping[str, int]
    is_settled: bool
    is_current: bool
    is_closed: bool
    is_running: bool


class Completions:
    """Begins completions, and decides whether a job can be cancelled. Safe for threads.

    :param held: the number of instances in Orthanc by SeriesInstanceUID, for some SeriesInstanceUIDs.
    :param room: where threads wait for the ends of jobs.
    """

    def __init__(self, store: JobStore, held: Callable[[Iterable[str]], Mapping[str, int]], room: WaitingRoom):
        self._store = store
        self._held = held
        self._room = room
        self._lock = threading.Lock()
        self._seen: dict[tuple[str, int, float], float] = {}  # when a completion was first met, by the monotonic clock

    # -- for attempts ----------------------------------------------------------------------------------------

    def begin(self, job_id: str, attempt: int, series: Mapping[str, int]) -> bool:
        """Record that an attempt completes its series now.

        :param series: the number of instances by SeriesInstanceUID.
        :returns: False: the job was cancelled, or another attempt counts.
        :raises Busy: that cannot be written now.
        """
        with suppress(Conflict), self._store.transaction() as db:
            _require_wanted(db, job_id, attempt)
            db.execute(
                "INSERT INTO completions (job, attempt, series, began, settled, closed) VALUES (?, ?, ?, ?, 0, 0) "
                "ON CONFLICT (job) DO UPDATE SET attempt = excluded.attempt, series = excluded.series, "
                "began = excluded.began, closed = 0",
                [job_id, attempt, json.dumps(dict(series)), time.time()],
            )
            return True
        return False

    def settle(self, job_id: str, attempt: int) -> bool:
        """Record that the series are verified, and that what follows has to be done to its end: it is not cancelled.

        :returns: False: the job was cancelled, or another attempt counts. :raises Busy: it cannot be written now.
        """
        with suppress(Conflict), self._store.transaction() as db:
            _require_wanted(db, job_id, attempt)
            settled = "UPDATE completions SET settled = 1 WHERE job = ? AND attempt = ? AND closed = 0"
            return db.execute(settled, [job_id, attempt]).rowcount == 1
        return False

    def note_result(self, job_id: str, attempt: int, result: Mapping[str, Any]) -> bool:
        """Record that an attempt has stored its series: they stay, whatever comes after.

        :param result: the job's answer.
        :returns: False: the job was cancelled, or another attempt counts. :raises Busy: it cannot be written now.
        """
        job = self._store.find(job_id)
        if job is None:
            return False

        def and_look_for_no_leftovers(db: Transaction) -> None:
            _require_wanted(db, job_id, attempt)
            completes = "SELECT 1 FROM completions WHERE job = ? AND attempt = ? AND closed = 0"
            if db.execute(completes, [job_id, attempt]).fetchone() is None:
                raise Conflict(f"attempt {attempt} of job {job_id} has ended")
            db.execute("DELETE FROM leftovers WHERE job = ?", [job_id])

        stored = dataclasses.replace(job, result=dict(result), has_leftovers=False)
        with suppress(Conflict):
            return self._store.exchange(job, stored, and_look_for_no_leftovers)
        return False

    # -- for users -------------------------------------------------------------------------------------------

    def cancel(self, job_id: str, *, wait: bool = True) -> bool:
        """Record that a job is to be ended, for the Orthanc that leads.

        A series that is being completed is waited for. If that takes long, because a worker or the network is slow, and
        the series is not complete in Orthanc, the job is cancelled.

        :returns: False, only without ``wait``: its series is being completed; ask again.
        :raises Conflict: the job is over, or its series is complete.
        :raises NotFound: there is no such job. :raises Busy: it cannot be written now, or Orthanc stops.
        """
        self._store.get(job_id)
        waited_for: Completion | None = None
        while (completion := self._ask(job_id, waited_for=waited_for)) is not None:
            if waited_for is not None and waited_for.is_current and not completion.is_current:
                raise _is_made_again(job_id)
            waited_for = completion
            if self._may_be_cancelled(job_id, completion):
                if self._ask(job_id, even=completion) is None:
                    break
            elif not wait:
                return False
            elif self._room.is_closed:
                raise Busy("the server is stopping", retry_after=30)
            else:
                self._room.wait(job_id, _LOOK_SECONDS, lambda: self._store.get(job_id).state.is_final)
        return True

    def _may_be_cancelled(self, job_id: str, completion: Completion) -> bool:
        """Whether a job may be cancelled although it may have sent all instances of its series.

        :raises Conflict: its series is complete.
        """
        is_slow = self._seconds_since(job_id, completion) >= _PATIENCE_SECONDS
        if completion.is_current and not is_slow and (completion.is_running or not completion.is_closed):
            return False
        if completion.is_current and completion.is_closed and not completion.is_settled:
            raise _is_made_again(job_id)
        if completion.is_settled:
            raise Conflict(
                f"the derived series of job {job_id} is complete, and what follows cannot be cancelled", remedy=_REMEDY
            )
        held = self._held(completion.series)
        if not is_slow:  # the last instance of a former attempt makes nothing complete if there are no others
            return not any(held.values())
        if any(held.get(series, 0) >= instances for series, instances in completion.series.items()):
            raise Conflict(
                f"the derived series of job {job_id} is complete, so that it cannot be cancelled", remedy=_REMEDY
            )
        return True

    def _seconds_since(self, job_id: str, completion: Completion) -> float:
        """Seconds since a completion was first met here, as clocks of other Orthancs may differ."""
        now = time.monotonic()
        with self._lock:
            self._seen = {key: since for key, since in self._seen.items() if now - since < _REMEMBERED_SECONDS}
            return now - self._seen.setdefault((job_id, completion.attempt, completion.began), now)

    def _ask(
        self, job_id: str, *, even: Completion | None = None, waited_for: Completion | None = None
    ) -> Completion | None:
        """Record a cancellation. None: it is recorded; else it is not, because of a completion.

        :param even: the completion in spite of which it is recorded.
        :param waited_for: one that was met before, and may be over by now.
        """
        with self._store.transaction() as db:
            row = db.execute(
                "SELECT state, result, asked.attempt, completions.attempt, began, series, settled, closed FROM "
                "(SELECT id, state, result, attempt FROM jobs WHERE id = ?) AS asked "
                "LEFT JOIN completions ON completions.job = asked.id",
                [job_id],
            ).fetchone()
            if row is None or State(row[0]).is_final:
                raise Conflict(f"the job {job_id} is over and cannot be cancelled")
            state, result, current, attempt, began, series, settled, closed = row
            if series is not None and result is None:
                completion = Completion(
                    attempt=attempt,
                    began=began,
                    series=json.loads(series),
                    is_settled=bool(settled),
                    is_current=attempt == current,
                    is_closed=bool(closed),
                    is_running=state == State.RUNNING.value,
                )
                if completion != even:
                    return completion
            if series is None and result is None and waited_for is not None:
                raise _is_made_again(job_id)
            db.execute("INSERT INTO cancellations (job) VALUES (?) ON CONFLICT DO NOTHING", [job_id])
        return None


def _is_made_again(job_id: str) -> Conflict:
    return Conflict(
        f"the last attempt at job {job_id} has ended when its series may have been complete: it is made again",
        remedy="cancel the job once the next attempt has begun",
    )


def closed_result(store: JobStore, job_id: str, attempt: int) -> dict[str, Any] | None:
    """The result that an attempt noted before it ended; if there is none, it cannot note one any more.

    :raises Busy: that cannot be written now.
    """
    with store.transaction(leading=True) as db:
        row = db.execute("SELECT result FROM jobs WHERE id = ? AND attempt = ?", [job_id, attempt]).fetchone()
        if row is not None and row[0] is not None:
            return dict(json.loads(row[0]))
        db.execute("UPDATE completions SET closed = 1 WHERE job = ? AND attempt = ?", [job_id, attempt])
    return None


def _require_wanted(db: Transaction, job_id: str, attempt: int) -> None:
    """Require that an attempt is running and its job not cancelled. :raises Conflict: it is not."""
    if not is_wanted(db, job_id, attempt):
        raise Conflict(f"attempt {attempt} of job {job_id} is not wanted")
