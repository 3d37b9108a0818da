"""The routes of jobs: the verbs and keys of Orthanc's own ``/jobs``, one floor below."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from derived_series.errors import Conflict, InvalidRequest, NotFound
from derived_series.jobs.firings import FiringLog
from derived_series.jobs.record import JobRecord
from derived_series.jobs.request import parse_json
from derived_series.jobs.runner import JobRunner
from derived_series.orthanc.answers import job_json
from derived_series.orthanc.http import Answer, Request

_LONGEST_PHASE = 32
_NUMBER = re.compile("[0-9]{1,15}")


class JobRoutes:
    """``/derived-series/jobs`` and what is below it."""

    def __init__(self, runner: JobRunner, log: FiringLog):
        self._runner = runner
        self._log = log

    def list(self, request: Request) -> Answer:
        """Identifiers, oldest first; whole jobs with ``?expand``; a page with ``?since=&limit=``."""
        jobs = self._runner.store.page(_number(request.query, "since"), _number(request.query, "limit"))
        if "expand" not in request.query:
            return Answer.of([job.id for job in jobs])
        return Answer.of([self._told(job) for job in jobs])

    def get(self, request: Request) -> Answer:
        return Answer.of(self._told(self._runner.store.get(request.groups[0])))

    def _told(self, job: JobRecord) -> dict[str, Any]:
        found = job_json(job, self._runner.progress_of(job), self._runner.phase_of(job))
        if (fired := self._log.of_job(job.id)) is not None:
            found["Content"]["Rule"] = fired.firing.rule
        return found

    def delete(self, request: Request) -> Answer:
        self._runner.delete(request.groups[0])
        return Answer.of({})

    def cancel(self, request: Request) -> Answer:
        self._runner.cancel(request.groups[0])
        return Answer.of({})

    def resubmit(self, request: Request) -> Answer:
        self._runner.resubmit(request.groups[0])
        return Answer.of({})

    def image(self, request: Request) -> Answer:
        """The uploaded image of a job that is not over; workers on other machines read it here."""
        job = self._runner.store.get(request.groups[0])
        path = self._runner.store.image_path(job)
        if path is None or not path.exists():
            raise NotFound(f"the job {job.id} has no image (any more)")
        return Answer(path.read_bytes(), content_type="application/octet-stream")

    def progress(self, request: Request) -> Answer:
        """Workers tell here how far they are; 409 tells a worker that its attempt is not wanted any more."""
        told = parse_json(request.body, "the body")
        keys = ("Attempt", "Progress", "Phase")
        attempt, percent, phase = (told.get(key) if isinstance(told, dict) else None for key in keys)
        if not isinstance(attempt, int) or not isinstance(percent, int):
            raise InvalidRequest('the body is no progress: {"Attempt": 1, "Phase": "Storing", "Progress": 50}')
        if not self._runner.tell_progress(request.groups[0], attempt, percent, str(phase or "")[:_LONGEST_PHASE]):
            raise Conflict(f"attempt {attempt} of job {request.groups[0]} does not run")
        return Answer.of({})


def _number(query: Mapping[str, str], name: str) -> int:
    text = query.get(name, "0")
    if not _NUMBER.fullmatch(text):
        raise InvalidRequest(f"{name} is {text[:40]!r}, not a number of jobs", remedy="give it as up to 15 digits")
    return int(text)
