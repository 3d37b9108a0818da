"""Contours of masks: what they enclose is the mask, by the centre of each pixel and by vertices that are rounded."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from derived_series.dicom.objects.contours import contours_of, mask_of

RING = """
.........
.#######.
.#.....#.
.#.###.#.
.#.#.#.#.
.#.###.#.
.#.....#.
.#######.
.........
"""
SHAPES = {
    "one pixel": "#",
    "one pixel in a corner": "#..\n...\n...",
    "a row": ".....\n.###.\n.....",
    "a column": "...\n.#.\n.#.\n.#.",
    "pixels that touch at a corner": "#.\n.#",
    "a hole": "###\n#.#\n###",
    "holes beside each other": "#######\n#.#.#.#\n#######",
    "holes that touch at a corner": "####\n#.##\n##.#\n####",
    "a hole that touches the outside at a corner": "###\n#.#\n##.",
    "a part within a hole, with a hole": RING,
    "all pixels": "####\n####",
}


def mask(text: str) -> npt.NDArray[np.bool_]:
    return np.array([[pixel == "#" for pixel in line] for line in text.split()])


def rounded(contours: list[npt.NDArray[np.float64]]) -> list[npt.NDArray[np.float64]]:
    return [np.rint(points) for points in contours]


def lines(points: npt.NDArray[np.float64], shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """The pixels on the lines between vertices that are pixels themselves."""
    raster = np.zeros(shape, bool)
    for (x, y), (u, v) in zip(points.astype(int), np.roll(points, -1, axis=0).astype(int), strict=True):
        count = max(abs(u - x), abs(v - y)) + 1
        raster[np.rint(np.linspace(y, v, count)).astype(int), np.rint(np.linspace(x, u, count)).astype(int)] = True
    return raster


def area(points: npt.NDArray[np.float64]) -> float:
    x, y = points.T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


@pytest.mark.parametrize("name", SHAPES)
def test_contours_enclose_the_centres_of_the_pixels(name: str) -> None:
    shape = mask(SHAPES[name])
    contours = contours_of(shape)
    assert np.array_equal(mask_of(contours, shape.shape), shape)
    assert np.array_equal(sum(mask_of([points], shape.shape).astype(int) for points in contours), shape)  # add up


@given(arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_any_mask_comes_back(shape: npt.NDArray[np.bool_]) -> None:
    contours = contours_of(shape)
    assert np.array_equal(mask_of(contours, shape.shape), shape)
    assert np.array_equal(
        sum((mask_of([p], shape.shape).astype(int) for p in contours), np.zeros_like(shape, int)), shape
    )
    noisy = [points + np.random.default_rng(0).uniform(-1e-6, 1e-6, points.shape) for points in contours]
    assert np.array_equal(mask_of(noisy, shape.shape), shape)


@given(arrays(np.bool_, (8, 8)))
def test_a_reader_that_rounds_vertices_draws_within_the_mask(shape: npt.NDArray[np.bool_]) -> None:
    drawn = np.zeros_like(shape)
    for points in rounded(contours_of(shape)):
        drawn |= lines(points, shape.shape)
    assert not np.any(drawn & ~shape)


def test_a_hole_is_joined_by_a_channel_of_no_width() -> None:
    (points,) = contours_of(mask("#####\n#...#\n#...#\n#...#\n#####"))
    assert area(points) == pytest.approx(area(contours_of(np.ones((5, 5), bool))[0]) - (3.1**2 - 4 * 0.55**2 / 2))


def test_each_part_is_a_contour() -> None:
    assert len(contours_of(mask(RING))) == 2
    assert len(contours_of(mask("#.\n.#"))) == 2
    assert contours_of(np.zeros((4, 4), bool)) == []


def test_straight_edges_have_no_points_between_their_ends() -> None:
    (points,) = contours_of(np.ones((6, 9), bool))
    assert len(points) == 8
    assert points.min() == pytest.approx(-0.45) and points[:, 0].max() == pytest.approx(8.45)


def test_contours_within_contours_exclude() -> None:
    outer, inner = (
        np.array([[0, 0], [9, 0], [9, 9], [0, 9.0]]) - 0.5,
        np.array([[3, 3], [6, 3], [6, 6], [3, 6.0]]) - 0.5,
    )
    mask = mask_of([outer, inner], (10, 10))
    assert mask.sum() == 81 - 9 and not mask[4, 4] and mask[2, 2]


def test_contours_reach_beyond_the_slice() -> None:
    square = np.array([[-5, -5], [2.5, -5], [2.5, 99], [-5, 99]])
    assert np.array_equal(mask_of([square], (4, 6)), np.arange(6) < np.full((4, 1), 3))
