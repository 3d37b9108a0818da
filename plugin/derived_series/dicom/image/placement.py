"""Placement: where the slices of an image are, and which of the parent's instances they come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from derived_series.dicom.grid import SAME_ANGLE_RADIANS, Grid
from derived_series.dicom.image.frame_of_reference import FrameOfReference
from derived_series.dicom.source.parent_series import ParentSeries

#: How far a voxel may be off and still count as the parent's, in mm or as a part of the smallest voxel size.
SNAP_MM, SNAP_PART = 1e-3, 0.01


@dataclass(frozen=True, slots=True, eq=False)
class PlacedImage:
    """An array with its grid: what a pipeline returns when its result is not on the parent's grid.

    :param array: (slice, row, column) or (time, slice, row, column), slices ascending along the grid's normal.
    :param grid: the array's grid, such as ``parent.grid.subset([3, 4, 5])`` or ``Grid.from_affine(affine_lps, shape)``.
    :param on: the name of the pipeline's input whose frame of reference the grid is in, such as the fixed image of a
        registration; None for the parent.
    """

    array: npt.NDArray[Any]
    grid: Grid
    on: str | None = None


@dataclass(frozen=True, slots=True)
class OtherInput:
    """An input other than the parent, and which of its instances each slice of the image comes from.

    :param sources: for each slice of the image, the indexes of the input's instances.
    :param same_place: whether the first of these is at the slice's own place.
    """

    series: ParentSeries
    sources: tuple[tuple[int, ...], ...]
    same_place: bool = False

    def as_whole(self) -> OtherInput:
        """The same for an object with all slices in one instance."""
        return OtherInput(self.series, (tuple(sorted({i for part in self.sources for i in part})),), self.same_place)


@dataclass(frozen=True, slots=True)
class Placement:
    """Where an image's slices are, and which instances they come from.

    :param grid: the grid of one volume.
    :param sources: for each slice, volume after volume, the indexes of the parent's instances that contribute to it;
        on the parent's grid the first one is at the slice's own position.
    :param resampled: how the image was resampled to the parent's grid; empty if it was not.
    :param volumes: number of volumes.
    :param time_step: seconds from one volume to the next, if the image says so.
    :param on: the name of the input whose frame of reference the grid is in; None for the parent.
    :param template: the name of the space that the image says it is in, if it is not the patient's.
    :param frame: the grid's frame of reference; None for the parent's.
    :param others: the other inputs, each with the instances that the slices come from.
    :param warnings: doubts about the place.
    :param numbered_as_parent: InstanceNumbers run in the parent's direction on another grid too.
    """

    grid: Grid | None
    on_parent_grid: bool
    sources: tuple[tuple[int, ...], ...]
    resampled: str = ""
    volumes: int = 1
    time_step: float | None = None
    on: str | None = None
    template: str = ""
    frame: FrameOfReference | None = None
    others: tuple[OtherInput, ...] = ()
    warnings: tuple[str, ...] = ()
    numbered_as_parent: bool = False


def on_parent(parent: ParentSeries, volumes: int | None = None) -> Placement:
    """The placement on the parent's own grid: slice k comes from the parent's slice k only.

    :param volumes: number of volumes of the image; by default the parent's.
    """
    count = parent.volumes if volumes is None else volumes
    sources = over_volumes([(k,) for k in range(parent.slices_per_volume)], parent, count)
    return Placement(parent.grid, True, sources, volumes=count)


def without_geometry(parent: ParentSeries, count: int, volumes: int = 1) -> Placement:
    """The placement of an image without a place: every instance of the parent contributes to every slice.

    :param count: number of slices in all volumes.
    """
    return Placement(None, False, every_source(parent, count), volumes=volumes)


def every_source(series: ParentSeries, count: int) -> tuple[tuple[int, ...], ...]:
    """All instances of a series as the sources of each of ``count`` slices."""
    return (tuple(range(len(series))),) * count


def place(grid: Grid, parent: ParentSeries, volumes: int = 1) -> Placement:
    """The placement of a grid: on the parent's planes if each slice is one of them, else on its own grid.

    :param volumes: number of volumes, all on this grid.
    """
    count = len(grid.positions)
    if parent.grid is None:
        return Placement(grid, False, every_source(parent, count * volumes), volumes=volumes)
    matched = _same_planes(grid, parent.grid)
    if matched is not None:
        planes = parent.grid.subset(matched)
        return Placement(planes, True, over_volumes([(k,) for k in matched], parent, volumes), volumes=volumes)
    near = [_contributing(grid, k, parent.grid) for k in range(count)]
    return Placement(grid, False, over_volumes(near, parent, volumes), volumes=volumes)


def over_volumes(slices: Sequence[tuple[int, ...]], parent: ParentSeries, volumes: int) -> tuple[tuple[int, ...], ...]:
    """Extend the sources of one volume's slices to all volumes of the image.

    If the image has as many volumes as the parent, each comes from the parent's volume of the same index; otherwise
    from all of them.

    :param slices: for each slice of a volume, the parent's slices that contribute to it.
    """
    sources = []
    for volume in range(volumes):
        times = (volume,) if volumes == parent.volumes else range(parent.volumes)
        firsts = [time * parent.slices_per_volume for time in times]
        sources += [tuple(first + k for first in firsts for k in near) for near in slices]
    return tuple(sources)


def tolerance(grid: Grid) -> float:
    """How many mm a voxel may be off and still count as the parent's."""
    sizes = [*grid.pixel_spacing, *([grid.slice_spacing] if grid.slice_spacing else [])]
    return max(SNAP_MM, SNAP_PART * min(sizes))


def _same_planes(grid: Grid, parent: Grid) -> tuple[int, ...] | None:
    """For each slice, the parent's slice on the same voxels; None if any slice has none."""
    if (grid.rows, grid.columns) != (parent.rows, parent.columns):
        return None
    off = np.abs(np.subtract([*grid.row_cosines, *grid.column_cosines], [*parent.row_cosines, *parent.column_cosines]))
    if off.max() > SAME_ANGLE_RADIANS:
        return None
    allowed = tolerance(parent)
    corners = np.stack([parent.corners(k) for k in range(len(parent.positions))])
    planes = []
    for k in range(len(grid.positions)):
        distance = np.linalg.norm(corners - grid.corners(k), axis=2).max(axis=1)
        nearest = int(distance.argmin())
        if distance[nearest] > allowed:
            return None
        planes.append(nearest)
    return tuple(planes) if len(set(planes)) == len(planes) else None


def _contributing(grid: Grid, index: int, parent: Grid) -> tuple[int, ...]:
    """The parent's slices that an interpolation of this slice would read: those within one spacing of its extent."""
    reach = grid.corners(index) @ parent.normal
    margin = parent.slice_spacing or 0.0
    distances = parent.distances
    inside = np.flatnonzero((distances > reach.min() - margin + 1e-6) & (distances < reach.max() + margin - 1e-6))
    if len(inside) == 0:
        inside = np.array([int(np.abs(distances - np.mean(reach)).argmin())])
    return tuple(int(i) for i in inside)
