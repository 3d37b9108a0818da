"""Planes through a stack of slices, along its slices, rows and columns, true to scale for any tilt and gaps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import map_coordinates

from derived_series.dicom.grid import Grid

_Vector = npt.NDArray[np.float64]

#: A direction gets the letter of each axis along which its component is at least this.
_ALONG = 0.4
#: The letters of the ends of the patient's axes (PS3.3 C.7.6.1.1.1).
_LETTERS = (("L", "R"), ("P", "A"), ("H", "F"))


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """A plane, seen from the feet, the front or the left, as far as it lies that way.

    :param grey: (row, column), pixels square. :param labels: likewise.
    :param across: unit vector of growing columns, :param down: of growing rows, LPS.
    """

    grey: npt.NDArray[np.uint8]
    labels: npt.NDArray[Any]
    across: _Vector
    down: _Vector

    @property
    def letters(self) -> tuple[str, str, str, str]:
        """The letters at the left, at the right, above and below."""
        return letters(-self.across), letters(self.across), letters(-self.down), letters(self.down)


def letters(direction: _Vector) -> str:
    """A direction in the patient: ``"L"``, or ``"LP"`` if it is oblique, the nearest axis first."""
    order = np.argsort(-np.abs(direction), kind="stable")
    main = [axis for place, axis in enumerate(order) if place == 0 or abs(direction[axis]) >= _ALONG]
    return "".join(_LETTERS[axis][0 if direction[axis] > 0 else 1] for axis in main)


def planes(
    grid: Grid, grey: npt.NDArray[np.uint8], labels: npt.NDArray[Any], centre: tuple[int, int, int], longest: int
) -> list[Plane]:
    """The planes through a voxel: along slices, along rows and along columns; for a single slice only the slice.

    All have the same scale. :param grey: (slice, row, column), :param labels: likewise.
    :param centre: index of the voxel. :param longest: pixels of the longest side of all.
    """
    axes = (np.array(grid.row_cosines), np.array(grid.column_cosines), np.array(grid.normal))
    middle = _place(grid, centre)
    reach = [_reach(grid, axis) for axis in axes]
    step = max(high - low for low, high in reach) / longest
    pairs = [(0, 1), (0, 2), (1, 2)] if len(grid.positions) > 1 else [(0, 1)]
    return [_plane(grid, grey, labels, middle, [(axes[k], reach[k]) for k in pair], step) for pair in pairs]


def _place(grid: Grid, index: tuple[int, int, int]) -> _Vector:
    """The centre of a voxel, LPS mm."""
    down = np.array(grid.column_cosines) * grid.pixel_spacing[0] * index[1]
    return np.array(grid.positions[index[0]]) + down + np.array(grid.row_cosines) * grid.pixel_spacing[1] * index[2]


def _reach(grid: Grid, axis: _Vector) -> tuple[float, float]:
    """The range of the voxels along an axis, in mm from the origin."""
    corners = np.concatenate([grid.corners(k) for k in (0, len(grid.positions) - 1)]) @ axis
    along = np.abs([axis @ grid.normal, axis @ np.array(grid.column_cosines), axis @ np.array(grid.row_cosines)])
    half = float(along @ np.array([grid.slice_spacing or grid.pixel_spacing[0], *grid.pixel_spacing])) / 2
    return float(corners.min()) - half, float(corners.max()) + half


def _plane(
    grid: Grid,
    grey: npt.NDArray[np.uint8],
    labels: npt.NDArray[Any],
    middle: _Vector,
    both: list[tuple[_Vector, tuple[float, float]]],
    step: float,
) -> Plane:
    """Interpolate one plane. :param both: the axes of the plane, and their reach."""
    (across, width), (down, height) = sorted(map(_towards, both), key=lambda pair: _downward(pair[0]))
    columns, rows = (max(round((high - low) / step), 1) for low, high in (width, height))
    right = width[0] + (np.arange(columns) + 0.5) * (width[1] - width[0]) / columns - middle @ across
    below = height[0] + (np.arange(rows) + 0.5) * (height[1] - height[0]) / rows - middle @ down
    points = middle + below[:, None, None] * down + right[None, :, None] * across
    index, inside = _indexes(grid, points)
    values = map_coordinates(grey, index, order=1, mode="nearest", output=np.float32)
    sampled = map_coordinates(labels, index, order=0, mode="nearest")
    shown = np.where(inside, np.clip(np.rint(values), 0, 255), 0).astype(np.uint8)
    return Plane(shown, np.where(inside, sampled, 0).astype(labels.dtype), across, down)


def _towards(pair: tuple[_Vector, tuple[float, float]]) -> tuple[_Vector, tuple[float, float]]:
    """Turn an axis to the left, to the back or to the feet, which is how pictures run to the right and down."""
    axis, (low, high) = pair
    main = int(np.abs(axis).argmax())
    wanted = -1 if main == 2 else 1
    return (axis, (low, high)) if axis[main] * wanted > 0 else (-axis, (-high, -low))


def _downward(axis: _Vector) -> float:
    """A number by which to choose the axis that runs down: feet before back before left."""
    return float(2 * abs(axis[2]) + abs(axis[1]))


def _indexes(grid: Grid, points: _Vector) -> tuple[_Vector, npt.NDArray[np.bool_]]:
    """The fractional (slice, row, column) of points, and whether they are inside a voxel.

    Between two slices a point is on the line through the same pixel of both, so that tilted stacks stay straight.

    :param points: (row, column, 3), LPS mm.
    """
    distances, positions = grid.distances, np.array(grid.positions)
    along = points @ grid.normal
    numbers = np.arange(len(positions), dtype=np.float64)
    slices = np.interp(along, distances, numbers)
    first, last = distances[0], distances[-1]
    before, after = np.minimum(along - first, 0), np.maximum(along - last, 0)
    corner = np.stack([np.interp(along, distances, positions[:, axis]) for axis in range(3)], axis=-1)
    beside = points - corner - (before + after)[..., None] * grid.normal
    rows = beside @ np.array(grid.column_cosines) / grid.pixel_spacing[0]
    columns = beside @ np.array(grid.row_cosines) / grid.pixel_spacing[1]
    half = (grid.slice_spacing or grid.pixel_spacing[0]) / 2
    inside = (np.abs(before) <= half) & (after <= half)
    for place, count in ((rows, grid.rows), (columns, grid.columns)):
        inside &= (place >= -0.5) & (place <= count - 0.5)
    return np.stack([slices, rows, columns]), inside
