"""Resampling an image to the parent's grid, slice by slice, at the parent's own positions.

This works for parents with a tilted gantry or uneven gaps, and for images with sheared or oblique axes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from derived_series.dicom.grid import Affine, Grid
from derived_series.dicom.image.overlap import box, box_of_affine, not_overlapping
from derived_series.dicom.image.placement import Placement, over_volumes
from derived_series.dicom.source.parent_series import ParentSeries
from derived_series.errors import PixelError
from derived_series.kinds import sop_class

Interpolation = Literal["Linear", "Nearest"]

#: How far outside the outermost voxels a point still counts as inside, as a part of a voxel: affines are rounded.
_EDGE = 1e-3


@dataclass(frozen=True, slots=True)
class Resampling:
    """How to resample an image on another grid to the parent's.

    :param interpolation: ``"Linear"`` or ``"Nearest"``; None: nearest for bool and segmentations, else linear.
    :param outside: the value outside the image; None: 0, or the image's lowest value for HU in CT.
    """

    interpolation: Interpolation | None = None
    outside: float | None = None

    def interpolation_of(self, dtype: np.dtype[Any], sop_class_uid: str) -> Interpolation:
        """The interpolation for an image of this type in a series of this class."""
        labels = dtype.kind == "b" or sop_class(sop_class_uid).labels
        return self.interpolation or ("Nearest" if labels else "Linear")


def resample(
    image: npt.NDArray[Any], affine_lps: Affine, parent: ParentSeries, sop_class_uid: str, resampling: Resampling
) -> tuple[npt.NDArray[Any], Placement]:
    """Interpolate the image at the parent's positions: (slice, row, column), or (time, ...) as given, with its place.

    A voxel reaches half its size to each side of its centre; between the outermost centres and the edges of their
    voxels the outermost value counts. Linear gives float32 (float64 for types that hold more), nearest keeps the
    image's type. Nothing is smoothed: if the image's voxels are much smaller than the parent's, smooth it first.

    :param image: (slice, row, column) or (time, slice, row, column) of bool, integers or floats.
    :param affine_lps: 4x4, (slice, row, column, 1) -> LPS mm, not singular; its axes may be oblique and sheared.
    :param sop_class_uid: the class of the derived series.
    :raises GeometryError: the parent has no positions, or no pixel inside the image.
    :raises PixelError: the image's type cannot hold the outside value, or the image is in colour.
    """
    from scipy.ndimage import affine_transform

    if image.dtype.kind not in "biuf":
        raise PixelError(
            f"an image of dtype {image.dtype} cannot be resampled", remedy="give one integer or float a pixel"
        )
    grid = parent.require_grid()
    interpolation = resampling.interpolation_of(image.dtype, sop_class_uid)
    nearest = interpolation == "Nearest"
    values = image.view(np.uint8) if image.dtype.kind == "b" else np.asarray(image, dtype=_known_type(image.dtype))
    out = np.empty(image.shape[:-3] + grid.shape, dtype=values.dtype if nearest else _between(values.dtype))
    pairs = [(values, out)] if image.ndim == 3 else list(zip(values, out, strict=True))
    in_hounsfield = image.dtype.kind != "b" and sop_class(sop_class_uid).in_hounsfield
    fill = _outside(values, out.dtype, resampling.outside, in_hounsfield)
    inverse = np.asarray(np.linalg.inv(affine_lps), dtype=np.float64)
    touched = []
    missed = 0
    for index, (matrix, offset) in enumerate(_maps(grid, inverse)):
        within = _within(matrix, offset, grid, image.shape[-3:])
        covered = int(np.count_nonzero(within))
        missed += within.size - covered
        touched.append(covered > 0)
        for volume, resampled in pairs:
            if covered:
                affine_transform(
                    volume, matrix, offset,
                    output=resampled[index : index + 1], output_shape=(1, grid.rows, grid.columns),
                    order=0 if nearest else 1, mode="nearest", prefilter=False,
                )  # fmt: skip
                resampled[index][~within] = fill
            else:
                resampled[index] = fill
    if not any(touched):
        raise not_overlapping(box_of_affine(affine_lps, image.shape[-3:]), box(grid), "the parent series")
    notice = f"resampled to the parent's grid ({interpolation.lower()})"
    if missed:
        notice += (
            f"; {100 * missed / np.prod(grid.shape):.1f} % of its pixels are outside of the image and are {fill:g}"
        )
    reach = float(np.abs(affine_lps[:3, :3].T @ grid.normal).sum()) * (0.5 if nearest else 1.0)
    sources = over_volumes(_sources(grid, touched, reach), parent, len(pairs))
    placement = Placement(grid, True, sources, notice, len(pairs))
    return (out.view(np.bool_) if image.dtype.kind == "b" and nearest else out), placement


def _known_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The nearest type that scipy accepts: native byte order, and no floats of 2 or 16 bytes."""
    if dtype.kind == "f":
        return np.dtype(np.float32 if dtype.itemsize <= 4 else np.float64)
    return dtype.newbyteorder("=")


def _between(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The type of interpolated values."""
    single = dtype == np.float32 or (dtype.kind in "iu" and dtype.itemsize <= 2)
    return np.dtype(np.float32 if single else np.float64)


def _outside(values: npt.NDArray[Any], dtype: np.dtype[Any], fill: float | None, in_hounsfield: bool) -> float:
    if fill is None:
        return _lowest(values) if in_hounsfield else 0.0
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if not float(fill).is_integer() or not limits.min <= fill <= limits.max:
            raise PixelError(
                f"the value outside of the image is to be {fill:g}, which {dtype} cannot hold",
                remedy="give the image in another type, or interpolate linearly",
            )
    return float(fill)


def _lowest(values: npt.NDArray[Any]) -> float:
    """The lowest finite value, 0 if there is none; found slice by slice."""
    if values.dtype.kind != "f":
        return float(values.min())
    lows = [np.min(frame, initial=np.inf, where=np.isfinite(frame)) for frame in values]
    return float(min(lows)) if np.isfinite(min(lows)) else 0.0


def _maps(grid: Grid, inverse: Affine) -> Iterator[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]:
    """For each slice, the (matrix, offset) that map its (0, row, column) to an index of the image."""
    steps = np.zeros((3, 3))
    steps[:, 1] = np.asarray(grid.column_cosines) * grid.pixel_spacing[0]
    steps[:, 2] = np.asarray(grid.row_cosines) * grid.pixel_spacing[1]
    matrix = inverse[:3, :3] @ steps
    for position in grid.positions:
        yield matrix, inverse[:3, :3] @ np.asarray(position) + inverse[:3, 3]


def _within(
    matrix: npt.NDArray[np.float64], offset: npt.NDArray[np.float64], grid: Grid, shape: tuple[int, ...]
) -> npt.NDArray[np.bool_]:
    """The pixels of a slice that are inside the image's voxels, (row, column)."""
    rows, columns = np.arange(grid.rows)[:, None], np.arange(grid.columns)[None, :]
    inside = np.ones((grid.rows, grid.columns), dtype=np.bool_)
    for axis, count in enumerate(shape):
        at = offset[axis] + matrix[axis, 1] * rows + matrix[axis, 2] * columns
        inside &= (at >= -0.5 - _EDGE) & (at <= count - 0.5 + _EDGE)
    return inside


def _sources(grid: Grid, touched: list[bool], reach: float) -> tuple[tuple[int, ...], ...]:
    """For each slice, its own parent slice, then those that the image's voxels there may have values from.

    :param reach: how far away along the normal interpolated voxels may be, in mm. If these were interpolated from the
        parent themselves, they may contain its next slice too.
    """
    distances = grid.distances
    margin = reach + (grid.slice_spacing or 0.0) - 1e-6
    sources = []
    for index, in_image in enumerate(touched):
        near = np.flatnonzero(np.abs(distances - distances[index]) < margin) if in_image else ()
        sources.append((index, *(int(k) for k in near if k != index)))
    return tuple(sources)
