"""What an IOD requires of every series, filled in where a blueprint does not say it (types 1 and 2, PS3.5 7.4)."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.uid import (
    CTImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
    LegacyConvertedEnhancedMRImageStorage,
    LegacyConvertedEnhancedPETImageStorage,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
    SecondaryCaptureImageStorage,
)

from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.blueprints.copy_elements import CopyElement
from derived_series.dicom.blueprints.element import StaticElement
from derived_series.dicom.modules.common import common_blueprint, volume_blueprint
from derived_series.dicom.modules.ct import ct_image_blueprint
from derived_series.dicom.modules.mr import mr_image_blueprint
from derived_series.dicom.modules.pet import pet_image_blueprint, pet_isotope_blueprint, pet_series_blueprint
from derived_series.dicom.modules.pixel_size import pixel_size_blueprint
from derived_series.dicom.modules.secondary_capture import secondary_capture_blueprint
from derived_series.dicom.objects import BUILDERS
from derived_series.dicom.source.series import ParentSeries

#: What the parents of these classes are, whose acquisition is copied.
_MODALITIES = {
    str(CTImageStorage): "CT",
    str(LegacyConvertedEnhancedCTImageStorage): "CT",
    str(MRImageStorage): "MR",
    str(LegacyConvertedEnhancedMRImageStorage): "MR",
    str(PositronEmissionTomographyImageStorage): "PT",
    str(LegacyConvertedEnhancedPETImageStorage): "PT",
}
#: The ready blueprint for a parent of each.
_READY = {"CT": "ct", "MR": "mr", "PT": "pet"}


@dataclass(frozen=True, slots=True)
class OtherModality:
    """A class whose images are of another modality than the parent, which lacks what they ask for."""

    what: str
    remedy: str


def of_other_modality(sop_class_uid: str, parent: str) -> OtherModality | None:
    """None for a class of the parent's modality, and for one that takes any parent. :param parent: its Modality."""
    made = _MODALITIES.get(sop_class_uid)
    if made is None or made == parent:
        return None
    own = f"{_READY[parent]}, or " if parent in _READY else ""
    return OtherModality(
        f"{made} images, and the parent is {parent or 'of no modality'}",
        f"use the blueprint {own}secondary_capture, which takes any parent; or set what is missing",
    )


_PLACE = (
    *("FrameOfReferenceUID", "PositionReferenceIndicator"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"),
)


def _some(blueprint: Blueprint, *keywords: str) -> Blueprint:
    return Blueprint([blueprint[keyword] for keyword in keywords], name="required").frozen()


_GEOMETRY = _some(volume_blueprint, *_PLACE)
_SERIES = ("Manufacturer", "PatientPosition", "BodyPartExamined", "Laterality")

#: By SOP class; what needs a place in space is apart.
REQUIRED = {
    str(CTImageStorage): _some(volume_blueprint + ct_image_blueprint, *_SERIES, "KVP", "AcquisitionNumber"),
    str(MRImageStorage): _some(
        volume_blueprint + mr_image_blueprint,
        *_SERIES,
        *("ScanningSequence", "SequenceVariant", "ScanOptions", "MRAcquisitionType"),
        *("EchoTime", "EchoTrainLength"),
    ),
    str(PositronEmissionTomographyImageStorage): _some(
        volume_blueprint + pet_series_blueprint + pet_isotope_blueprint + pet_image_blueprint,
        *_SERIES,
        *("SeriesDate", "SeriesTime", "CollimatorType", "CorrectedImage", "NumberOfSlices"),
        *("SeriesType", "Units", "CountsSource", "DecayCorrection", "RadiopharmaceuticalInformationSequence"),
        *("PatientOrientationCodeSequence", "PatientGantryRelationshipCodeSequence", "AcquisitionDate"),
        *("AcquisitionTime", "ActualFrameDuration", "FrameReferenceTime", "ImageIndex"),
    ),
    str(SecondaryCaptureImageStorage): _some(
        common_blueprint + secondary_capture_blueprint, *_SERIES, "ConversionType", "PatientOrientation"
    )
    + pixel_size_blueprint,
}
#: What an image of any other class has.
_PICTURE = pixel_size_blueprint.frozen()
_WITHOUT_PLACE = frozenset({str(SecondaryCaptureImageStorage)})


def required_blueprint(sop_class_uid: str | None, parent_has_place: bool = True) -> Blueprint:
    """The elements that a series of a SOP class cannot be without; none for a class that is made otherwise.

    Of an image of any other class it is the size of its pixels alone.

    :param parent_has_place: there are positions; without them the elements of a place in space cannot say anything.
    """
    found = REQUIRED.get(sop_class_uid or "")
    if found is None:
        return Blueprint() if sop_class_uid is None or sop_class_uid in BUILDERS else _PICTURE
    return found + _GEOMETRY if parent_has_place and has_place(sop_class_uid) else found


def has_place(sop_class_uid: str | None) -> bool:
    """Whether an image of a SOP class is somewhere always; a picture may be nowhere."""
    return sop_class_uid not in _WITHOUT_PLACE


def sop_class_of(blueprint: Blueprint, parent: ParentSeries) -> str | None:
    """The SOP class that a blueprint makes, where that can be told before anything is evaluated."""
    element = blueprint["SOPClassUID"] if "SOPClassUID" in blueprint else None
    if isinstance(element, StaticElement):
        return str(element.value)
    if element is None or (isinstance(element, CopyElement) and element.source is None):
        return str(parent.pivot.get("SOPClassUID", ""))
    return None
