"""A stored segmentation as an array of labels: binary, fractional and label map ones, of any number of segments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.uid import SegmentationStorage

from derived_series.dicom.grid import Grid
from derived_series.dicom.image.resampling import Resampling, resample
from derived_series.dicom.source.series import ParentSeries
from derived_series.errors import InvalidParent

LABEL_MAP_STORAGE = "1.2.840.10008.5.1.4.1.1.66.7"

#: From this probability or part of a voxel on, a fractional segment has it.
_HALF = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class LabelMap:
    """
    :param array: (slice, row, column), the segment's number in each voxel, 0 for none.
    :param grid: where it is; slices without any segment may be missing at both ends.
    :param labels: SegmentLabel by segment number.
    """

    array: npt.NDArray[Any]
    grid: Grid
    labels: Mapping[int, str]

    def on(self, parent: ParentSeries) -> npt.NDArray[Any]:
        """The labels at the voxels of another series, (slice, row, column): of the nearest voxel, 0 outside."""
        how = Resampling("Nearest", 0)
        return resample(self.array, self.grid.affine_lps, parent, str(SegmentationStorage), how)[0]


def label_map(dataset: Dataset) -> LabelMap:
    """The labels of one instance.

    :raises InvalidParent: no segmentation, or one whose segments share voxels. :raises GeometryError: see ``Grid``.
    """
    from highdicom.seg import Segmentation

    if dataset.get("SOPClassUID") not in (SegmentationStorage, LABEL_MAP_STORAGE):
        raise InvalidParent(f"instance {dataset.get('SOPInstanceUID')} is not a segmentation")
    try:
        stored = Segmentation.from_dataset(dataset, copy=True)
        fractional = dataset.SegmentationType == "FRACTIONAL"
        volume = stored.get_volume(combine_segments=not fractional)
    except (AttributeError, ValueError, RuntimeError, TypeError, IndexError) as error:
        raise InvalidParent(
            f"the segmentation {dataset.get('SOPInstanceUID')} is not one array of labels: {error}",
            remedy="give a segmentation on evenly spaced slices whose segments do not overlap",
        ) from error
    items = {int(item.SegmentNumber): item for item in dataset.SegmentSequence if int(item.SegmentNumber)}
    array, numbers = volume.array, list(items)
    if fractional:  # (slice, row, column, segment)
        parts = array.reshape(*array.shape[:3], -1)
        chosen = np.array(numbers, dtype=np.uint16)[np.argmax(parts, axis=-1)]
        array = np.where(parts.max(axis=-1) >= _HALF, chosen, 0).astype(np.uint16)
    affine = np.array(volume.affine, dtype=np.float64)
    if np.linalg.det(affine[:3, :3]) > 0:  # (slice, row, column) of an ascending stack is left-handed
        array, affine = np.flip(array, axis=0), _flipped(affine, array.shape[0])
    labels = {number: str(item.get("SegmentLabel", "")) for number, item in items.items()}
    return LabelMap(array, Grid.from_affine(affine, array.shape), MappingProxyType(labels))


def _flipped(affine: npt.NDArray[np.float64], slices: int) -> npt.NDArray[np.float64]:
    flipped = affine.copy()
    flipped[:3, 3] += affine[:3, 0] * (slices - 1)
    flipped[:3, 0] *= -1
    return flipped
