"""A diffusion series with known tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from phantoms_4d import dti_phantom

#: The eigenvalues of the anisotropic half, mm2/s, and its first eigenvector in the patient's coordinates (LPS).
_EIGENVALUES = (1.7e-3, 0.4e-3, 0.3e-3)
_AXIS = np.array([2.0, -1.0, 0.5]) / np.linalg.norm([2.0, -1.0, 0.5])

DIFFUSIVITY = float(np.mean(_EIGENVALUES))
ANISOTROPY = float(
    np.sqrt(1.5 * np.sum(np.square(np.array(_EIGENVALUES) - DIFFUSIVITY)) / np.sum(np.square(_EIGENVALUES)))
)

#: Twelve directions that cover the half sphere as evenly as an icosahedron's, and two volumes without.
_GOLDEN = (1 + 5**0.5) / 2
_DIRECTIONS = [
    np.array(v) / np.linalg.norm(v)
    for a in (1.0, -1.0)
    for v in ((0, 1, a * _GOLDEN), (1, a * _GOLDEN, 0), (a * _GOLDEN, 0, 1), (1, 1, a), (1, a, -1), (0.2, a, 0.3))
]


def diffusion_phantom() -> tuple[list[Dataset], Any, Any]:
    """The instances; the mask of the brain; and the mask of its anisotropic half: both (slice, row, column).

    The other half diffuses equally in all directions, and as much on average.
    """
    slices, rows, columns = 6, 32, 28
    k, i, j = np.indices((slices, rows, columns))
    brain = ((i - 16) / 12) ** 2 + ((j - 13) / 10) ** 2 + ((k - 2.5) / 4) ** 2 < 1
    left = brain & (j > 13)
    second = np.cross(_AXIS, [0.0, 0.0, 1.0])
    second /= np.linalg.norm(second)
    axes = np.stack([_AXIS, second, np.cross(_AXIS, second)])
    tensor = axes.T @ np.diag(_EIGENVALUES) @ axes
    weighted: list[tuple[float, tuple[float, float, float] | None]] = [(0, None), (0, None)]
    weighted += [(1000, (float(v[0]), float(v[1]), float(v[2]))) for v in _DIRECTIONS]
    datasets = dti_phantom(tuple(weighted), slices, rows, columns)
    for index, dataset in enumerate(datasets):
        b_value, direction = weighted[index // slices]
        vector = np.array(direction or (0.0, 0.0, 0.0))
        decay = np.where(left, np.exp(-b_value * (vector @ tensor @ vector)), np.exp(-b_value * DIFFUSIVITY))
        signal = np.where(brain, 3800 * (decay if direction else 1.0), 20)
        dataset.PixelData = np.rint(signal[index % slices]).astype("<u2").tobytes()
    return datasets, brain, left
