"""Planes in the parent's space that highdicom gets instead of source images, and the results taken from it."""

from __future__ import annotations

import math

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from derived_series.dicom.encoding.decimal_string import decimal_string
from derived_series.dicom.grid import Grid
from derived_series.dicom.objects.single_instance import Draft
from derived_series.dicom.source.instances import telling
from derived_series.dicom.source.thickness import as_thickness, thickness_of

#: The elements of a multi-frame object's structure, without its pixels (PS3.3 C.7.6.16, C.7.6.17).
_STRUCTURE = (
    *("NumberOfFrames", "Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated"),
    *("BitsStored", "HighBit", "PixelRepresentation", "SharedFunctionalGroupsSequence"),
    *("PerFrameFunctionalGroupsSequence", "DimensionOrganizationSequence", "DimensionIndexSequence"),
    *("DimensionOrganizationType", "PixelData", "FloatPixelData", "DoubleFloatPixelData", "PresentationLUTShape"),
)


def planes(draft: Draft, grid: Grid) -> list[Dataset]:
    """Make an image header for each slice, with its place and no patient data, from which highdicom reads the geometry.

    Identity and references of the object come from the draft, not from here.
    """
    thickness = slice_thicknesses(draft, grid)[0]
    items = []
    for index in range(len(grid.positions)):
        plane = Dataset()
        plane.SOPClassUID = draft.env.parent.pivot.SOPClassUID
        plane.SOPInstanceUID = draft.env.context.uid("plane", index)
        plane.StudyInstanceUID = draft.value("StudyInstanceUID")
        plane.SeriesInstanceUID = draft.env.parent.series_instance_uid
        plane.FrameOfReferenceUID = draft.value("FrameOfReferenceUID") or draft.env.context.shared_uid(
            "frame of reference"
        )
        plane.PatientID = plane.PatientName = plane.PatientSex = plane.PatientBirthDate = ""
        plane.StudyID = plane.StudyDate = plane.StudyTime = plane.AccessionNumber = ""
        plane.Modality = "OT"
        plane.InstanceNumber = index + 1
        plane.Rows, plane.Columns = grid.rows, grid.columns
        plane.ImagePositionPatient = [decimal_string(value) for value in grid.positions[index]]
        plane.ImageOrientationPatient = [decimal_string(v) for v in (*grid.row_cosines, *grid.column_cosines)]
        plane.PixelSpacing = [decimal_string(value) for value in grid.pixel_spacing]
        plane.SliceThickness = thickness
        items.append(plane)
    return items


def slice_thicknesses(draft: Draft, grid: Grid) -> tuple[str, ...]:
    """SliceThickness of each slice, in mm; of all slices only once if they have the same.

    It is the blueprint's, else on the parent's grid that of its slice, else the slice spacing, or 1 mm for one slice.
    """
    instead = as_thickness(draft.value("SliceThickness"))
    parents: list[float | None] = [None]
    if instead is None and draft.env.on_parent_grid:
        instances = [draft.env.parent.instances[part[0]] for part in draft.slices.sources]
        parents = [thickness_of(each) for each in telling(instances, draft.env.parent.varying, "SliceThickness")]
    each_slice = tuple(decimal_string(instead or each or grid.slice_spacing or 1.0) for each in parents)
    return each_slice if len(set(each_slice)) > 1 else each_slice[:1]


def settle(draft: Draft, grid: Grid, pattern: Dataset) -> None:
    """Correct distances and dimensions in highdicom's object, and close it: its methods are not used any more."""
    settle_spacing(grid, pattern)
    uid = draft.env.context.uid("dimension organization")
    for item in (*pattern.DimensionOrganizationSequence, *pattern.DimensionIndexSequence):
        item.DimensionOrganizationUID = uid
    close_table(pattern)


def in_order(pattern: Dataset, grid: Grid) -> range:
    """The slices in the order of highdicom's object of the first ones: along the normal or against it."""
    first = pattern.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0].ImagePositionPatient
    count = len(grid.positions)
    off = [math.dist(map(float, first), position) for position in grid.positions[:2]]
    return range(count) if off[0] == min(off) else range(count - 1, -1, -1)


def settle_spacing(grid: Grid, pattern: Dataset) -> None:
    """Set SpacingBetweenSlices by the grid; a single slice has none, and neither have uneven slices.

    highdicom writes 1 mm for a single slice.
    """
    spacing = grid.slice_spacing if grid.is_regular else None
    for groups in (
        *pattern.get("SharedFunctionalGroupsSequence", ()),
        *pattern.get("PerFrameFunctionalGroupsSequence", ()),
    ):
        for item in groups.get("PixelMeasuresSequence", ()):
            if spacing is not None:
                item.SpacingBetweenSlices = decimal_string(round(spacing, 6))
            elif "SpacingBetweenSlices" in item:
                del item.SpacingBetweenSlices


def structure(pattern: Dataset, *further: str) -> list[DataElement]:
    """The elements of highdicom's object that follow from its frames. :param further: keywords of more of them."""
    return [pattern[name] for name in (*_STRUCTURE, *further) if name in pattern]


def close_table(pattern: Dataset) -> None:
    """Close the table of frames that highdicom's object keeps in memory, when its methods are not used any more.

    highdicom has no public way and leaves it to the garbage collector, which Python warns about from 3.13 on.
    """
    table = getattr(pattern, "_db_con", None)
    if table is not None:
        table.close()
