"""The rules for every derived series, whatever its blueprint says: the parent's patient and study, new UIDs, derived.

If a blueprint disagrees, the rules win, with a warning.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydicom.dataelem import DataElement
from pydicom.tag import BaseTag

from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.blueprints.copy_elements import CopyElement, CopyOrElseElement
from derived_series.dicom.blueprints.filling import FillingStrategy, copyable_tags, filled
from derived_series.dicom.blueprints.where_placed import WherePlacedElement
from derived_series.dicom.encoding.tags import Key, describe, to_tag
from derived_series.dicom.modules.derivation import MARKS, general_reference_blueprint
from derived_series.dicom.modules.equipment import contributing_equipment_blueprint
from derived_series.dicom.modules.image import (
    COMPRESSION,
    SOP_common_blueprint,
    general_image_blueprint,
    image_pixel_blueprint,
    image_plane_blueprint,
    voi_lut_blueprint,
)
from derived_series.dicom.modules.patient import patient_blueprint
from derived_series.dicom.modules.pet import pet_frame_blueprint, pet_image_blueprint, pet_series_blueprint
from derived_series.dicom.modules.pixel_size import pixel_size_blueprint
from derived_series.dicom.modules.series import frame_of_reference_blueprint, general_series_blueprint
from derived_series.dicom.modules.study import general_study_blueprint
from derived_series.dicom.series.required import has_place, required_blueprint, sop_class_of
from derived_series.dicom.source.parent_series import ParentSeries

#: Tags with exactly the parent's values; these include the time zone of the study's date and time.
PATIENT_AND_STUDY = frozenset(
    int(element.tag) for blueprint in (patient_blueprint, general_study_blueprint) for element in blueprint
) | {int(to_tag("TimezoneOffsetFromUTC"))}

#: Elements that are written even if a blueprint does not name them.
_IDENTITY_KEYWORDS = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "IssuerOfPatientID"),
    *("PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence"),
    *("LongitudinalTemporalInformationModified", "StudyInstanceUID", "StudyDate", "StudyTime"),
    *("AccessionNumber", "ReferringPhysicianName", "StudyID"),
)
_SERIES_KEYWORDS = ("SeriesInstanceUID", "SeriesNumber", "Modality")
_TEMPORAL_KEYWORDS = ("TemporalPositionIdentifier", "NumberOfTemporalPositions", "TemporalResolution")
_IMAGE_KEYWORDS = ("InstanceNumber", *_TEMPORAL_KEYWORDS, *MARKS, *COMPRESSION)
_PET_KEYWORDS = ("SeriesType", "NumberOfSlices", "NumberOfTimeSlices", "NumberOfRRIntervals", "NumberOfTimeSlots")

_PATIENT_AND_STUDY = patient_blueprint + general_study_blueprint
_BASE = (
    Blueprint([_PATIENT_AND_STUDY[keyword] for keyword in _IDENTITY_KEYWORDS])
    + Blueprint([general_series_blueprint[keyword] for keyword in _SERIES_KEYWORDS])
    + Blueprint([general_image_blueprint[keyword] for keyword in _IMAGE_KEYWORDS])
    + SOP_common_blueprint
    + general_reference_blueprint
    + contributing_equipment_blueprint
).named("rules")

#: The pixel encoding, which follows from the image; a blueprint's elements for these tags are not used.
PIXEL_TAGS = frozenset(int(element.tag) for element in image_pixel_blueprint)

#: UIDs and numbers that the build sets.
_OWN = (
    Blueprint([SOP_common_blueprint["SOPInstanceUID"], general_series_blueprint["SeriesInstanceUID"]])
    + Blueprint([general_image_blueprint["InstanceNumber"]])
).named("rules")

OWN_TAGS = frozenset(int(element.tag) for element in _OWN)

#: Tags that are set without being named in a blueprint.
RULES = (_BASE + _OWN).frozen()

#: Groups of commands, file meta information and item delimiters (PS3.5 7.1, 7.5; PS3.10 7.1).
FILE_GROUPS = frozenset((0x0000, 0x0002, 0xFFFE))

#: Tags about an instance's frames (PS3.3 C.7.6.6, C.7.6.16, C.7.6.17), and their pixels.
FRAME_TAGS = frozenset(
    int(to_tag(keyword))
    for keyword in (
        "NumberOfFrames",
        *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
        *("DimensionOrganizationSequence", "DimensionIndexSequence", "DimensionOrganizationType"),
        *("PixelData", "FloatPixelData", "DoubleFloatPixelData", "PixelDataProviderURL"),
        *("ExtendedOffsetTable", "ExtendedOffsetTableLengths", "EncapsulatedPixelDataValueTotalLength"),
    )
)

#: Marks that stay set once they are.
MARK_TAGS = frozenset(int(to_tag(keyword)) for keyword in MARKS)


def complete(blueprint: Blueprint, strategy: FillingStrategy, parent: ParentSeries) -> tuple[Blueprint, list[str]]:
    """Complete a blueprint with the rules below and above it; with warnings about what was overruled."""
    sop_class = sop_class_of(blueprint, parent)
    required = required_blueprint(sop_class, parent.grid is not None)
    whole = _BASE + required + _filling(strategy, parent, has_place(sop_class)) + blueprint
    warnings = []
    for rule in _OWN:
        if whole[rule.tag] != rule:
            warnings.append(f"{whole[rule.tag]!r} is not used: {describe(rule.tag)} is the build's own")
    for element in [element for element in whole if element.tag.group in FILE_GROUPS or element.tag.element == 0]:
        warnings.append(f"{element!r} is not used: {describe(element.tag)} follows from how the file is written")
        del whole[element.tag]
    for element in [element for element in whole if int(element.tag) in FRAME_TAGS]:
        if element.tag in blueprint:
            warnings.append(f"{element!r} is not used: {describe(element.tag)} follows from the image's frames")
        del whole[element.tag]
    return whole + _OWN, warnings


def _filling(strategy: FillingStrategy, parent: ParentSeries, always_placed: bool) -> Blueprint:
    """The blueprint that fills in unnamed tags. :param always_placed: whether images of the class must have a place."""
    if strategy is FillingStrategy.DISCARD:
        return Blueprint()
    copied = Blueprint([filled(tag) for tag in copyable_tags(parent)], name="FillingStrategy.COPY")
    computed = _BASE + general_series_blueprint + general_image_blueprint + voi_lut_blueprint + pixel_size_blueprint
    if parent.grid is not None:
        place = image_plane_blueprint + frame_of_reference_blueprint
        computed = computed + (place if always_placed else Blueprint(map(WherePlacedElement, place)))
    if parent.modality == "PT":  # the pixels stay decay corrected to the parent's series time
        computed = computed + Blueprint(
            [CopyElement("SeriesDate", Optional=True), CopyElement("SeriesTime", Optional=True)]
        )
        computed = computed + Blueprint([pet_series_blueprint[keyword] for keyword in _PET_KEYWORDS])
        computed = computed + Blueprint([pet_image_blueprint["ImageIndex"]])
    if parent.modality == "PT" and parent.volumes > 1:
        computed = computed + pet_frame_blueprint
    return copied + computed


def enforce_identity(
    elements: Mapping[Key, DataElement], parent: ParentSeries
) -> tuple[dict[Key, DataElement], list[str]]:
    """Replace patient and study values by the parent's, with a warning for each that differed."""
    enforced = dict(elements)
    warnings = []
    for tag in sorted(PATIENT_AND_STUDY):
        key = (tag, "")
        current, parent_value = enforced.get(key), parent_element(tag, parent)
        if current is None and (parent_value is None or tag not in _BASE):
            continue  # left out, which the standard allows
        current_value, wanted = _value(current), _value(parent_value)
        if current_value != wanted:
            change = (
                "discarded" if current is None else "emptied" if current_value is None else f"set to {current_value!r}"
            )
            warnings.append(f"{describe(tag)} cannot be {change}: it is the parent's")
        if parent_value is None and current_value is not None:
            del enforced[key]
        elif parent_value is not None and (current is None or current_value != wanted):
            enforced[key] = parent_value
    return enforced, warnings


def parent_element(tag: int, parent: ParentSeries) -> DataElement | None:
    """The parent's patient or study element; if it is missing, an empty one for type 2, else None."""
    element = parent.as_stored.get(BaseTag(tag))
    if element is None and not (tag in _BASE and isinstance(_BASE[tag], CopyOrElseElement)):
        return None
    return CopyOrElseElement(tag, None).data_element(element)


def _value(element: DataElement | None) -> Any:
    return None if element is None or element.is_empty else element.value
