"""Legacy Converted Enhanced CT, MR, PET (PS3.3 A.70 to A.72): a classic derived series as one multi-frame instance.

The classic series is built in memory and converted by highdicom; of many slices only a few, which show where everything
goes. It is never stored, so references to its instances become references to the parent's images.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from pydicom import config
from pydicom.charset import convert_encodings
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filewriter import correct_ambiguous_vr
from pydicom.tag import Tag
from pydicom.uid import UID
from pydicom.valuerep import DA, DT, TM, validate_value

from derived_series.dicom.blueprints.copy_elements import PositionCopyElement
from derived_series.dicom.blueprints.element import ABSENT
from derived_series.dicom.blueprints.environment import InstanceEnvironment
from derived_series.dicom.encoding.decimal_string import decimal_string
from derived_series.dicom.encoding.new_file_meta import new_file_meta
from derived_series.dicom.encoding.read_errors import READ_ERRORS
from derived_series.dicom.encoding.tags import describe
from derived_series.dicom.encoding.value_rules import text_of, values_of
from derived_series.dicom.encoding.writer import PER_FRAME, PIXEL_DATA, as_read, encode_element, sequence
from derived_series.dicom.grid import Grid
from derived_series.dicom.image.placement import Placement
from derived_series.dicom.modules.derivation import (
    evidence_of_all,
    general_reference_blueprint,
    referenced_series_of_all,
    source_of_slice,
)
from derived_series.dicom.modules.image import COMPRESSION
from derived_series.dicom.modules.patient import patient_blueprint, patient_study_blueprint
from derived_series.dicom.modules.study import general_study_blueprint
from derived_series.dicom.objects.frame_templates import Slices, per_frame_items, positions_of_few
from derived_series.dicom.objects.highdicom_planes import close_table, settle_spacing
from derived_series.dicom.objects.plane_elements import LEAVE_IT_OUT, require_place
from derived_series.dicom.objects.single_instance import require_grid
from derived_series.dicom.series.classic import DerivedSeries, build_series
from derived_series.dicom.series.finished import FinishedSeries
from derived_series.dicom.series.header import SeriesHeader
from derived_series.dicom.series.instance_planes import off_planes, off_positions, positions_of
from derived_series.dicom.source.thickness import thickness_of
from derived_series.errors import GeometryError, InvalidParent
from derived_series.kinds import sop_class

_SOP_CLASS, _POSITION = (int(Tag("SOPClassUID")), ""), (int(Tag("ImagePositionPatient")), "")
#: Tags of the classic instances that are not kept: these are never stored, or the whole object has its own.
_NOT_CONVERTED = (
    *(
        "ReferencedSeriesSequence",
        "StudiesContainingOtherReferencedInstancesSequence",
        "InstanceCreationDate",
        "InstanceCreationTime",
        "ContentDate",
        "ContentTime",
    ),
)
_WHOLE = (patient_blueprint + general_study_blueprint + patient_study_blueprint).copy()
del _WHOLE["StudyInstanceUID"]
_ANEW = frozenset(int(Tag(name)) for name in _NOT_CONVERTED) | {int(element.tag) for element in _WHOLE}
#: Attributes that highdicom requires. It gets them empty, because it warns about odd values of real patients.
_NEEDED = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex"),
    *("AccessionNumber", "StudyID", "StudyDate", "StudyTime", "ReferringPhysicianName", "Manufacturer"),
)
#: Tags that the conversion sets.
_CONVERTED = frozenset(int(Tag(name)) for name in ("SOPClassUID", "SOPInstanceUID", "InstanceNumber", "ImageType"))
_FRAME_ANATOMY = Tag("FrameAnatomySequence")
#: Tags of a classic slice that its FrameAnatomySequence is made of.
_ANATOMY = (
    *("AnatomicRegionSequence", "PrimaryAnatomicStructureSequence", "BodyPartExamined"),
    *("FrameLaterality", "ImageLaterality", "Laterality"),
)
_INTEGERS = ("SL", "SS", "UL", "US")
#: By VR, a function that reads a text or raises a ValueError.
_READERS: Mapping[str, Callable[[Any], Any]] = MappingProxyType(
    {"DS": float, "IS": float, "DA": DA, "DT": DT, "TM": TM}
)
#: Tags that describe the whole object, whatever highdicom makes of them.
_COMPRESSION = frozenset(int(Tag(name)) for name in ("LossyImageCompression", *COMPRESSION))
_NOBODY = "Unknown"
#: Attributes that highdicom leaves empty although their modules are not required.
_EMPTY = ("ClinicalTrialTimePointID", "ClinicalTrialCoordinatingCenterName", "ContrastBolusAgent")


def build(header: SeriesHeader, image: Any, placement: Placement, nan: float | None) -> FinishedSeries:
    """Build the enhanced object.

    :param image: (slice, row, column), stored as the classic class would store it.
    :raises GeometryError: the image has no place.
    :raises InvalidParent: the slices differ in attributes that all frames must share.
    """
    grid = require_grid(placement, "an enhanced image")
    classic_class = UID(sop_class(header.sop_class_uid).classic)
    elements = {**header.elements, _SOP_CLASS: DataElement(Tag("SOPClassUID"), "UI", classic_class)}
    classic = build_series(replace(header, elements=MappingProxyType(elements)), image, placement, nan)
    require_place(classic.elements, grid, header.parent, placement.frame)
    for tag, problem, index in (*off_positions(classic, positions_of(classic)), *off_planes(classic)):
        place = "" if index is None else f" [slice {index + 1}]"
        raise GeometryError(f"{describe(tag)} {problem}{place}", remedy=LEAVE_IT_OUT)
    if len(classic) > 1 and _POSITION in classic.elements:
        raise GeometryError(
            "ImagePositionPatient (0020,0032) is one for all slices",
            remedy=LEAVE_IT_OUT,
        )
    of_each = tuple(entry for entry in classic.instanced if int(entry.element.tag) not in _ANEW)
    classic = replace(classic, instanced=of_each)
    try:
        return _of_few(header, classic, grid)
    except (ValueError, InvalidParent):  # let highdicom convert all slices
        enhanced, warnings = _converted(header, [_prepared(classic, grid, index) for index in range(len(classic))])
        return _finished(classic, grid, enhanced, warnings, None)


def _of_few(header: SeriesHeader, classic: DerivedSeries, grid: Grid) -> FinishedSeries:
    """Build all frames from the items of a few slices. :raises ValueError: these do not show how to convert all."""
    slices = Slices.of(classic)
    few = [_prepared(classic, grid, index) for index in slices.few]
    for dataset, position in zip(few, positions_of_few(classic, slices), strict=True):
        dataset.ImagePositionPatient = position
        for name in ("Rows", "Columns"):
            dataset.add_new(name, "US", 1)  # the element is all slices'
        dataset.PixelData = dataset.PixelData[: -(-dataset.BitsAllocated * dataset.SamplesPerPixel // 8)]
    enhanced, warnings = _converted(header, few)
    if enhanced.get("DimensionOrganizationType") != "3D":
        raise ValueError("the slices are a volume, the few are not")
    return _finished(classic, grid, enhanced, warnings, slices)


def _finished(
    classic: DerivedSeries, grid: Grid, enhanced: Dataset, warnings: list[str], slices: Slices | None
) -> FinishedSeries:
    """Finish the object. :param enhanced: highdicom's object of all slices, or of the few that represent them."""
    warnings = warnings + _drop_unfit(enhanced)
    _complete(enhanced)
    uids = [str(item.ConversionSourceAttributesSequence[0].ReferencedSOPInstanceUID) for item in _frames(enhanced)]
    references = _refer(classic, enhanced)
    built_tags, overlaid = _overlay(classic, enhanced)
    warnings += _name_manufacturer(enhanced)
    settle_spacing(grid, enhanced)
    correct_ambiguous_vr(enhanced, True)
    charset = enhanced.get("SpecificCharacterSet")
    encodings = convert_encodings(charset if charset is None or isinstance(charset, str) else list(charset))
    frames = encode_element(enhanced[PER_FRAME], encodings)
    if slices is not None:
        ascending = uids[0] == classic.instance_uid(0)
        items = per_frame_items(classic, slices, _frames(enhanced), ascending, encodings)
        frames = sequence(int(PER_FRAME), items)
        enhanced.NumberOfFrames, enhanced.Rows, enhanced.Columns = len(classic), grid.rows, grid.columns
        order = range(len(classic)) if ascending else range(len(classic) - 1, -1, -1)
        enhanced[PIXEL_DATA] = classic.env.pixels.together(order, PIXEL_DATA, enhanced[PIXEL_DATA].VR)
    dataset = Dataset()
    dataset.update(enhanced)
    close_table(enhanced)
    for encoded in (frames, *references):
        read = as_read(encoded)
        if read.tag not in overlaid:
            dataset[read.tag] = read
    dataset.file_meta = new_file_meta(str(enhanced.SOPClassUID), str(enhanced.SOPInstanceUID))
    return FinishedSeries((dataset,), (*classic.warnings, *warnings), classic.header, built_tags)


def _complete(enhanced: Dataset) -> None:
    """Add the two groups for unassigned attributes where they are missing, with an empty item (PS3.3 table A.70-2)."""
    for items, keyword in (
        (enhanced.SharedFunctionalGroupsSequence, "UnassignedSharedConvertedAttributesSequence"),
        (_frames(enhanced), "UnassignedPerFrameConvertedAttributesSequence"),
    ):
        for item in items:
            if keyword not in item:
                setattr(item, keyword, [Dataset()])


def _name_manufacturer(enhanced: Dataset) -> list[str]:
    """Give Manufacturer a value, as enhanced images require (PS3.3 C.7.5.2): the parent's may be empty."""
    if enhanced.get("Manufacturer"):
        return []
    enhanced.Manufacturer = _NOBODY
    name = describe(enhanced["Manufacturer"].tag)
    return [f"{name} is {_NOBODY!r}: an enhanced image names one, and the parent does not"]


def _frames(enhanced: Dataset) -> Sequence[Dataset]:
    items: Sequence[Dataset] = enhanced.PerFrameFunctionalGroupsSequence
    return items


def _prepared(series: DerivedSeries, grid: Grid, index: int) -> Dataset:
    """Prepare a classic instance for conversion: without what the whole object has itself, such as the patient.

    The instances share elements with each other, so only the conversion may have them.
    """
    dataset = Dataset({element.tag: element for element in series.shared_elements() if int(element.tag) not in _ANEW})
    for name in _NEEDED:
        dataset[name] = DataElement(Tag(name), dictionary_VR(name), "")
    for element in series.instance_elements(index):
        dataset.add(element)
    dataset.add(series.pixel_data(index))
    if thickness_of(dataset) is None:  # type 1 here: no gap that anything tells of
        dataset.add_new("SliceThickness", "DS", decimal_string(grid.slice_spacing or 1.0))
    dataset.file_meta = series.file_meta(index)
    return dataset


def _converted(header: SeriesHeader, datasets: list[Dataset]) -> tuple[Dataset, list[str]]:
    """Convert with highdicom: (its object, warnings)."""
    from highdicom import legacy

    def convert(legacy_datasets: Sequence[Dataset]) -> Dataset:
        converted: Dataset = getattr(legacy, UID(header.sop_class_uid).keyword.removesuffix("Storage"))(
            legacy_datasets=legacy_datasets,
            series_instance_uid=header.series_instance_uid,
            series_number=int(datasets[0].SeriesNumber),
            sop_instance_uid=header.env.context.uid("instance", 0),
            instance_number=1,
        )
        return converted

    left_out = [warning for dataset in datasets for warning in _drop_unreadable(dataset)]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            enhanced = convert(datasets)
            _part_anatomy(datasets, enhanced, convert)
        except READ_ERRORS as error:
            name = UID(header.sop_class_uid).name
            raise InvalidParent(f"the series cannot be one {name}: {error}", remedy="use the classic class") from error
    of_highdicom = [each for each in caught if issubclass(each.category, UserWarning)]  # not what Python collects
    messages = dict.fromkeys(" ".join(str(each.message).split()) for each in of_highdicom)
    return enhanced, list(dict.fromkeys(left_out)) + [f"in the enhanced image: {text}" for text in messages]


def _part_anatomy(
    datasets: Sequence[Dataset], enhanced: Dataset, convert: Callable[[Sequence[Dataset]], Dataset]
) -> None:
    """Give each frame its own FrameAnatomySequence where the slices differ in side or region, such as both breasts.

    highdicom shares the first slice's if that has the same region, whatever its side is. What it makes of a slice alone
    is right.
    """
    shared = enhanced.SharedFunctionalGroupsSequence[0]
    kinds = {str(each.SOPInstanceUID): tuple(each.get(Tag(name)) for name in _ANATOMY) for each in datasets}
    if _FRAME_ANATOMY not in shared or all(kind == kinds[str(datasets[0].SOPInstanceUID)] for kind in kinds.values()):
        return
    del shared[_FRAME_ANATOMY]
    known: list[tuple[tuple[DataElement | None, ...], Dataset]] = []
    by_uid = {str(each.SOPInstanceUID): each for each in datasets}
    for frame in _frames(enhanced):
        uid = str(frame.ConversionSourceAttributesSequence[0].ReferencedSOPInstanceUID)
        groups = next((groups for kind, groups in known if kind == kinds[uid]), None)
        if groups is None:
            alone = convert([by_uid[uid]])
            groups = alone.SharedFunctionalGroupsSequence[0]
            close_table(alone)
            known.append((kinds[uid], groups))
        frame[_FRAME_ANATOMY] = copy.deepcopy(groups[_FRAME_ANATOMY])


def _drop_unreadable(dataset: Dataset) -> list[str]:
    """Leave out invalid numbers, dates and times, some of which highdicom reads; return warnings."""
    warnings = []
    for element in list(dataset):
        read = _READERS.get(element.VR)
        try:
            for value in values_of(element) if read else ():
                read(value)  # type: ignore[misc]
        except ValueError:
            text = "\\".join(map(text_of, values_of(element)))
            warnings.append(f"{describe(element.tag)} is left out: the parent's {text!r} cannot be read")
            del dataset[element.tag]
    return warnings


def _drop_unfit(dataset: Dataset) -> list[str]:
    """Leave out numbers that a group cannot hold, such as an AcquisitionNumber (IS) over 16 bits; return warnings."""
    warnings = []
    for element in list(dataset):
        if element.VR == "SQ":
            warnings += [warning for item in element.value or () for warning in _drop_unfit(item)]
        elif element.VR in _INTEGERS and not element.is_empty:
            try:
                for value in element.value if element.VM > 1 else [element.value]:
                    validate_value(element.VR, value, config.RAISE)
            except ValueError:
                warnings.append(f"{describe(element.tag)} is left out: it cannot hold the parent's {element.value}")
                del dataset[element.tag]
    return list(dict.fromkeys(warnings))


def _refer(classic: DerivedSeries, enhanced: Dataset) -> list[bytes]:
    """Replace references to the classic instances by references to the parent's images, and set the build's UIDs.

    :returns: the references to all images, encoded; the object has these sequences without items.
    """
    every = tuple(sorted({index for part in classic.env.sources for index in part}))
    others = tuple(other.as_whole() for other in classic.env.others)
    whole = replace(classic.env, sources=(every,), others=others)
    studies = general_reference_blueprint["StudiesContainingOtherReferencedInstancesSequence"].at_image(whole)
    if isinstance(studies, list):
        enhanced.StudiesContainingOtherReferencedInstancesSequence = studies
    enhanced.ReferencedSeriesSequence, enhanced.SourceImageEvidenceSequence = [], []
    numbers = {classic.instance_uid(index): index for index in range(len(classic))}
    for frame in _frames(enhanced):
        (converted,) = frame.ConversionSourceAttributesSequence
        env = InstanceEnvironment(classic.env, numbers[str(converted.ReferencedSOPInstanceUID)])
        frame.ConversionSourceAttributesSequence = [source_of_slice(env).item()]
    uid = classic.env.context.uid("dimension organization")
    for name in ("DimensionOrganizationSequence", "DimensionIndexSequence"):
        for item in enhanced.get(name) or []:
            item.DimensionOrganizationUID = uid
    evidence = sequence(int(enhanced["SourceImageEvidenceSequence"].tag), evidence_of_all(whole))
    return [referenced_series_of_all(whole), evidence]


def _overlay(classic: DerivedSeries, enhanced: Dataset) -> tuple[frozenset[int], frozenset[int]]:
    """Put the blueprint's values for the whole object into it.

    :returns: the tags that do not come from the blueprint, and those that do.
    """
    elements = {int(element.tag): element for element in classic.shared_elements()}
    for name in _EMPTY:
        if name in enhanced and enhanced[name].is_empty and int(Tag(name)) not in elements:
            del enhanced[name]
    for entry in classic.instanced:
        if entry.element.tag in _COMPRESSION and isinstance(entry.element, PositionCopyElement):
            value = entry.element.of_whole(classic.env)
            if value is not ABSENT:
                elements[int(entry.element.tag)] = entry.element.data_element(value)
    new = _COMPRESSION | _ANEW - {int(Tag(name)) for name in _NOT_CONVERTED[:2]}
    overlaid = {tag for tag in elements if tag not in _CONVERTED and (tag in enhanced or tag in new)}
    for tag in overlaid:
        enhanced[tag] = copy.deepcopy(elements[tag])
    built_tags = frozenset(int(tag) for tag in enhanced.keys() if int(tag) not in elements or int(tag) in _CONVERTED)
    return built_tags, frozenset(overlaid)
