"""From a mask to closed planar contours, and back (PS3.3 C.8.8.6.1, C.8.8.6.3).

The edge rule: a contour runs 0.45 of a pixel outside the centres of the outermost pixels. So a pixel belongs to a
structure if its centre is inside the contour, also for readers that round each vertex to the nearest pixel and draw
between them. Pixels that touch only at a corner are separate. A hole is joined to its surroundings by a channel of no
width (the keyhole technique), so that readers that add up the contours of a slice do not fill it.

Points are (column, row), from 0 at the centre of the first pixel.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import contourpy
import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

#: The distance of the contour from the centre of a pixel, in pixels.
_EDGE = 0.45
#: The value between mask (1) and background (0) at the distance ``_EDGE``.
_LEVEL = 1 - _EDGE
#: The distance of a channel to a hole from its row, as a part of an edge of the ring.
_BESIDE = 0.06


def contours_of(mask: Mask) -> list[Points]:
    """Find the contours of one slice, each (point, 2), without repeating the first point.

    Each part has one contour; parts inside a hole are parts of their own.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return []
    first = (int(columns[0]), int(rows[0]))
    part = np.pad(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], 1)
    drawn = contourpy.contour_generator(z=part.astype(np.float64), name="serial", fill_type="OuterOffset")
    contours = []
    for points, offsets in zip(*drawn.filled(_LEVEL, np.inf), strict=True):
        rings = [points[start : end - 1] for start, end in itertools.pairwise(offsets)]
        contours.append(_corners(_keyholed(rings, part)) + np.array(first) - 1)
    return contours


def mask_of(contours: Iterable[Points], shape: tuple[int, int]) -> Mask:
    """Find the pixels, of (rows, columns), whose centres are inside an odd number of contours.

    A hole may be made by the keyhole technique or by contours inside contours (XOR).
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
    """Join the holes to the outer ring, from the left, each by a channel along a row of the mask.

    The channel leads from the hole's leftmost point to the background on its left: the outer ring, or another hole
    that begins farther left. It runs a little below the row, where there is no pixel centre.
    """
    if len(rings) == 1:
        return rings[0]
    points = np.concatenate(rings)
    ends = np.cumsum([len(ring) for ring in rings])
    following, before = np.arange(1, len(points) + 1), np.arange(-1, len(points) - 1)
    starts = np.concatenate([[0], ends[:-1]])
    following[ends - 1], before[starts] = starts, ends - 1
    places = points + (_EDGE, 0)
    at_left = np.flatnonzero(np.abs(places - np.rint(places)).max(axis=1) < 1e-6)  # of the first pixel of a run
    left_of = {
        (row, column): int(i) for i, (column, row) in zip(at_left, np.rint(places[at_left]).tolist(), strict=True)
    }

    def edge_below(index: int) -> tuple[int, int, Points]:
        """The ends of the edge that leads down from a point, and the place on it just below the point."""
        after = int(following[index])
        other = after if points[after, 1] > points[index, 1] else int(before[index])
        place = points[index] + _BESIDE * (points[other] - points[index])
        return (index, after, place) if other == after else (other, index, place)

    joints = []
    for start, hole in zip(starts[1:], rings[1:], strict=True):
        inner = int(start + hole[:, 0].argmin())
        row, column = int(points[inner, 1]), round(float(points[inner, 0]) - _EDGE)
        first = int(np.flatnonzero(~mask[row, :column])[-1]) + 1
        joints.append((edge_below(left_of[row, first]), edge_below(inner)))
    chain = following.tolist()
    added: list[Points] = []
    for (outer, beyond, outside), (last, around, inside) in joints:
        added += [outside, inside, inside, outside]
        number = len(points) + len(added) - 4
        chain[outer], chain[last] = number, number + 2
        chain += [number + 1, around, number + 3, beyond]
    every = np.concatenate([points, added])
    order = [0]
    while (follower := chain[order[-1]]) != 0:
        order.append(follower)
    return np.asarray(every[order])


def _corners(ring: Points) -> Points:
    """The ring without points that lie on a straight line between their neighbours."""
    before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    turn = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    straight = (np.abs(turn) < 1e-9) & ((before * after).sum(axis=1) > 0)
    return np.asarray(ring[~straight])
