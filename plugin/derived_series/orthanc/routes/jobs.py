"""The routes of jobs: the verbs and keys of Orthanc's own ``/jobs``, below the series of each job.

``/derived-series/jobs`` lists all of them, without patient data.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeGuard

from derived_series.errors import Conflict, InvalidRequest, NotFound
from derived_series.jobs.queue.audit_log import Act, Action
from derived_series.jobs.queue.job_logs import JobLogs
from derived_series.jobs.queue.retrievals import Retrievals
from derived_series.jobs.queue.runner import JobRunner
from derived_series.jobs.record import JobRecord
from derived_series.jobs.remote.attempts import HEADER, Attempts
from derived_series.jobs.remote.bundle import PART_BYTES
from derived_series.jobs.requests.derive import parse_json
from derived_series.jobs.rules.log import FiringLog
from derived_series.jobs.stored_series import stored_ids
from derived_series.orthanc.answers import job_json, job_path, job_summary
from derived_series.orthanc.audit import Audit
from derived_series.orthanc.callers import Callers
from derived_series.orthanc.http import Answer, Request
from derived_series.orthanc.reviews import Reviews
from derived_series.orthanc.waiters import Waiters

_PHASE_CHARACTERS, _TEXT_CHARACTERS = 32, 200
_NUMBER = re.compile("[0-9]{1,15}")


class JobRoutes:
    """``/derived-series/jobs``, ``/series/{id}/jobs`` and what is below them."""

    def __init__(
        self,
        runner: JobRunner,
        log: FiringLog,
        logs: JobLogs,
        retrievals: Retrievals,
        callers: Callers,
        audit: Audit,
        attempts: Attempts,
        waiters: Waiters,
        reviews: Reviews,
    ):
        self._reviews = reviews
        self._waiters = waiters
        self._retrievals = retrievals
        self._runner = runner
        self._log = log
        self._logs = logs
        self._callers = callers
        self._audit = audit
        self._attempts = attempts

    def list(self, request: Request) -> Answer:
        """The identifiers, oldest first; with ``?expand`` their states; a page with ``?since=&limit=``."""
        request.check_query("expand", "since", "limit")
        jobs = self._runner.store.page(_number(request.query, "since"), _number(request.query, "limit"))
        if "expand" not in request.query:
            return Answer.of([job.id for job in jobs])
        return Answer.of([self._summary(job) for job in jobs])

    def point(self, request: Request) -> Answer:
        """Redirect to the job below its series: whoever may see that may see and change the job.

        Clients follow with the same method; the body is the job's entry in the list.
        """
        job = self._runner.store.get(request.groups[0])
        verb = f"/{request.groups[1]}" if len(request.groups) > 1 else ""
        up = "../" * request.uri.rstrip("/").count("/", 1)
        return Answer.of(self._summary(job), 307, {"Location": f"{up}{job_path(job)[1:]}{verb}"})

    def _summary(self, job: JobRecord) -> dict[str, Any]:
        document = job_summary(job, self._runner.progress_of(job), self._runner.phase_of(job))
        return self._with_rule(job, document)

    def of_series(self, request: Request) -> Answer:
        """The jobs with a series as parent, and its rejections; whole jobs with ``?expand``."""
        request.check_query("expand")
        jobs = self._runner.store.of_series(request.groups[0])
        if "expand" not in request.query:
            return Answer.of([job.id for job in jobs])
        return Answer.of([self._whole(job) for job in jobs])

    def get(self, request: Request) -> Answer:
        return Answer.of(self._whole(self._job(request)))

    def _whole(self, job: JobRecord) -> dict[str, Any]:
        document = job_json(job, self._runner.progress_of(job), self._runner.phase_of(job))
        if text := self._runner.text_of(job):
            document["Content"]["Text"] = text
        if acts := self._audit.of_job(job.id):
            document["Content"]["Audit"] = acts
        return self._with_rule(job, document)

    def _with_rule(self, job: JobRecord, document: dict[str, Any]) -> dict[str, Any]:
        if lack := self._runner.lack(job):
            document["Content"]["Waiting"] = lack
        if (fired := self._log.of_job(job.id)) is not None:
            document["Content"]["Rule"] = fired.firing.rule
        if bulk := self._audit.asked_by(job.id).get("Bulk"):
            document["Content"]["Bulk"] = bulk
        return document

    def _job(self, request: Request) -> JobRecord:
        """The job in the address. :raises NotFound: the series in the address has no such job."""
        series, job_id = request.groups
        job = self._runner.store.find(job_id)
        if job is None or job.series != series:
            raise NotFound(
                f"the series {series} has no job {job_id}", remedy=f"GET /series/{series}/jobs lists those it has"
            )
        return job

    def delete(self, request: Request) -> Answer:
        return self._done(request, "Delete", self._runner.delete)

    def cancel(self, request: Request) -> Answer:
        return self._done(request, "Cancel", self._cancel)

    def _cancel(self, job_id: str) -> None:
        if not self._runner.cancel(job_id, wait=False):
            with self._waiters.place("try again in a moment"):
                self._runner.cancel(job_id)

    def resubmit(self, request: Request) -> Answer:
        return self._done(request, "Resubmit", self._reviews.resubmit)

    def _done(self, request: Request, action: Action, do: Callable[[str], None]) -> Answer:
        """Do something to the job in the address, and record who did it."""
        job = self._job(request)
        caller = self._callers.of(request)
        do(job.id)
        self._audit.put(Act(action, caller.to_json(), job.series, job.id))
        return Answer.of({})

    def image(self, request: Request) -> Answer:
        """The uploaded image of an unfinished job; with ``?offset=`` at most 16 MB of it, from there on.

        Workers on other machines read it here.
        """
        job = self._job(request)
        self._check_token(request, job)
        if job.image is None:
            raise NotFound(f"the job {job.id} has no image (any more)")
        if "offset" in request.query:
            part = self._runner.store.read_image(job, _number(request.query, "offset"), PART_BYTES)
            return Answer(part, content_type="application/octet-stream")
        if (path := self._runner.store.image_path(job)) is not None and path.exists():
            return Answer(b"", content_type="application/octet-stream", file=path)
        return Answer(self._runner.store.read_image(job), content_type="application/octet-stream")

    def _check_token(self, request: Request, job: JobRecord) -> None:
        """Check the attempt of a worker. :raises Superseded: the attempt has ended, or its token is missing."""
        token = request.headers.get(HEADER.lower())
        if token is not None or (request.method == "POST" and self._attempts.has(job.id)):
            self._attempts.of(token, job.id)

    def progress(self, request: Request) -> Answer:
        """Take a worker's progress, its lines of user code, and what it is about to do.

        That is to retrieve a series, to complete its own ones, to remove what these replace, or to send them on. 409
        means that the attempt is no longer wanted.
        """
        report = parse_json(request.body, "the body")
        keys = ("Attempt", "Progress", "Phase", "Text", "Lines", "Retrieves", "Completes", "Settled", "Stored")
        attempt, percent, phase, text, lines, retrieves, completes, settled, stored = (
            report.get(key) if isinstance(report, dict) else None for key in keys
        )
        uid = retrieves.pop("SeriesInstanceUID", None) if isinstance(retrieves, dict) else None
        tells = isinstance(percent, int) or isinstance(lines, list) or uid or settled is True
        if not isinstance(attempt, int) or not (tells or _are_counts(completes) or _is_answer(stored)):
            raise InvalidRequest('the body does not tell progress: {"Attempt": 1, "Phase": "Storing", "Progress": 50}')
        job = self._job(request)
        self._check_token(request, job)
        if (
            not self._runner.runs(job.id, attempt)
            or (_are_counts(completes) and not self._runner.begin_completion(job.id, attempt, completes))
            or (settled is True and not self._runner.settle(job.id, attempt))
            or (_is_answer(stored) and not self._runner.note_result(job.id, attempt, stored))
        ):
            raise Conflict(f"attempt {attempt} of job {job.id} is not running")
        if isinstance(retrieves, dict) and isinstance(uid, str):
            self._retrievals.expect(uid, job.id, {**retrieves, "SeriesInstanceUID": uid})
        if isinstance(lines, list):
            self._logs.append(job.id, list(map(str, lines)))
        if isinstance(percent, int):
            texts = (str(phase or "")[:_PHASE_CHARACTERS], str(text or "")[:_TEXT_CHARACTERS])
            self._runner.tell_progress(job.id, attempt, percent, *texts)
        return Answer.of({})

    def log(self, request: Request) -> Answer:
        """The lines of the job's code; ``Next`` is the ``?since=`` of the following ones."""
        job = self._job(request)
        lines, following = self._logs.read(job.id, _number(request.query, "since"))
        return Answer.of({"Lines": lines, "Next": following})


def _are_counts(completes: Any) -> TypeGuard[dict[str, int]]:
    """Whether this is the number of instances of each series."""
    return isinstance(completes, dict) and bool(completes) and all(isinstance(each, int) for each in completes.values())


def _is_answer(stored: Any) -> TypeGuard[dict[str, Any]]:
    """Whether this is the answer of a job that has stored series."""
    return isinstance(stored, dict) and bool(stored_ids(stored))


def _number(query: Mapping[str, str], name: str) -> int:
    text = query.get(name, "0")
    if not _NUMBER.fullmatch(text):
        raise InvalidRequest(f"{name} is {text[:40]!r}, not a whole number", remedy="give it as up to 15 digits")
    return int(text)
