"""What a header says of its image's plane (PS3.3 C.7.6.2), and what the grid says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydicom.dataelem import DataElement

from derived_series.dicom.encoding.tags import Key, to_tag
from derived_series.dicom.grid import SAME_ANGLE_RADIANS, Grid

#: The part of a distance that it may be off: spacings are rounded to what a decimal string holds.
_SAME_PART = 1e-3


def off_plane(elements: Mapping[Key, DataElement], grid: Grid) -> Iterator[tuple[int, str]]:
    """The tags that all slices share and that are not the grid's, each with what is wrong with it.

    A position that all slices of several share is not looked at: each of them is compared with its own.
    """
    cosines = (*grid.row_cosines, *grid.column_cosines)
    for keyword, wanted, most in (
        ("ImageOrientationPatient", cosines, SAME_ANGLE_RADIANS),
        ("PixelSpacing", grid.pixel_spacing, _SAME_PART * min(grid.pixel_spacing)),
    ):
        tag = int(to_tag(keyword))
        element = elements.get((tag, ""))
        if element is None or element.is_empty or element.VM != len(wanted):
            continue  # told as missing, or by its number of values
        values = [float(value) for value in element.value]
        if any(abs(value - right) > most for value, right in zip(values, wanted, strict=True)):
            right = ", ".join(f"{number:.6g}" for number in wanted)
            yield tag, f"is {values}, the image's is [{right}]"
