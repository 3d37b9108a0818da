"""Grinders: they make ``input_container[name]`` from the input's series."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeAlias

from derived_series.dicom.objects.stored_label_map import LabelMap, label_map
from derived_series.dicom.source.parent_series import ParentSeries
from derived_series.errors import InvalidParent

Grinder: TypeAlias = Callable[[ParentSeries], Any]


class SeriesGrinder:
    """Gives the ParentSeries itself."""

    def __call__(self, series: ParentSeries) -> ParentSeries:
        return series


class NumpyGrinder:
    """Gives real-world values, float32, (slice, row, column), slices ascending along the normal."""

    def __call__(self, series: ParentSeries) -> Any:
        return series.voxels()


class NiftiGrinder:
    """Gives a nibabel Nifti1Image, (column, row, slice), RAS+ affine in mm."""

    def __call__(self, series: ParentSeries) -> Any:
        return series.to_nifti()


class SitkGrinder:
    """Gives a SimpleITK image, float32, LPS mm; SimpleITK must be installed."""

    def __call__(self, series: ParentSeries) -> Any:
        return series.to_sitk()


class SegmentationGrinder:
    """Gives the LabelMap of a segmentation: binary, fractional or label map, of any number of segments.

    :cvar objects: such an input is read as the stored objects, not as slices.
    """

    objects: ClassVar[bool] = True

    def __call__(self, series: ParentSeries) -> LabelMap:
        if len(series) != 1:
            raise InvalidParent(
                f"the series {series.series_instance_uid} holds {len(series)} segmentations",
                remedy="give a series of one segmentation",
            )
        return label_map(series.pivot)
