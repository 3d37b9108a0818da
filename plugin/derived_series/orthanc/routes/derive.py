"""The routes that derive: a request becomes a job, and the job's result the answer."""

from __future__ import annotations

import zlib

from derived_series.errors import Busy, Conflict, InvalidImage, InvalidRequest
from derived_series.jobs.own_requests import HEADER
from derived_series.jobs.queue.runner import JobRunner
from derived_series.jobs.record import JobRecord, State
from derived_series.jobs.requests.derive import DeriveRequest, parse_json
from derived_series.kinds import FILE_TYPES, file_type, readable_suffixes, reads
from derived_series.kinds.file_types import GZIP
from derived_series.orthanc.answers import accepted, problem_answer
from derived_series.orthanc.callers import Callers
from derived_series.orthanc.config import Settings
from derived_series.orthanc.derivations import Derivations
from derived_series.orthanc.http import Answer, Request
from derived_series.orthanc.waiters import Waiters

#: The header for options of the image route, as Orthanc passes no query string of a POST to plugins.
OPTIONS_HEADER = "x-derived-series-options"
_OF_THE_URL = ("Pipeline", "Parameters", "Blueprint", "Factory", "Image", "Inputs")

#: The most bytes of a JSON body besides its image, which is base64.
_JSON_BYTES = 1 << 20

#: An image of an unknown type with fewer bytes may lack line ends by chance; the error then names its first bytes.
_TOO_SHORT_TO_TELL_BYTES = 64
#: Without the empty header, curl waits a second before a large body, for an answer that Orthanc does not send.
_SEND = "curl -H 'Expect:' --data-binary @result.nii.gz"


class DeriveRoutes:
    """``POST /series/{id}/derive`` and ``POST /series/{id}/derive/{blueprint}/{factory}``.

    :param waiters: the places for synchronous requests.
    """

    def __init__(
        self,
        derivations: Derivations,
        runner: JobRunner,
        settings: Settings,
        waiters: Waiters,
        callers: Callers,
    ):
        self._derivations = derivations
        self._callers = callers
        self._runner = runner
        self._settings = settings
        self._waiters = waiters

    def derive(self, request: Request) -> Answer:
        """Derive by a JSON object: see ``DeriveRequest``."""
        most = self._settings.image_limit * 4 // 3 + _JSON_BYTES
        if len(request.body) > most:
            raise InvalidRequest(
                f"the body has {len(request.body)} bytes, over the limit of {most}",
                remedy="raise MaxImageMB in the configuration",
            )
        asked = DeriveRequest.of(parse_json(request.body, "the body"))
        return self._derive(request, asked, asked.image_bytes())

    def derive_image(self, request: Request) -> Answer:
        """Derive from an image, or another file that the factory reads, in the body. Options are JSON in a header."""
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
        job = self._derivations.job(request.groups[0], asked, image, name)
        by = self._callers.of(request, asked.user).to_json()
        if not waits:
            return self._answer(request, self._derivations.accepted(asked, job, image, by), waits=False)
        with self._waiters.place('ask with "Asynchronous": true'):
            return self._answer(request, self._derivations.accepted(asked, job, image, by), waits=True)

    def _answer(self, request: Request, job: JobRecord, *, waits: bool) -> Answer:
        if not waits:
            return Answer.of(accepted(job))
        job = self._runner.wait(job.id, self._settings.synchronous_timeout)
        if job.state is State.SUCCESS and job.result is not None:
            return Answer.of({**job.result, "JobID": job.id})
        if job.state is State.FAILURE and job.problem is not None:
            return problem_answer(job.problem, request, job.id)
        if job.state is State.RETRY and job.result is not None:  # it is stored here; the destinations are tried again
            return Answer.of({**job.result, "JobID": job.id}, 202)
        if self._runner.is_stopping:
            raise Busy(f"Orthanc is stopping; job {job.id} goes on at its next start", retry_after=30)
        return Answer.of(accepted(job), 202)

    def _image_name(self, image: bytes, factory: str | None) -> str:
        """A file name for an image, by its first bytes.

        :raises InvalidImage: it is too large, of an unknown type, or of one that the factory does not read.
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


def _begins_without_nul(image: bytes) -> bool:
    """Whether an image begins like a known file from which the NULs were removed."""
    starts = (start for file in FILE_TYPES for start in file.starts if b"\0" in start)
    return any(image.startswith(start.replace(b"\0", b"")) for start in starts)


def _is_mangled(image: bytes) -> bool:
    """Whether an image was changed as if it were text: files of all types have a NUL or line ends, nearly always."""
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
        return not zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(image, 1)
    except zlib.error:
        return True
