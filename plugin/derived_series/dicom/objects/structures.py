"""Reading segmentations and RT structure sets as labels on the grid of an image series, for pipelines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from derived_series.dicom.encoding.read_errors import reading
from derived_series.dicom.encoding.value_rules import values_of
from derived_series.dicom.grid import FARTHEST_MM, SAME_POSITION_MM, Grid
from derived_series.dicom.image.frame_of_reference import FrameOfReference
from derived_series.dicom.modules.cielab import srgb
from derived_series.dicom.modules.segmentation import Segment
from derived_series.dicom.objects.contours import Mask, Points, mask_of
from derived_series.dicom.objects.stored_segments import StoredSegments
from derived_series.dicom.source.parent_series import ParentSeries
from derived_series.errors import GeometryError, InvalidParent

#: How far a contour may be off a slice and still count as on it, as a part of the distance between slices.
_ON_SLICE = 0.1
_LARGEST_LABEL = (1 << 16) - 1
_ALGORITHMS = ("AUTOMATIC", "SEMIAUTOMATIC", "MANUAL")
_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """The segments or structures of a series, on the grid of another series.

    :param array: uint16, (slice, row, column): the number of the structure, 0 for none. Where several overlap, it is
        the last one's; ``mask`` has each of them complete.
    :param segments: the meanings of the numbers; ``segments(*labels.segments)`` describes a new label map by them.
    :param warnings: structures or contours that were left out or changed.
    """

    array: npt.NDArray[np.uint16]
    segments: tuple[Segment, ...]
    warnings: tuple[str, ...]
    _draw: Callable[[int], Mask]

    def mask(self, structure: int | str) -> Mask:
        """The mask of a structure, (slice, row, column), by its number or its name.

        :raises InvalidParent: there is no such structure; the error lists those that there are.
        """
        for index, segment in enumerate(self.segments):
            if structure in (segment.number, segment.label):
                return self._draw(index)
        names = ", ".join(f"{segment.number} {segment.label}" for segment in self.segments)
        raise InvalidParent(f"there is no structure {structure!r}", remedy=f"there are: {names}")


@reading("the structures")
def labels_on(series: ParentSeries, images: ParentSeries) -> Labels:
    """Read the segments or structures of a series of one instance on the grid of an image series.

    :param series: made by ``ParentSeries.from_objects``.
    :raises InvalidParent: it is another kind of object, or several of them.
    :raises GeometryError: the frames of reference differ, or contours are not on the images' slices.
    """
    source = series.pivot
    if len(series) > 1:
        raise InvalidParent(
            f"the series {series.series_instance_uid} holds {len(series)} segmentations or structure sets",
            remedy="give a series of one",
        )
    if "SegmentSequence" not in source and "StructureSetROISequence" not in source:
        raise InvalidParent(
            f"instance {source.SOPInstanceUID} is neither a segmentation nor an RT structure set",
            remedy="give a series with the Modality SEG or RTSTRUCT",
        )
    grid = images.require_grid()
    frame = FrameOfReference.of(images).uid
    structures = _Segments(source, grid, frame) if "SegmentSequence" in source else _Rois(source, grid, frame)
    numbers, described, warnings = _numbered(structures.segments())
    array = np.zeros(grid.shape, np.uint16)
    covered = []
    for index, number in enumerate(numbers):
        mask = structures.draw(index)
        if (array[mask] != 0).any():
            covered.append(described[index].label)
        array[mask] = number
    if covered:
        warnings.append(
            f"structures overlap: in the label map, {', '.join(covered)} lie over those before them; mask() has each"
        )
    return Labels(array, tuple(described), tuple(dict.fromkeys((*structures.warnings, *warnings))), structures.draw)


def _numbered(segments: Sequence[Segment]) -> tuple[list[int], list[Segment], list[str]]:
    """Give the segments unique numbers from 1 to 65535: their own, or from 1 on if those are not; with warnings."""
    numbers = [segment.number for segment in segments]
    if len(set(numbers)) == len(numbers) and all(0 < number <= _LARGEST_LABEL for number in numbers):
        return numbers, list(segments), []
    again = [replace(segment, number=index) for index, segment in enumerate(segments, 1)]
    return (
        list(range(1, len(again) + 1)),
        again,
        ["structures are numbered from 1 on: their own numbers are not labels"],
    )


def _require_frame(uid: Any, frame: str, what: str) -> None:
    if uid and str(uid) != frame:
        raise GeometryError(
            f"{what} is in the frame of reference {uid}, the images are in {frame}",
            remedy="give the series that it was made on as the parent, or register the two first",
        )


class _Rois:
    """The ROIs of an RT structure set."""

    def __init__(self, source: Dataset, grid: Grid, frame: str):
        self._grid = grid
        self._rois = list(source.StructureSetROISequence)
        drawn, observed = source.get("ROIContourSequence") or (), source.get("RTROIObservationsSequence") or ()
        self._contours = {int(item.ReferencedROINumber): item.get("ContourSequence") or [] for item in drawn}
        self._colors = {int(item.ReferencedROINumber): item.get("ROIDisplayColor") for item in drawn}
        self._types = {int(item.ReferencedROINumber): item.get("RTROIIdentificationCodeSequence") for item in observed}
        for roi in self._rois:
            uid = roi.get("ReferencedFrameOfReferenceUID") or source.get("FrameOfReferenceUID")
            _require_frame(uid, frame, f"the structure {roi.get('ROIName')}")
        self.warnings: list[str] = []

    def segments(self) -> list[Segment]:
        segments = []
        for roi in self._rois:
            number = int(roi.ROINumber)
            color = self._colors.get(number)
            algorithm = str(roi.get("ROIGenerationAlgorithm") or "")
            segments.append(
                Segment(
                    number,
                    str(roi.get("ROIName") or f"ROI {number}"),
                    type=_code(self._types.get(number)),
                    color="#" + "".join(f"{min(max(int(part), 0), 255):02x}" for part in color) if color else None,
                    algorithm=algorithm if algorithm in _ALGORITHMS else "MANUAL",
                )
            )
        return segments

    def draw(self, index: int) -> Mask:
        """The pixels whose centres are inside an odd number of contours on their slice."""
        roi = self._rois[index]
        by_slice: dict[int, list[Points]] = {}
        left_out = repeated = 0
        for contour in self._contours.get(int(roi.ROINumber), ()):
            if str(contour.get("ContourGeometricType")) not in _CLOSED:
                left_out += 1
                continue
            points = _points(contour, str(roi.get("ROIName")))
            where, on_slice = self._placed(points, str(roi.get("ROIName"))) if len(points) else (None, points)
            if where is None:
                continue
            contours = by_slice.setdefault(where, [])
            excludes = str(contour.ContourGeometricType) != "CLOSED_PLANAR"  # CLOSEDPLANAR_XOR, where twice is a hole
            if not excludes and any(np.array_equal(on_slice, other) for other in contours):
                repeated += 1
            else:
                contours.append(on_slice)
        if left_out:
            self.warnings.append(f"{left_out} contours of {roi.get('ROIName')} are not closed: they are left out")
        if repeated:
            self.warnings.append(f"{repeated} contours of {roi.get('ROIName')} are there twice: each counts once")
        mask = np.zeros(self._grid.shape, bool)
        for where, contours in by_slice.items():
            mask[where] = mask_of(contours, mask.shape[1:])
        return mask

    def _placed(self, points: Points, name: str) -> tuple[int | None, Points]:
        """(index of the slice, points as columns and rows); the index is None if there is no such slice."""
        grid = self._grid
        along, distances = points @ grid.normal, grid.distances
        spacing = grid.slice_spacing or 1.0
        where = int(np.abs(distances - along.mean()).argmin())
        if np.ptp(along) > max(_ON_SLICE * spacing, SAME_POSITION_MM):
            raise GeometryError(
                f"the contours of {name} are not on the slices of the images: one reaches over {np.ptp(along):.2f} mm "
                "along their normal",
                remedy="give the series that they were drawn on as the parent",
            )
        off = abs(float(distances[where] - along.mean()))
        if off > spacing / 2:
            self.warnings.append(f"{name} has contours where there is no image: they are left out")
            return None, points
        if off > _ON_SLICE * spacing:
            self.warnings.append(f"{name} has contours {off:.2f} mm off their slice: they are taken to be on it")
        beside = points - np.array(grid.positions[where])
        rows, columns = grid.pixel_spacing
        return where, np.stack([beside @ grid.row_cosines / columns, beside @ grid.column_cosines / rows], axis=1)


def _points(contour: Dataset, name: str) -> Points:
    """ContourData as (point, 3), mm in LPS; none where it is empty. :raises InvalidParent: it is not points."""
    values = values_of(contour["ContourData"]) if "ContourData" in contour else ()
    points = np.array([float(value) for value in values])
    if len(points) % 3 or not np.all(np.abs(points) < FARTHEST_MM):
        raise InvalidParent(
            f"a contour of {name} has a ContourData (3006,0050) of {len(points)} numbers that are not points of x, y "
            "and z in mm",
            remedy="correct the structure set",
        )
    return points.reshape(-1, 3)


def _code(items: Any) -> Code | None:
    if not items or not items[0].get("CodeValue"):
        return None
    item = items[0]
    return Code(str(item.CodeValue), str(item.get("CodingSchemeDesignator", "")), str(item.get("CodeMeaning", "")))


class _Segments:
    """The segments of a segmentation: binary, fractional (at least half the maximum counts), or a label map."""

    def __init__(self, source: Dataset, grid: Grid, frame: str):
        _require_frame(source.get("FrameOfReferenceUID"), frame, "the segmentation")
        self._stored = StoredSegments.of(source)
        self._grid = grid
        self.warnings: list[str] = []

    def segments(self) -> list[Segment]:
        return [_segment(item) for item in self._stored.items]

    def draw(self, index: int) -> Mask:
        """The pixels of the images whose centres are inside voxels of the segment."""
        stored = self._stored
        number = int(stored.items[index].SegmentNumber)
        frames = stored.frames_of(number)
        mask = np.zeros(self._grid.shape, bool)
        if not frames:
            return mask
        normal = stored.normal
        along = stored.positions[frames] @ normal
        reach = (stored.step or self._grid.slice_spacing or 1.0) / 2 * (1 + SAME_POSITION_MM)
        for slice_index, places in enumerate(self._centres()):
            distance = places @ normal
            nearest = np.abs(distance[..., None] - along).argmin(axis=-1)
            for candidate in np.unique(nearest).tolist():
                inside = (nearest == candidate) & (np.abs(distance - along[candidate]) <= reach)
                if inside.any():
                    mask[slice_index] |= inside & self._sampled(frames[candidate], number, places)
        return mask

    def _centres(self) -> Iterator[npt.NDArray[np.float64]]:
        """The centres of the pixels of each slice of the images, (row, column, 3)."""
        grid = self._grid
        down = np.arange(grid.rows)[:, None, None] * grid.pixel_spacing[0] * np.array(grid.column_cosines)
        across = np.arange(grid.columns)[None, :, None] * grid.pixel_spacing[1] * np.array(grid.row_cosines)
        for position in grid.positions:
            yield down + across + np.array(position)

    def _sampled(self, frame: int, number: int, places: npt.NDArray[np.float64]) -> Mask:
        stored = self._stored
        segment = stored.mask(frame, number)
        beside = places - stored.positions[frame]
        column = np.rint(np.round(beside @ stored.row_cosines / stored.pixel_spacing[1], 4)).astype(int)
        row = np.rint(np.round(beside @ stored.column_cosines / stored.pixel_spacing[0], 4)).astype(int)
        there = (row >= 0) & (row < segment.shape[0]) & (column >= 0) & (column < segment.shape[1])
        sampled = np.zeros(there.shape, bool)
        sampled[there] = segment[row[there], column[there]]
        return sampled


def _segment(item: Dataset) -> Segment:
    lab = item.get("RecommendedDisplayCIELabValue")
    algorithm = str(item.get("SegmentAlgorithmType") or "")
    number = int(item.SegmentNumber)
    return Segment(
        number,
        str(item.get("SegmentLabel") or f"Segment {number}"),
        type=_code(item.get("SegmentedPropertyTypeCodeSequence")),
        category=_code(item.get("SegmentedPropertyCategoryCodeSequence")),
        color=srgb([int(value) for value in lab]) if lab and len(lab) == 3 else None,
        algorithm=algorithm if algorithm in _ALGORITHMS else "MANUAL",
        description=str(item.get("SegmentDescription") or "") or None,
    )
