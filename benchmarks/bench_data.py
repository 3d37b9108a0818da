"""Parents and volumes to measure with: CT headers of the test phantoms with larger pixels, cheap to make."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from phantoms import ct_phantom, encode

ROWS = COLUMNS = 512


@lru_cache(maxsize=1)
def _planes() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """A disc in HU, and noise of 8 HU, (row, column)."""
    down, across = np.mgrid[:ROWS, :COLUMNS]
    inside = np.hypot(down - ROWS / 2, across - COLUMNS / 2) < 0.4 * ROWS
    noise = np.random.default_rng(1).normal(0, 8, (ROWS, COLUMNS))
    return np.where(inside, 40, -1000).astype(np.float32), noise.astype(np.float32)


def plane(index: int) -> npt.NDArray[np.float32]:
    """A slice in HU with digits after the point; each slice another."""
    disc, noise = _planes()
    return disc + np.roll(noise, 7919 * index)


def volume(slices: int) -> npt.NDArray[np.float32]:
    """(slice, row, column) in HU."""
    image = np.empty((slices, ROWS, COLUMNS), np.float32)
    for index in range(slices):
        image[index] = plane(index)
    return image


def parent_datasets(slices: int, *, series: str = "bench", patient: str = "BENCH") -> Iterator[Dataset]:
    """A CT parent, one dataset at a time: 12 bits in 16, HU + 1024, explicit VR little endian."""
    size = (0.45 * 512 / ROWS, 0.45 * 512 / COLUMNS)
    headers = ct_phantom(slices, 2, 2, spacing=0.6, pixel_spacing=size, series=series, patient_id=patient)
    for index, dataset in enumerate(headers):
        dataset.Rows, dataset.Columns = ROWS, COLUMNS
        dataset.ReconstructionDiameter = round(size[1] * COLUMNS, 2)
        stored = np.rint(plane(index) + 1024).clip(0, 4095)
        dataset.PixelData = stored.astype("<u2").tobytes()
        dataset["PixelData"].VR = "OW"
        yield dataset


def parent_files(slices: int, *, series: str = "bench", patient: str = "BENCH") -> Iterator[bytes]:
    """The same as Part 10 files."""
    return (encode(dataset) for dataset in parent_datasets(slices, series=series, patient=patient))


def npy(slices: int) -> bytes:
    """An int16 volume in HU as a .npy file."""
    image = np.empty((slices, ROWS, COLUMNS), np.int16)
    for index in range(slices):
        image[index] = np.rint(plane(index))
    buffer = io.BytesIO()
    np.save(buffer, image)
    return buffer.getvalue()
