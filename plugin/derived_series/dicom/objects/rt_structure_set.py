"""RT Structure Set (PS3.3 A.19): the labels of a label map as closed contours on the parent's slices."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import ImplicitVRLittleEndian
from scipy import ndimage

from derived_series.dicom.encoding.decimal_string import decimal_string
from derived_series.dicom.grid import Grid
from derived_series.dicom.image.placement import Placement
from derived_series.dicom.image.stored_pixels import encode_pixels
from derived_series.dicom.modules.cielab import PALETTE, srgb
from derived_series.dicom.modules.references import references, whole_references
from derived_series.dicom.modules.segmentation import Segment
from derived_series.dicom.objects.contours import Points, contours_of
from derived_series.dicom.objects.labels import HOW_DESCRIBED, label_map, one_by_one
from derived_series.dicom.objects.plane_elements import with_place
from derived_series.dicom.objects.single_instance import IMAGE_ONLY, Draft, draft_of, finished, require_grid
from derived_series.dicom.series.finished import FinishedSeries
from derived_series.dicom.series.header import SeriesHeader
from derived_series.errors import Advice, Choice, GeometryError, HeaderError, Missing
from derived_series.kinds.kind import PixelRules

#: Elements about the derivation of an image, which in a structure set are in General Reference.
_REFERENCES = frozenset(
    int(Tag(name))
    for name in ("DerivationDescription", "DerivationCodeSequence", "SourceImageSequence", "ReferencedSeriesSequence")
)
_NOT_HERE = IMAGE_ONLY - _REFERENCES
#: The class of a study in references of structure sets (PS3.3 C.8.8.5).
_STUDY = "1.2.840.10008.3.1.2.3.1"
#: The rounding of coordinates, as a part of a pixel.
_ROUNDED_PIXELS = 1e-3
#: The most bytes in an element with a 2-byte length (PS3.5 7.1.2).
_LONGEST_BYTES = 0xFFFE


def build(header: SeriesHeader, image: Any, placement: Placement, nan: float | None) -> FinishedSeries:
    """Build the structure set.

    :param image: labels, (slice, row, column): 0 is not a structure, n the one of that number; bool is structure 1.
    :raises PixelError: values are not labels. :raises GeometryError: the image is not on the parent's slices.
    :raises HeaderError: a structure is described without its number.
    """
    grid = require_grid(placement, "a structure set")
    if not placement.on_parent_grid:
        raise GeometryError(
            "contours lie on the parent's slices, but the image is on another grid",
            remedy="give an image on the parent's grid, or have it resampled to that",
            advice=Advice(Choice.PARENT_GRID),
        )
    labels = label_map(image)
    draft = draft_of(header, encode_pixels(labels[:1, :1, :1] > 0, PixelRules()), placement, _NOT_HERE)
    draft = with_place(draft, grid)
    contours = contours_by_label(labels)
    segments, warnings = _described(draft.value("SegmentSequence") or [], contours)
    types = {int(item.get("ReferencedROINumber") or 0): item for item in draft.value("RTROIObservationsSequence") or []}
    unknown = sorted(types.keys() - segments.keys())
    if unknown:
        warnings.append(f"RTROIObservationsSequence names ROIs that there are not: {', '.join(map(str, unknown))}")
    frame_of_reference = draft.value("FrameOfReferenceUID")
    structure = Dataset()
    structure.ReferencedFrameOfReferenceSequence = [_frame_of_reference(draft, str(frame_of_reference))]
    structure.StructureSetROISequence = [
        _roi(number, item, str(frame_of_reference)) for number, item in segments.items()
    ]
    writer = _Contours(draft, grid)
    structure.ROIContourSequence = [
        writer.of_roi(number, item, contours.get(number, ()), index)
        for index, (number, item) in enumerate(segments.items())
    ]
    structure.RTROIObservationsSequence = [_observation(number, item, types) for number, item in segments.items()]
    elements = {key: element for key, element in draft.elements.items() if key[0] != Tag("SegmentSequence")}
    series = finished(replace(draft, elements=elements), list(structure), warnings)
    if writer.longest > _LONGEST_BYTES:  # Explicit VR has no room for so long a DS (PS3.3 C.8.8.6, note)
        series.datasets[0].file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    return series


def contours_by_label(labels: npt.NDArray[Any]) -> dict[int, list[tuple[int, Points]]]:
    """The contours of each label in the map, as (slice, contour)."""
    by_label: dict[int, list[tuple[int, Points]]] = {}
    for index, plane in enumerate(labels):
        boxes = ndimage.find_objects(plane.astype(np.int32))
        for label in map(int, np.flatnonzero(np.bincount(plane.ravel()))):
            if label:
                box = boxes[label - 1]
                drawn = contours_of(plane[box] == label)
                corner = (box[1].start, box[0].start)
                by_label.setdefault(label, []).extend((index, points + corner) for points in drawn)
    return by_label


def _described(items: Sequence[Dataset], there: Mapping[int, object]) -> tuple[dict[int, Dataset], list[str]]:
    """Describe structures: (items by number, warnings).

    :param items: items of SegmentSequence. :param there: the labels in the image.
    """
    without = [index for index, item in enumerate(items, 1) if not item.get("SegmentNumber")]
    if without:
        missing = Missing(0x00620004, "SegmentNumber", "the label that the item describes")
        raise HeaderError([missing], where=f"item {without[0]} of SegmentSequence")
    known = {int(item.SegmentNumber): item for item in items}
    empty = [f"structure {n} ({known[n].get('SegmentLabel', '')}) has no voxel" for n in sorted(known.keys() - there)]
    unknown = sorted(there.keys() - known.keys())
    known |= {label: Segment(label, f"Segment {label}").item() for label in unknown}
    warnings = one_by_one(empty, "more structures have no voxel") + one_by_one(
        [f"label {label} is not described: it is called 'Segment {label}' ({HOW_DESCRIBED})" for label in unknown],
        "more labels are not described",
    )
    if not known:
        known[1] = Segment(1, "Segment 1").item()
        warnings.append("the label map is empty, and no structure is described")
    return dict(sorted(known.items())), warnings


def _frame_of_reference(draft: Draft, uid: str) -> Dataset:
    """The item of ReferencedFrameOfReferenceSequence, with all images of the parent."""
    parent = draft.env.parent
    series = Dataset()
    series.SeriesInstanceUID = parent.series_instance_uid
    series.ContourImageSequence = [to.item() for to in whole_references(parent.instances)]
    study = Dataset()
    study.ReferencedSOPClassUID = _STUDY
    study.ReferencedSOPInstanceUID = parent.study_instance_uid
    study.RTReferencedSeriesSequence = [series]
    item = Dataset()
    item.FrameOfReferenceUID = uid
    item.RTReferencedStudySequence = [study]
    return item


def _roi(number: int, segment: Dataset, frame_of_reference: str) -> Dataset:
    """The item of StructureSetROISequence."""
    item = Dataset()
    item.ROINumber = number
    item.ReferencedFrameOfReferenceUID = frame_of_reference
    item.ROIName = segment.get("SegmentLabel") or f"Segment {number}"
    if segment.get("SegmentDescription"):
        item.ROIDescription = segment.SegmentDescription
    item.ROIGenerationAlgorithm = segment.get("SegmentAlgorithmType") or ""
    if segment.get("SegmentAlgorithmName"):
        item.ROIGenerationDescription = segment.SegmentAlgorithmName
    return item


def _observation(number: int, segment: Dataset, observations: Mapping[int, Dataset]) -> Dataset:
    """The item of RTROIObservationsSequence. :param observations: the blueprint's items, by ROI number."""
    item = Dataset()
    item.ObservationNumber = number
    item.ReferencedROINumber = number
    if segment.get("SegmentedPropertyTypeCodeSequence"):
        item.RTROIIdentificationCodeSequence = segment.SegmentedPropertyTypeCodeSequence
    item.RTROIInterpretedType = ""
    item.ROIInterpreter = ""
    if number in observations:
        item.update(observations[number])
    return item


class _Contours:
    """Writes the contours of structures. :ivar longest: the length of the longest ContourData so far, in bytes."""

    def __init__(self, draft: Draft, grid: Grid):
        self._grid = grid
        self._pixel_planes = _pixel_planes(grid)
        self._images = [
            [to.item() for to in references([draft.env.parent.instances[source] for source in sources[:1]])]
            for sources in draft.slices.sources
        ]
        self._decimals = max(0, math.ceil(-math.log10(_ROUNDED_PIXELS * min(grid.pixel_spacing))))
        self.longest = 0

    def of_roi(self, number: int, segment: Dataset, contours: Sequence[tuple[int, Points]], index: int) -> Dataset:
        """The item of ROIContourSequence. :param index: chooses a colour for a structure that has none."""
        item = Dataset()
        item.ReferencedROINumber = number
        lab = segment.get("RecommendedDisplayCIELabValue")
        color = srgb([int(value) for value in lab]) if lab else PALETTE[index % len(PALETTE)]
        item.ROIDisplayColor = [int(color[k : k + 2], 16) for k in (1, 3, 5)]
        if self._pixel_planes is not None:
            item.SourcePixelPlanesCharacteristicsSequence = [self._pixel_planes]
        if contours:
            item.ContourSequence = [self._contour(k, *contour) for k, contour in enumerate(contours, 1)]
        return item

    def _contour(self, number: int, index: int, points: Points) -> Dataset:
        grid = self._grid
        across, down = np.array(grid.row_cosines), np.array(grid.column_cosines)
        rows, columns = grid.pixel_spacing
        places = np.array(grid.positions[index]) + points[:, :1] * columns * across + points[:, 1:] * rows * down
        texts = [f"{value + 0.0:.{self._decimals}f}" for value in places.ravel().tolist()]
        self.longest = max(self.longest, sum(map(len, texts)) + len(texts))
        item = Dataset()
        item.ContourNumber = number
        item.ContourImageSequence = self._images[index]
        item.ContourGeometricType = "CLOSED_PLANAR"
        item.NumberOfContourPoints = len(points)
        # as text: pydicom is slow to convert it to numbers and back
        item.add(DataElement(Tag("ContourData"), "DS", texts, already_converted=True))
        return item


def _pixel_planes(grid: Grid) -> Dataset | None:
    """The item of SourcePixelPlanesCharacteristicsSequence; None if the planes are not evenly spaced."""
    if not grid.is_regular or grid.slice_spacing is None:
        return None
    item = Dataset()
    item.PixelSpacing = [decimal_string(value) for value in grid.pixel_spacing]
    item.SpacingBetweenSlices = decimal_string(round(grid.slice_spacing, 6))
    item.ImageOrientationPatient = [decimal_string(value) for value in (*grid.row_cosines, *grid.column_cosines)]
    item.ImagePositionPatient = [decimal_string(value) for value in grid.positions[0]]
    item.NumberOfFrames = len(grid.positions)
    item.Rows, item.Columns = grid.rows, grid.columns
    return item
