"""Segmentation (PS3.3 A.51): binary segments from a label map, or fractional ones from probabilities.

There is a frame for each segment in each slice that has voxels of it. highdicom makes an object of two small slices,
from which everything but the frames is taken.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from derived_series.dicom.blueprints.algorithm import Algorithm
from derived_series.dicom.grid import Grid
from derived_series.dicom.image.placement import Placement
from derived_series.dicom.image.stored_pixels import encode_pixels
from derived_series.dicom.modules.equipment import MANUFACTURER, MODEL, algorithm_identification
from derived_series.dicom.objects.frame_groups import Frame, with_frames
from derived_series.dicom.objects.highdicom_planes import in_order, planes, settle
from derived_series.dicom.objects.labels import described, label_map, labels_of_slices, one_by_one
from derived_series.dicom.objects.single_instance import Draft, draft_of, require_grid
from derived_series.dicom.series.finished import FinishedSeries
from derived_series.dicom.series.header import SeriesHeader
from derived_series.errors import PixelError
from derived_series.kinds.kind import PixelRules

_TYPE = (int(Tag("SegmentationType")), "")
#: The stored value of a probability of 1.
_MAXIMUM = 255
#: How far a softmax or an interpolation in 32 bits may be outside 0 to 1.
_ROUNDED = 1e-6


def build(header: SeriesHeader, image: Any, placement: Placement, nan: float | None) -> FinishedSeries:
    """Build the segmentation.

    :param image: labels, (slice, row, column): 0 is not a segment, n the segment of that number; bool is segment 1.
        With the SegmentationType FRACTIONAL: probabilities, (slice, row, column) or (segment, slice, row, column).
    :raises PixelError: values are not labels, or not probabilities.
    :raises GeometryError: the image has no place.
    :raises HeaderError: a segment is described without its number.
    """
    kind = header.elements.get(_TYPE)
    if kind is not None and kind.value == "FRACTIONAL":
        return _fractional(header, image, placement, nan)
    return _binary(header, image, placement)


def _binary(header: SeriesHeader, image: Any, placement: Placement) -> FinishedSeries:
    grid = require_grid(placement, "a segmentation")
    labels = label_map(image)
    of_slices = labels_of_slices(labels)
    draft = draft_of(header, encode_pixels(labels[:1, :1, :1], PixelRules()), placement)
    segments = described(draft, {label for each in of_slices for label in each}, consecutive=True)
    pattern = highdicom_pattern(draft, grid, segments.items, "BINARY")
    numbers = {label: number for number, label in enumerate(segments.labels, 1)}
    if not any(of_slices):
        of_slices = (segments.labels,) * len(labels)
    frames = _frames(pattern, grid, [[numbers[label] for label in each] for each in of_slices])
    keys = [(frame.slice, segments.labels[frame.segment - 1]) for frame in frames if frame.segment is not None]
    return assembled(draft, grid, pattern, frames, packed(labels, keys), segments.warnings)


def _fractional(header: SeriesHeader, image: Any, placement: Placement, nan: float | None) -> FinishedSeries:
    grid = require_grid(replace(placement, volumes=1), "a segmentation")
    maps = np.asarray(image).reshape(-1, *np.shape(image)[-3:])
    quantised = np.stack([_quantised(each, nan) for each in maps])
    draft = draft_of(header, encode_pixels(quantised[0, :1, :1, :1], PixelRules()), placement)
    segments = described(draft, range(1, len(maps) + 1), consecutive=True)
    if segments.labels != tuple(range(1, len(maps) + 1)):
        raise PixelError(
            f"the image has {len(maps)} map(s) of probabilities, but the segments {segments.labels} are described",
            remedy="describe segment 1 to n, one a map, in the order of the image's first axis",
        )
    pattern = highdicom_pattern(draft, grid, segments.items, "FRACTIONAL")
    present = [[n for n, each in enumerate(quantised, 1) if each[index].any()] for index in range(len(grid.positions))]
    if not any(present):
        present = [list(range(1, len(maps) + 1))] * len(present)
    frames = _frames(pattern, grid, present)
    pixels = b"".join(quantised[frame.segment - 1, frame.slice].tobytes() for frame in frames if frame.segment)
    empty = [
        f"segment {item.SegmentNumber} ({item.get('SegmentLabel', '')}) has a probability of 0 everywhere"
        for item, each in zip(segments.items, quantised, strict=True)
        if not each.any()
    ]
    warnings = (*segments.warnings, *one_by_one(empty, "more segments as well"), *_of_volumes(header, len(maps)))
    return assembled(draft, grid, pattern, frames, pixels, warnings)


def _of_volumes(header: SeriesHeader, maps: int) -> tuple[str, ...]:
    """A warning if there are as many maps as the parent has volumes, and they may be meant as one for each."""
    if maps == 1 or maps != header.parent.volumes:
        return ()
    return (
        f"the image has {maps} maps of probabilities, as many as the parent has volumes: each is taken for a segment, "
        "not for a point in time",
    )


def _quantised(probabilities: npt.NDArray[Any], nan: float | None) -> npt.NDArray[np.uint8]:
    """Convert probabilities to stored values. :raises PixelError: there are NaN, Inf or values that are not."""
    pixels = encode_pixels(probabilities, PixelRules(), nan)
    if pixels.low < -_ROUNDED or pixels.high > 1 + _ROUNDED:
        raise PixelError(
            f"a fractional segmentation is made from probabilities, but the image has values from {pixels.low:g} to "
            f"{pixels.high:g}",
            remedy="scale the image to values from 0 to 1, or use parametric_map",
        )
    quantised = np.empty(probabilities.shape, np.uint8)
    for index, frame in enumerate(probabilities):
        real = frame.astype(np.float64)
        if pixels.nan is not None:
            real[~np.isfinite(real)] = pixels.nan
        real *= _MAXIMUM
        quantised[index] = np.rint(real, out=real)
    return quantised


def _frames(pattern: Dataset, grid: Grid, present: Sequence[Sequence[int]]) -> list[Frame]:
    """Make a frame for each segment in each slice, segment by segment.

    :param present: the segments with voxels in each slice.
    """
    slices = [index for index in in_order(pattern, grid) if present[index]]
    by_segment = len(pattern.DimensionIndexSequence) > 1
    of_segments: dict[int, list[Frame]] = {}
    for rank, index in enumerate(slices, 1):
        for number in present[index]:
            indexes = (number, rank) if by_segment else (rank,)
            of_segments.setdefault(number, []).append(Frame(index, indexes, number))
    return [frame for number in sorted(of_segments) for frame in of_segments[number]]


def packed(labels: npt.NDArray[Any], keys: Sequence[tuple[int, int]]) -> bytes:
    """Pack frames with one bit for each pixel, without gaps, the first pixel in the lowest bit (PS3.5 8.2).

    :param keys: (slice, label) of each frame.
    """
    size = labels.shape[1] * labels.shape[2]
    together = 8 // math.gcd(size, 8)  # this many frames fill whole bytes
    pieces = [b""] * -(-len(keys) // together)
    for place in sorted(range(len(pieces)), key=lambda place: keys[place * together][0]):
        bits = [labels[index] == label for index, label in keys[place * together : (place + 1) * together]]
        flat = bits[0].ravel() if len(bits) == 1 else np.concatenate([each.ravel() for each in bits])
        pieces[place] = np.packbits(flat, bitorder="little").tobytes()
    return b"".join(pieces)


def highdicom_pattern(draft: Draft, grid: Grid, items: Sequence[Dataset], kind: str) -> Dataset:
    """Make highdicom's object of the first slices, each with a single pixel.

    :param items: items of SegmentSequence. :param kind: BINARY, FRACTIONAL or LABELMAP.
    """
    from highdicom.seg import Segmentation as HighdicomSegmentation
    from highdicom.seg import SegmentDescription

    small = replace(grid.subset(range(min(2, len(grid.positions)))), rows=1, columns=1)
    items = [_identified(item, draft.env.context.algorithm) for item in items]
    plain = []  # highdicom requires more about algorithms than the standard does; the real items replace these
    for number, item in enumerate(items[:2], 1):  # with a single one, its number is a group that all frames share
        manual = Dataset()
        manual.update(item)
        manual.add_new("SegmentNumber", "US", number)  # elements are shared with the item: put others in their place
        manual.add_new("SegmentAlgorithmType", "CS", "MANUAL")
        plain.append(SegmentDescription.from_dataset(manual))
    pattern = HighdicomSegmentation(
        source_images=planes(draft, small),
        pixel_array=np.ones(small.shape, np.uint8),
        segmentation_type=kind,
        segment_descriptions=plain,
        series_instance_uid=draft.header.series_instance_uid,
        series_number=1,
        sop_instance_uid=draft.instance_uid,
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL,
        software_versions="1",
        device_serial_number="1",
        max_fractional_value=_MAXIMUM,
    )
    if kind == "FRACTIONAL":
        pattern.SegmentationFractionalType = draft.value("SegmentationFractionalType", "PROBABILITY")
    background = [item for item in pattern.SegmentSequence if item.SegmentNumber == 0]
    for item in background:
        item.SegmentAlgorithmType = items[0].SegmentAlgorithmType
        if "SegmentAlgorithmName" in items[0]:
            item.SegmentAlgorithmName = items[0].SegmentAlgorithmName
    # OHIF takes the n-th item for label n: the background, which has number 0, is the last
    pattern[Tag("SegmentSequence")] = DataElement(Tag("SegmentSequence"), "SQ", [*items, *background])
    settle(draft, grid, pattern)
    return pattern


def _identified(item: Dataset, algorithm: Algorithm | None) -> Dataset:
    """Add to a segment the algorithm that made it, if it names none."""
    if algorithm is None or item.get("SegmentAlgorithmName") != MODEL:
        return item
    identified = copy.deepcopy(item)
    identified.SegmentAlgorithmName = algorithm.name
    identified.SegmentationAlgorithmIdentificationSequence = [algorithm_identification(algorithm)]
    return identified


def assembled(
    draft: Draft, grid: Grid, pattern: Dataset, frames: Sequence[Frame], pixels: bytes, warnings: Sequence[str]
) -> FinishedSeries:
    """Assemble the object of all frames.

    :param pixels: the uncompressed pixels of the frames.
    """
    vr = "OW" if pattern.BitsAllocated == 16 else "OB"
    pattern[Tag("PixelData")] = DataElement(Tag("PixelData"), vr, pixels + b"\0" * (len(pixels) % 2))
    further = ("SegmentationType", "SegmentationFractionalType", "MaximumFractionalValue", "SegmentSequence")
    return with_frames(draft, grid, pattern, frames, (*further, "SegmentsOverlap", "PixelPaddingValue"), warnings)
