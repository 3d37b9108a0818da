"""Comparing a header's image plane (PS3.3 C.7.6.2) and frame of reference with the image's grid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydicom.dataelem import DataElement

from derived_series.dicom.encoding.tags import Key, to_tag
from derived_series.dicom.grid import SAME_ANGLE_RADIANS, Grid
from derived_series.dicom.image.frame_of_reference import FrameOfReference
from derived_series.dicom.source.parent_series import ParentSeries
from derived_series.dicom.source.thickness import as_thickness

#: How far a position in decimal strings may be off, in mm.
NEAR_MM = 1e-2
#: How far a distance may be off, as a part of it: spacings are rounded to decimal strings.
SAME_PART = 1e-3
_THICKNESS = int(to_tag("SliceThickness"))


def off_place(
    elements: Mapping[Key, DataElement], grid: Grid | None, parent: ParentSeries, frame: FrameOfReference | None
) -> Iterator[tuple[int, str]]:
    """The tags, except positions, that do not match the image's place, each with what is wrong.

    :param grid: the image's grid; None for an image without a place.
    :param frame: the grid's frame of reference, if it is not the parent's.
    """
    thickness = elements.get((_THICKNESS, ""))
    problem = None if thickness is None else _no_thickness(thickness.value, parent)
    if problem:
        yield _THICKNESS, problem
    if grid is not None:
        yield from _off_plane(elements, grid)
        yield from _other_frame(elements, parent, frame)


def _off_plane(elements: Mapping[Key, DataElement], grid: Grid) -> Iterator[tuple[int, str]]:
    """The shared tags that do not match the grid, each with what is wrong.

    A position that several slices share is skipped here: each slice is compared with its own.
    """
    cosines = (*grid.row_cosines, *grid.column_cosines)
    for keyword, wanted, most in (
        ("ImageOrientationPatient", cosines, SAME_ANGLE_RADIANS),
        ("PixelSpacing", grid.pixel_spacing, SAME_PART * min(grid.pixel_spacing)),
    ):
        tag = int(to_tag(keyword))
        element = elements.get((tag, ""))
        if element is None or element.is_empty or element.VM != len(wanted):
            continue  # reported as missing, or by its number of values
        values = [float(value) for value in element.value]
        if any(abs(value - right) > most for value, right in zip(values, wanted, strict=True)):
            right = ", ".join(f"{number:.6g}" for number in wanted)
            yield tag, f"is {values}, the image's is [{right}]"


def _other_frame(
    elements: Mapping[Key, DataElement], parent: ParentSeries, frame: FrameOfReference | None
) -> Iterator[tuple[int, str]]:
    """The tag of a frame of reference that does not match the grid's, with what is wrong.

    :param frame: the grid's frame of reference, if it is not the parent's.
    """
    tag = int(to_tag("FrameOfReferenceUID"))
    element = elements.get((tag, ""))
    if element is None:
        return
    if frame is not None:
        if element.value != frame.uid:
            yield tag, f"is {element.value}, the coordinates are those of {frame.uid}"
        return
    parents = parent.pivot.get("FrameOfReferenceUID")
    if parents and element.value != parents and parent.is_constant("FrameOfReferenceUID"):
        yield tag, "is not the parent's, though the coordinates are"


def _no_thickness(value: object, parent: ParentSeries) -> str | None:
    """What is wrong with an impossible SliceThickness; None if it is empty, or the parent has the same fault."""
    if value is None or value == "" or as_thickness(value) is not None:
        return None
    if any(str(value) == str(instance.get("SliceThickness")) for instance in parent.instances):
        return None
    return f"is {value}: the thickness of a slice is more than 0 mm"
