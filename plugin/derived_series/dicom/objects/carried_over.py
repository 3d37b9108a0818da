"""Carrying over a parent image's padding, overlay planes and colour profile to an image with its pixels.

Padding and overlays hold for the parent's rows, columns and stored units (PS3.3 C.7.5.1.1.2, C.9.2); a colour profile
holds for its colours (C.11.15). If the image has others, they are left out, and a warning says why.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.encoding.tags import describe, keyword, to_tag
from derived_series.dicom.image.parents_pixels import ParentsPixels
from derived_series.dicom.modules.projection import number_of_frames
from derived_series.dicom.source.padding import PADDING, padding_element, padding_range
from derived_series.dicom.source.parent_series import ParentSeries
from derived_series.dicom.source.pixels import PixelFormat
from derived_series.errors import InvalidParent

_CANNOT_BE_COMPARED = "the parent's pixels cannot be compared with the image's"
_PROFILE = ("ICCProfile", "ColorSpace")
#: The groups of overlay planes: even, up to sixteen (PS3.5 7.6).
_OVERLAY_GROUPS = range(0x6000, 0x6020, 2)
_OVERLAY_BITS_ALLOCATED, _OVERLAY_DATA = 0x0100, 0x3000
#: Elements of an overlay about the parent's values, not its rows and columns: mean and deviation of an ROI.
_OF_VALUES = (0x1302, 0x1303)


@dataclass(frozen=True, slots=True, eq=False)
class Carried:
    """The parent's elements that hold for the image, and warnings about those that do not."""

    elements: tuple[DataElement, ...]
    warnings: tuple[str, ...]


def carried_over(
    source: Dataset, parent: ParentSeries, members: Sequence[int], pixels: ParentsPixels, blueprint: Blueprint
) -> Carried:
    """Find the elements of one stored instance that hold for the image made from it.

    :param members: the indexes of the parent's instances that are this instance, or its frames.
    :param blueprint: elements that it names are left to it.
    """
    elements: list[DataElement] = []
    warnings: list[str] = []

    def keep(tags: Sequence[int], reason: str, called: str = "") -> None:
        if reason:
            names = called or " and ".join(map(describe, tags))
            are = "are" if len(tags) > 1 and not called else "is"
            warnings.append(f"{names} of instance {source.SOPInstanceUID} {are} left out: {reason}")
        else:
            elements.extend(_copy_of(source, tag) for tag in tags)

    padding, profile = (
        [int(to_tag(name)) for name in names if name in source and name not in blueprint]
        for names in (PADDING, _PROFILE)
    )
    if padding:
        keep(padding, _why_other_padding(source, parent, members, pixels))
    if profile:
        keep(profile, "" if pixels.samples == 3 else "the image is grey")
    for tags in _overlays(source, blueprint):
        reason = _why_other_overlay(source, tags, pixels)
        of_values = [tag for tag in tags if tag & 0xFFFF in _OF_VALUES and not reason]
        keep([tag for tag in tags if tag not in of_values], reason, f"the overlay plane {tags[0] >> 16:04X}")
        if of_values:
            keep(of_values, "of the parent's values")
    return Carried(tuple(elements), tuple(warnings))


def _copy_of(source: Dataset, tag: int) -> DataElement:
    return padding_element(source, keyword(tag)) if keyword(tag) in PADDING else copy.deepcopy(source[tag])


def _overlays(source: Dataset, blueprint: Blueprint) -> Iterator[list[int]]:
    """The tags of each overlay plane of which the blueprint names no element."""
    named = {int(element.tag) >> 16 for element in blueprint}
    for group in _OVERLAY_GROUPS:
        tags = [int(tag) for tag in source.keys() if tag.group == group and tag.element]
        if tags and group not in named:
            yield sorted(tags)


def _why_other_overlay(source: Dataset, tags: Sequence[int], pixels: ParentsPixels) -> str:
    """Why an overlay plane does not fit the image; empty if it does."""
    group = tags[0] >> 16
    bits = source.get((group, _OVERLAY_BITS_ALLOCATED))
    if (group, _OVERLAY_DATA) not in source or (bits is not None and bits.value not in (None, 1)):
        return "it is in unused bits of the parent's pixels"
    return _why_other_frames(source, pixels)


def _why_other_frames(source: Dataset, pixels: ParentsPixels) -> str:
    """How the frames of an image differ from those of its parent instance; empty if they do not."""
    frames, had = len(pixels.stored), number_of_frames(source)
    if pixels.stored.shape[1:3] != (int(source.Rows), int(source.Columns)):
        return "the image's rows and columns are others"
    return f"the image has {frames} frame{'s' if frames > 1 else ''}, that instance {had}" if frames != had else ""


def _why_other_padding(source: Dataset, parent: ParentSeries, members: Sequence[int], pixels: ParentsPixels) -> str:
    """Why the parent's padding value is not the image's; empty if it is."""
    pixel_format = PixelFormat.of(source)
    if pixels.samples == 3:
        return "the image is in colour"
    units = (pixel_format.slope, pixel_format.intercept, pixel_format.dtype.startswith("<i"))
    if pixel_format.has_modality_lut or units != (pixels.slope, pixels.intercept, pixels.stored.dtype.kind == "i"):
        return "the image is not in the parent's stored units"
    frames = _why_other_frames(source, pixels)
    if frames:
        return frames
    try:
        real = np.stack([np.asarray(frame, np.float64) for frame in parent.slices(list(members))])
    except (InvalidParent, AttributeError, TypeError, ValueError):
        return _CANNOT_BE_COMPARED
    padding = padding_range(source)
    if padding is None:
        return _CANNOT_BE_COMPARED
    before = _within(np.rint((real - pixels.intercept) / pixels.slope), *padding)
    after = _within(pixels.stored, *padding)
    stray = int(np.count_nonzero(after & ~before))
    if stray:
        return f"{stray} pixels of the image have such a value where the parent has none"
    return "the image has no padding" if before.any() and not after.any() else ""


def _within(values: npt.NDArray[Any], low: int, high: int) -> npt.NDArray[np.bool_]:
    return np.asarray((values >= low) & (values <= high))
