"""Closed planar contours of a mask, and the mask that contours enclose (PS3.3 C.8.8.6.1, C.8.8.6.3).

The edge rule: a contour runs 0.45 of a pixel outside of the centres of the outermost pixels. So a pixel is in a
structure when its centre is within the contour, and also for readers that round each vertex to the nearest pixel and
draw what is between. Pixels that touch at a corner only are apart. A hole is joined to what is around it by a channel
of no width (the keyhole technique): readers that add up the contours of a slice do not fill it.

Points are (column, row), from 0 at the centre of the first pixel.
"""

from __future__ import annotations

from collections.abc import Iterable

import contourpy
import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

#: How far from the centre of a pixel the contour runs, in pixels.
_EDGE = 0.45
#: Between mask (1) and background (0), where a line at ``_EDGE`` crosses.
_LEVEL = 1 - _EDGE
#: How far from a row a channel to a hole runs, in parts of an edge.
_BESIDE = 0.06


def contours_of(mask: Mask) -> list[Points]:
    """The contours of one slice, each (point, 2), the first point not repeated.

    One contour a part; parts within a hole are parts of their own.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return []
    first = (int(columns[0]), int(rows[0]))
    part = np.pad(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], 1)
    drawn = contourpy.contour_generator(z=part.astype(np.float64), name="serial", fill_type="OuterOffset")
    found = []
    for points, offsets in zip(*drawn.filled(_LEVEL, np.inf), strict=True):
        rings = [points[start : end - 1] for start, end in zip(offsets[:-1], offsets[1:], strict=True)]
        found.append(_corners(_keyholed(rings, part)) + np.array(first) - 1)
    return found


def mask_of(contours: Iterable[Points], shape: tuple[int, int]) -> Mask:
    """The pixels of (rows, columns) whose centres are within an odd number of contours.

    So a hole may be there by the keyhole technique or by contours within contours (XOR).
    """
    rows, columns = shape
    crossed = np.zeros((rows, columns + 1), np.int64)
    for points in contours:
        start, end = points, np.roll(points, -1, axis=0)
        down = (start[:, 1] < end[:, 1]) | ((start[:, 1] == end[:, 1]) & (start[:, 0] < end[:, 0]))
        upper, lower = np.where(down[:, None], start, end), np.where(down[:, None], end, start)
        first = np.clip(np.ceil(upper[:, 1]), 0, rows).astype(int)  # the rows that an edge crosses
        counts = np.clip(np.ceil(lower[:, 1]), 0, rows).astype(int) - first
        edges = np.repeat(np.arange(len(points)), counts)
        row = np.arange(len(edges)) - np.repeat(np.cumsum(counts) - counts, counts) + first[edges]
        slope = (row - upper[edges, 1]) / (lower[edges, 1] - upper[edges, 1])
        across = upper[edges, 0] + slope * (lower[edges, 0] - upper[edges, 0])
        np.add.at(crossed, (row, np.clip(np.ceil(across), 0, columns).astype(int)), 1)
    return np.asarray(np.cumsum(crossed, axis=1)[:, :columns] % 2 == 1)


def _keyholed(rings: list[Points], mask: Mask) -> Points:
    """The outer ring with its holes joined to it, from the left: each by a channel along a row of the mask.

    The channel leads from the hole's leftmost point to the background on its left: the outer ring, or a hole that
    begins farther left and is joined already.
    """
    found = rings[0]
    for hole in sorted(rings[1:], key=lambda ring: float(ring[:, 0].min())):
        inner = int(hole[:, 0].argmin())
        row, column = int(hole[inner, 1]), round(float(hole[inner, 0]) - _EDGE)
        start = int(np.flatnonzero(~mask[row, :column])[-1]) + 1
        outer = int(np.abs(found - (start - _EDGE, row)).sum(axis=1).argmin())
        around, outside = _cut(hole, inner), _cut(found, outer)
        found = np.concatenate([outside, outside[:1], around, around[:1]])
    return found


def _cut(ring: Points, index: int) -> Points:
    """The ring from a point beside one of its points on, a little lower, where no centre of a pixel is."""
    points = np.roll(ring, -index, axis=0)
    if points[1, 1] > points[0, 1]:
        beside = points[0] + _BESIDE * (points[1] - points[0])
        return np.concatenate([beside[None], points[1:], points[:1]])
    beside = points[0] + _BESIDE * (points[-1] - points[0])
    return np.concatenate([beside[None], points])


def _corners(ring: Points) -> Points:
    """The ring without points that lie on the way from one neighbour to the other."""
    before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    turn = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    straight = (np.abs(turn) < 1e-9) & ((before * after).sum(axis=1) > 0)
    return np.asarray(ring[~straight])
