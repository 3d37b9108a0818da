"""Reading a stored segmentation (binary, fractional or label map, of any number of segments) as an array of labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.uid import SegmentationStorage

from derived_series.dicom.encoding.read_errors import reading
from derived_series.dicom.grid import Grid
from derived_series.dicom.image.resampling import Resampling, resample
from derived_series.dicom.objects.stored_segments import StoredSegments
from derived_series.dicom.source.parent_series import ParentSeries
from derived_series.errors import InvalidParent


@dataclass(frozen=True, slots=True, eq=False)
class LabelMap:
    """A stored segmentation as labels.

    :param array: (slice, row, column), the segment's number in each voxel, 0 for none.
    :param grid: the array's grid; slices without segments may be missing at both ends.
    :param labels: SegmentLabel by segment number.
    """

    array: npt.NDArray[Any]
    grid: Grid
    labels: Mapping[int, str]

    def on(self, parent: ParentSeries) -> npt.NDArray[Any]:
        """Resample the labels to the voxels of another series, (slice, row, column): the nearest voxel's, 0 outside.

        :raises GeometryError: slices in between are missing, so that they are not evenly spaced.
        """
        nearest = Resampling("Nearest", 0)
        return resample(self.array, self.grid.affine_lps, parent, str(SegmentationStorage), nearest)[0]


@reading("the segmentation")
def label_map(dataset: Dataset) -> LabelMap:
    """Read the labels of one instance, on the planes of its frames; where fractions overlap, the largest one counts.

    :raises InvalidParent: the instance is not a segmentation, or its binary segments share voxels.
    :raises GeometryError: the frames have no place.
    """
    if "SegmentSequence" not in dataset:
        raise InvalidParent(f"instance {dataset.get('SOPInstanceUID')} is not a segmentation")
    stored = StoredSegments.of(dataset)
    planes, numbers = stored.planes()
    shape = (len(planes), int(dataset.Rows), int(dataset.Columns))
    array = np.zeros(shape, np.uint16)
    largest = np.zeros(shape if stored.is_fractional else (0,), np.uint16)
    for frame, (plane, number) in enumerate(zip(numbers, stored.numbers, strict=True)):
        pixels = stored.pixels(frame)
        if stored.is_label_map:
            array[plane] = np.where(pixels == dataset.get("PixelPaddingValue", 0), 0, pixels)
            continue
        mask = stored.mask(frame, number)
        if stored.is_fractional:
            mask &= pixels > largest[plane]
            np.maximum(largest[plane], pixels, out=largest[plane])
        elif array[plane][mask].any():
            raise InvalidParent(
                f"the segmentation {dataset.get('SOPInstanceUID')} is not one array of labels: segments share voxels",
                remedy="take it with StructuresInput, whose mask() has each segment whole",
            )
        array[plane][mask] = number
    grid = Grid(
        row_cosines=_vector(stored.row_cosines),
        column_cosines=_vector(stored.column_cosines),
        pixel_spacing=stored.pixel_spacing,
        positions=tuple(map(_vector, planes)),
        rows=shape[1],
        columns=shape[2],
    )
    labels = {int(item.SegmentNumber): str(item.get("SegmentLabel", "")) for item in stored.items}
    return LabelMap(array, grid, MappingProxyType(labels))


def _vector(values: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    x, y, z = map(float, values)
    return x, y, z
