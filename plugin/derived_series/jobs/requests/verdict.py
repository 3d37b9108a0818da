"""ReviewRequest: a verdict on a derived series, and how verdicts are stored in Orthanc."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from derived_series.errors import InvalidRequest
from derived_series.jobs.requests.derive import PersonName, validated
from derived_series.json_model import JsonModel

ACCEPTED, REJECTED = "Accepted", "Rejected"

#: The labels of series, in Orthanc 1.12.0 and later.
LABELS = {ACCEPTED: "accepted", REJECTED: "rejected"}

_NAMESPACE = uuid.UUID("5c0b7f0a-3a52-5c0c-9b0e-7c1a0f1f6d42")


@dataclass(frozen=True, slots=True)
class Reason:
    """A coded reason for a rejection.

    :param name: its keyword in PS3.16, or ours. :param title: the matching document title of CID 7010.
    """

    code: str
    name: str
    meaning: str
    title: tuple[str, str] = ("113001", "Rejected for Quality Reasons")

    def to_json(self) -> dict[str, str]:
        return {"Code": self.code, "Name": self.name, "Meaning": self.meaning, "Title": self.title[1]}


#: The reasons of CID 7011, "Rejected for Quality Reasons", and 113037 of CID 7010, which is both title and reason.
REASONS = (
    Reason("111219", "InappropriateImageProcessing", "Inappropriate image processing"),
    Reason("111218", "SoftwareFailure", "Software failure"),
    Reason("111207", "ImageArtifacts", "Image artifact(s)"),
    Reason(
        "113037",
        "PatientSafety",
        "Rejected for Patient Safety Reasons",
        ("113037", "Rejected for Patient Safety Reasons"),
    ),
    Reason("111215", "ArtifactsOtherThanGridOrDetectorArtifact", "Artifact(s) other than grid or detector artifact"),
    Reason("111214", "DetectorArtifacts", "Detector artifact(s)"),
    Reason("111208", "GridArtifacts", "Grid artifact(s)"),
    Reason("111209", "Positioning", "Positioning"),
    Reason("111210", "MotionBlur", "Motion blur"),
    Reason("111211", "UnderExposed", "Under exposed"),
    Reason("111212", "OverExposed", "Over exposed"),
    Reason("113026", "DoubleExposure", "Double exposure"),
    Reason("111213", "NoImage", "No image"),
    Reason("111216", "MechanicalFailure", "Mechanical failure"),
    Reason("111217", "ElectricalFailure", "Electrical failure"),
    Reason("111220", "OtherFailure", "Other failure"),
    Reason("111221", "UnknownFailure", "Unknown failure"),
)


class ReviewRequest(JsonModel):
    """The JSON body of ``POST /series/{id}/review``.

    :ivar user: the reviewer, as a DICOM person name or a user name; required if Orthanc does not know the user.
    :ivar code: the reason for a rejection: the value or name of one of ``REASONS``.
    :ivar reason: a text.
    :ivar known: the state that the sender has seen; if it has changed, the verdict is refused.
    :ivar all: whether the verdict also applies to the other series of the job, except rejected ones.
    """

    verdict: Literal["Accept", "Reject"]
    user: PersonName | None = None
    code: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    known: Literal["Unreviewed", "Accepted", "Rejecting", "Rejected"] | None = None
    all: bool = False
    reason: Annotated[str, Field(max_length=4096, pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f]*$")] | None = None

    @classmethod
    def of(cls, document: object) -> ReviewRequest:
        """Check a decoded JSON body.

        :raises InvalidRequest: naming every wrong key.
        """
        if not isinstance(document, dict):
            raise InvalidRequest("the body is not a JSON object", remedy='send {"Verdict": "Accept", "User": "name"}')
        request = validated(cls, document)
        if request.verdict == "Reject":
            reason_of(request.code)
        elif request.code is not None:
            raise InvalidRequest("Code is the reason of a rejection; the verdict is Accept")
        return request


def reason_of(code: str | None) -> Reason:
    """Look up a reason by its code's value or name.

    :raises InvalidRequest: there is no such reason; the error lists them.
    """
    for reason in REASONS:
        if code in (reason.code, reason.name):
            return reason
    raise InvalidRequest(
        "a rejection needs a Code, its reason" if code is None else f"Code {code!r} is not a reason of a rejection",
        remedy="use one of: " + ", ".join(f"{each.code} ({each.name})" for each in REASONS),
    )


def review_json(state: str, request: dict[str, Any], time: str, former: dict[str, Any] | None) -> dict[str, Any]:
    """Make the document that is stored with the series.

    :param request: the request's JSON, with ``User`` and what else is known about the user.
    :param time: ISO 8601. :param former: the previous verdict.
    """
    document: dict[str, Any] = {"State": state, "User": request["User"], "Time": time}
    document |= {key: request[key] for key in ("UserFrom", "Address", "ForwardedFor") if key in request}
    if state == REJECTED:
        reason = reason_of(request["Code"])
        document |= {"Code": reason.code, "Meaning": reason.meaning, "Title": reason.title[1]}
    if request.get("Reason"):
        document["Reason"] = request["Reason"]
    if former is not None:
        document["Former"] = former
    return document


def rejection_job_id(series: str, derivation: str) -> str:
    """The identifier of the job that rejects a series, always the same, so that there is at most one document.

    :param series: its Orthanc identifier. :param derivation: the identifier of the job that made the series.
    """
    return str(uuid.uuid5(_NAMESPACE, f"{series}/{derivation}"))
