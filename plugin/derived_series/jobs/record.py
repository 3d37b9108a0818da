"""JobRecord: a job as stored on disk, an immutable record that every change replaces."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from http import HTTPStatus
from typing import Any

from derived_series.errors import DerivedSeriesError, UserCodeError
from derived_series.jobs.plain import text_of
from derived_series.jobs.remedies import CODE_FAILED, WORDS

#: The HTTP statuses of errors.
_STATUSES = frozenset(status.value for status in HTTPStatus if status.value >= 400)


class State(Enum):
    """The state of a job, named as in Orthanc's own jobs. ``RETRY``: it waits for its next attempt."""

    PENDING = "Pending"
    RUNNING = "Running"
    RETRY = "Retry"
    SUCCESS = "Success"
    FAILURE = "Failure"

    @property
    def is_final(self) -> bool:
        return self in (State.SUCCESS, State.FAILURE)


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as stored and answered.

    :param kind: the class of ``derived_series.errors``.
    """

    kind: str
    http_status: int
    message: str
    remedy: str | None = None
    details: str | None = None

    @classmethod
    def of(cls, error: DerivedSeriesError) -> Problem:
        """Make a problem from an error, which user code may have filled with anything."""
        remedy, details = (None if text is None else text_of(text) for text in (error.remedy_in(WORDS), error.details))
        if isinstance(error, UserCodeError):
            remedy = remedy or CODE_FAILED
        status = error.http_status if error.http_status in _STATUSES else DerivedSeriesError.http_status
        return cls(type(error).__name__, status, text_of(error.message), remedy, details)

    def to_json(self) -> dict[str, Any]:
        return {
            "Kind": self.kind,
            "HttpStatus": self.http_status,
            "Message": self.message,
            "Remedy": self.remedy,
            "Details": self.details,
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Problem:
        return cls(*(document[key] for key in ("Kind", "HttpStatus", "Message", "Remedy", "Details")))


@dataclass(frozen=True, slots=True)
class JobRecord:
    """An accepted derivation.

    :param id: a UUID, from which all UIDs of the derived series follow, so that they are the same in every attempt.
    :param series: the Orthanc identifier of the parent series.
    :param request: the request's JSON, without the image.
    :param image: the name of the uploaded image's file in the job's folder.
    :param subject: identifies what is derived from what, without parameters; ``IfExists: Replace`` uses it.
    :param digest: identifies everything that the result depends on; ``IfExists: Reuse`` uses it.
    :param created: seconds since 1970, like all times here; also the time that is written into the series.
    :param attempt: the number of attempts begun so far.
    :param attempts_lost_to_restarts: how many of these were interrupted because Orthanc ended.
    :param next_try: when a job in ``RETRY`` may run again.
    :param has_leftovers: whether instances of the derived series may be in Orthanc although the job has not succeeded.
    :param runtime: the seconds that its attempts took.
    :param result: the answer of a job that succeeded.
    """

    id: str
    series: str
    request: dict[str, Any]
    image: str | None
    subject: str
    digest: str
    created: float
    priority: int = 0
    state: State = State.PENDING
    attempt: int = 0
    progress: int = 0
    next_try: float = 0.0
    started: float | None = None
    completed: float | None = None
    runtime: float = 0.0
    has_leftovers: bool = False
    problem: Problem | None = None
    result: dict[str, Any] | None = None
    attempts_lost_to_restarts: int = 0

    @classmethod
    def new(
        cls,
        series: str,
        request: dict[str, Any],
        *,
        subject: str,
        digest: str,
        priority: int,
        image: str | None = None,
        id: str | None = None,
    ) -> JobRecord:
        """Make the record of a new job. :param id: by default a new UUID."""
        return cls(id or str(uuid.uuid4()), series, request, image, subject, digest, time.time(), priority)

    @property
    def is_preview(self) -> bool:
        """Whether it is a dry run, which stores nothing, that a user waits for in front of a page."""
        return bool(self.request.get("DryRun"))

    @property
    def now(self) -> datetime:
        """The date and time written into the derived series, the same in every attempt."""
        return datetime.fromtimestamp(self.created)


def subject_of(series: str, request: dict[str, Any]) -> str:
    """The subject of a job; see ``JobRecord.subject``."""
    keys = ("Pipeline", "Blueprint", "Factory", "Inputs", "Orientation", "Part")
    retrieve = [request["Retrieve"]] if "Retrieve" in request else []  # else as in earlier versions
    return _digest([series, *(request.get(key) for key in keys), *retrieve])


def digest_of(series: str, request: dict[str, Any], image: bytes | None, code: str) -> str:
    """The digest of a job; see ``JobRecord.digest``.

    :param code: identifies the user's code, such as a hash of its file.
    """
    without = {"Synchronous", "Asynchronous", "Priority", "Timeout", "IfExists", "User"}
    relevant = {key: value for key, value in request.items() if key not in without}
    return _digest([series, relevant, None if image is None else hashlib.sha256(image).hexdigest(), code])


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
