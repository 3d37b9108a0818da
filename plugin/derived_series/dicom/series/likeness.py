"""Detecting an image that fits its parent far better when mirrored, reversed or transposed.

Only a coarse sample of a few slices is compared, which costs next to nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations, product

import numpy as np
import numpy.typing as npt

from derived_series.dicom.blueprints.environment import ImageEnvironment
from derived_series.dicom.grid import Grid

Values = npt.NDArray[np.float64]

#: The number of slices that are sampled, and of rows and columns in each.
SLICES, PIXELS = 8, 32
#: With fewer values than this, a fit may be by chance.
_FEWEST_VALUES = 100
#: The lowest correlation at which another orientation counts as a fit.
_FITS = 0.5
#: The most that it may leave unexplained, as a part of what the present one leaves; how much better it must correlate.
_PART, _BETTER = 0.75, 0.02

_AXES = ("slices", "rows", "columns")
_DIRECTIONS = ("left-right", "front-back", "head-feet")


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Sampled values of an image and its parent at the same places.

    :param image: (slice, row, column); :param parent: alike.
    :param cube: both at as many places along each axis, so that axes of one length can be swapped.
    """

    image: Values
    parent: Values
    cube: tuple[Values, Values]
    shape: tuple[int, int, int]

    @classmethod
    def of(cls, env: ImageEnvironment) -> Samples:
        """Sample the first volume of an image on its parent's grid."""
        shape = (env.slices, env.pixels.rows, env.pixels.columns)
        rows, columns = (picked(n, PIXELS) for n in shape[1:])
        few = (picked(shape[1], SLICES), picked(shape[2], SLICES))
        image, parent, small_image, small_parent = [], [], [], []
        chosen = [int(index) for index in picked(shape[0], SLICES)]
        slices = env.parent.slices([env.sources[index][0] for index in chosen])
        for number, index in enumerate(chosen):
            plane, (other, small) = env.pixels.image[index], slices.at(number, (rows, columns), few)
            image.append(_values(plane[np.ix_(rows, columns)]))
            parent.append(_values(other))
            small_image.append(_values(plane[np.ix_(*few)]))
            small_parent.append(_values(small))
        return cls(np.stack(image), np.stack(parent), (np.stack(small_image), np.stack(small_parent)), shape)


def picked(count: int, most: int) -> npt.NDArray[np.intp]:
    """At most ``most`` indexes of an axis, evenly spread and symmetric."""
    number = min(count, most)
    number -= (count - number) % 2
    first = np.linspace(0, count - 1, number)[: number // 2].astype(np.intp)
    middle = [(count - 1) // 2] if number % 2 else []
    return np.array([*first, *middle, *(count - 1 - first[::-1])], dtype=np.intp)


def other_way_round(samples: Samples, grid: Grid | None) -> str:
    """The warning for an image that fits its parent far better in another orientation; empty if it does not.

    :param grid: the grid from which to name the patient's directions.
    """
    orders = list(_orders(samples.shape))
    flat, deep = [o for o in orders if o[0] == 0], [o for o in orders if o[0] != 0]
    evened = _evened(samples.image), _evened(samples.parent)  # one bright slice may dominate all others
    tries = ((samples.image, samples.parent, flat), (*evened, flat), (*samples.cube, deep))
    return next((warning for image, parent, of in tries if (warning := _best(image, parent, of, grid))), "")


def _best(image: Values, parent: Values, orders: list[tuple[int, ...]], grid: Grid | None) -> str:
    if not orders or image.size < _FEWEST_VALUES or np.ptp(image) == 0 or np.ptp(parent) == 0:
        return ""
    one, other = _standard(image), _standard(parent)
    as_is = float(np.mean(one * other))
    fits = []
    for order in orders:
        for flips in product((1, -1), repeat=3):
            turned = one.transpose(order)[:: flips[0], :: flips[1], :: flips[2]]
            changes = sum(flip < 0 for flip in flips) + 2 * (order != (0, 1, 2))
            fits.append((float(np.mean(turned * other)), changes, order, flips))
    best = max(fit for fit, *_ in fits)
    # of those that fit equally well, the one with the fewest changes
    fit, changes, order, flips = min((f for f in fits if f[0] > best - 0.005), key=lambda f: f[1])
    left = 1 - max(as_is, 0.0) ** 2
    if changes == 0 or fit < _FITS or fit - as_is < _BETTER or 1 - fit**2 > _PART * left:
        return ""
    turns = " and ".join(_names(order, flips, grid))
    return (
        f"the image fits its parent far better {turns}: {fit:.2f} against {as_is:.2f} as it is (correlation): check "
        "the order and the direction of its axes"
    )


def _orders(shape: tuple[int, int, int]) -> Iterator[tuple[int, ...]]:
    """The orders of axes that keep the shape."""
    return (order for order in permutations(range(3)) if all(shape[a] == n for a, n in zip(order, shape, strict=True)))


def _names(order: tuple[int, ...], flips: tuple[int, ...], grid: Grid | None) -> Iterator[str]:
    swapped = [_AXES[axis] for axis in range(3) if order[axis] != axis]
    if swapped:
        yield f"transposed ({' and '.join(swapped)} swapped)"
    if -1 in flips[1:]:
        yield "mirrored " + " and ".join(_direction(axis, grid) for axis in (2, 1) if flips[axis] < 0)
    if flips[0] < 0:
        yield f"with its slices reversed ({_direction(0, grid)})"


def _direction(axis: int, grid: Grid | None) -> str:
    """The patient's direction that is nearest to an axis, in words."""
    if grid is None:
        return f"along its {_AXES[axis]}"
    vector = (grid.normal, grid.column_cosines, grid.row_cosines)[axis]
    return _DIRECTIONS[int(np.abs(vector).argmax())]


def _values(part: npt.NDArray[np.generic]) -> Values:
    values = np.asarray(part, dtype=np.float64)
    return np.where(np.isfinite(values), values, 0.0)


def _evened(values: Values) -> Values:
    """Each slice with mean 0 and deviation 1."""
    return np.stack([_standard(part) for part in values])


def _standard(values: Values) -> Values:
    """With mean 0 and deviation 1."""
    spread = values / np.abs(values).max() if np.abs(values).max() > 0 else values
    centred = spread - spread.mean()
    deviation = centred.std()
    return np.asarray(centred / deviation if deviation else centred)
