"""A Segmentation (PS3.3 A.51) as the review page draws it: its segments, and where each frame is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from derived_series.dicom.color import srgb
from derived_series.dicom.functional_groups import frame_groups, shared_group
from derived_series.dicom.geometry import SAME_POSITION_MM
from derived_series.review.pixels import FrameFormat

#: For segments that recommend no colour.
_COLORS = ("#e6194b", "#3cb44b", "#ffe119", "#4363d8", "#f58231", "#911eb4", "#46f0f0", "#f032e6", "#bcf60c", "#fabebe")


def segmentation_document(source: Dataset, held: Mapping[str, str]) -> dict[str, Any]:
    """Segments with label and colour, the grid of the slices that have frames, and segment and slice of each frame."""
    count = int(source.get("NumberOfFrames") or 1)
    shared, groups = shared_group(source), frame_groups(source, count)
    document: dict[str, Any] = {
        "Instance": held[str(source.SOPInstanceUID)],
        "Format": FrameFormat.of(source).to_json(),
        "Maximum": int(source.get("MaximumFractionalValue") or 1),
        "Segments": [_segment(item, index) for index, item in enumerate(source.get("SegmentSequence") or [])],
        "Grid": None,
        "Frames": {"Segment": [_segment_number(shared, group) for group in groups], "Slice": [0] * count},
        "Problem": "the segmentation does not say where its frames are",
        "Warnings": [],
    }
    places = [_values(shared, group, "PlanePositionSequence", "ImagePositionPatient") for group in groups]
    orientation = _values(shared, groups[0], "PlaneOrientationSequence", "ImageOrientationPatient")
    spacing = _values(shared, groups[0], "PixelMeasuresSequence", "PixelSpacing")
    thickness = _values(shared, groups[0], "PixelMeasuresSequence", "SliceThickness")
    if not all(places) or len(orientation) != 6 or len(spacing) != 2:
        return document
    row, column = np.split(np.array(orientation), 2)
    positions = np.array(places)
    along = positions @ np.cross(row, column)
    order = np.argsort(along, kind="stable")
    numbers = np.zeros(count, int)
    numbers[order[1:]] = np.cumsum(np.diff(along[order]) > SAME_POSITION_MM)
    firsts = [int(np.flatnonzero(numbers == number)[0]) for number in range(int(numbers.max()) + 1)]
    document["Grid"] = {
        "RowCosines": row.tolist(),
        "ColumnCosines": column.tolist(),
        "PixelSpacing": spacing,
        "Positions": [places[index] for index in firsts],
        "SliceThickness": thickness[0] if thickness else None,
    }
    document["Frames"]["Slice"] = numbers.tolist()
    document["Problem"] = None
    return document


def _segment(item: Dataset, index: int) -> dict[str, Any]:
    lab = item.get("RecommendedDisplayCIELabValue")
    kinds = item.get("SegmentedPropertyTypeCodeSequence") or []
    return {
        "Number": int(item.get("SegmentNumber") or index + 1),
        "Label": str(item.get("SegmentLabel") or ""),
        "Type": str(kinds[0].get("CodeMeaning") or "") if kinds else "",
        "Algorithm": str(item.get("SegmentAlgorithmType") or ""),
        "Color": srgb([int(value) for value in lab]) if lab and len(lab) == 3 else _COLORS[index % len(_COLORS)],
    }


def _segment_number(shared: Dataset, group: Dataset) -> int:
    for groups in (group, shared):
        for item in groups.get("SegmentIdentificationSequence") or []:
            return int(item.get("ReferencedSegmentNumber") or 1)
    return 1


def _values(shared: Dataset, group: Dataset, sequence: str, keyword: str) -> list[float]:
    for groups in (group, shared):
        for item in groups.get(sequence) or []:
            found = item.get(keyword)
            if found is not None:
                return [float(value) for value in np.atleast_1d(found)]
    return []
