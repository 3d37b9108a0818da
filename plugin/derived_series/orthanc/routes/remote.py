"""The routes for workers on other machines: their tasks, the blueprint folders, and reports.

Each request has a ticket, or the token that replaced it: see ``jobs/remote/attempts.py``.
"""

from __future__ import annotations

from typing import Any

from derived_series.errors import InvalidRequest, NotFound, Superseded
from derived_series.jobs.queue.runner import JobRunner
from derived_series.jobs.remote.attempts import HEADER, Attempts
from derived_series.jobs.remote.bundles import Bundles
from derived_series.jobs.remote.wire import outcome_from_json
from derived_series.jobs.requests.derive import parse_json
from derived_series.orthanc.http import Answer, Request

_NAME_CHARACTERS = 200


class RemoteRoutes:
    """Below ``/series/{id}/jobs/{job}``, ``/derived-series/environments`` and ``/derived-series/bundles``."""

    def __init__(self, attempts: Attempts, bundles: Bundles, runner: JobRunner):
        self._attempts = attempts
        self._bundles = bundles
        self._runner = runner

    def of_job(self, request: Request) -> Answer:
        """For an attempt at a job: give its task for its ticket, note that it is alive, take its outcome.

        410 means that the attempt is no longer wanted.
        """
        series, job_id, verb = request.groups
        job = self._runner.store.find(job_id)
        if job is None or job.series != series:
            raise Superseded(f"the series {series} has no job {job_id} (any more)")
        answer = self._answer(request, job_id, verb)
        if verb == "claim":
            self._runner.begun(job_id)
        return answer

    def of_environment(self, request: Request) -> Answer:
        """The same for the description of an environment's pipelines."""
        return self._answer(request, *request.groups)

    def _answer(self, request: Request, subject: str, verb: str) -> Answer:
        document = parse_json(request.body, "the body")
        if not isinstance(document, dict):
            raise InvalidRequest("the body is not a JSON object")
        if verb == "claim":
            return Answer.of(self._claim(document, subject))
        attempt = self._attempts.of(request.headers.get(HEADER.lower()), subject)
        if verb == "outcome":
            attempt.ended(outcome_from_json(document))
        return Answer.of({})

    def _claim(self, document: dict[str, Any], subject: str) -> dict[str, Any]:
        ticket, worker, versions = (document.get(key) for key in ("Ticket", "Worker", "Versions"))
        if not isinstance(ticket, str) or not isinstance(worker, str) or not isinstance(versions, dict):
            raise InvalidRequest('the body is not a claim: {"Ticket": "...", "Worker": "box-1", "Versions": {}}')
        attempt, token = self._attempts.claim(ticket, subject, worker[:_NAME_CHARACTERS], versions)
        return {"Token": token, **attempt.task}

    def bundle(self, request: Request) -> Answer:
        """The list of files in the blueprint folders, by its digest."""
        self._check(request)
        bundle = self._bundles.bundle()
        if bundle.digest != request.groups[0]:
            raise NotFound("the blueprint folders were read again since: there is no such list (any more)")
        return Answer(bundle.manifest)

    def file(self, request: Request) -> Answer:
        """At most 16 MB of one of these files, by its digest, from ``?offset=`` on."""
        self._check(request)
        offset = request.query.get("offset", "0")
        if not offset.isascii() or not offset.isdigit() or len(offset) > 15:
            raise InvalidRequest("offset is not a whole number")
        content = self._bundles.bundle().part(request.groups[1], int(offset))
        return Answer(content, content_type="application/octet-stream")

    def _check(self, request: Request) -> None:
        """Require the token of an attempt, whose worker has been heard thereby.

        :raises Superseded: the sender makes no attempt.
        """
        try:
            self._attempts.report(request.headers.get(HEADER.lower()))
        except Superseded as error:
            raise Superseded("only workers that make an attempt read the blueprint folders, with its token") from error
