"""Splitting stored instances into one dataset for each slice: frames of multi-frame instances, tiles of mosaics."""

from __future__ import annotations

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

from derived_series.dicom.encoding.times import zone_of
from derived_series.dicom.source.multiframe.enhanced import classic_attributes, classic_class
from derived_series.dicom.source.multiframe.frame import MOST_FRAMES, Element, FrameDataset, common_elements
from derived_series.dicom.source.multiframe.functional_groups import (
    classic_elements,
    frame_groups,
    has_groups,
    shared_group,
)
from derived_series.dicom.source.multiframe.mosaic import is_mosaic, tiles
from derived_series.dicom.source.multiframe.value_mapping import in_real_world
from derived_series.dicom.source.multiframe.vectors import PLACE, places
from derived_series.errors import InvalidParent
from derived_series.kinds import sop_class

_NUMBER_OF_FRAMES, _DOSE_GRID_SCALING = Tag("NumberOfFrames"), Tag("DoseGridScaling")
_SOP_CLASS, _SOP_INSTANCE = Tag("SOPClassUID"), Tag("SOPInstanceUID")


def split_into_slices(datasets: list[Dataset]) -> list[Dataset]:
    """Split into one dataset for each slice, in order of instances and frames; the same list if there is nothing to do.

    :raises InvalidParent: functional groups or a mosaic's header do not say where the slices are.
    """
    slices: list[Dataset] = []
    for dataset in datasets:
        if _is_multi_frame(dataset):
            slices += _frames_or_refusal(dataset)
        elif is_mosaic(dataset):
            slices += tiles(dataset)
        else:
            slices.append(dataset)
    return slices if any(isinstance(dataset, FrameDataset) for dataset in slices) else datasets


def _frames_or_refusal(source: Dataset) -> list[FrameDataset]:
    """The frames of an instance. :raises InvalidParent: also for values that are invalid for their VR."""
    try:
        return _frames(source)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidParent(
            f"the frames of instance {source[_SOP_INSTANCE].value} cannot be told from its attributes: {error}",
            remedy="send the instance again as its device made it",
        ) from error


def _is_multi_frame(dataset: Dataset) -> bool:
    if has_groups(dataset) or _DOSE_GRID_SCALING in dataset:
        return True
    if _NUMBER_OF_FRAMES not in dataset:
        return False
    return _count(dataset) != 1 or sop_class(str(dataset[_SOP_CLASS].value)).multi_frame


def _count(dataset: Dataset) -> int:
    """NumberOfFrames; 1 if it is missing or empty."""
    try:
        return int(dataset[_NUMBER_OF_FRAMES].value or 1) if _NUMBER_OF_FRAMES in dataset else 1
    except (TypeError, ValueError) as error:
        raise InvalidParent(
            f"NumberOfFrames (0028,0008) of instance {dataset[_SOP_INSTANCE].value} is not a number: {error}",
            remedy="send the instance again as its device made it",
        ) from error


def _frames(source: Dataset) -> list[FrameDataset]:
    count = _count(source)
    if not 0 < count <= MOST_FRAMES:
        raise InvalidParent(
            f"instance {source[_SOP_INSTANCE].value} says to have {count} frames (NumberOfFrames); "
            f"an instance is taken with 1 to {MOST_FRAMES}"
        )
    segments = len(source.get("SegmentSequence") or ())
    if segments > 1 and source.get("SegmentationType") != "LABELMAP":  # a label map's frames have all segments
        raise InvalidParent(
            f"instance {source[_SOP_INSTANCE].value} is a segmentation of {segments} segments, not of one",
            remedy="derive from the series that it was made from, or from a segmentation of one segment",
        )
    common = common_elements(source)
    common[_SOP_CLASS] = DataElement(_SOP_CLASS, "UI", classic_class(str(source[_SOP_CLASS].value)))
    by_frame = _of_groups(source, count) if has_groups(source) else _of_vectors(source, count, common)
    return [FrameDataset({**common, **elements}, source, number) for number, elements in enumerate(by_frame, start=1)]


def _of_groups(source: Dataset, count: int) -> list[dict[BaseTag, Element]]:
    """The elements of each frame, from the functional groups."""
    shared = shared_group(source)
    zone = zone_of(source)
    of_all: dict[BaseTag, Element] = {**classic_elements(shared, zone)}
    by_frame = []
    for groups in frame_groups(source, count):
        of_frame = classic_elements(groups, zone)
        whole = Dataset({**dict(shared.items()), **dict(groups.items())})
        added = {element.tag: element for element in classic_attributes(source, whole, of_frame)}
        by_frame.append(in_real_world(source, whole, {**added, **of_all, **of_frame}))
    return by_frame


def _of_vectors(source: Dataset, count: int, common: dict[BaseTag, Element]) -> list[dict[BaseTag, Element]]:
    """The elements of each frame of an instance without functional groups."""
    if sop_class(str(source[_SOP_CLASS].value)).single_frame:
        raise InvalidParent(
            f"instance {source[_SOP_INSTANCE].value} is multi-frame ({count} frames), but of a class of single frames "
            f"({source[_SOP_CLASS].value.name}): nothing tells where its frames are",
            remedy="convert it to an enhanced object or to single-frame instances first",
        )
    for tag in PLACE:  # these are about the first frame only
        common.pop(tag, None)
    return [dict(place) for place in places(source, count)]
