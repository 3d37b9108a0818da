"""General Series and Frame of Reference modules (PS3.3 C.7.3.1, C.7.4.1)."""

from __future__ import annotations

from pydicom.uid import CTImageStorage, MRImageStorage

from derived_series.dicom.blueprint import Blueprint
from derived_series.dicom.copying import CopyOrElseElement
from derived_series.dicom.elements import ABSENT, Value
from derived_series.dicom.environment import SeriesEnvironment
from derived_series.dicom.functions import HeaderElement
from derived_series.dicom.modules.helpers import copies, copies_or_empty, date_and_time_of_build
from derived_series.dicom.space import FrameOfReference

_POSITION_REQUIRED = (CTImageStorage, MRImageStorage)


def _series_number(env: SeriesEnvironment) -> int:
    try:
        number = int(env.pivot.get("SeriesNumber"))
    except (TypeError, ValueError):  # it has none, or one that is no number
        number = None
    return env.context.series_number(number)


def _description(env: SeriesEnvironment) -> str:
    """ "<parent's> (derived)", within the 64 characters of LO."""
    parent = str(env.pivot.get("SeriesDescription") or "").strip()
    return f"{parent[:54]} (derived)".strip()


def _patient_position(env: SeriesEnvironment) -> Value:
    """Type 2C: the parent's, empty for a class that wants it (PET has PatientOrientationCodeSequence instead)."""
    found = env.pivot.get("PatientPosition")
    return found if found or env.pivot.SOPClassUID in _POSITION_REQUIRED else ABSENT


general_series_blueprint = Blueprint(
    [
        CopyOrElseElement("Modality", "OT"),
        HeaderElement("SeriesInstanceUID", lambda env: env.context.uid("series")),
        HeaderElement("SeriesNumber", _series_number),
        *date_and_time_of_build("SeriesDate", "SeriesTime"),
        HeaderElement("SeriesDescription", _description),
        HeaderElement("PatientPosition", _patient_position),
        *copies("Laterality", "ProtocolName", "BodyPartExamined", "AnatomicalOrientationType"),
        *copies("RequestAttributesSequence", "ClinicalTrialSeriesID"),
    ]
).named("general_series")


def _frame_of_reference(env: SeriesEnvironment) -> Value:
    """The parent's; for a parent without one (or one a slice), a UID that all series derived from it share."""
    if env.parent.is_constant("FrameOfReferenceUID") and env.pivot.get("FrameOfReferenceUID"):
        return env.pivot["FrameOfReferenceUID"]
    return FrameOfReference.of(env.parent).uid


frame_of_reference_blueprint = Blueprint(
    [
        HeaderElement("FrameOfReferenceUID", _frame_of_reference),
        *copies_or_empty("PositionReferenceIndicator"),
    ]
).named("frame_of_reference")
