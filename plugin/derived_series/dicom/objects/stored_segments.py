"""The frames of a stored segmentation (PS3.3 C.8.20) of any kind: where each is, and which segments it shows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from derived_series.dicom.grid import SAME_POSITION_MM
from derived_series.dicom.objects.contours import Mask
from derived_series.dicom.source.multiframe.functional_groups import frame_groups, shared_group
from derived_series.dicom.source.pixels import decoded_frame
from derived_series.errors import GeometryError


@dataclass(frozen=True, slots=True, eq=False)
class StoredSegments:
    """A stored segmentation, read frame by frame.

    :param items: items of SegmentSequence, without the background of a label map.
    :param numbers: the segment of each frame; 0 if a frame has all of them.
    :param positions: ImagePositionPatient of each frame, (frame, 3).
    :param step: mm between neighbouring planes; 0 if unknown.
    :param maximum: the stored value of a fraction or probability of 1.
    """

    source: Dataset
    items: tuple[Dataset, ...]
    numbers: tuple[int, ...]
    positions: npt.NDArray[np.float64]
    row_cosines: npt.NDArray[np.float64]
    column_cosines: npt.NDArray[np.float64]
    pixel_spacing: tuple[float, float]
    step: float
    is_label_map: bool
    is_fractional: bool
    maximum: float
    _last: dict[int, npt.NDArray[Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, source: Dataset) -> StoredSegments:
        """Read a segmentation. :raises GeometryError: it does not say where its frames are."""
        is_label_map = str(source.get("SegmentationType")) == "LABELMAP"
        count = int(source.get("NumberOfFrames") or 1)
        shared = shared_group(source)
        groups = frame_groups(source, count) if "PerFrameFunctionalGroupsSequence" in source else [Dataset()] * count
        places = [_of(group, shared, "PlanePositionSequence", "ImagePositionPatient") for group in groups]
        orientation = _of(groups[0], shared, "PlaneOrientationSequence", "ImageOrientationPatient")
        spacing = _of(groups[0], shared, "PixelMeasuresSequence", "PixelSpacing")
        if not all(places) or not orientation or not spacing:
            raise GeometryError("the segmentation does not say where its frames are")
        row_cosines, column_cosines = np.split(np.array(orientation, np.float64), 2)
        positions = np.array(places, np.float64)
        apart = _of(groups[0], shared, "PixelMeasuresSequence", "SpacingBetweenSlices")
        apart = apart or _of(groups[0], shared, "PixelMeasuresSequence", "SliceThickness")
        gaps = np.diff(np.unique(np.round(positions @ np.cross(row_cosines, column_cosines), 3)))
        segment = ("SegmentIdentificationSequence", "ReferencedSegmentNumber")
        return cls(
            source=source,
            items=tuple(item for item in source.SegmentSequence if int(item.SegmentNumber) or not is_label_map),
            numbers=tuple(int(_of(group, shared, *segment) or 0) * (not is_label_map) for group in groups),
            positions=positions,
            row_cosines=row_cosines,
            column_cosines=column_cosines,
            pixel_spacing=(float(spacing[0]), float(spacing[1])),
            step=abs(float(apart or 0)) or (float(gaps.min()) if gaps.size else 0.0),
            is_label_map=is_label_map,
            is_fractional=str(source.get("SegmentationType")) == "FRACTIONAL",
            maximum=float(source.get("MaximumFractionalValue") or 1),
        )

    @property
    def normal(self) -> npt.NDArray[np.float64]:
        return np.cross(self.row_cosines, self.column_cosines)

    def frames_of(self, number: int) -> list[int]:
        """The frames that may show a segment."""
        return [frame for frame, of in enumerate(self.numbers) if self.is_label_map or of == number]

    def pixels(self, frame: int) -> npt.NDArray[Any]:
        """The stored values of a frame, (row, column); the last one is cached."""
        if frame not in self._last:
            self._last.clear()
            self._last[frame] = decoded_frame(self.source, frame)
        return self._last[frame]

    def mask(self, frame: int, number: int) -> Mask:
        """Where a frame shows a segment; a fractional one, where it has at least half the maximum."""
        pixels = self.pixels(frame)
        shown: Mask = pixels == number if self.is_label_map else 2 * pixels.astype(np.int64) >= self.maximum
        return shown

    def shown_in(self, frame: int) -> list[int]:
        """The numbers of the segments that a frame may show; in a label map, that it does show; without background."""
        if not self.is_label_map:
            return [self.numbers[frame]]
        return [int(number) for number in np.unique(self.pixels(frame)) if number != 0]

    def planes(self) -> tuple[npt.NDArray[np.float64], tuple[int, ...]]:
        """The planes of the frames, ascending along the normal, and the index of each frame's plane.

        Planes between them without a frame, because no segment is there, are filled in.

        :return: ImagePositionPatient of each plane, (plane, 3).
        """
        along = self.positions @ self.normal
        order = np.argsort(along, kind="stable")
        first, last = self.positions[order[0]], self.positions[order[-1]]
        reach = float(along[order[-1]] - along[order[0]])
        gaps = np.diff(along[order])
        gaps = gaps[gaps > SAME_POSITION_MM]
        for step in (self.step, float(gaps.min()) if gaps.size else 0.0):
            steps = round(reach / step) if step else 0
            numbers = (
                np.rint((along - along[order[0]]) / reach * steps).astype(int) if steps else np.zeros(len(along), int)
            )
            planes = first + np.outer(np.arange(steps + 1) / max(steps, 1), last - first)
            if np.abs(planes[numbers] - self.positions).max() <= max(SAME_POSITION_MM, 0.01 * step):
                return planes, tuple(numbers.tolist())
        uneven = np.concatenate([[0], np.cumsum(np.diff(along[order]) > SAME_POSITION_MM)])
        numbers = np.empty(len(along), int)
        numbers[order] = uneven
        begins = [int(order[int(np.argmax(uneven == number))]) for number in range(int(uneven[-1]) + 1)]
        return self.positions[begins], tuple(numbers.tolist())


def _of(group: Dataset, shared: Dataset, sequence: str, keyword: str) -> Any:
    """An attribute of a functional group, of the frame or shared; None if it is missing."""
    for item in (*(group.get(sequence) or ()), *(shared.get(sequence) or ())):
        if item.get(keyword) is not None:
            return item.get(keyword)
    return None
