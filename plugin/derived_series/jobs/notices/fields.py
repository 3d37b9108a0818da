"""The events and fields of notices, and which fields may contain patient data."""

from __future__ import annotations

from types import MappingProxyType
from typing import Literal, TypeAlias, get_args

#: The events. ``DeliveryFailure`` is a failure too: see ``Receiver.wants``.
Event: TypeAlias = Literal[
    "Success",
    "Failure",
    "DeliveryFailure",
    "Cancelled",
    "RuleFailure",
    "WorkerGone",
    "WaitingForReview",
    "Accepted",
    "Rejected",
    "Delivered",
]

EVENTS: tuple[Event, ...] = get_args(Event)

#: Fields that a template may use. None contains patient data or text typed by users of Orthanc: only Orthanc
#: identifiers (hashes), job identifiers (random), names in the configuration, numbers, and error classes with our text.
OF_NOBODY = (
    "Event",
    "ID",
    "Time",
    "Server",
    "Text",
    "Job",
    "JobPath",
    "Parent",
    "Series",
    "ReviewPath",
    "PagePath",
    "Pipeline",
    "Blueprint",
    "Rule",
    "Attempt",
    "Error",
    "Remedy",
    "Destinations",
)

#: Fields that ``IncludePatientData`` adds: tags, DICOM UIDs, who asked, and the text of an error.
OF_A_PATIENT = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "AccessionNumber",
    "StudyDate",
    "StudyDescription",
    "StudyInstanceUID",
    "SeriesDescription",
    "SeriesInstanceUID",
    "User",
    "Message",
)

#: The meaning and remedy of error classes, in place of an error's own text, which may quote tags.
REMEDIES = MappingProxyType(
    {
        "Cancelled": "somebody has cancelled it: resubmit it if it is still needed",
        "InvalidRequest": "the request is wrong: mend it",
        "InvalidOption": "the request asks for what there is not: mend it",
        "InvalidImage": "the image cannot be read: send it again as .npy or NIfTI",
        "Forbidden": "it may not be asked from there, or by that user",
        "NotFound": "a series, a pipeline or a server that is needed is not there: send it, or mend the request",
        "Conflict": "the state of the patient, the study or the series forbids it: look at the job",
        "InvalidParent": "the series cannot be the parent of this derivation: choose another, or another pipeline",
        "GeometryError": "the slices are not the volume that is needed: look for missing or repeated ones",
        "ShapeMismatch": "the image's shape is not the parent's: mend the pipeline",
        "PixelError": "values that cannot be stored: mend the pipeline, or say what NaN becomes",
        "HeaderError": "the blueprint lacks attributes: complete it",
        "ValidationFailed": "the result breaks rules of its IOD: mend the blueprint",
        "BlueprintError": "the blueprint or the pipeline is wrong: mend its file",
        "InvalidValue": "a value of the blueprint is not allowed there: mend its file",
        "UserCodeError": "the pipeline's code, or a program that it runs, has failed: the job and its log say why",
        "StorageError": "Orthanc, a destination or a worker was not there, or refused: see to it, and resubmit the job",
        "Busy": "the queue or the disk is full: make room",
        "DerivedSeriesError": "the plugin has failed: Orthanc's log says where",
    }
)


def known_kind(kind: str) -> str:
    """The public name of an error's class: user code may have classes with any name."""
    return kind if kind in REMEDIES else "DerivedSeriesError"
