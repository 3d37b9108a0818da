"""Frames in the parent's space: what highdicom is given in place of source images, and the references of frames."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from derived_series.dicom.blueprints.environment import InstanceEnvironment
from derived_series.dicom.encoding.decimal_string import decimal_string
from derived_series.dicom.encoding.read_errors import reading
from derived_series.dicom.grid import Grid
from derived_series.dicom.modules.derivation import general_reference_blueprint
from derived_series.dicom.objects.single_instance import Draft

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
    found = []
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
        found.append(plane)
    return found


def _thickness(draft: Draft, grid: Grid) -> str:
    """The parent's on its grid, the slice spacing on another; 1 mm for a lone slice that says nothing."""
    with reading("SliceThickness (0018,0050) of the parent"):
        own = float(draft.env.parent.pivot.get("SliceThickness") or 0) if draft.env.on_parent_grid else 0.0
    return decimal_string(own if 0 < own < math.inf else (grid.slice_spacing or 1.0))


def refer(draft: Draft, grid: Grid, made: Dataset) -> None:
    """Give every frame the references to the parent's images that its slice comes from, and UIDs of the build's own.

    What highdicom says of the distance between slices is settled too.
    """
    places = {tuple(_rounded(position)): index for index, position in enumerate(grid.positions)}
    code = draft.value("DerivationCodeSequence")
    items: dict[int, Dataset] = {}
    for frame in made.PerFrameFunctionalGroupsSequence:
        index = places[tuple(_rounded(frame.PlanePositionSequence[0].ImagePositionPatient))]
        if index not in items:
            items[index] = Dataset()
            items[index].SourceImageSequence = sources(draft, index)
            items[index].DerivationCodeSequence = code
        frame.DerivationImageSequence = [items[index]]
    settle_spacing(grid, made)
    uid = draft.env.context.uid("dimension organization")
    for item in (*made.DimensionOrganizationSequence, *made.DimensionIndexSequence):
        item.DimensionOrganizationUID = uid


def settle_spacing(grid: Grid, made: Dataset) -> None:
    """SpacingBetweenSlices as the grid has it: one slice has none, and uneven ones not one for all.

    highdicom says 1 mm where it sees a single slice.
    """
    spacing = grid.slice_spacing if grid.is_regular else None
    for groups in (*made.get("SharedFunctionalGroupsSequence", ()), *made.get("PerFrameFunctionalGroupsSequence", ())):
        for item in groups.get("PixelMeasuresSequence", ()):
            if spacing is not None:
                item.SpacingBetweenSlices = decimal_string(round(spacing, 6))
            elif "SpacingBetweenSlices" in item:
                del item.SpacingBetweenSlices


def sources(draft: Draft, index: int) -> list[Dataset]:
    """References to the parent's images that contribute to a slice."""
    element = general_reference_blueprint["SourceImageSequence"]
    found: list[Dataset] = element.at_instance(InstanceEnvironment(draft.slices, index))
    return found


def _rounded(position: Sequence[float]) -> list[float]:
    return [round(float(value), 4) for value in position]


def structure(made: Dataset, *further: str) -> list[DataElement]:
    """The elements of a highdicom object that follow from its frames."""
    return [made[name] for name in (*_STRUCTURE, *further) if name in made]


def close_table(made: Dataset) -> None:
    """Close the table of frames that a highdicom object keeps in memory, once the object is not asked any more.

    highdicom leaves that to the garbage collector, of which Python warns from 3.13 on; it has no public way.
    """
    table = getattr(made, "_db_con", None)
    if table is not None:
        table.close()
