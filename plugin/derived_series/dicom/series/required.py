"""The elements that IODs require (types 1 and 2, PS3.5 7.4), filled in if a blueprint does not name them."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.blueprints.copy_elements import CopyElement
from derived_series.dicom.blueprints.element import StaticElement
from derived_series.dicom.modules.common import volume_blueprint
from derived_series.dicom.modules.pixel_size import pixel_size_blueprint
from derived_series.dicom.source.multiframe.frame import source_of
from derived_series.dicom.source.parent_series import ParentSeries
from derived_series.kinds import SOP_CLASSES, kind_of, kind_of_modality, sop_class


@dataclass(frozen=True, slots=True)
class OtherModality:
    """Explains that a parent lacks attributes because its modality or class is not the one that the blueprint needs."""

    what: str
    remedy: str


def of_other_modality(sop_class_uid: str, parent: str) -> OtherModality | None:
    """The explanation for a class of another modality than the parent's; None if it takes any parent or the same.

    :param parent: the parent's Modality.
    """
    row = sop_class(sop_class_uid)
    if not row.copies_acquisition or row.modality == parent:
        return None
    ready = kind_of_modality(parent)
    same = f"{ready.blueprint}, or " if ready else ""
    return OtherModality(
        f"{row.modality} images, and the parent is {parent or 'of no modality'}",
        f"use the blueprint {same}secondary_capture, which takes any parent; or set what is missing",
    )


def of_other_class(classes: tuple[str, ...], parent: ParentSeries) -> OtherModality:
    """The same for a blueprint that keeps the parent's class. :param classes: the UIDs of the classes that it takes."""
    parents_class = str(source_of(parent.pivot).get("SOPClassUID", ""))
    ready = kind_of(parents_class) or kind_of_modality(parent.modality)
    takes = ready is not None and not set(classes).intersection(row.uid for row in ready.sop_classes)
    same = f"{ready.blueprint}, or " if ready is not None and takes and ready.made_from == "Image" else ""
    modalities = " or ".join(dict.fromkeys(sop_class(uid).modality for uid in classes))
    return OtherModality(
        f"{modalities} images from {modalities} images, and the parent is {parent.modality or 'of no modality'}",
        f"use the blueprint {same}secondary_capture, which takes any parent",
    )


_PLACE = (
    *("FrameOfReferenceUID", "PositionReferenceIndicator"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"),
)


def _some(blueprint: Blueprint, *keywords: str) -> Blueprint:
    return Blueprint([blueprint[keyword] for keyword in keywords], name="required").frozen()


_GEOMETRY = _some(volume_blueprint, *_PLACE)
_SERIES = _some(volume_blueprint, "Manufacturer", "PatientPosition", "BodyPartExamined", "Laterality")


def _of_module(name: str) -> Blueprint:
    """A module's required elements, with those of every image series."""
    module_blueprint: Blueprint = importlib.import_module(f"derived_series.dicom.modules.{name}").required_blueprint
    return (_SERIES + module_blueprint).frozen()


#: The required elements by SOP class, those about a place in space separate.
REQUIRED = {row.uid: _of_module(row.module) for row in SOP_CLASSES.values() if row.module}
#: The required elements of an image of any other class.
_PICTURE = pixel_size_blueprint.frozen()


def required_blueprint(sop_class_uid: str | None, parent_has_place: bool = True) -> Blueprint:
    """The elements that a series of a SOP class requires; empty for a class whose builder sets them.

    For an image of an unknown class they are only the pixel size.

    :param parent_has_place: whether the parent has positions, without which elements about a place have no value.
    """
    required = REQUIRED.get(sop_class_uid or "")
    if required is None:
        return Blueprint() if sop_class_uid is None or sop_class(sop_class_uid).single_instance else _PICTURE
    return required + _GEOMETRY if parent_has_place and has_place(sop_class_uid) else required


def has_place(sop_class_uid: str | None) -> bool:
    """Whether images of a SOP class always have a place in space."""
    return sop_class_uid is None or sop_class(sop_class_uid).placed


def sop_class_of(blueprint: Blueprint, parent: ParentSeries) -> str | None:
    """The SOP class that a blueprint makes, if it is known without evaluating anything; else None."""
    element = blueprint["SOPClassUID"] if "SOPClassUID" in blueprint else None
    if isinstance(element, StaticElement):
        return str(element.value)
    if element is None or (isinstance(element, CopyElement) and element.source is None):
        return str(parent.pivot.get("SOPClassUID", ""))
    return None
