"""What verdicts require of jobs, checked in the transaction that writes: a series is rejected or sent, never both."""

from __future__ import annotations

import json
from collections.abc import Collection

from derived_series.errors import Conflict
from derived_series.jobs.queue.database import Note, Transaction
from derived_series.jobs.record import JobRecord, State
from derived_series.jobs.requests.verdict import rejection_job_id
from derived_series.jobs.stored_series import stored_ids

_OVER = tuple(state.value for state in State if state.is_final)


def if_not_rejected(derivation: str, series: Collection[str]) -> Note:
    """Require that series are neither rejected nor about to be.

    :param derivation: the identifier of the job that made them. :param series: their Orthanc identifiers.
    """
    return _if_no_rejection(derivation, series, f"(state NOT IN ({_marks(_OVER)}) OR result IS NOT NULL)", "")


def if_not_being_rejected(derivation: JobRecord) -> Note:
    """Require that none of a job's series is just being rejected, so that the job may run again."""
    remedy = "wait until the rejection is over"
    return _if_no_rejection(derivation.id, stored_ids(derivation.result), f"state NOT IN ({_marks(_OVER)})", remedy)


def _if_no_rejection(derivation: str, series: Collection[str], condition: str, remedy: str) -> Note:
    jobs = [rejection_job_id(each, derivation) for each in series]

    def check(db: Transaction) -> None:
        query = f"SELECT series, state FROM jobs WHERE id IN ({_marks(jobs)}) AND {condition} ORDER BY seq"
        row = db.execute(query, [*jobs, *_OVER]).fetchone() if jobs else None
        if row is not None:
            what = "is rejected" if row[1] in _OVER else "is being rejected"
            raise Conflict(f"the series {row[0]} {what}", remedy=remedy or None)

    return check


def if_not_sent(series: str, derivation: str) -> Note:
    """Require that the job that made a series is over, as it may send the series on.

    :param derivation: its identifier; one that is forgotten sends nothing.
    """

    def check(db: Transaction) -> None:
        query = f"SELECT 1 FROM jobs WHERE id = ? AND state NOT IN ({_marks(_OVER)})"
        if db.execute(query, [derivation, *_OVER]).fetchone() is not None:
            raise Conflict(
                f"the series {series} is being sent to its destinations by the job {derivation}",
                remedy="wait until the job is over or cancel it, then reject the series",
            )

    return check


def if_not_judged_since(rejection: JobRecord) -> Note:
    """Require that the verdict on a series is still the one that whoever rejects it has seen."""

    def check(db: Transaction) -> None:
        row = db.execute("SELECT verdict FROM verdicts WHERE series = ?", [rejection.series]).fetchone()
        if (None if row is None else json.loads(row[0])) != rejection.request.get("Former"):
            raise Conflict(
                f"there is another verdict on the series {rejection.series} since its rejection by the job "
                f"{rejection.id} has failed",
                remedy=f"look at it, and reject the series once more: POST /series/{rejection.series}/review",
            )

    return check


def _marks(values: Collection[str]) -> str:
    return ", ".join("?" * len(values))
