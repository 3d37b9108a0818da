"""Describes a Segmentation (PS3.3 A.51) for the review page: its segments, and the place of each frame.

Binary and fractional segmentations have a frame for each segment and slice, a label map one for each slice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import SegmentationStorage

from derived_series.dicom.grid import SAME_POSITION_MM
from derived_series.dicom.modules.cielab import PALETTE, srgb
from derived_series.dicom.source.multiframe.functional_groups import frame_groups, shared_group
from derived_series.review.frame_bytes import FrameFormat
from derived_series.review.frame_places import FramePlace, frame_places

#: The name that pydicom lacks.
_LABEL_MAP = {"1.2.840.10008.5.1.4.1.1.66.7": "Label Map Segmentation Storage"}


def class_name(source: Dataset) -> str:
    """The name of an instance's SOP class."""
    return _LABEL_MAP.get(source.SOPClassUID, str(source.SOPClassUID.name))


def is_segmentation(source: Dataset) -> bool:
    """Whether an instance is a segmentation of any kind."""
    return source.SOPClassUID == SegmentationStorage or source.SOPClassUID in _LABEL_MAP


def segmentation_document(source: Dataset, held: Mapping[str, str]) -> dict[str, Any]:
    """Segments with label and colour, the grid of the slices that have frames, and segment and slice of each frame."""
    count = int(source.get("NumberOfFrames") or 1)
    shared, frames = shared_group(source), _frame_places(source, count)
    is_label_map = str(source.get("SegmentationType")) == "LABELMAP"
    items = source.get("SegmentSequence") or []
    if is_label_map:  # 0 is the background
        items = [item for item in items if item.get("SegmentNumber") != 0]
    grid, slices = _grid_of_frames(source, shared, frames)
    return {
        "Instance": held[str(source.SOPInstanceUID)],
        "Format": FrameFormat.of(source).to_json(),
        "Maximum": int(source.get("MaximumFractionalValue") or 1),
        "IsLabelMap": is_label_map,
        "Segments": [_segment(item, index) for index, item in enumerate(items)],
        "Grid": grid,
        "Frames": {"Segment": [_segment_number(place, shared) for place in frames], "Slice": slices},
        "Problem": "the segmentation does not say where its frames are" if grid is None else None,
        "Warnings": [],
    }


def _grid_of_frames(
    source: Dataset, shared: Dataset, frames: Sequence[FramePlace]
) -> tuple[dict[str, Any] | None, list[int]]:
    """The grid of the slices that have frames, and the slice of each frame; None if the headers lack places."""
    of_all = _values(shared, "PlanePositionSequence", "ImagePositionPatient")
    places = [list(place.position) or of_all for place in frames]
    is_shared = "PlaneOrientationSequence" in shared and "PixelMeasuresSequence" in shared
    first = shared if is_shared else frame_groups(source, len(frames))[0]
    orientation, spacing, thickness = (
        _values(first, sequence, keyword) or _values(shared, sequence, keyword)
        for sequence, keyword in (
            ("PlaneOrientationSequence", "ImageOrientationPatient"),
            ("PixelMeasuresSequence", "PixelSpacing"),
            ("PixelMeasuresSequence", "SliceThickness"),
        )
    )
    if not all(places) or len(orientation) != 6 or len(spacing) != 2:
        return None, [0] * len(frames)
    row, column = np.split(np.array(orientation), 2)
    along = np.array(places) @ np.cross(row, column)
    order = np.argsort(along, kind="stable")
    numbers = np.zeros(len(frames), int)
    numbers[order[1:]] = np.cumsum(np.diff(along[order]) > SAME_POSITION_MM)
    firsts = [int(np.flatnonzero(numbers == number)[0]) for number in range(int(numbers.max()) + 1)]
    grid = {
        "RowCosines": row.tolist(),
        "ColumnCosines": column.tolist(),
        "PixelSpacing": spacing,
        "Positions": [places[index] for index in firsts],
        "SliceThickness": thickness[0] if thickness else None,
    }
    return grid, numbers.tolist()


def _segment(item: Dataset, index: int) -> dict[str, Any]:
    lab = item.get("RecommendedDisplayCIELabValue")
    kinds = item.get("SegmentedPropertyTypeCodeSequence") or []
    return {
        "Number": int(item.get("SegmentNumber") or index + 1),
        "Label": str(item.get("SegmentLabel") or ""),
        "Type": str(kinds[0].get("CodeMeaning") or "") if kinds else "",
        "Algorithm": str(item.get("SegmentAlgorithmType") or ""),
        "Color": srgb([int(value) for value in lab]) if lab and len(lab) == 3 else PALETTE[index % len(PALETTE)],
    }


def _frame_places(source: Dataset, count: int) -> tuple[FramePlace, ...]:
    """The place of each frame, read the quick way if possible."""
    places = frame_places(source)
    if places is not None and len(places) == count:
        return places
    return tuple(map(_place, frame_groups(source, count)))


def _place(group: Dataset) -> FramePlace:
    segments = _values(group, "SegmentIdentificationSequence", "ReferencedSegmentNumber")
    position = _values(group, "PlanePositionSequence", "ImagePositionPatient")
    return FramePlace(int(segments[0]) if segments else None, tuple(position))


def _segment_number(place: FramePlace, shared: Dataset) -> int:
    if place.segment is not None:
        return place.segment
    numbers = _values(shared, "SegmentIdentificationSequence", "ReferencedSegmentNumber")
    return int(numbers[0]) if numbers else 1


def _values(group: Dataset, sequence: str, keyword: str) -> list[float]:
    """The numbers of an attribute in the first item of a sequence that has it."""
    for item in group.get(sequence) or []:
        numbers = item.get(keyword)
        if numbers is not None:
            return [float(value) for value in np.atleast_1d(numbers)]
    return []
