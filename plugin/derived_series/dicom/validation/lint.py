"""Linting a blueprint without a parent: missing attributes of its IOD, and elements that would have no effect."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from pydicom.uid import UID

from derived_series.dicom import modules
from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.blueprints.copy_elements import CopyElement
from derived_series.dicom.blueprints.element import DiscardElement, StaticElement, VirtualElement
from derived_series.dicom.blueprints.parents_class import ParentsClassElement
from derived_series.dicom.encoding.tags import dictionary_vr
from derived_series.dicom.encoding.value_rules import value_problem
from derived_series.dicom.series.header_rules import OWN_TAGS, PATIENT_AND_STUDY, PIXEL_TAGS, RULES
from derived_series.dicom.series.required import REQUIRED, required_blueprint
from derived_series.dicom.validation.attributes import PIXELS
from derived_series.dicom.validation.conditions import BY_VALUE_TYPE
from derived_series.dicom.validation.finding import Finding, error, warning
from derived_series.dicom.validation.standard import iod_of, modules_of
from derived_series.errors import Advice, Choice, InvalidOption
from derived_series.kinds import SOP_CLASSES

#: Short names of IODs, in addition to those in the standard's tables such as ``ct-image``.
IODS = {
    "CT": "ct-image",
    "MR": "mr-image",
    "PET": "pet-image",
    "SC": "secondary-capture-image",
    "SEG": "segmentation",
    "PM": "parametric-map",
    "PDF": "encapsulated-pdf",
    "RTDOSE": "rt-dose",
    "RTSTRUCT": "rt-structure-set",
    "CR": "computed-radiography-image",
    "DX": "digital-x-ray-image",
    "MG": "digital-mammography-x-ray-image",
    "US": "ultrasound-image",
    "XA": "x-ray-angiographic-image",
}

#: Attributes that come from the image, not from a blueprint.
_BY_OBJECTS = frozenset(
    (
        *("NumberOfFrames", "EncapsulatedDocument", "MIMETypeOfEncapsulatedDocument", "SegmentationType"),
        *("SegmentSequence", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
        *("DimensionOrganizationSequence", "DimensionIndexSequence", "PresentationLUTShape"),
        *("AcquisitionContextSequence", "DoseGridScaling", "DoseUnits", "GridFrameOffsetVector"),
        "FrameIncrementPointer",
        *("StructureSetROISequence", "ROIContourSequence", "RTROIObservationsSequence"),
        *("CompletionFlag", "VerificationFlag", "ConceptNameCodeSequence", *BY_VALUE_TYPE),
    )
)
#: Attributes that come from the frames of a converted series.
_BY_CONVERSION = frozenset(
    ("PixelPresentation", "VolumetricProperties", "VolumeBasedCalculationTechnique", "ContentQualification")
)


def lint(blueprint: Blueprint, iod: str | None = None) -> tuple[Finding, ...]:
    """Find what is wrong with a blueprint, as far as that is possible without a parent and an image.

    :param iod: a key of ``IODS`` or a name in the standard's tables; by default the IOD of the blueprint's SOPClassUID,
        or of the first possible class if it keeps the parent's.
    :raises InvalidOption: the IOD is unknown, or cannot be determined.
    """
    name = _iod(blueprint, iod)
    return (*_lacking(blueprint, name), *_foreign(blueprint, name), *_overruled(blueprint), *_values(blueprint))


def _iod(blueprint: Blueprint, asked: str | None) -> str:
    known = f"one of {', '.join(IODS)}, or of the standard's names such as ct-image"
    if asked is not None:
        iod = IODS.get(asked.upper(), asked.lower())
        if not modules_of(iod):
            raise InvalidOption(f"there is no IOD {asked!r}", remedy=f"name {known}")
        return iod
    element = blueprint["SOPClassUID"] if "SOPClassUID" in blueprint else None
    if isinstance(element, StaticElement | ParentsClassElement):
        uid = element.classes[0] if isinstance(element, ParentsClassElement) else str(element.value)
        named = iod_of(uid)
        if named is not None:
            return named
        raise InvalidOption(f"the tables of the standard do not have the SOP class {uid}")
    raise InvalidOption(
        "the blueprint copies its SOPClassUID or has none: which IOD it is for cannot be told",
        remedy=f"name it: {known}",
        advice=Advice(Choice.IOD),
    )


def _lacking(blueprint: Blueprint, iod: str) -> Iterator[Finding]:
    filled = required_blueprint(next((uid for uid, name in _classes() if name == iod), None))
    set_by = {int(element.tag): element for element in filled + RULES + blueprint}
    reported: set[int] = set()
    written_later = PIXELS | _BY_OBJECTS | (_BY_CONVERSION if iod.startswith("legacy-converted") else frozenset())
    for module in modules_of(iod):
        if not module.is_mandatory:
            continue
        for attribute in module.attributes:
            if attribute.path or attribute.type not in ("1", "2") or attribute.keyword in written_later:
                continue
            element = set_by.get(attribute.tag)
            if attribute.tag in reported or attribute.tag in PIXEL_TAGS:
                continue
            reported.add(attribute.tag)
            where = f"{module.name} module"
            if element is None:
                yield error(attribute.tag, f"is never set: it is of type {attribute.type}", where)
            elif isinstance(element, DiscardElement):
                yield error(attribute.tag, f"is discarded: it is of type {attribute.type}", where)
            elif attribute.tag in filled and attribute.tag not in blueprint and attribute.tag not in RULES:
                yield warning(attribute.tag, f"is left to the rules: it is of type {attribute.type}", where)
            elif (
                attribute.type == "1" and isinstance(element, CopyElement) and element.Optional and not _ready(element)
            ):
                yield warning(attribute.tag, "is an optional copy: a parent without it breaks type 1", where)


def _classes() -> Iterator[tuple[str, str | None]]:
    """The SOP classes whose required elements are filled in, with their IODs."""
    return ((uid, iod_of(uid)) for uid in REQUIRED)


def _foreign(blueprint: Blueprint, iod: str) -> Iterator[Finding]:
    known = {attribute.tag for module in modules_of(iod) for attribute in module.attributes if not attribute.path}
    for element in blueprint:
        out_of_place = int(element.tag) not in known and not element.tag.is_private
        if out_of_place and not isinstance(element, DiscardElement) and not _ready(element):
            yield warning(int(element.tag), f"belongs to no module of {iod}")


@lru_cache(maxsize=1)
def _ready_elements() -> frozenset[VirtualElement]:
    """The elements of the ready blueprints, which serve several IODs."""
    ready = [value for value in vars(modules).values() if isinstance(value, Blueprint)]
    return frozenset(element for blueprint in ready for element in blueprint)


def _overruled(blueprint: Blueprint) -> Iterator[Finding]:
    for element in blueprint:
        tag = int(element.tag)
        rule = RULES[tag] if tag in RULES else None
        if element == rule or _ready(element):
            continue
        if tag in OWN_TAGS:
            yield warning(tag, "is not used: it is the build's own")
        elif tag in PIXEL_TAGS:
            yield warning(tag, "is not used: the pixel encoding follows from the image")
        elif tag in PATIENT_AND_STUDY and not isinstance(element, CopyElement):
            yield warning(tag, "is not used where the parent has another value: it is the parent's")


def _ready(element: VirtualElement) -> bool:
    return element in _ready_elements()


def _values(blueprint: Blueprint) -> Iterator[Finding]:
    for element in blueprint:
        tag = int(element.tag)
        wanted = dictionary_vr(element.tag)
        if wanted and element.VR and element.VR not in wanted.split(" or "):
            yield error(tag, f"is given as {element.VR}: PS3.6 has it as {wanted}")
        if isinstance(element, StaticElement):
            problem = value_problem(element.data_element(element.value))
            if problem:
                yield error(tag, problem)
            if tag == 0x00080016 and not _is_named(str(element.value)):
                yield error(tag, f"is {element.value}: no SOP class of PS3.6")


def _is_named(sop_class_uid: str) -> bool:
    """Whether PS3.6 has the SOP class, by pydicom's table or this project's, which has newer ones."""
    return UID(sop_class_uid).name[:1].isalpha() or sop_class_uid in SOP_CLASSES
