"""Comparing the place of an image with that of a series: apart, partly outside, inside, or off its voxels."""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt

from derived_series.dicom.grid import Affine, Grid
from derived_series.errors import GeometryError

Points = npt.NDArray[np.float64]

#: Half the thickness assumed for a single slice, in mm.
_HALF_OF_ONE = 2.5
#: A corner of the box of an image whose affine is np.eye(4), in LPS mm.
_CORNER_OF_IDENTITY = (0.5, 0.5, -0.5)
#: Turns LPS into RAS; the factor between metres and millimetres; how many times larger a box of the same image may be.
_SIGNS, _METRES, _ALIKE = np.array([-1.0, -1.0, 1.0]), 1000.0, 10.0


def box(grid: Grid) -> Points:
    """The outer corners of a grid's voxels, (8, 3), LPS mm."""
    half = (grid.slice_spacing or 2 * _HALF_OF_ONE) / 2 * grid.normal
    down = np.asarray(grid.column_cosines) * grid.pixel_spacing[0] / 2
    across = np.asarray(grid.row_cosines) * grid.pixel_spacing[1] / 2
    outwards = np.stack([-down - across, down - across, across - down, down + across])
    return np.concatenate([grid.corners(0) + outwards - half, grid.corners(-1) + outwards + half])


def box_of_points(points: Points, of: Grid) -> Points:
    """The outer corners, (8, 3), of pixels of a grid's size at points (n, 3), along that grid's axes; LPS mm."""
    axes, sizes = _axes(box(of)), np.array([of.slice_spacing or 2 * _HALF_OF_ONE, *of.pixel_spacing])
    along = points @ axes.T
    low, high = along.min(axis=0) - sizes / 2, along.max(axis=0) + sizes / 2
    corners = [(n, r, c) for n in (low[0], high[0]) for c in (low[2], high[2]) for r in (low[1], high[1])]
    return np.asarray(np.array(corners) @ axes)


def box_of_affine(affine_lps: Affine, shape: tuple[int, ...]) -> Points:
    """The outer corners, (8, 3), LPS mm, of an image whose axes need not be at right angles."""
    ends = np.array(list(product(*[(-0.5, n - 0.5) for n in shape])))
    return np.asarray(ends @ affine_lps[:3, :3].T + affine_lps[:3, 3])


def extent(points: Points) -> str:
    """The range of points along x, y and z, as text."""
    pairs = zip(points.min(axis=0), points.max(axis=0), strict=True)
    return " x ".join(f"{low:.1f}..{high:.1f}" for low, high in pairs)


def apart(first: Points, second: Points) -> float:
    """A lower bound of the distance between two boxes in mm; 0 where they overlap or touch.

    It is the larger of the gaps along the axes of the one and of the other box.
    """
    return max(_gap(first, second, _axes(points)) for points in (first, second))


def not_overlapping(image: Points, series: Points, whose: str, what: str = "the image") -> GeometryError:
    """The error for an image, or another thing with a place, that does not overlap a series."""
    return GeometryError(
        f"{what} does not overlap {whose}: in mm (x, y, z, LPS) it reaches {extent(image)}, {whose} "
        f"{extent(series)}; they are {apart(image, series):.1f} mm apart",
        remedy=_cause(image, series),
    )


def _cause(image: Points, series: Points) -> str:
    """The likely cause, as a remedy."""
    if np.abs(image - _CORNER_OF_IDENTITY).max(axis=1).min() < 1e-3:
        return "the affine looks like np.eye(4): give the one of the image that the algorithm read"
    if not apart(image * _SIGNS, series):
        return "with the signs of x and y changed it would: a NIfTI affine is RAS, that of Grid.from_affine is LPS"
    if any(not apart(other, series) and _is_of_size(other, series) for other in (image * _METRES, image / _METRES)):
        return "a thousand times as large or as small it would: millimetres and metres seem to be mixed up"
    return "check the image's affine, and that this is the series that it was made from"


def _is_of_size(image: Points, series: Points) -> bool:
    """Whether the boxes are of similar size: any box, scaled down enough, lies near the origin."""
    size, of = (float(np.linalg.norm(np.ptp(points, axis=0))) for points in (image, series))
    return size < _ALIKE * of and of < _ALIKE * size


def partly_outside(grid: Grid, of: Grid, whose: str) -> str:
    """The warning for an image that reaches beyond a series on one side and misses a part of it on another.

    Empty if one of them contains the other, give or take a voxel.
    """
    image, series, axes = box(grid), box(of), _axes(box(of))
    inner, other = image @ axes.T, series @ axes.T
    steps = np.stack(
        [
            grid.normal * (grid.slice_spacing or 2 * _HALF_OF_ONE),
            np.asarray(grid.column_cosines) * grid.pixel_spacing[0],
            np.asarray(grid.row_cosines) * grid.pixel_spacing[1],
        ]
    )
    sizes = np.array([of.slice_spacing or 2 * _HALF_OF_ONE, *of.pixel_spacing])
    allowed = np.maximum(np.abs(axes @ steps.T).sum(axis=1), sizes)
    beyond = np.maximum(inner.max(axis=0) - other.max(axis=0), other.min(axis=0) - inner.min(axis=0))
    lacking = np.maximum(other.max(axis=0) - inner.max(axis=0), inner.min(axis=0) - other.min(axis=0))
    if not (np.any(beyond > allowed) and np.any(lacking > allowed)):
        return ""
    common = np.minimum(inner.max(axis=0), other.max(axis=0)) - np.maximum(inner.min(axis=0), other.min(axis=0))
    share = float(np.prod(np.clip(common, 0, None) / np.ptp(other, axis=0)))
    return (
        f"the image covers {100 * share:.0f} % of {whose}'s volume and reaches {beyond.max():.1f} mm beyond it: in mm "
        f"(x, y, z, LPS) it reaches {extent(image)}, {whose} {extent(series)}"
    )


def off_planes(grid: Grid, of: Grid, whose: str) -> str:
    """The warning for an image with a series' shape that is not on its voxels; empty for any other shape."""
    if grid.shape != of.shape:
        return ""
    pairs = [(grid.corners(k), of.corners(k)) for k in range(len(of.positions))]
    off = max(float(np.linalg.norm(a - b, axis=1).max()) for a, b in pairs)
    problem = f"the image has the shape of {whose}, but its voxels are up to {off:.2f} mm off the series' own"
    if of.is_regular:
        return f"{problem}: it is stored where its affine says"
    gaps = f"{of.gaps.min():.2f} to {of.gaps.max():.2f} mm"
    return (
        f"{problem}, whose slices are {gaps} apart: one affine cannot say that. It is stored where its affine says; "
        "a numpy array of this shape is stored on the series' slices"
    )


def _axes(points: Points) -> npt.NDArray[np.float64]:
    """Unit vectors along a box's slices, down its rows and across its columns, from corners in the order of ``box``."""
    across = points[2] - points[0]
    down = points[1] - points[0]
    row, column = across / np.linalg.norm(across), down / np.linalg.norm(down)
    normal = np.cross(row, column)
    normal = normal / np.linalg.norm(normal)
    return np.stack([normal, np.cross(normal, row), row])


def _gap(first: Points, second: Points, axes: npt.NDArray[np.float64]) -> float:
    one, other = first @ axes.T, second @ axes.T
    gaps = np.maximum(one.min(axis=0) - other.max(axis=0), other.min(axis=0) - one.max(axis=0))
    distance = float(np.linalg.norm(np.clip(gaps, 0, None)))
    return distance if distance > 1e-6 else 0.0
