"""Grinders: what ``input_container[name]`` is, made from the input's series."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from derived_series.dicom.source.series import ParentSeries

Grinder: TypeAlias = Callable[[ParentSeries], Any]


class SeriesGrinder:
    """The ParentSeries itself."""

    def __call__(self, series: ParentSeries) -> ParentSeries:
        return series


class NumpyGrinder:
    """Real-world values, float32, (slice, row, column), slices ascending along the normal."""

    def __call__(self, series: ParentSeries) -> Any:
        return series.voxels()


class NiftiGrinder:
    """A nibabel Nifti1Image, (column, row, slice), RAS+ affine in mm."""

    def __call__(self, series: ParentSeries) -> Any:
        return series.to_nifti()
