"""Grid: where the voxels of a stack of slices are, without their values.

Coordinates are the patient's, in mm, LPS (PS3.3 C.7.6.2.1.1): x to the left, y to the back, z to the head.
Arrays are indexed (slice, row, column); slices ascend along the normal, the cross product of row cosines and column
cosines. An affine maps (slice, row, column, 1) to (x, y, z, 1) at the centre of the voxel. See
docs/coordinate-systems.md for a picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from derived_series.errors import GeometryError

Affine = npt.NDArray[np.float64]
Vector = tuple[float, float, float]

#: Turns LPS+ (DICOM) into RAS+ (NIfTI) and back: the first two axes change sign.
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])

#: How far a gap may differ from the median gap and still count as even, in mm or as a part of it.
EVEN_MM, EVEN_PART = 0.01, 0.005
#: Slices nearer to each other than this (mm) are at the same position.
SAME_POSITION_MM = 1e-3
#: How far directions may differ and still count as equal: DS values are rounded.
SAME_ANGLE_RADIANS = 2e-3
#: Positions, distances and voxel sizes (mm) from here on are taken for mistakes.
FARTHEST_MM = 1e9


@dataclass(frozen=True, slots=True)
class Grid:
    """A stack of parallel planes (PS3.3 C.7.6.2), for arrays of (slice, row, column).

    :param row_cosines: unit vector in the direction of growing column index, the first three values of
        ImageOrientationPatient.
    :param column_cosines: unit vector in the direction of growing row index, the last three values.
    :param pixel_spacing: mm between rows, mm between columns, as PixelSpacing (0028,0030).
    :param positions: ImagePositionPatient of every slice, LPS mm, ascending along the normal.
    :param rows: number of rows; :param columns: number of columns.
    """

    row_cosines: Vector
    column_cosines: Vector
    pixel_spacing: tuple[float, float]
    positions: tuple[Vector, ...]
    rows: int
    columns: int

    def __post_init__(self) -> None:
        if len(self.positions) > 1 and np.any(self.gaps <= 0):
            raise GeometryError(
                "the positions of a grid must ascend along its normal (row cosines x column cosines); their "
                f"distances along it are {', '.join(f'{d:.3f}' for d in self.distances[:8])} mm",
                remedy="flip or sort the slices of the array and of the grid alike",
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """(slices, rows, columns)."""
        return (len(self.positions), self.rows, self.columns)

    @property
    def normal(self) -> npt.NDArray[np.float64]:
        """Unit vector, row cosines x column cosines."""
        return np.array(_normal(self.row_cosines, self.column_cosines))

    @property
    def distances(self) -> npt.NDArray[np.float64]:
        """Position of every slice along the normal, in mm."""
        return np.asarray(np.asarray(self.positions, dtype=np.float64) @ self.normal, dtype=np.float64)

    def distance(self, index: int) -> float:
        """Position of one slice along the normal, in mm."""
        normal = _normal(self.row_cosines, self.column_cosines)
        return sum(a * b for a, b in zip(self.positions[index], normal, strict=True))

    @property
    def gaps(self) -> npt.NDArray[np.float64]:
        """Distance between neighbouring slices along the normal, in mm (one fewer than slices)."""
        return np.diff(self.distances)

    @property
    def slice_spacing(self) -> float | None:
        """The distance between slices in mm (the median gap); None for a single slice."""
        return float(np.median(self.gaps)) if len(self.positions) > 1 else None

    def _steps(self) -> npt.NDArray[np.float64]:
        return np.diff(np.asarray(self.positions, dtype=np.float64), axis=0)

    @property
    def is_regular(self) -> bool:
        """Whether all steps from slice to slice are equal; they are in a sheared stack too."""
        if len(self.positions) < 3:
            return True
        steps = self._steps()
        middle = np.median(steps, axis=0)
        allowed = max(EVEN_MM, EVEN_PART * float(np.linalg.norm(middle)))
        return bool(np.all(np.linalg.norm(steps - middle, axis=1) <= allowed))

    @property
    def shear_degrees(self) -> float:
        """Angle between the stack's direction and the normal: 0 for a straight stack, else the gantry tilt."""
        if len(self.positions) < 2:
            return 0.0
        step = np.asarray(self.positions[-1]) - np.asarray(self.positions[0])
        along = float(step @ self.normal)
        across = float(np.linalg.norm(step - along * self.normal))
        return float(np.degrees(np.arctan2(across, abs(along))))

    def require_regular(self, why: str) -> None:
        """Require even gaps. :param why: what needs them. :raises GeometryError: they are uneven; it lists them."""
        if not self.is_regular:
            gaps = np.unique(np.round(self.gaps, 3))
            named = ", ".join(f"{gap:.3f}" for gap in gaps[:8])
            even = bool(np.ptp(gaps) < EVEN_MM)
            beside = f"; they lie up to {self._sideways():.3f} mm beside a straight line" if even else ""
            raise GeometryError(
                f"{why} needs evenly spaced slices; the gaps between the {len(self.positions)} slices are {named} mm"
                f"{beside}",
                remedy="send the missing slices, or give an image on the parent's own slices",
            )

    def _sideways(self) -> float:
        """How many mm the slices are beside the straight line from the first to the last, at most."""
        positions = np.asarray(self.positions, dtype=np.float64)
        part = np.linspace(0, 1, len(positions))[:, np.newaxis]
        return float(np.linalg.norm(positions - positions[0] - part * (positions[-1] - positions[0]), axis=1).max())

    @property
    def affine_lps(self) -> Affine:
        """4x4, (slice, row, column, 1) -> LPS mm.

        :raises GeometryError: the slices are unevenly spaced, so that no affine fits.
        """
        self.require_regular("an affine")
        affine = np.eye(4)
        count = len(self.positions)
        first, last = np.asarray(self.positions[0]), np.asarray(self.positions[-1])
        affine[:3, 0] = (last - first) / (count - 1) if count > 1 else self.normal
        affine[:3, 1] = np.asarray(self.column_cosines) * self.pixel_spacing[0]
        affine[:3, 2] = np.asarray(self.row_cosines) * self.pixel_spacing[1]
        affine[:3, 3] = first
        return affine

    @property
    def affine_ras(self) -> Affine:
        """4x4, (slice, row, column, 1) -> RAS mm (NIfTI's world)."""
        return np.asarray(LPS_TO_RAS @ self.affine_lps)

    def corners(self, index: int) -> npt.NDArray[np.float64]:
        """The centres of the four corner pixels of a slice, (4, 3), LPS mm."""
        down = np.asarray(self.column_cosines) * self.pixel_spacing[0] * (self.rows - 1)
        across = np.asarray(self.row_cosines) * self.pixel_spacing[1] * (self.columns - 1)
        first = np.asarray(self.positions[index])
        return np.stack([first, first + down, first + across, first + down + across])

    def subset(self, indexes: Sequence[int]) -> Grid:
        """The grid of some of its slices, in ascending order.

        :raises GeometryError: the indexes do not ascend: an array in their order would lie on the wrong slices.
        """
        return Grid(
            self.row_cosines,
            self.column_cosines,
            self.pixel_spacing,
            tuple(self.positions[i] for i in indexes),
            self.rows,
            self.columns,
        )

    @classmethod
    def from_affine(cls, affine_lps: Affine, shape: Sequence[int]) -> Grid:
        """Make the grid of a (slice, row, column) array from its LPS affine.

        The slices must ascend along the normal, so the affine must be right-handed.

        :raises GeometryError: the affine is singular, left-handed, sheared or not orthogonal; it names the angle.
        """
        affine = np.asarray(affine_lps, dtype=np.float64)
        if affine.shape != (4, 4) or not np.all(np.isfinite(affine)):
            raise GeometryError(f"an affine is 4x4 and finite, this one is {affine.tolist()}")
        steps = affine[:3, :3].T  # slice, row, column
        lengths = np.linalg.norm(steps, axis=1)
        if np.any(lengths < 1e-6):
            raise GeometryError(
                f"the affine is singular: its voxel sizes are {lengths.tolist()} mm",
                remedy="write the image with its sform or qform set",
            )
        slice_dir, row_dir, column_dir = steps / lengths[:, None]
        _refuse_angles(slice_dir, row_dir, column_dir)
        if float(np.cross(column_dir, row_dir) @ slice_dir) < 0:
            raise GeometryError(
                "the affine is left-handed: its slices descend along the normal",
                remedy="flip the slice axis of the array and of the affine",
            )
        count, rows, columns = (int(n) for n in shape[:3])
        origin = affine[:3, 3]
        return cls(
            _vector(column_dir),
            _vector(row_dir),
            (float(lengths[1]), float(lengths[2])),
            tuple(_vector(origin + k * steps[0]) for k in range(count)),
            rows,
            columns,
        )


def _normal(row: Vector, column: Vector) -> Vector:
    x = row[1] * column[2] - row[2] * column[1]
    y = row[2] * column[0] - row[0] * column[2]
    z = row[0] * column[1] - row[1] * column[0]
    length = math.sqrt(x * x + y * y + z * z)
    return (x / length, y / length, z / length)


def _vector(values: npt.NDArray[np.float64]) -> Vector:
    return (float(values[0]), float(values[1]), float(values[2]))


def _refuse_angles(
    slice_dir: npt.NDArray[np.float64], row_dir: npt.NDArray[np.float64], column_dir: npt.NDArray[np.float64]
) -> None:
    pairs = (
        ("row", "column", row_dir, column_dir),
        ("slice", "row", slice_dir, row_dir),
        ("slice", "column", slice_dir, column_dir),
    )
    for first, second, a, b in pairs:
        off = float(np.degrees(np.arcsin(np.clip(abs(a @ b), 0, 1))))
        if off > np.degrees(SAME_ANGLE_RADIANS):
            raise GeometryError(
                f"the affine is not orthogonal: its {first} and {second} axes are {90 - off:.2f} degrees apart, "
                f"{off:.2f} from a right angle",
                remedy="resample the image to an orthogonal grid first",
            )
