"""The head in the phantoms, and the stack of slices that cuts it.

Coordinates are the patient's (LPS, mm). The head is not symmetric in any direction (a bright spot lies to the left, in
front and above the centre), so that a mirrored or turned result is noticed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

#: The directions of ascending column index and of ascending row index (ImageOrientationPatient, PS3.3 C.7.6.2.1.1).
ORIENTATIONS: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "axial": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)),
    "sagittal": ((0.0, 1.0, 0.0), (0.0, 0.0, -1.0)),
    "coronal": ((1.0, 0.0, 0.0), (0.0, 0.0, -1.0)),
    # axial, turned by 20 degrees about x and then by 15 degrees about z
    "oblique": ((0.9659258263, 0.2588190451, 0.0), (-0.2432103468, 0.9076733712, 0.3420201433)),
}

#: The centre of the volume in the patient's coordinates; off the origin, to reveal sign errors.
CENTRE = (5.0, -12.0, 30.0)

#: centre and half axes in units of half the field of view (LPS), rotation about z in degrees, tissue
_HEAD: tuple[tuple[tuple[float, float, float], tuple[float, float, float], float, str], ...] = (
    ((0.0, 0.0, 0.0), (0.72, 0.92, 0.95), 0.0, "scalp"),
    ((0.0, 0.0, 0.0), (0.69, 0.89, 0.92), 0.0, "bone"),
    ((0.0, 0.018, 0.0), (0.62, 0.82, 0.86), 0.0, "brain"),
    ((0.20, 0.0, 0.0), (0.11, 0.31, 0.22), -18.0, "fluid"),
    ((-0.22, 0.0, 0.0), (0.14, 0.40, 0.28), 18.0, "fluid"),
    ((0.0, -0.35, -0.15), (0.21, 0.25, 0.41), 0.0, "grey"),
    ((-0.12, 0.55, -0.10), (0.10, 0.08, 0.10), 0.0, "lesion"),
    ((0.30, -0.50, 0.20), (0.07, 0.07, 0.12), 0.0, "calcium"),
)


@dataclass(frozen=True, slots=True)
class Stack:
    """The positions of the slices. ``positions`` is (slice, 3), in the order of acquisition."""

    rows: int
    columns: int
    row_cosines: Array
    column_cosines: Array
    pixel_spacing: tuple[float, float]
    spacing: float
    positions: Array
    numbers: tuple[int, ...]

    def points(self) -> Array:
        """The centre of every voxel, (slice, row, column, 3)."""
        along_row = np.arange(self.columns)[:, None] * self.pixel_spacing[1] * self.row_cosines
        along_column = np.arange(self.rows)[:, None] * self.pixel_spacing[0] * self.column_cosines
        points: Array = self.positions[:, None, None] + along_column[None, :, None] + along_row[None, None, :]
        return points

    def scale(self) -> float:
        """Half the field of view in mm, the unit of the head."""
        return 0.5 * min(self.rows * self.pixel_spacing[0], self.columns * self.pixel_spacing[1])


def stack_of(
    slices: int,
    rows: int,
    columns: int,
    orientation: str,
    spacing: float,
    pixel_spacing: tuple[float, float],
    descending: bool,
    shuffled_numbers: bool,
) -> Stack:
    """The slices around CENTRE; ``spacing`` in mm between slices, ``pixel_spacing`` between rows and columns."""
    row_cosines, column_cosines = (np.array(axis) for axis in ORIENTATIONS[orientation])
    normal = np.cross(row_cosines, column_cosines)
    corner = (
        np.array(CENTRE)
        - row_cosines * pixel_spacing[1] * (columns - 1) / 2
        - column_cosines * pixel_spacing[0] * (rows - 1) / 2
    )
    steps = (np.arange(slices) - (slices - 1) / 2) * spacing
    if descending:
        steps = steps[::-1]
    numbers = np.arange(1, slices + 1)
    if shuffled_numbers:
        numbers = np.random.default_rng(slices).permutation(numbers)
        if slices > 1 and (numbers == np.arange(1, slices + 1)).all():
            numbers = np.roll(numbers, 1)
    return Stack(
        rows, columns, row_cosines, column_cosines, pixel_spacing, spacing,
        corner + steps[:, None] * normal, tuple(int(number) for number in numbers),
    )  # fmt: skip


def head(stack: Stack, tissues: dict[str, int]) -> Array:
    """The value of every voxel, (slice, row, column); ``tissues`` has each tissue's value."""
    points = (stack.points() - np.array(CENTRE)) / stack.scale()
    values = np.full(points.shape[:3], float(tissues["air"]))
    for centre, half_axes, degrees, tissue in _HEAD:
        angle = np.deg2rad(degrees)
        x, y, z = np.moveaxis(points - np.array(centre), -1, 0)
        across = (x * np.cos(angle) + y * np.sin(angle)) / half_axes[0]
        along = (y * np.cos(angle) - x * np.sin(angle)) / half_axes[1]
        values[across**2 + along**2 + (z / half_axes[2]) ** 2 <= 1] = tissues[tissue]
    return values


def noise_of(stack: Stack, sigma: float, name: str) -> Array:
    """Normal noise, (slice, row, column); always the same for the same name."""
    shape = (len(stack.positions), stack.rows, stack.columns)
    return np.random.default_rng(list(name.encode())).normal(0.0, sigma, shape)
