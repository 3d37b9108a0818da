"""Segmentation (PS3.3 A.51): a label map as binary segments, one frame a segment and slice that has voxels of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from derived_series.dicom.image.placement import Placement
from derived_series.dicom.image.stored_pixels import encode_pixels
from derived_series.dicom.modules.equipment import MANUFACTURER, MODEL
from derived_series.dicom.modules.segmentation import Segment
from derived_series.dicom.objects.highdicom_planes import close_table, planes, refer, structure
from derived_series.dicom.objects.single_instance import draft_of, finished, require_grid
from derived_series.dicom.series.finished import DatasetSeries
from derived_series.dicom.series.header import SeriesHeader
from derived_series.errors import HeaderError, Missing, PixelError
from derived_series.kinds.kind import PixelRules

_MOST = (1 << 16) - 1
_SEGMENTS = 0x00620002


def build(header: SeriesHeader, image: Any, placement: Placement, nan: float | None) -> DatasetSeries:
    """
    :param image: labels, (slice, row, column): 0 is no segment, n the segment of that number; bool is segment 1.
    :raises PixelError: values that are no labels. :raises GeometryError: an image that is nowhere.
    :raises HeaderError: a segment that is described without its number.
    """
    from highdicom.seg import Segmentation as HighdicomSegmentation
    from highdicom.seg import SegmentationTypeValues, SegmentDescription

    grid = require_grid(placement, "a segmentation")
    labels = label_map(image)
    draft = draft_of(header, encode_pixels(labels[:1, :1, :1] > 0, PixelRules()), placement)
    items, labels, warnings = described(draft.value("SegmentSequence") or [], labels)
    made = HighdicomSegmentation(
        source_images=planes(draft, grid),
        pixel_array=labels,
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=[SegmentDescription.from_dataset(item) for item in items],
        series_instance_uid=header.series_instance_uid,
        series_number=1,
        sop_instance_uid=draft.instance_uid,
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL,
        software_versions="1",
        device_serial_number="1",
    )
    refer(draft, grid, made)
    elements = structure(made, "SegmentationType", "SegmentSequence", "SegmentsOverlap")
    close_table(made)
    return finished(draft, elements, warnings)


def label_map(image: Any) -> npt.NDArray[Any]:
    """The labels, unsigned, (slice, row, column).

    :raises PixelError: fractions, negative numbers, numbers over 65535.
    """
    array = np.stack(list(image)) if not isinstance(image, np.ndarray) else image
    if array.dtype.kind == "b":
        return array.astype(np.uint8)
    with np.errstate(invalid="ignore"):
        fractions = array.dtype.kind == "f" and not np.array_equal(array, np.rint(array))
    if fractions:
        raise PixelError(
            "a segmentation is made from a label map, but the image has values that are no whole numbers, or NaN",
            remedy="give labels (0, 1, 2, ...) or a bool mask; a map of probabilities goes with parametric_map",
        )
    low, high = float(array.min()), float(array.max())  # in float16 the largest label would be Inf
    if low < 0 or high > _MOST:
        raise PixelError(
            f"a segmentation is made from a label map, but the image has values from {low:g} to {high:g}",
            remedy="give labels from 0 (no segment) to 65535, or a bool mask",
        )
    return array.astype(np.uint8 if high < 256 else np.uint16)


def described(items: Sequence[Dataset], labels: npt.NDArray[Any]) -> tuple[list[Dataset], npt.NDArray[Any], list[str]]:
    """(descriptions numbered 1 to n without gaps, the labels numbered alike, warnings).

    :param items: of SegmentSequence, numbered by the labels that they describe.
    """
    without = [index for index, item in enumerate(items, 1) if not item.get("SegmentNumber")]
    if without:
        missing = Missing(0x00620004, "SegmentNumber", "the label that the item describes")
        raise HeaderError([missing], where=f"item {without[0]} of SegmentSequence")
    known = {int(item.SegmentNumber): item for item in items}
    there = {int(label) for label in np.flatnonzero(np.bincount(labels.ravel())) if label}
    warnings = []
    for label in sorted(there - set(known)):
        known[label] = Segment(label, f"Segment {label}").item()
        warnings.append(f"label {label} is not described: it is called 'Segment {label}', a tissue")
    if not known:
        known[1] = Segment(1, "Segment 1").item()
        warnings.append("the label map is empty, and no segment is described")
    for label in sorted(set(known) - there):
        warnings.append(f"segment {label} ({known[label].get('SegmentLabel', '')}) has no voxel")
    numbers = sorted(known)
    found = []
    for number, label in enumerate(numbers, 1):
        item = Dataset()
        item.update(known[label])
        item.SegmentNumber = number
        found.append(item)
        if number != label:
            warnings.append(f"label {label} is segment {number}: segments are numbered from 1 without gaps")
    if numbers != list(range(1, len(numbers) + 1)):
        table = np.zeros(max(numbers) + 1, dtype=np.uint8 if len(numbers) < 256 else np.uint16)
        table[numbers] = np.arange(1, len(numbers) + 1)
        labels = table[labels]
    return found, labels, warnings
