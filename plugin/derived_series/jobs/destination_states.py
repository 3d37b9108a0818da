"""Destinations that wait for a verdict: what becomes of a job's record when there is one."""

from __future__ import annotations

import dataclasses

from derived_series.jobs.record import JobRecord, State

HELD, REJECTED, DELETED, PENDING, DELIVERED = "Held", "Rejected", "Deleted", "Pending", "Success"

#: Of a destination that answers and does not take the series: only a person's "resubmit" asks it again.
REFUSED = "Refused"

#: States of a destination that nothing is sent to.
CLOSED = frozenset({HELD, REJECTED, DELETED, DELIVERED})


def destinations(job: JobRecord) -> dict[str, str]:
    """The state of each destination of a job whose series is stored."""
    return dict((job.result or {}).get("Destinations", {}))


def is_held(job: JobRecord) -> bool:
    return HELD in destinations(job).values()


def released(job: JobRecord) -> JobRecord:
    """The job with its held destinations to be delivered: it runs once more, for them alone."""
    states = {name: PENDING if state == HELD else state for name, state in destinations(job).items()}
    again = dataclasses.replace(job, state=State.PENDING, attempt=0, progress=0, completed=None, next_try=0.0)
    return _with(dataclasses.replace(again, problem=None), states)


def reopened(job: JobRecord) -> JobRecord:
    """The job with all that have refused its series to be asked again."""
    states = {name: PENDING if state == REFUSED else state for name, state in destinations(job).items()}
    return _with(job, states) if states else job


def withdrawn(job: JobRecord, why: str) -> JobRecord:
    """The job with nothing more to be delivered: its series is ``REJECTED`` or ``DELETED``."""
    return _with(job, {name: state if state == DELIVERED else why for name, state in destinations(job).items()})


def _with(job: JobRecord, states: dict[str, str]) -> JobRecord:
    return dataclasses.replace(job, result={**(job.result or {}), "Destinations": states})
