"""General Series and Frame of Reference modules (PS3.3 C.7.3.1, C.7.4.1)."""

from __future__ import annotations

from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.blueprints.copy_elements import CopyOrElseElement
from derived_series.dicom.blueprints.element import ABSENT, Value
from derived_series.dicom.blueprints.environment import ImageEnvironment, SeriesEnvironment
from derived_series.dicom.blueprints.function_elements import HeaderElement, ImageElement
from derived_series.dicom.encoding.value_rules import cut, one_line, values_of
from derived_series.dicom.image.frame_of_reference import FrameOfReference
from derived_series.dicom.modules.element_lists import copies, copies_or_empty, date_and_time_of_build
from derived_series.kinds import sop_class


def _series_number(env: SeriesEnvironment) -> int:
    try:
        number = int(env.pivot.get("SeriesNumber"))
    except (TypeError, ValueError, OverflowError):  # it has none, or one that is not a number
        number = None
    return env.context.series_number(number)


def _description(env: SeriesEnvironment) -> str:
    """SeriesDescription: "<parent's>: <how it is derived>", within the 64 characters of LO.

    If nothing says how, it names the pipeline or the blueprint; "<parent's> (derived)" if neither has a name. If a job
    has several outputs, the output's name is at the end.
    """
    element = env.pivot["SeriesDescription"] if "SeriesDescription" in env.pivot else None
    parent = one_line(" ".join(map(str, () if element is None else values_of(element))))
    beside = min(len(parent), _LEAST_CHARACTERS) + 2 if parent else 0
    name = cut(env.context.output_name, _LONGEST_CHARACTERS - beside - _LEAST_CHARACTERS)
    of_output = f" ({name})" if name else ""
    what = cut(one_line(env.derivation or env.context.maker), _LONGEST_CHARACTERS - beside - len(of_output))
    if not what:
        ending = of_output or _DERIVED
        return f"{cut(parent, _LONGEST_CHARACTERS - len(ending))}{ending}".strip()
    what += of_output
    return f"{cut(parent, _LONGEST_CHARACTERS - len(what) - 2)}: {what}" if parent else what


_DERIVED = " (derived)"
#: The most characters of LO, and the fewest that are kept of the parent's description.
_LONGEST_CHARACTERS, _LEAST_CHARACTERS = 64, 16


def _patient_position(env: ImageEnvironment) -> Value:
    """PatientPosition (type 2C): the parent's, or empty if the class requires it (PET may have
    PatientOrientationCodeSequence instead)."""
    pivot = env.parent.pivot
    if pivot.get("PatientPosition"):
        return pivot["PatientPosition"]
    wanted = any(sop_class(str(uid)).has_patient_position for uid in (pivot.SOPClassUID, env.sop_class_uid))
    return None if wanted else ABSENT


def _series_uid(env: SeriesEnvironment) -> str:
    return env.context.uid("series")


general_series_blueprint = Blueprint(
    [
        CopyOrElseElement("Modality", "OT"),
        HeaderElement("SeriesInstanceUID", _series_uid),
        HeaderElement("SeriesNumber", _series_number),
        *date_and_time_of_build("SeriesDate", "SeriesTime"),
        HeaderElement("SeriesDescription", _description),
        ImageElement("PatientPosition", _patient_position),
        *copies("Laterality", "ProtocolName", "BodyPartExamined", "AnatomicalOrientationType"),
        *copies("RequestAttributesSequence", "ClinicalTrialSeriesID"),
    ]
).named("general_series")
"""General Series module (PS3.3 C.7.3.1): a new series of the parent's study."""


def _frame_of_reference(env: SeriesEnvironment) -> Value:
    """The parent's; if it has none, or one for each slice, a UID that all series derived from it share."""
    if env.parent.is_constant("FrameOfReferenceUID") and env.pivot.get("FrameOfReferenceUID"):
        return env.pivot["FrameOfReferenceUID"]
    return FrameOfReference.of(env.parent).uid


frame_of_reference_blueprint = Blueprint(
    [
        HeaderElement("FrameOfReferenceUID", _frame_of_reference),
        *copies_or_empty("PositionReferenceIndicator"),
    ]
).named("frame_of_reference")
"""Frame of Reference module (PS3.3 C.7.4.1): the parent's if the image is in its space."""
