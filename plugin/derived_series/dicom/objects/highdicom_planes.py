"""Planes in the parent's space: what highdicom is given in place of source images, and what is taken from it."""

from __future__ import annotations

import math

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from derived_series.dicom.encoding.decimal_string import decimal_string
from derived_series.dicom.grid import Grid
from derived_series.dicom.objects.single_instance import Draft
from derived_series.dicom.source.thickness import as_thickness, thickness_of

#: What a multi-frame object is made of, apart from its pixels (PS3.3 C.7.6.16, C.7.6.17).
_STRUCTURE = (
    *("NumberOfFrames", "Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated"),
    *("BitsStored", "HighBit", "PixelRepresentation", "SharedFunctionalGroupsSequence"),
    *("PerFrameFunctionalGroupsSequence", "DimensionOrganizationSequence", "DimensionIndexSequence"),
    *("DimensionOrganizationType", "PixelData", "FloatPixelData", "DoubleFloatPixelData", "PresentationLUTShape"),
)


def planes(draft: Draft, grid: Grid) -> list[Dataset]:
    """One image header a slice, with its place and nothing of the patient: the geometry that highdicom reads.

    Identity and references are the draft's, and are not taken from here.
    """
    thickness = _thickness(draft, grid)
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


def _thickness(draft: Draft, grid: Grid) -> str:
    """The blueprint's; else the parent's on its grid, the slice spacing on another; 1 mm for a lone slice."""
    parents = thickness_of(draft.env.parent.pivot) if draft.env.on_parent_grid else None
    return decimal_string(as_thickness(draft.value("SliceThickness")) or parents or grid.slice_spacing or 1.0)


def settle(draft: Draft, grid: Grid, pattern: Dataset) -> None:
    """What highdicom's object says of distances and dimensions is the build's own; it is not asked any more."""
    settle_spacing(grid, pattern)
    uid = draft.env.context.uid("dimension organization")
    for item in (*pattern.DimensionOrganizationSequence, *pattern.DimensionIndexSequence):
        item.DimensionOrganizationUID = uid
    close_table(pattern)


def in_order(pattern: Dataset, grid: Grid) -> range:
    """The slices as highdicom's object of the first ones has them: along the normal or against it."""
    first = pattern.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0].ImagePositionPatient
    count = len(grid.positions)
    off = [math.dist(map(float, first), position) for position in grid.positions[:2]]
    return range(count) if off[0] == min(off) else range(count - 1, -1, -1)


def settle_spacing(grid: Grid, pattern: Dataset) -> None:
    """SpacingBetweenSlices as the grid has it: one slice has none, and uneven ones not one for all.

    highdicom says 1 mm where it sees a single slice.
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
    """The elements of a highdicom object that follow from its frames."""
    return [pattern[name] for name in (*_STRUCTURE, *further) if name in pattern]


def close_table(pattern: Dataset) -> None:
    """Close the table of frames that a highdicom object keeps in memory, once the object is not asked any more.

    highdicom leaves that to the garbage collector, of which Python warns from 3.13 on; it has no public way.
    """
    table = getattr(pattern, "_db_con", None)
    if table is not None:
        table.close()
