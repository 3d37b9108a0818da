"""Images whose slices are made or read when they are asked for, so that no more of them is held than is worked on."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from derived_series.dicom.voxels import PixelFormat, real_world, stored_frame


@dataclass(frozen=True, slots=True, eq=False)
class ParentSlices:
    """The real-world values of a parent, float32, (slice, row, column); each access decodes one slice."""

    instances: Sequence[Dataset]
    formats: Sequence[PixelFormat]
    dtype: np.dtype[Any] = np.dtype(np.float32)

    @property
    def shape(self) -> tuple[int, int, int]:
        return (len(self.instances), self.formats[0].rows, self.formats[0].columns)

    @property
    def ndim(self) -> int:
        return 3

    def __len__(self) -> int:
        return len(self.instances)

    def __getitem__(self, index: int) -> npt.NDArray[np.float32]:
        out = np.empty(self.shape[1:], dtype=np.float32)
        self.read_into(index, out)
        return out

    def read_into(self, index: int, out: npt.NDArray[np.float32]) -> None:
        """Decode one slice into a (row, column) array."""
        instance, how = self.instances[index], self.formats[index]
        real_world(instance, how, stored_frame(instance, how), out)

    def __iter__(self) -> Iterator[npt.NDArray[np.float32]]:
        return (self[index] for index in range(len(self)))


def let_go(image: Any) -> None:
    """Give the pages of a memory-mapped file back; they are read again when they are needed again."""
    base = image
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)
