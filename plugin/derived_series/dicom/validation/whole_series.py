"""Validating a whole series before it is stored: each instance, and the instances against each other and the parent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID

from derived_series.dicom.blueprints.copy_elements import CopyElement
from derived_series.dicom.blueprints.element import ABSENT
from derived_series.dicom.blueprints.environment import InstanceEnvironment
from derived_series.dicom.encoding.value_rules import is_uid, value_problem
from derived_series.dicom.encoding.writer import first_and_last_item, referenced_instance_uids
from derived_series.dicom.series.classic import DerivedSeries, ask
from derived_series.dicom.series.instance_planes import off_planes, off_positions, positions_of
from derived_series.dicom.series.interface import Series
from derived_series.dicom.validation.attributes import check_attributes
from derived_series.dicom.validation.finding import Finding, error, warning
from derived_series.dicom.validation.reports import check_report
from derived_series.dicom.validation.standard import iod_of, modules_of
from derived_series.dicom.validation.values import (
    THE_PARENTS,
    ParentValues,
    check_codes,
    check_image,
    check_values,
    numbers,
)

if TYPE_CHECKING:
    from derived_series.dicom.source.parent_series import ParentSeries

_POSITION = 0x00200032
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData", "PixelDataProviderURL")
_REFERENCED_SERIES, _REFERENCED_INSTANCES = Tag("ReferencedSeriesSequence"), Tag("ReferencedInstanceSequence")
#: How far a position may be off, in mm, and a direction, as a part of a unit vector.
_NEAR, _ANGLE_RADIANS = 1e-2, 2e-3


def validate(series: Series, parent: ParentSeries) -> tuple[Finding, ...]:
    """Find everything that is wrong with a series.

    The first and the last instance are checked against their IOD, the others as far as they differ from the first, or
    completely if user code made them. Faults that the parent has too are warnings.
    """
    if isinstance(series, DerivedSeries):
        checked = [(index, _header(series, index)) for index in sorted({0, len(series) - 1})]
    else:
        checked = [(index, _in_short(dataset)) for index, dataset in enumerate(series)]
    inputs = [parent, *(series.header.env.others if series.header is not None else ())]
    known = frozenset(str(instance.SOPInstanceUID) for each in inputs for instance in each.instances)
    values = ParentValues([instance for each in inputs for instance in each.instances])
    findings: list[Finding] = []
    for index, dataset in checked:
        where = f"instance {index + 1}" if len(series) > 1 else ""
        findings += _instance(dataset, parent, values, where)
        whole = dataset if isinstance(series, DerivedSeries) else series.dataset(index)
        findings += _references(whole, parent, known, where)
    findings += _identity(series, parent, known)
    if isinstance(series, DerivedSeries):
        positions = positions_of(series)
        volumes = series.env.volumes
        findings += _of_each(series, checked[0][1])
        for tag, problem, place in (*off_positions(series, positions), *off_planes(series)):
            findings.append(error(tag, problem, "" if place is None else f"instance {place + 1}"))
    else:
        findings += _same_in_all([dataset for _, dataset in checked])
        for index, dataset in checked:
            if "Rows" in dataset and not any(keyword in dataset for keyword in _PIXELS):
                findings.append(error(0x7FE00010, "is missing: the dataset is an image", f"instance {index + 1}"))
        positions = [numbers(dataset, "ImagePositionPatient") for _, dataset in checked]
        volumes = 1
    findings += _in_order(positions, volumes, checked[0][1])
    return tuple(dict.fromkeys(_once(findings)))


def _in_short(dataset: Dataset) -> Dataset:
    """The dataset with only the first and last item of sequences that this package encoded, at any depth.

    The items between differ in numbers, in places, which follow the grid, and in the instances that they refer to.
    """
    short: dict[BaseTag, RawDataElement] = {}
    for tag, element in dict(dataset.items()).items():
        if isinstance(element, RawDataElement) and _is_encoded(element):
            items = first_and_last_item(element.value or b"")
            short[tag] = element._replace(value=items, length=len(items))
    if not short:
        return dataset
    shortened = Dataset({**dict(dataset.items()), **short})
    if hasattr(dataset, "file_meta"):
        shortened.file_meta = dataset.file_meta
    for tag in short:
        shortened[tag].value = [_in_short(item) for item in shortened[tag].value]
    return shortened


def _is_encoded(element: RawDataElement) -> bool:
    """Whether an element is an unparsed sequence in explicit VR little endian."""
    plain = element.is_little_endian and not element.is_implicit_VR
    return element.VR == "SQ" and bool(element.value) and plain


def _once(findings: list[Finding]) -> Iterator[Finding]:
    """Findings without repetitions from other instances."""
    seen: set[tuple[int, str]] = set()
    for finding in findings:
        key = (finding.tag, finding.message)
        if key not in seen:
            seen.add(key)
            yield finding


def _header(series: DerivedSeries, index: int) -> Dataset:
    """One instance without its pixels. Do not change it."""
    dataset = Dataset()
    for element in (*series.shared_elements(), *series.instance_elements(index)):
        dataset.add(element)
    return dataset


def _instance(dataset: Dataset, parent: ParentSeries, values: ParentValues, where: str) -> Iterator[Finding]:
    sop_class = str(dataset.get("SOPClassUID", ""))
    iod = iod_of(sop_class)
    if iod is None:
        yield warning(0x00080016, f"is {UID(sop_class).name}, whose attributes are not known here", where)
    else:
        yield from check_attributes(dataset, iod, parent.instances, values.instances, where)
    yield from check_values(dataset, values, where)
    yield from check_codes(dataset, parent.pivot, where)
    yield from check_image(dataset, parent.pivot, where)
    yield from check_report(dataset, where)


def _references(dataset: Dataset, parent: ParentSeries, known: frozenset[str], where: str) -> Iterator[Finding]:
    """Check the references to source instances.

    :param known: the SOPInstanceUIDs of the parent.
    """
    own_uid = str(dataset.get("SOPInstanceUID", ""))
    if "SourceImageSequence" not in dataset and "ReferencedSeriesSequence" not in dataset:
        if "Rows" in dataset:
            yield warning(0x00082112, "is missing: nothing tells what the image comes from", where)
        return
    named = [str(item.get("ReferencedSOPInstanceUID", "")) for item in dataset.get("SourceImageSequence") or ()]
    named += _instances_of_series(dataset, parent.series_instance_uid)
    if own_uid in named:
        yield error(0x00082112, "names the instance itself as its source", where)
    foreign = [uid for uid in named if uid not in known and uid != own_uid]
    if foreign:
        yield warning(
            0x00082112, f"names {len(foreign)} instance(s) that the parent does not have: {foreign[0]}", where
        )


def _instances_of_series(dataset: Dataset, series_instance_uid: str) -> Iterator[str]:
    """All SOPInstanceUIDs that a dataset refers to in a series; encoded sequences stay encoded."""
    elements = dict(dataset.items())
    if _REFERENCED_SERIES not in elements:
        return
    for series in Dataset({_REFERENCED_SERIES: elements[_REFERENCED_SERIES]})[_REFERENCED_SERIES].value or ():
        if series.get("SeriesInstanceUID") != series_instance_uid:
            continue
        sequence = dict(series.items()).get(_REFERENCED_INSTANCES)
        if isinstance(sequence, RawDataElement) and _is_encoded(sequence):
            yield from referenced_instance_uids(sequence.value or b"")
        else:
            items = series.get("ReferencedInstanceSequence") or ()
            yield from (str(item.get("ReferencedSOPInstanceUID", "")) for item in items)


def _identity(series: Series, parent: ParentSeries, known: frozenset[str]) -> Iterator[Finding]:
    uids = [series.instance_uid(index) for index in range(len(series))]
    repeated = [uid for uid, count in Counter(uids).items() if count > 1]
    if repeated:
        yield error(0x00080018, f"is there {Counter(uids)[repeated[0]]} times: {repeated[0]}")
    if not known.isdisjoint(uids):
        yield error(0x00080018, "is that of an instance of the parent")
    if series.series_instance_uid == parent.series_instance_uid:
        yield error(0x0020000E, "is the parent's")
    wrong = [uid for uid in uids if not is_uid(uid)]
    if wrong:
        yield error(0x00080018, f"is {wrong[0]!r}: not a UID")


#: Attributes that must be the same in all instances of a series (PS3.3 C.7.1 to C.7.5).
_SERIES_LEVEL = (
    *("PatientID", "PatientName", "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber", "Modality"),
    *("FrameOfReferenceUID", "SeriesDescription", "SeriesDate", "SeriesTime", "Manufacturer"),
)


def _same_in_all(datasets: Sequence[Dataset]) -> Iterator[Finding]:
    first, *others = datasets
    for keyword in _SERIES_LEVEL:
        if any(dataset.get(keyword) != first.get(keyword) for dataset in others):
            tag = next(int(d[keyword].tag) for d in datasets if keyword in d)
            yield error(tag, "is not the same in all instances, though it is the series'")
    numbers = [dataset.get("InstanceNumber") for dataset in datasets]
    if len(numbers) > 1 and len(set(map(str, numbers))) < len(numbers):
        yield error(0x00200013, "is not different in all instances")


def _of_each(series: DerivedSeries, first: Dataset) -> Iterator[Finding]:
    """Check elements that functions make for each instance; copies, and elements that encode themselves, need no check.

    :param first: the first instance.
    """
    required = _required_tags(iod_of(str(first.get("SOPClassUID", ""))) or "")
    level = {tag_for_keyword(keyword) for keyword in _SERIES_LEVEL}
    for entry in series.instanced:
        element, tag = entry.element, int(entry.element.tag)
        if tag not in level and (isinstance(element, CopyElement) or element.encodes_itself or tag == _POSITION):
            continue
        stored_element = first.get(tag) if not element.tag.is_private else None
        for index in range(len(series)):
            value = ask(element, InstanceEnvironment(series.env, index))
            data_element = None if value is ABSENT else element.data_element(value)
            problem = None if data_element is None else value_problem(data_element)
            if data_element is None or data_element.is_empty:
                problem = "is missing or empty: it is of type 1" if tag in required else None
            if tag in level and (None if data_element is None else data_element.value) != (
                None if stored_element is None else stored_element.value
            ):
                problem = "is not the same in all instances, though it is the series'"
            if problem:
                place = f"instance {index + 1}"
                if isinstance(element, CopyElement):
                    yield warning(tag, f"{problem}; {THE_PARENTS}", place)
                else:
                    yield error(tag, problem, place)
                break


@lru_cache(maxsize=16)
def _required_tags(iod: str) -> frozenset[int]:
    """The type 1 tags of an IOD's mandatory modules, outside sequences."""
    attributes = [a for module in modules_of(iod) if module.is_mandatory for a in module.attributes]
    return frozenset(a.tag for a in attributes if a.type == "1" and not a.path)


def _in_order(positions: list[list[float]], volumes: int, first: Dataset) -> Iterator[Finding]:
    """Check that positions ascend along the normal, volume by volume, at the spacing that is written."""
    orientation = numbers(first, "ImageOrientationPatient")
    if not orientation:
        return
    if len(orientation) != 6:
        yield error(0x00200037, f"has {len(orientation)} values, not 6")
        return
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    off = max(abs(np.linalg.norm(row) - 1), abs(np.linalg.norm(column) - 1), abs(row @ column))
    if off > _ANGLE_RADIANS:
        yield error(0x00200037, f"is not two unit vectors at a right angle: {orientation}")
        return
    if not positions or any(len(position) != 3 for position in positions):
        return  # reported as missing
    count = len(positions) // volumes
    along = np.array(positions) @ np.cross(row, column)
    for volume in range(volumes):
        gaps = np.diff(along[volume * count : (volume + 1) * count])
        if np.any(gaps <= 0):
            number = volume * count + int(np.flatnonzero(gaps <= 0)[0]) + 2
            yield error(_POSITION, "does not ascend along the normal", f"instance {number}")
            return
        spacing = numbers(first, "SpacingBetweenSlices")
        if spacing and len(gaps) and abs(float(np.median(gaps)) - spacing[0]) > max(_NEAR, 0.01 * spacing[0]):
            yield error(0x00180088, f"is {spacing[0]:g} mm, the slices are {float(np.median(gaps)):g} mm apart")
            return
