"""Makes answers in Orthanc's style: errors with the keys of Orthanc's, jobs with the keys of ``/jobs``."""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from derived_series.errors import Busy, DerivedSeriesError
from derived_series.jobs.record import JobRecord, Problem, State
from derived_series.orthanc.http import Answer, Request, Route

#: The keys of a request that hold no patient data.
_OF_NOBODY = ("Pipeline", "Blueprint", "Factory", "Inputs", "DryRun", "IfExists")

#: The matching values of OrthancPluginErrorCode; other errors get -1, an internal error.
_ORTHANC_CODES = {
    "InvalidRequest": 8,
    "InvalidImage": 15,
    "NotFound": 17,
    "Conflict": 6,
    "InvalidParent": 3,
    "GeometryError": 38,
    "ShapeMismatch": 24,
    "PixelError": 23,
    "HeaderError": 21,
    "UserCodeError": 1,
    "StorageError": 9,
    "Cancelled": 37,
}


def error_answer(error: DerivedSeriesError, request: Request) -> Answer:
    """The answer for an error."""
    headers = {"Retry-After": str(error.retry_after)} if isinstance(error, Busy) else {}
    problem = Problem.of(error)
    return Answer.of(_error(problem, request), problem.http_status, headers)


def problem_answer(problem: Problem, request: Request, job_id: str) -> Answer:
    """The answer for a job that failed while the client waited."""
    return Answer.of({**_error(problem, request), "JobID": job_id}, problem.http_status)


def method_not_allowed(request: Request, route: Route) -> Answer:
    allowed = ", ".join(sorted(route.handlers))
    problem = Problem("", 405, f"{request.method} is not a method of this route", f"use {allowed}")
    return Answer.of(_error(problem, request), 405, {"Allow": allowed})


def _error(problem: Problem, request: Request) -> dict[str, Any]:
    document: dict[str, Any] = {
        "HttpError": HTTPStatus(problem.http_status).phrase,
        "HttpStatus": problem.http_status,
        "Message": problem.message,
        "Details": problem.details or "",
        "Remedy": problem.remedy or "",
        "Method": request.method,
        "Uri": request.uri,
    }
    if problem.kind in _ORTHANC_CODES:
        document["OrthancStatus"] = _ORTHANC_CODES[problem.kind]
    return document


def accepted(job: JobRecord) -> dict[str, Any]:
    """The ID and Path of a job, as in Orthanc's answers to asynchronous requests."""
    return {"ID": job.id, "Path": job_path(job)}


def job_path(job: JobRecord) -> str:
    """The path of a job, below its series: only who may see the series can see the job."""
    return f"/series/{job.series}/jobs/{job.id}"


def job_json(job: JobRecord, progress: int, phase: str = "") -> dict[str, Any]:
    """A job with the keys of Orthanc's ``/jobs/{id}``; the keys of a derivation are in ``Content``."""
    document = job_summary(job, progress, phase)
    problem = job.problem
    document["Content"]["Request"] = job.request
    if job.result is not None:
        document["Content"]["Result"] = job.result
    if problem is not None:
        document["Content"]["Error"] = problem.to_json()
        document |= {"ErrorDescription": problem.message, "ErrorDetails": problem.remedy or problem.details or ""}
    return document


def job_summary(job: JobRecord, progress: int, phase: str = "") -> dict[str, Any]:
    """A job without patient data: identifiers, states and times. ``Path`` leads to the rest.

    Parameters, warnings and messages are left out, as they may quote the parent's tags.
    """
    problem = job.problem
    content: dict[str, Any] = {
        "ParentSeries": job.series,
        "Attempt": job.attempt,
        "Request": {key: job.request[key] for key in _OF_NOBODY if key in job.request},
    }
    if phase:
        content["Phase"] = phase
    if job.result is not None:
        content["Result"] = {key: job.result[key] for key in ("ID", "Path", "Destinations") if key in job.result}
        if "Series" in job.result and not job.result.get("DryRun"):
            content["Result"]["Series"] = [
                {key: series[key] for key in ("Output", "ID", "Path")} for series in job.result["Series"]
            ]
    document: dict[str, Any] = {
        "ID": job.id,
        "Path": job_path(job),
        "Type": "Rejection" if "Verdict" in job.request else "DerivedSeries",
        "State": job.state.value,
        "Progress": progress,
        "Priority": job.priority,
        "CreationTime": _time(job.created),
        "Timestamp": _time(datetime.now().timestamp()),
        "EffectiveRuntime": round(job.runtime, 3),
        "ErrorCode": 0 if problem is None else _ORTHANC_CODES.get(problem.kind, -1),
        "ErrorDescription": "Success" if problem is None else problem.kind,
        "ErrorDetails": "" if problem is None else f"GET {job_path(job)} tells more",
        "Content": content,
    }
    if job.completed is not None and job.state.is_final:
        document["CompletionTime"] = _time(job.completed)
    if job.state is State.RETRY:
        content["NextAttempt"] = _time(job.next_try)
    return document


def _time(seconds: float) -> str:
    """A time in Orthanc's format: UTC, ``20261124T221653.290098``."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%dT%H%M%S.%f")
