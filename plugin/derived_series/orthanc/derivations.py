"""Turns requests for derivations, and the members of runs over many series, into accepted jobs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from derived_series.errors import Busy, Conflict, NotFound
from derived_series.jobs.messages import Catalogue
from derived_series.jobs.queue.audit_log import Act
from derived_series.jobs.queue.database import Note, together
from derived_series.jobs.queue.outcomes import CANCELLED
from derived_series.jobs.queue.runner import JobRunner
from derived_series.jobs.record import JobRecord, State, digest_of, subject_of
from derived_series.jobs.requests.derive import DeriveRequest
from derived_series.jobs.stored_series import stored_ids
from derived_series.orthanc.abstract_gateway import Gateway
from derived_series.orthanc.audit import Audit
from derived_series.orthanc.config import Settings
from derived_series.orthanc.destinations import Destinations
from derived_series.orthanc.parameters import check_parameters
from derived_series.orthanc.reviews import Reviews
from derived_series.orthanc.routes.library import LibraryRoutes, named


class Derivations:
    """Checks requests and makes jobs of them."""

    def __init__(
        self,
        gateway: Gateway,
        runner: JobRunner,
        library: LibraryRoutes,
        settings: Settings,
        reviews: Reviews,
        destinations: Destinations,
        audit: Audit,
    ):
        self._gateway = gateway
        self._runner = runner
        self._library = library
        self._settings = settings
        self._reviews = reviews
        self._destinations = destinations
        self._audit = audit

    def job(self, series: str, asked: DeriveRequest, image: bytes | None = None, name: str | None = None) -> JobRecord:
        """The job for a request, which is not accepted yet.

        :param series: the Orthanc identifier of the parent.
        :param name: the file name of the image.
        :raises NotFound: no such series, pipeline, blueprint, factory or destination.
        :raises Conflict: inputs of another patient. :raises InvalidRequest: parameters that the pipeline does not take.
        """
        code = self.code_of(asked)
        parents = [self._instances(each) for each in (series, *asked.inputs.values())]
        if _finds_priors(self._library.catalogue(), asked):
            parents.append(self._other_studies(series))
        self._check_patient(series, asked.inputs)
        document = self._settings.document(asked)
        self._destinations.check(asked)
        return JobRecord.new(
            series,
            document,
            subject=subject_of(series, document),
            digest=digest_of(series, document, image, json.dumps([code, parents])),
            priority=asked.priority,
            image=name,
        )

    def accepted(
        self,
        asked: DeriveRequest,
        job: JobRecord,
        image: bytes | None,
        by: Mapping[str, Any],
        along: Callable[[JobRecord], Note] | None = None,
    ) -> JobRecord:
        """The job that answers a request: this one, once it is on disk, or one that does the same already.

        :param by: the sender: JSON of a caller.
        :param along: for the new job, what is written together with it or not at all.
        :raises Busy: the queue or the disk is full.
        """
        if asked.if_exists != "Reuse" or asked.dry_run:
            self._submit(job, image, by, along)
            return job
        with self._runner.nodes.alone("reuse"):  # of two simultaneous requests, the second finds the first one's job
            if (former := self.reusable(job)) is not None:
                self._go_on(former, None if along is None else along(former))
                self._audit.put(Act("Reuse", by, former.series, former.id, _what(former)))
                return former
            self._submit(job, image, by, along)
            return job

    def reusable(self, job: JobRecord) -> JobRecord | None:
        """A former job that does the same, whose series still exist, or will."""
        for former in self._runner.store.with_digest(job.digest):
            if self._still_there(former) if _has_stored(former) else not former.state.is_final:
                return former
        return None

    def sent_again(self, job_id: str, by: Mapping[str, Any], along: Callable[[JobRecord], Note]) -> JobRecord | None:
        """A job whose series are stored, and sent on again if that failed; None if it has none, or they are gone.

        :param by: the sender: JSON of a caller. :param along: see ``accepted``.
        :raises Busy: its record cannot be written now.
        """
        job = self._runner.store.find(job_id)
        if job is None or not _has_stored(job) or not self._still_there(job):
            return None
        self._go_on(job, along(job))
        self._audit.put(Act("Resubmit", by, job.series, job.id))
        return job

    def _go_on(self, job: JobRecord, along: Note | None) -> None:
        """Have a job deliver its stored series again if that failed; where it was cancelled, only a user can.

        :param along: is written together with that.
        """
        is_cancelled = job.problem is not None and job.problem.kind == CANCELLED.kind
        if job.state is State.FAILURE and not is_cancelled:
            try:
                self._reviews.resubmit(job.id, along, even_cancelled=False)
            except Conflict as error:  # it has changed meanwhile
                raise Busy(error.message, remedy="try again later") from error
        elif along is not None:
            with self._runner.store.transaction() as db:
                along(db)

    def code_of(self, asked: DeriveRequest) -> str:
        """The hash of the code that a request runs or applies, including its helper files and weights.

        :raises NotFound: no such pipeline, blueprint or factory; the message names the existing ones.
        :raises InvalidRequest: parameters that the pipeline does not take.
        """
        catalogue = self._library.catalogue()
        if asked.pipeline is not None:
            pipeline = named("pipeline", asked.pipeline, catalogue)
            check_parameters(asked.pipeline, pipeline["Parameters"], asked.parameters)
            return str(pipeline.get("Code", pipeline["Sha256"]))
        named("factory", asked.factory or "", catalogue)
        return str(named("blueprint", asked.blueprint or "", catalogue)["Sha256"])

    def check_destinations(self, asked: DeriveRequest) -> None:
        """Check the names of destinations. :raises NotFound: one is not configured."""
        self._destinations.check(asked)

    def _submit(
        self,
        job: JobRecord,
        image: bytes | None,
        by: Mapping[str, Any],
        along: Callable[[JobRecord], Note] | None,
    ) -> None:
        if job.is_preview:  # it has no result
            self._runner.submit(job, image)
            return
        act = Act("Derive", by, job.series, job.id, _what(job))
        notes = [self._audit.note(act), *([] if along is None else [along(job)])]
        self._runner.submit(job, image, together(*notes))
        self._audit.tell(act)

    def _instances(self, series: str) -> str:
        """A digest of the instances of a series. :raises NotFound: no such series."""
        return hashlib.sha256("".join(sorted(self._gateway.series(series)["Instances"])).encode()).hexdigest()

    def _other_studies(self, series: str) -> str:
        """A digest of the series of the patient's other studies, in which a job looks for a prior one."""
        study_id = self._gateway.series(series)["ParentStudy"]
        studies = self._gateway.get(f"/patients/{self._gateway.patient_resource(series)}")["Studies"]
        others = [
            sorted(each["Instances"])
            for study in sorted(studies)
            if study != study_id
            for each in self._gateway.get(f"/studies/{study}/series")
        ]
        return hashlib.sha256(json.dumps(sorted(others)).encode()).hexdigest()

    def _check_patient(self, series: str, inputs: Mapping[str, str]) -> None:
        """Require that all inputs are of the patient in the address, as no filter of Orthanc's sees the other inputs.

        :raises Conflict: one is of another patient; the message does not say whose.
        """
        for name, other in inputs.items():
            if self._gateway.patient_resource(other) != self._gateway.patient_resource(series):
                raise Conflict(
                    f"the input {name!r} (series {other}) is of another patient than the series {series}",
                    remedy="give series of one patient",
                )

    def _still_there(self, job: JobRecord) -> bool:
        """Whether the series of a job can be reused: all are in Orthanc, and none is rejected."""
        series = stored_ids(job.result)
        try:
            return bool(series) and all(
                self._gateway.series(each) and not self._reviews.is_rejected(each) for each in series
            )
        except NotFound:
            return False


def _has_stored(job: JobRecord) -> bool:
    """Whether a job is over with its derivation: it succeeded, or at most its series have to be sent on."""
    return job.state is State.SUCCESS or bool(stored_ids(job.result))


def _what(job: JobRecord) -> dict[str, str]:
    """A job's product for the audit trail, in our own names, without patient data."""
    return {key: job.request[key] for key in ("Pipeline", "Blueprint", "Factory") if key in job.request}


def _finds_priors(catalogue: Catalogue, asked: DeriveRequest) -> bool:
    """Whether the job will look for a prior study that the request does not name."""
    known = catalogue.pipelines.get(asked.pipeline or "", {})
    return any(name not in asked.inputs for name in known.get("PriorInputs", ()))
