"""Label maps: checking their values, and describing their labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from derived_series.dicom.modules.segmentation import Segment
from derived_series.dicom.modules.segments_from import SegmentTable
from derived_series.dicom.objects.single_instance import Draft
from derived_series.errors import HeaderError, Missing, PixelError

_LARGEST_LABEL = (1 << 16) - 1
#: An image in colour: (slice, row, column, sample).
_COLOUR_AXES, _SAMPLES = 4, 3
#: The most labels that get a warning each.
_MOST_NAMED_LABELS = 10


def label_map(image: Any) -> npt.NDArray[Any]:
    """Convert an image to labels, (slice, row, column), in 8 bits if they fit, else in 16.

    :raises PixelError: there are colours, fractions, negative numbers, or numbers over 65535.
    """
    array = np.stack(list(image)) if not isinstance(image, np.ndarray) else image
    if array.ndim == _COLOUR_AXES and array.shape[-1] == _SAMPLES:
        raise PixelError(
            f"a label map has one number a pixel, but the image is in colour: its shape is {array.shape}",
            remedy="give labels (0, 1, 2, ...), not the colours that they are shown in",
        )
    if array.dtype.kind == "b":
        return array.view(np.uint8)
    with np.errstate(invalid="ignore"):
        fractions = array.dtype.kind == "f" and not np.array_equal(array, np.rint(array))
    if fractions:
        raise PixelError(
            "a segmentation is made from a label map, but the image has values that are not whole numbers, or NaN",
            remedy="give labels (0, 1, 2, ...) or a bool mask; a map of probabilities goes with "
            "fractional_segmentation or parametric_map",
        )
    low, high = float(array.min()), float(array.max())  # in float16 the largest label would be Inf
    if low < 0 or high > _LARGEST_LABEL:
        raise PixelError(
            f"a segmentation is made from a label map, but the image has values from {low:g} to {high:g}",
            remedy="give labels from 0 (no segment) to 65535, or a bool mask",
        )
    return array.astype(np.uint8 if high < 256 else np.uint16, copy=False)


def labels_of_slices(labels: npt.NDArray[Any]) -> tuple[tuple[int, ...], ...]:
    """The labels with voxels in each slice, ascending, without 0."""
    return tuple(_labels(np.ascontiguousarray(frame).ravel()) for frame in labels)


def _labels(values: npt.NDArray[Any]) -> tuple[int, ...]:
    """The labels in one slice, found where their runs begin."""
    begins = values[1:][values[1:] != values[:-1]]
    return tuple(label for label in sorted({*np.unique(begins).tolist(), *values[:1].tolist()}) if label)


@dataclass(frozen=True, slots=True)
class Described:
    """Described labels.

    :param items: items of SegmentSequence, one for each label, ascending by label.
    :param labels: the label of each item.
    """

    items: tuple[Dataset, ...]
    labels: tuple[int, ...]
    warnings: tuple[str, ...]


#: How to describe a label, for warnings.
HOW_DESCRIBED = "describe it by segments(...) in the blueprint"


def one_by_one(warnings: Sequence[str], others: str) -> list[str]:
    """Limit the warnings about labels: keep the first ones, and add one that counts the others.

    :param others: what to say about the others: "more labels are not described".
    """
    if len(warnings) <= _MOST_NAMED_LABELS:
        return list(warnings)
    return [*warnings[:_MOST_NAMED_LABELS], f"{len(warnings) - _MOST_NAMED_LABELS} {others}"]


def described(draft: Draft, present: Iterable[int], *, consecutive: bool) -> Described:
    """Describe the labels of a map; a label that nothing describes is called a tissue.

    The items of SegmentSequence are numbered by the labels that they describe. From a table, only those with voxels are
    used.

    :param present: the labels that have voxels.
    :param consecutive: whether to number the items from 1 without gaps (PS3.3 C.8.20.2.4), not by their labels.
    :raises HeaderError: an item has no number.
    """
    items = draft.value("SegmentSequence") or []
    without = [index for index, item in enumerate(items, 1) if not item.get("SegmentNumber")]
    if without:
        missing = Missing(0x00620004, "SegmentNumber", "the label that the item describes")
        raise HeaderError([missing], where=f"item {without[0]} of SegmentSequence")
    known = {int(item.SegmentNumber): item for item in items}
    there = set(present)
    if isinstance(draft.header.blueprint["SegmentSequence"] if items else None, SegmentTable) and there:
        known = {label: item for label, item in known.items() if label in there}
    unknown = sorted(there - set(known))
    known |= {label: Segment(label, f"Segment {label}").item() for label in unknown}
    warnings = one_by_one(
        [
            f"label {label} is not described: it is called 'Segment {label}', a tissue ({HOW_DESCRIBED})"
            for label in unknown
        ],
        "more labels are not described",
    )
    if not known:
        known[1] = Segment(1, "Segment 1").item()
        warnings.append("the label map is empty, and no segment is described")
    empty = [
        f"segment {label} ({known[label].get('SegmentLabel', '')}) has no voxel" for label in sorted(set(known) - there)
    ]
    warnings += one_by_one(empty, "more segments have no voxel")
    labels = tuple(sorted(known))
    renumbered = [(label, number) for number, label in enumerate(labels, 1) if consecutive and number != label]
    warnings += one_by_one(
        [f"label {label} is segment {n}: segments are numbered from 1 without gaps" for label, n in renumbered],
        "more labels are segments of other numbers",
    )
    numbered = []
    for number, label in enumerate(labels, 1):
        item = Dataset()
        item.update(known[label])
        if consecutive and number != label:
            item.add_new("SegmentNumber", "US", number)  # the element is shared with what was described
        if draft.env.context.tracked and not item.get("TrackingID"):
            item.add_new("TrackingID", "UT", str(item.SegmentLabel))
        if item.get("TrackingID") and not item.get("TrackingUID"):
            item.add_new("TrackingUID", "UI", draft.env.context.uid(f"tracking {label}"))
        numbered.append(item)
    return Described(tuple(numbered), labels, tuple(warnings))
