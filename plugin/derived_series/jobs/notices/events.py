"""The events of notices, from the changes of a job's record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from derived_series.jobs.destination_states import destinations, is_held, was_over_before
from derived_series.jobs.notices.fields import REMEDIES, Event, known_kind
from derived_series.jobs.queue.outcomes import CANCELLED
from derived_series.jobs.record import JobRecord, State
from derived_series.jobs.stored_series import stored_ids

_TEXTS: Mapping[Event, str] = {
    "Success": "{what} is done",
    "Failure": "{what} has failed: {error}",
    "DeliveryFailure": "the result of {what} is stored, but not every destination has taken it ({error})",
    "Cancelled": "{what} was cancelled",
    "WorkerGone": "the worker process of {what} has ended by itself",
    "WaitingForReview": "the result of {what} waits for a review",
    "Accepted": "a result was accepted",
    "Rejected": "a result was rejected",
    "Delivered": "the result of {what} was sent on",
}


def may_tell(job: JobRecord, *, worker_died: bool) -> bool:
    """Whether a record might be an event, depending on the one before."""
    return worker_died or job.state.is_final


def events_of(job: JobRecord, before: State, *, worker_died: bool) -> list[Event]:
    """The events when a job gets a new record.

    :param before: its state until now, so that a record written twice is one event.
    """
    events: list[Event] = []
    if worker_died and before is State.RUNNING:
        events.append("WorkerGone")
    if job.state.is_final and not before.is_final and not job.is_preview:
        events += _end(job)
    return events


def _end(job: JobRecord) -> list[Event]:
    if job.state is State.FAILURE:
        if job.problem is not None and job.problem.kind == CANCELLED.kind:
            return ["Cancelled"]
        return ["DeliveryFailure" if stored_ids(job.result) else "Failure"]
    if "Verdict" in job.request:
        return ["Rejected"]
    if was_over_before(job):
        return ["Delivered"]
    return ["Success", "WaitingForReview"] if is_held(job) else ["Success"]


def verdict_fields(
    event: Event, series: str, derivation: JobRecord | None, rule: str | None, states: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The public fields of a notice about a verdict on a series, or about its wait for one.

    :param derivation: the job that made the series; None if it is forgotten.
    :param states: the states of its destinations; None: those of ``derivation``.
    """
    about = {} if derivation is None else fields_of(event, derivation, rule)
    text = _TEXTS[event].format(what=_what(derivation), error="")
    if states is None:
        states = {} if derivation is None else destinations(derivation, series)
    return {
        **about,
        "Event": event,
        "Text": text[0].upper() + text[1:],
        "Series": [series],
        "ReviewPath": f"/derived-series/review/{series}",
        "PagePath": f"/derived-series/review/{series}",
        "Error": None,
        "Remedy": None,
        "Destinations": dict(states),
    }


def _what(job: JobRecord | None) -> str:
    if job is None:
        return "a derivation"
    return f"the derivation by {job.request.get('Pipeline') or job.request.get('Blueprint')}"


def fields_of(event: Event, job: JobRecord, rule: str | None) -> dict[str, Any]:
    """The public fields of a notice about a job. :param rule: the name of the rule that requested it."""
    request = job.request
    series = [job.series] if "Verdict" in request else stored_ids(job.result)
    problem = job.problem if job.state.is_final else None  # one that is tried again needs nobody
    kind = None if problem is None else known_kind(problem.kind)
    what = "the rejection" if "Verdict" in request else _what(job)
    text = _TEXTS[event].format(what=what, error=kind or "")
    return {
        "Event": event,
        "Text": text[0].upper() + text[1:],
        "Job": job.id,
        "JobPath": f"/series/{job.series}/jobs/{job.id}",
        "Parent": None if "Verdict" in request else job.series,
        "Series": series,
        "ReviewPath": f"/derived-series/review/{series[0]}" if series else None,
        "PagePath": _page(event, job, series),
        "Pipeline": request.get("Pipeline"),
        "Blueprint": request.get("Blueprint"),
        "Rule": rule,
        "Attempt": job.attempt,
        "Error": kind,
        "Remedy": None if kind is None else REMEDIES[kind],
        "Destinations": destinations(job),
    }


def _page(event: Event, job: JobRecord, series: Sequence[str]) -> str:
    """The page about a notice: the review page, or the job with its log."""
    if series and event not in ("Failure", "DeliveryFailure", "Cancelled", "WorkerGone"):
        return f"/derived-series/review/{series[0]}"
    return f"/derived-series/?text={job.id}"


def words_of(job: JobRecord) -> dict[str, Any]:
    """The fields only for receivers that may have patient data."""
    problem = job.problem
    message = None if problem is None else " ".join(filter(None, (problem.message, problem.remedy)))
    return {"User": job.request.get("User"), "Message": message}
