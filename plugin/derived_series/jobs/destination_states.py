"""The states of a job's destinations, and how they change with verdicts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from derived_series.jobs.record import JobRecord, State
from derived_series.jobs.stored_series import stored_ids, stored_series

HELD, REJECTED, DELETED, PENDING, DELIVERED = "Held", "Rejected", "Deleted", "Pending", "Success"

#: The state of a destination that refused the series; it is asked again only if a user resubmits the job.
REFUSED = "Refused"
FAILURE = "Failure"
#: The state of a destination for which a user cancelled the delivery; only a user who resubmits the job changes it.
CANCELLED = "Cancelled"

#: The states in which nothing is sent to a destination.
CLOSED = frozenset({HELD, REJECTED, DELETED, DELIVERED, CANCELLED})

#: If the series of a job have different states for a destination, the first of these is shown.
_OPEN_FIRST = (HELD, PENDING, FAILURE, REFUSED, CANCELLED, DELIVERED, REJECTED, DELETED)

States = Mapping[str, str]


def destinations(job: JobRecord, series: str | None = None) -> dict[str, str]:
    """The states of the destinations of a job whose series are stored.

    :param series: one of its series; by default all of them together.
    """
    if series is None:
        return dict((job.result or {}).get("Destinations", {}))
    return next((states_of(each, job.result) for each in stored_series(job.result) if each["ID"] == series), {})


def states_of(series: Mapping[str, Any], result: Mapping[str, Any] | None) -> dict[str, str]:
    """The states of the destinations of one series in an answer."""
    return dict(series.get("Destinations", (result or {}).get("Destinations", {})))


def with_states(result: Mapping[str, Any], states: Mapping[str, States]) -> dict[str, Any]:
    """The answer with new states of destinations. :param states: by the Orthanc identifier of the series."""
    series = [{**each, "Destinations": dict(states[each["ID"]])} for each in stored_series(result)]
    updated = {**result, "Destinations": _together([each["Destinations"] for each in series])}
    return {**updated, "Series": series} if "Series" in result else updated


def _together(states: list[dict[str, str]]) -> dict[str, str]:
    names = dict.fromkeys(name for each in states for name in each)
    of_name = {name: {each[name] for each in states if name in each} for name in names}
    return {name: min(states_of_one, key=lambda state: _rank(state)) for name, states_of_one in of_name.items()}


def _rank(state: str) -> int:
    return _OPEN_FIRST.index(state) if state in _OPEN_FIRST else 0


def is_held(job: JobRecord, series: str | None = None) -> bool:
    """Whether a series of the job, or this one, waits for a verdict."""
    each = [series] if series is not None else stored_ids(job.result)
    return any(HELD in destinations(job, one).values() for one in each)


def was_over_before(job: JobRecord) -> bool:
    """Whether a job that succeeded had done so before, and ran once more to send its series on.

    A rule added destinations to those that were asked for, or some that were held no longer are.
    """
    states = [destinations(job, each) for each in stored_ids(job.result)]
    asked = set(job.request.get("Destinations") or ())
    if any(not theirs.keys() <= asked for theirs in states):
        return True
    holds = bool(job.request.get("HoldUntilAccepted"))
    return holds and any(state != HELD for theirs in states for state in theirs.values())


def released(job: JobRecord, series: str) -> JobRecord:
    """The job with a series' held destinations to be delivered: it runs once more, only for them."""
    again = dataclasses.replace(job, state=State.PENDING, attempt=0, progress=0, completed=None, next_try=0.0)
    return _changed(dataclasses.replace(again, problem=None), series, lambda s: PENDING if s == HELD else s)


def addressed(job: JobRecord, series: str, names: Iterable[str], state: str) -> JobRecord:
    """The job with more destinations for a series, if it lacks them: it runs once more for those ``PENDING``."""
    there = {each: destinations(job, each) for each in stored_ids(job.result)}
    there[series] = {**dict.fromkeys(names, state), **there[series]}
    changed = dataclasses.replace(job, result=with_states(job.result or {}, there))
    if state != PENDING or changed == job:
        return changed
    again = dataclasses.replace(changed, state=State.PENDING, attempt=0, progress=0, completed=None, next_try=0.0)
    return dataclasses.replace(again, problem=None)


def reopened(job: JobRecord, *, even_cancelled: bool) -> JobRecord:
    """The job with all destinations to be asked again that refused its series.

    :param even_cancelled: also those to which the delivery was cancelled.
    """
    again = (REFUSED, CANCELLED) if even_cancelled else (REFUSED,)
    return _changed(job, None, lambda state: PENDING if state in again else state) if destinations(job) else job


def cancelled(job: JobRecord) -> JobRecord:
    """The job without the deliveries that were under way or would be tried again."""
    ended = (PENDING, FAILURE)
    return _changed(job, None, lambda state: CANCELLED if state in ended else state) if destinations(job) else job


def withdrawn(job: JobRecord, why: str, series: str) -> JobRecord:
    """The job without further deliveries of a series, which is ``REJECTED`` or ``DELETED``."""
    return _changed(job, series, lambda state: state if state == DELIVERED else why)


def _changed(job: JobRecord, series: str | None, change: Callable[[str], str]) -> JobRecord:
    """Change states of destinations. :param series: the series whose states change; None for all."""
    states = {}
    for each in stored_ids(job.result):
        theirs = destinations(job, each)
        chosen = series is None or each == series
        states[each] = {name: change(state) if chosen else state for name, state in theirs.items()}
    return dataclasses.replace(job, result=with_states(job.result or {}, states))
