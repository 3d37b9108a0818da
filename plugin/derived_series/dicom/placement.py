"""Where the slices of an image are, and which instances of the parent they come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from derived_series.dicom.geometry import SAME_ANGLE, Grid
from derived_series.dicom.parent import ParentSeries

#: A voxel may be this many mm, or this part of the smallest voxel size, off and still be the parent's voxel.
SNAP_MM, SNAP_PART = 1e-3, 0.01


@dataclass(frozen=True, slots=True, eq=False)
class PlacedImage:
    """An image with a grid: what a pipeline gives when its result is not on the parent's grid.

    :param array: (slice, row, column), slices ascending along the grid's normal.
    :param grid: its own grid, such as ``parent.grid.subset([3, 4, 5])`` or ``Grid.from_affine(affine_lps, shape)``.
    """

    array: npt.NDArray[Any]
    grid: Grid


@dataclass(frozen=True, slots=True)
class Placement:
    """
    :param sources: for each slice, the indexes of the parent's instances that contribute to it; on the parent's grid
        the one at the slice's own position comes first.
    :param resampled: how the image was brought to the parent's grid; empty for an image that was not.
    """

    grid: Grid | None
    on_parent_grid: bool
    sources: tuple[tuple[int, ...], ...]
    resampled: str = ""


def on_parent(parent: ParentSeries) -> Placement:
    """The parent's own grid: slice k comes from instance k alone."""
    return Placement(parent.grid, True, tuple((k,) for k in range(len(parent))))


def without_geometry(parent: ParentSeries, count: int) -> Placement:
    """An image that is nowhere: every instance of the parent contributes."""
    return Placement(None, False, (tuple(range(len(parent))),) * count)


def place(grid: Grid, parent: ParentSeries) -> Placement:
    """On the parent's planes when each slice is one of them, else on a grid of its own."""
    if parent.grid is None:
        return Placement(grid, False, (tuple(range(len(parent))),) * len(grid.positions))
    matched = _same_planes(grid, parent.grid)
    if matched is not None:
        own = parent.grid.subset(matched)
        return Placement(own, True, tuple((k,) for k in matched))
    return Placement(grid, False, tuple(_contributing(grid, k, parent.grid) for k in range(len(grid.positions))))


def tolerance(grid: Grid) -> float:
    """How many mm a voxel may be off and still be the parent's voxel."""
    sizes = [*grid.pixel_spacing, *([grid.slice_spacing] if grid.slice_spacing else [])]
    return max(SNAP_MM, SNAP_PART * min(sizes))


def _same_planes(grid: Grid, parent: Grid) -> tuple[int, ...] | None:
    """For each slice the parent's slice that is the same plane, voxel for voxel; None when one has none."""
    if (grid.rows, grid.columns) != (parent.rows, parent.columns):
        return None
    off = np.abs(np.subtract([*grid.row_cosines, *grid.column_cosines], [*parent.row_cosines, *parent.column_cosines]))
    if off.max() > SAME_ANGLE:
        return None
    allowed = tolerance(parent)
    corners = np.stack([parent.corners(k) for k in range(len(parent.positions))])
    found = []
    for k in range(len(grid.positions)):
        distance = np.linalg.norm(corners - grid.corners(k), axis=2).max(axis=1)
        nearest = int(distance.argmin())
        if distance[nearest] > allowed:
            return None
        found.append(nearest)
    return tuple(found) if len(set(found)) == len(found) else None


def _contributing(grid: Grid, index: int, parent: Grid) -> tuple[int, ...]:
    """The parent's slices that an interpolation of this slice reads: those within one spacing of its extent."""
    reach = grid.corners(index) @ parent.normal
    margin = parent.slice_spacing or 0.0
    distances = parent.distances
    inside = np.flatnonzero((distances > reach.min() - margin + 1e-6) & (distances < reach.max() + margin - 1e-6))
    if len(inside) == 0:
        inside = np.array([int(np.abs(distances - np.mean(reach)).argmin())])
    return tuple(int(i) for i in inside)
