"""Label Map Segmentation (PS3.3 A.51): the label map itself, one frame for each slice, labels as segment numbers."""

from __future__ import annotations

from typing import Any

from derived_series.dicom.image.placement import Placement
from derived_series.dicom.image.stored_pixels import encode_pixels
from derived_series.dicom.objects.frame_groups import Frame
from derived_series.dicom.objects.highdicom_planes import in_order
from derived_series.dicom.objects.labels import described, label_map, labels_of_slices
from derived_series.dicom.objects.segmentation import assembled, highdicom_pattern
from derived_series.dicom.objects.single_instance import draft_of, require_grid
from derived_series.dicom.series.finished import FinishedSeries
from derived_series.dicom.series.header import SeriesHeader
from derived_series.kinds.kind import PixelRules


def build(header: SeriesHeader, image: Any, placement: Placement, nan: float | None) -> FinishedSeries:
    """Build the segmentation.

    :param image: labels, (slice, row, column): 0 is not a segment, n the segment of that number, gaps allowed; bool is
        segment 1.
    :raises PixelError: values are not labels. :raises GeometryError: the image has no place.
    :raises HeaderError: a segment is described without its number.
    """
    grid = require_grid(placement, "a label map")
    labels = label_map(image)
    present = {label for each in labels_of_slices(labels) for label in each}
    draft = draft_of(header, encode_pixels(labels[:1, :1, :1], PixelRules()), placement)
    segments = described(draft, present, consecutive=False)
    pattern = highdicom_pattern(draft, grid, segments.items, "LABELMAP")
    bits = 8 if segments.labels[-1] < 256 else 16
    pattern.BitsAllocated = pattern.BitsStored = bits
    pattern.HighBit = bits - 1
    order = in_order(pattern, grid)
    frames = [Frame(index, (rank,)) for rank, index in enumerate(order, 1)]
    step = -1 if order[0] else 1
    pixels = labels[::step].astype(f"<u{bits // 8}", copy=False).tobytes()
    return assembled(draft, grid, pattern, frames, pixels, segments.warnings)
