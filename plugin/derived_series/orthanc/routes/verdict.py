"""The route of verdicts: a person accepts or rejects a derived series."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from derived_series.errors import Busy, Conflict
from derived_series.jobs.destination_states import DELIVERED, destinations
from derived_series.jobs.own_requests import HEADER
from derived_series.jobs.queue.audit_log import Act
from derived_series.jobs.queue.database import together
from derived_series.jobs.queue.runner import JobRunner
from derived_series.jobs.record import JobRecord, State
from derived_series.jobs.requests.derive import parse_json
from derived_series.jobs.requests.verdict import REASONS, REJECTED, ReviewRequest, rejection_job_id
from derived_series.jobs.stored_series import stored_series
from derived_series.orthanc.abstract_gateway import Gateway
from derived_series.orthanc.answers import problem_answer
from derived_series.orthanc.audit import Audit
from derived_series.orthanc.callers import Caller, Callers
from derived_series.orthanc.http import Answer, Request
from derived_series.orthanc.reviews import Reviews
from derived_series.orthanc.routes.ohif import Ohif
from derived_series.orthanc.verdict_conditions import if_not_sent
from derived_series.orthanc.waiters import Waiters

#: Seconds to wait for a rejection, which continues afterwards.
_REJECTION_SECONDS = 30.0

_REJECTING = "Rejecting"

#: The priority of a person's request, above those of programs.
_PRIORITY = 1001


class VerdictRoutes:
    """``GET`` and ``POST /series/{id}/review``.

    :param ohif: the viewer to link to.
    """

    def __init__(
        self,
        gateway: Gateway,
        reviews: Reviews,
        runner: JobRunner,
        ohif: Ohif,
        waiters: Waiters,
        callers: Callers,
        audit: Audit,
    ):
        self._gateway = gateway
        self._ohif = ohif
        self._waiters = waiters
        self._reviews = reviews
        self._runner = runner
        self._callers = callers
        self._audit = audit

    def get(self, request: Request) -> Answer:
        """The verdict, and the possible ones."""
        series = request.groups[0]
        return Answer.of(self._state(request, series, self._reviews.provenance(series)))

    def post(self, request: Request) -> Answer:
        """Accept or reject by a JSON object: see ``ReviewRequest``."""
        series = request.groups[0]
        provenance = self._reviews.provenance(series)
        derivation = str(provenance["Job"])
        asked = ReviewRequest.of(parse_json(request.body, "the body"))
        caller = self._callers.known(request, asked.user)
        with self._runner.nodes.alone("verdicts"):  # verdicts are given one after the other
            self._refuse_unseen(asked, self._state(request, series, provenance))
            if asked.verdict == "Accept":
                self._accept(series, derivation, asked, caller)
            jobs = [] if asked.verdict == "Accept" else [self._reject(series, derivation, asked, caller)]
            for other in self._siblings(series, derivation) if asked.all else ():
                if other["ID"] == series or other["State"] in (REJECTED, _REJECTING):
                    continue
                if asked.verdict == "Accept":
                    self._accept(other["ID"], derivation, asked, caller)
                else:
                    jobs.append(self._reject(other["ID"], derivation, asked, caller))
        for begun in jobs:
            if begun is None or HEADER.lower() in request.headers:  # a job's own code would wait for its own worker
                continue
            job = self._waited(begun)
            if job.state is State.FAILURE and job.problem is not None and job.result is None:
                return problem_answer(job.problem, request, job.id)
            self._reviews.observe(job)  # the runner reports it too, but maybe after this answer
        state = self._state(request, series, provenance)
        is_open = any(each["State"] == _REJECTING for each in state["Siblings"] if asked.all or each["ID"] == series)
        return Answer.of(state, 202 if is_open or state["State"] == _REJECTING else 200)

    def _siblings(self, series: str, derivation: str) -> list[dict[str, Any]]:
        """The remaining series of a job, with their verdicts; the series itself is among them."""
        job = self._runner.store.find(derivation)
        siblings = []
        for each in [] if job is None else stored_series(job.result):
            if self._gateway.has_series(each["ID"]):
                state = self._verdict(each["ID"], derivation)["State"]
                siblings.append({"Output": each["Output"], "ID": each["ID"], "State": state})
        return siblings

    def _verdict(self, series: str, derivation: str) -> dict[str, Any]:
        """The verdict on a series, or that its rejection is in progress."""
        verdict = self._reviews.of(series) or {"State": "Unreviewed"}
        rejecting = self._reviews.rejection(series, derivation)
        if verdict["State"] != REJECTED and _is_under_way(rejecting):
            return {"State": _REJECTING, "RejectionJob": rejecting and rejecting.id, "Former": verdict}
        return verdict

    def _refuse_unseen(self, asked: ReviewRequest, state: dict[str, Any]) -> None:
        """Refuse a verdict if there is another that its sender has not seen. :raises Conflict: there is one."""
        if asked.known not in (None, state["State"]):
            raise Conflict(
                f"the series {state['Series']} {_verdict_in_words(state)} since you looked at it",
                remedy="look at that verdict first",
            )

    def _waited(self, job: JobRecord) -> JobRecord:
        """The job once it is over, or its present state if there is no place or time to wait."""
        try:
            with self._waiters.place("ask for its state"):
                return self._runner.wait(job.id, _REJECTION_SECONDS)
        except Busy:
            return self._runner.store.get(job.id)

    def _accept(self, series: str, derivation: str, asked: ReviewRequest, caller: Caller) -> None:
        verdict = self._reviews.of(series)
        rejecting = self._reviews.rejection(series, derivation)
        if (verdict is not None and verdict["State"] == REJECTED) or _is_under_way(rejecting):
            raise Conflict(
                f"the series {series} {_verdict_in_words(verdict or {'State': 'Rejecting'})}, and others may "
                "have been told: this cannot be changed",
                remedy="derive it again: a new derivation has new UIDs and can be accepted",
            )
        if verdict is None:
            act = Act("Accept", caller.to_json(), series, derivation)
            self._reviews.accept(series, _document(asked, caller), self._audit.note(act))
            self._audit.tell(act)
        if verdict is None or self._reviews.lacks_copy(series):  # it may be that Orthanc did not take it before
            self._reviews.write_copy(series)
        job = self._runner.store.find(derivation)
        if job is not None:
            self._reviews.settle(job)

    def _reject(self, series: str, derivation: str, asked: ReviewRequest, caller: Caller) -> JobRecord | None:
        """The job that rejects the series; None if it is already rejected."""
        former = self._reviews.of(series)
        if former is not None and former["State"] == REJECTED:
            return None
        rejecting = self._reviews.rejection(series, derivation)
        if _is_under_way(rejecting):
            return rejecting
        if_not_sending = if_not_sent(series, derivation)
        with self._runner.store.reading() as db:  # before the failed one is deleted
            if_not_sending(db)
        job = self._runner.store.find(derivation)
        if rejecting is not None:
            self._runner.delete(rejecting.id)  # it failed, or its verdict was removed
        document = _document(asked, caller) | {"Derivation": derivation}
        if former is not None:
            document["Former"] = former
        if job is not None and (
            have := [name for name, state in destinations(job, series).items() if state == DELIVERED]
        ):
            document["Destinations"] = have
        identifier = rejection_job_id(series, derivation)
        job = JobRecord.new(series, document, subject=identifier, digest=identifier, priority=_PRIORITY, id=identifier)
        act = Act("Reject", caller.to_json(), series, job.id, {"Derivation": derivation, "Code": document["Code"]})
        self._runner.submit(job, None, together(if_not_sending, self._audit.note(act)))
        self._audit.tell(act)
        return job

    def _state(self, request: Request, series: str, provenance: dict[str, Any]) -> dict[str, Any]:
        derivation = str(provenance["Job"])
        verdict = self._verdict(series, derivation)
        job = self._runner.store.find(derivation)
        return {
            "Series": series,
            **verdict,
            "Job": derivation,
            "Destinations": {} if job is None else destinations(job, series),
            "Siblings": self._siblings(series, derivation),
            "Viewer": self._viewer(series, provenance),
            "AuthenticatedUser": self._callers.name_of(request),
            "Warnings": [wrong]
            if verdict["State"] != "Rejecting" and (wrong := self._reviews.discrepancy(series))
            else [],
            "Reasons": [reason.to_json() for reason in REASONS],
        }

    def _viewer(self, series: str, provenance: dict[str, Any]) -> str | None:
        """The address in OHIF, if it is installed."""
        if not self._ohif.is_installed or not provenance["Parents"]:
            return None
        tags = self._gateway.series(series)["MainDicomTags"]
        study = self._gateway.get(f"/series/{series}/study")["MainDicomTags"]["StudyInstanceUID"]
        parent = provenance["Parents"][0]["SeriesInstanceUID"]
        return self._ohif.address(study, parent, tags["SeriesInstanceUID"], tags.get("Modality", ""))


def _document(asked: ReviewRequest, caller: Caller) -> dict[str, Any]:
    document = {"Verdict": asked.verdict, **caller.to_json(), "Code": asked.code, "Reason": asked.reason}
    return {key: value for key, value in document.items() if value is not None}


def _verdict_in_words(verdict: Mapping[str, Any]) -> str:
    """What happened to a series, in words: who gave the verdict, and when."""
    words = {
        "Unreviewed": "has lost its verdict",
        "Accepted": "was accepted",
        "Rejected": "was rejected",
        "Rejecting": "is being rejected",
    }
    parts = [words.get(verdict["State"], f"is {verdict['State']}")]
    parts += [f"by {verdict['User']}"] if verdict.get("User") else []
    parts += [f"on {verdict['Time']}"] if verdict.get("Time") else []
    return " ".join(parts)


def _is_under_way(job: JobRecord | None) -> bool:
    return job is not None and not job.state.is_final
