"""Gradients: b-values and gradient directions of each volume, from the standard's or the vendor's tags."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from derived_series.errors import InvalidParent

Reader = Callable[[Dataset], float | Sequence[float] | None]

#: The tolerance of a direction's length of 1; a shorter vector than this is no direction.
_NEAR_ONE, _NONE = 0.1, 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Gradients:
    """The diffusion weighting of each volume.

    :param b_values: (volume,), s/mm2.
    :param directions: (volume, 3), unit vectors in the patient's coordinates (LPS); zeros for volumes without a
        direction (b = 0, trace-weighted).
    """

    b_values: npt.NDArray[np.float64]
    directions: npt.NDArray[np.float64]

    def along_axes(self, affine_ras: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """(volume, 3): the directions along the axes of a NIfTI image, such as ``to_nifti()`` with its ``affine``.

        DIPY expects these for the image's array.
        """
        axes = np.asarray(affine_ras, dtype=np.float64)[:3, :3]
        ras = self.directions * [-1.0, -1.0, 1.0]
        return np.asarray(ras @ (axes / np.linalg.norm(axes, axis=0)))

    def fsl(self, affine_ras: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """(3, volume): the rows of FSL's bvecs file, with the first axis flipped for a right-handed image."""
        directions = self.along_axes(affine_ras)
        if np.linalg.det(np.asarray(affine_ras)[:3, :3]) > 0:
            directions = directions * [-1.0, 1.0, 1.0]
        return directions.T


def _standard_b(dataset: Dataset) -> float | None:
    return _number(dataset.get("DiffusionBValue"))


def _standard_direction(dataset: Dataset) -> Sequence[float] | None:
    return _vector(dataset.get("DiffusionGradientOrientation"))


def _private(group: int, offset: int, creator: str) -> Callable[[Dataset], object]:
    def read(dataset: Dataset) -> object:
        try:
            return dataset.private_block(group, creator)[offset].value
        except KeyError:
            return None

    return read


_SIEMENS_B = _private(0x0019, 0x0C, "SIEMENS MR HEADER")
_SIEMENS_DIRECTION = _private(0x0019, 0x0E, "SIEMENS MR HEADER")
_PHILIPS_B = _private(0x2001, 0x03, "Philips Imaging DD 001")
_PHILIPS_AXES = tuple(_private(0x2005, offset, "Philips MR Imaging DD 001") for offset in (0xB0, 0xB1, 0xB2))
_GE_B = _private(0x0043, 0x39, "GEMS_PARM_01")

#: Where vendors store b-value and direction; the first pair that has a value is taken.
_READERS: tuple[tuple[Reader, Reader], ...] = (
    (_standard_b, _standard_direction),
    (lambda d: _number(_SIEMENS_B(d)), lambda d: _vector(_SIEMENS_DIRECTION(d))),
    (lambda d: _number(_PHILIPS_B(d)), lambda d: _vector([read(d) for read in _PHILIPS_AXES])),
)


def gradients_of(volumes: Sequence[Dataset]) -> Gradients:
    """Read the gradients from one instance of each volume.

    :raises InvalidParent: there are no b-values, or the vendor's directions may not be in patient coordinates.
    """
    pairs = next((pair for pair in _READERS if any(pair[0](dataset) is not None for dataset in volumes)), None)
    if pairs is None:
        of_ge = any(_GE_B(dataset) is not None for dataset in volumes)
        private_note = ", but private ones of GE, whose directions are those of the scan and not of the patient" * of_ge
        raise InvalidParent(
            f"the series has no b-values (DiffusionBValue (0018,9087)){private_note}",
            remedy="give a diffusion series, with its private elements where the vendor keeps them there",
        )
    read_b, read_direction = pairs
    b_values = np.array([read_b(dataset) or 0.0 for dataset in volumes], dtype=np.float64)
    directions = np.array([read_direction(dataset) or (0.0, 0.0, 0.0) for dataset in volumes], dtype=np.float64)
    lengths = np.linalg.norm(directions, axis=1)
    wrong = (lengths > _NONE) & (np.abs(lengths - 1) > _NEAR_ONE)
    if wrong.any():
        at = int(np.argmax(wrong))
        raise InvalidParent(f"the gradient direction of volume {at} is {directions[at].tolist()}, not a unit vector")
    directions[lengths <= _NONE] = 0
    directions[lengths > _NONE] /= lengths[lengths > _NONE, None]
    directions[b_values == 0] = 0
    return Gradients(b_values, directions)


def _number(value: object) -> float | None:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None


def _vector(value: object) -> Sequence[float] | None:
    if not isinstance(value, Sequence) and not hasattr(value, "__iter__"):
        return None
    if isinstance(value, str | bytes):
        return None
    numbers = [_number(each) for each in value]
    return [each for each in numbers if each is not None] if len(numbers) == 3 and None not in numbers else None
