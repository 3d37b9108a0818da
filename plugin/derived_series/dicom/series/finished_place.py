"""Checking the place of finished datasets: in the parent's frame of reference they must overlap the parent."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np
from pydicom.dataset import Dataset

from derived_series.dicom.encoding.value_rules import values_of
from derived_series.dicom.grid import SAME_ANGLE_RADIANS
from derived_series.dicom.image.frame_of_reference import FrameOfReference
from derived_series.dicom.image.overlap import Points, apart, box, box_of_points, not_overlapping
from derived_series.dicom.series.plane import SAME_PART
from derived_series.dicom.source.multiframe.vectors import distances_from_first
from derived_series.dicom.source.parent_series import ParentSeries

#: Half the thickness assumed for a slice that does not say it, in mm.
_HALF_OF_ONE = 2.5


def require_overlap(datasets: Sequence[Dataset], parent: ParentSeries) -> list[str]:
    """Require that datasets in the parent's frame of reference overlap the parent; others may be anywhere.

    :return: warnings that name structures all of whose contours are beside the parent, if others are not.
    :raises GeometryError: all images are beside the parent, or all contours of a structure set.
    """
    frame = FrameOfReference.of(parent).uid
    if parent.grid is None or not frame:
        return []
    series = box(parent.grid)
    planes = [
        plane for dataset in datasets if dataset.get("FrameOfReferenceUID") == frame for plane in _planes(dataset)
    ]
    if planes and apart(np.concatenate(planes), series):
        raise not_overlapping(np.concatenate(planes), series, "the parent series")
    structures = [structure for dataset in datasets for structure in _structures(dataset, frame)]
    boxes = [(name, box_of_points(points, parent.grid)) for name, points in structures]
    beside = [(name, corners) for name, corners in boxes if apart(corners, series)]
    if boxes and len(beside) == len(boxes):
        name, nearest = min(beside, key=lambda structure: apart(structure[1], series))
        raise not_overlapping(nearest, series, "the parent series", f"the nearest structure, {name},")
    return [f"all contours of the structure {name} lie beside the parent series" for name, _ in beside]


def doubtful_places(
    datasets: Sequence[Dataset], parent: ParentSeries, inputs: Collection[ParentSeries] = ()
) -> list[str]:
    """Warn of images in a frame of reference that no input has, or with another pixel size than the parent's.

    :param inputs: the other series whose coordinates an image may have.
    """
    warnings: dict[str, None] = {}
    parents = FrameOfReference.of(parent).uid
    known = {str(each.pivot.get("FrameOfReferenceUID")) for each in inputs} | {parents}
    for dataset in datasets:
        uid = str(dataset.get("FrameOfReferenceUID") or "")
        if "Rows" in dataset and uid and parent.pivot.get("FrameOfReferenceUID") and uid not in known:
            text = f"FrameOfReferenceUID (0020,0052) is {uid}, the parent's is {parents}"
            warnings[f"{text}: viewers do not show the two in one place"] = None
        if uid == parents:
            warnings |= dict.fromkeys(_other_pixels(dataset, parent))
    return list(warnings)


def _other_pixels(dataset: Dataset, parent: ParentSeries) -> Iterator[str]:
    """Warn if a dataset has the parent's rows, columns and directions, but another pixel size."""
    grid = parent.grid
    if grid is None or (dataset.get("Rows"), dataset.get("Columns")) != (grid.rows, grid.columns):
        return
    shared = _group(dataset.get("SharedFunctionalGroupsSequence"))
    frame = _group(dataset.get("PerFrameFunctionalGroupsSequence"))
    orientation = _macro("PlaneOrientationSequence", dataset, frame, shared).get("ImageOrientationPatient")
    spacing = _macro("PixelMeasuresSequence", dataset, frame, shared).get("PixelSpacing")
    try:
        cosines, sizes = ([float(value) for value in values] for values in (orientation, spacing))
        off = np.subtract(cosines, (*grid.row_cosines, *grid.column_cosines))
        other = np.abs(np.subtract(sizes, grid.pixel_spacing)).max() > SAME_PART * min(grid.pixel_spacing)
    except (TypeError, ValueError):  # the gate tells what is wrong with it
        return
    if other and np.abs(off).max() < SAME_ANGLE_RADIANS:
        parents = ", ".join(f"{number:.6g}" for number in grid.pixel_spacing)
        yield f"PixelSpacing (0028,0030) is {sizes}, the parent's, of as many rows and columns, is [{parents}]"


def _structures(dataset: Dataset, frame: str) -> Iterator[tuple[str, Points]]:
    """The name and the points, (n, 3), of each structure that has contours in a frame of reference."""
    drawn = {item.get("ReferencedROINumber"): item for item in dataset.get("ROIContourSequence") or ()}
    for roi in dataset.get("StructureSetROISequence") or ():
        uid = roi.get("ReferencedFrameOfReferenceUID") or dataset.get("FrameOfReferenceUID")
        contours = drawn.get(roi.get("ROINumber"), Dataset()).get("ContourSequence") or ()
        points = [_points(contour) for contour in contours]
        if uid == frame and sum(len(each) for each in points):
            yield str(roi.get("ROIName") or roi.get("ROINumber")), np.concatenate(points)


def _points(contour: Dataset) -> Points:
    """The points of a contour, (n, 3), LPS mm; empty if validation will refuse them."""
    try:
        return np.array([float(value) for value in contour.get("ContourData") or ()]).reshape(-1, 3)
    except (TypeError, ValueError):
        return np.empty((0, 3))


def _planes(dataset: Dataset) -> Iterator[Points]:
    """The outer corners, (8, 3), LPS mm, of the voxels of each frame that says where it is."""
    shared = _group(dataset.get("SharedFunctionalGroupsSequence"))
    for frame in dataset.get("PerFrameFunctionalGroupsSequence") or [Dataset()]:
        try:
            yield from _plane(dataset, frame, shared)
        except (AttributeError, IndexError, TypeError, ValueError):  # the gate tells what is wrong with it
            continue


def _plane(dataset: Dataset, frame: Dataset, shared: Dataset) -> Iterator[Points]:
    position = _macro("PlanePositionSequence", dataset, frame, shared).get("ImagePositionPatient")
    orientation = _macro("PlaneOrientationSequence", dataset, frame, shared).get("ImageOrientationPatient")
    measures = _macro("PixelMeasuresSequence", dataset, frame, shared)
    if not position or not orientation or not measures.get("PixelSpacing"):
        return
    cosines = np.array([float(value) for value in orientation]).reshape(2, 3)
    rows, columns = (float(value) for value in measures.PixelSpacing)
    across, down = cosines[0] * columns, cosines[1] * rows
    normal = np.cross(*cosines)
    half = normal * (float(measures.get("SliceThickness") or 0) / 2 or _HALF_OF_ONE)
    first = np.array([float(value) for value in position]) - across / 2 - down / 2
    width, height = across * int(dataset.Columns), down * int(dataset.Rows)
    corners = np.stack([first, first + height, first + width, first + width + height])
    vector = values_of(dataset["GridFrameOffsetVector"]) if "GridFrameOffsetVector" in dataset else ()
    offsets = [float(offset) for offset in vector or [0]]
    for distance in distances_from_first(offsets, position, orientation):
        there = corners + normal * distance
        yield np.concatenate([there - half, there + half])


def _macro(name: str, dataset: Dataset, frame: Dataset, shared: Dataset) -> Dataset:
    """A functional group of a frame; the dataset itself if it has no frames."""
    if "PerFrameFunctionalGroupsSequence" not in dataset:
        return dataset
    return _group(frame.get(name) or shared.get(name))


def _group(sequence: Sequence[Dataset] | None) -> Dataset:
    return sequence[0] if sequence else Dataset()
