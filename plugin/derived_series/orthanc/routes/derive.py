"""The routes that derive: a request becomes a job, and the job's end the answer."""

from __future__ import annotations

import hashlib
import json
import threading
import zlib
from collections.abc import Mapping

from derived_series.errors import Busy, Conflict, InvalidImage, InvalidRequest, NotFound
from derived_series.jobs.messages import Catalogue
from derived_series.jobs.own_requests import HEADER
from derived_series.jobs.queue.audit_log import Act
from derived_series.jobs.queue.runner import JobRunner
from derived_series.jobs.record import JobRecord, State, digest_of, subject_of
from derived_series.jobs.requests.derive import DeriveRequest, parse_json
from derived_series.jobs.stored_series import stored_ids
from derived_series.kinds import FILE_TYPES, file_type, readable_suffixes, reads
from derived_series.kinds.file_types import GZIP
from derived_series.orthanc.abstract_gateway import Gateway
from derived_series.orthanc.answers import accepted, problem_answer
from derived_series.orthanc.audit import Audit
from derived_series.orthanc.callers import Caller, Callers
from derived_series.orthanc.config import Settings
from derived_series.orthanc.destinations import Destinations
from derived_series.orthanc.http import Answer, Request
from derived_series.orthanc.parameters import check_parameters
from derived_series.orthanc.reviews import Reviews
from derived_series.orthanc.routes.library import LibraryRoutes, named
from derived_series.orthanc.waiters import Waiters

#: Options of the image route, whose body is the image: Orthanc's plugins get no query string of a POST.
OPTIONS_HEADER = "x-derived-series-options"
_OF_THE_URL = ("Pipeline", "Parameters", "Blueprint", "Factory", "Image", "Inputs")

#: Bytes that a JSON body may have beside its image, which is base64.
_JSON_BYTES = 1 << 20

#: An image of an unknown kind and of fewer bytes may have no line end by chance: what it begins with is the news.
_TOO_SHORT_TO_TELL_BYTES = 64
#: Without the empty header, curl waits for a second before a large body, for an answer that Orthanc does not give.
_SEND = "curl -H 'Expect:' --data-binary @result.nii.gz"


class DeriveRoutes:
    """``POST /series/{id}/derive`` and ``POST /series/{id}/derive/{blueprint}/{factory}``.

    :param waiters: the places for synchronous requests.
    """

    def __init__(
        self,
        gateway: Gateway,
        runner: JobRunner,
        library: LibraryRoutes,
        settings: Settings,
        reviews: Reviews,
        waiters: Waiters,
        destinations: Destinations,
        callers: Callers,
        audit: Audit,
    ):
        self._destinations = destinations
        self._callers = callers
        self._audit = audit
        self._reviews = reviews
        self._gateway = gateway
        self._runner = runner
        self._library = library
        self._settings = settings
        self._waiters = waiters
        self._reusing = threading.Lock()

    def derive(self, request: Request) -> Answer:
        """The body is a JSON object: see ``DeriveRequest``."""
        most = self._settings.image_limit * 4 // 3 + _JSON_BYTES
        if len(request.body) > most:
            raise InvalidRequest(
                f"the body has {len(request.body)} bytes, over the limit of {most}",
                remedy="raise MaxImageMB in the configuration",
            )
        asked = DeriveRequest.of(parse_json(request.body, "the body"))
        return self._derive(request, asked, asked.image_bytes())

    def derive_image(self, request: Request) -> Answer:
        """The body is the image: .npy, .nii or .nii.gz. Options are JSON in a header."""
        options = parse_json(request.headers.get(OPTIONS_HEADER, "{}").encode(), OPTIONS_HEADER)
        if isinstance(options, dict):
            taken = [key for key in _OF_THE_URL if key in options]
            if taken:
                raise InvalidRequest(f"{OPTIONS_HEADER}: {', '.join(taken)} cannot be given on this route")
            options = {**options, "Blueprint": request.groups[1], "Factory": request.groups[2]}
        if not request.body:
            raise InvalidImage("the body is empty", remedy=f"send the image: {_SEND}")
        return self._derive(request, DeriveRequest.of(options), request.body)

    def _derive(self, request: Request, asked: DeriveRequest, image: bytes | None) -> Answer:
        waits = asked.is_synchronous and "respond-async" not in request.headers.get("prefer", "").lower()
        if waits and (waiting_job := request.headers.get(HEADER.lower())):
            raise Conflict(
                f"the job {waiting_job} would wait for another derivation, and hold the worker that this one needs",
                remedy="return the image, and derive from the result when the job is over (a rule can do that), or ask "
                'with "Asynchronous": true and do not wait for that job',
            )
        name = None if image is None else self._image_name(image, asked.factory)
        code = _code_of(self._library.catalogue(), asked)
        series = request.groups[0]
        parents = [self._instances(each) for each in (series, *asked.inputs.values())]
        if _finds_priors(self._library.catalogue(), asked):
            parents.append(self._other_studies(series))
        self._check_patient(series, asked.inputs)
        document = self._settings.document(asked)
        self._destinations.check(asked)
        caller = self._callers.of(request, asked.user)
        job = JobRecord.new(
            series,
            document,
            subject=subject_of(series, document),
            digest=digest_of(series, document, image, json.dumps([code, parents])),
            priority=asked.priority,
            image=name,
        )
        if not waits:
            return self._answer(request, self._accepted(asked, job, image, caller), waits=False)
        with self._waiters.place('ask with "Asynchronous": true'):
            return self._answer(request, self._accepted(asked, job, image, caller), waits=True)

    def _accepted(self, asked: DeriveRequest, job: JobRecord, image: bytes | None, caller: Caller) -> JobRecord:
        """The job that answers a request: a new one, or one that does the same already."""
        if asked.if_exists != "Reuse" or asked.dry_run:
            self._submit(job, image, caller)
            return job
        with self._reusing:  # of two at once, the second finds the job of the first
            for former in self._runner.store.with_digest(job.digest):
                if former.state is not State.SUCCESS or self._still_there(former):
                    self._audit.put(Act("Reuse", caller.to_json(), former.series, former.id, _what(former)))
                    return former
            self._submit(job, image, caller)
            return job

    def _submit(self, job: JobRecord, image: bytes | None, caller: Caller) -> None:
        if job.is_preview:  # nothing comes of it
            self._runner.submit(job, image)
            return
        act = Act("Derive", caller.to_json(), job.series, job.id, _what(job))
        self._runner.submit(job, image, self._audit.note(act))
        self._audit.tell(act)

    def _answer(self, request: Request, job: JobRecord, *, waits: bool) -> Answer:
        if not waits:
            return Answer.of(accepted(job))
        job = self._runner.wait(job.id, self._settings.synchronous_timeout)
        if job.state is State.SUCCESS and job.result is not None:
            return Answer.of({**job.result, "JobID": job.id})
        if job.state is State.FAILURE and job.problem is not None:
            return problem_answer(job.problem, request, job.id)
        if job.state is State.RETRY and job.result is not None:  # stored here; destinations are tried again
            return Answer.of({**job.result, "JobID": job.id}, 202)
        if self._runner.is_stopping:
            raise Busy(f"Orthanc is stopping; job {job.id} goes on at its next start", retry_after=30)
        return Answer.of(accepted(job), 202)

    def _image_name(self, image: bytes, factory: str | None) -> str:
        """A file name for an image, by what it begins with.

        :raises InvalidImage: too large, of no known kind, or of one that the factory does not read.
        """
        if len(image) > self._settings.image_limit:
            raise InvalidImage(
                f"the image has {len(image)} bytes, over the limit of {self._settings.image_limit}",
                remedy="raise MaxImageMB in the configuration",
            )
        if _is_mangled(image):
            raise InvalidImage(
                "the image is damaged: no NUL, CR or LF is left in it",
                remedy=f"curl -d takes them out: send it with {_SEND}",
            )
        kind = file_type(image[:16])
        if kind is not None and factory is not None and not reads(factory, kind):
            raise InvalidImage(
                f"the image is a {kind.name}, which the factory {factory} does not read", remedy=kind.remedy
            )
        if kind is None or not kind.factory:
            raise InvalidImage(
                f"the image is no {readable_suffixes()} file: it begins with {image[:8]!r}",
                remedy=f"write it with numpy.save or nibabel.save, and send it: {_SEND}",
            )
        return f"image{kind.suffix}"

    def _instances(self, series: str) -> str:
        """A digest of the instances of a series. :raises NotFound: no such series."""
        return hashlib.sha256("".join(sorted(self._gateway.series(series)["Instances"])).encode()).hexdigest()

    def _other_studies(self, series: str) -> str:
        """A digest of the series of the patient's other studies, among which a job looks for a prior one."""
        study_id = self._gateway.series(series)["ParentStudy"]
        studies = self._gateway.get(f"/patients/{self._patient(series)}")["Studies"]
        others = [
            sorted(each["Instances"])
            for study in sorted(studies)
            if study != study_id
            for each in self._gateway.get(f"/studies/{study}/series")
        ]
        return hashlib.sha256(json.dumps(sorted(others)).encode()).hexdigest()

    def _check_patient(self, series: str, inputs: Mapping[str, str]) -> None:
        """That all inputs are of the patient whom the address names: no filter sees who they are.

        :raises Conflict: one is of another; it tells nothing of whom.
        """
        for name, other in inputs.items():
            if self._patient(other) != self._patient(series):
                raise Conflict(
                    f"the input {name!r} (series {other}) is of another patient than the series {series}",
                    remedy="give series of one patient",
                )

    def _patient(self, series: str) -> str:
        study = self._gateway.series(series)["ParentStudy"]
        return str(self._gateway.get(f"/studies/{study}")["ParentPatient"])

    def _still_there(self, job: JobRecord) -> bool:
        """Whether the series of a job can be used again: all are in Orthanc, and none is rejected."""
        series = stored_ids(job.result)
        try:
            return bool(series) and all(
                self._gateway.series(each) and not self._reviews.is_rejected(each) for each in series
            )
        except NotFound:
            return False


def _what(job: JobRecord) -> dict[str, str]:
    """What a job makes, for the audit trail: names of ours, nothing of a patient."""
    return {key: job.request[key] for key in ("Pipeline", "Blueprint", "Factory") if key in job.request}


def _begins_without_nul(image: bytes) -> bool:
    """Whether an image begins as a known file does whose NULs were taken out."""
    starts = (start for file in FILE_TYPES for start in file.starts if b"\0" in start)
    return any(image.startswith(start.replace(b"\0", b"")) for start in starts)


def _is_mangled(image: bytes) -> bool:
    """Whether an image was sent as text: each kind of file has NUL or line ends, of compressed ones nearly all."""
    if any(byte in image for byte in (b"\0", b"\n", b"\r")):
        return False
    kind = file_type(image[:16])
    if kind is None and len(image) < _TOO_SHORT_TO_TELL_BYTES and not _begins_without_nul(image):
        return False
    if kind is not None and (kind.lines_from is None or len(image) < kind.lines_from):
        return False
    if kind is not GZIP:
        return True
    try:
        zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(image, 1)
    except zlib.error:
        return True
    return False


def _finds_priors(catalogue: Catalogue, asked: DeriveRequest) -> bool:
    """Whether the job will look for a prior study that the request does not name."""
    known = catalogue.pipelines.get(asked.pipeline or "", {})
    return any(name not in asked.inputs for name in known.get("PriorInputs", ()))


def _code_of(catalogue: Catalogue, asked: DeriveRequest) -> str:
    """The hash of the code that a request runs or applies, with its helper files and weights.

    :raises NotFound: naming the ones there are. :raises InvalidRequest: parameters that the pipeline does not take.
    """
    if asked.pipeline is not None:
        pipeline = named("pipeline", asked.pipeline, catalogue)
        check_parameters(asked.pipeline, pipeline["Parameters"], asked.parameters)
        return str(pipeline.get("Code", pipeline["Sha256"]))
    named("factory", asked.factory or "", catalogue)
    return str(named("blueprint", asked.blueprint or "", catalogue)["Sha256"])
