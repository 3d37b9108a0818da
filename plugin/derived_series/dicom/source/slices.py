"""Images whose slices are read or made on access, so that only the slices in use are in memory."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from derived_series.dicom.source.pixels import LastMosaic, PixelFormat, real_world, stored_frame


@dataclass(frozen=True, slots=True, eq=False)
class ParentSlices:
    """The real-world values of a parent, float32, (slice, row, column); each access decodes a slice.

    The slices of several volumes follow volume after volume.
    """

    instances: Sequence[Dataset]
    formats: Sequence[PixelFormat]
    dtype: np.dtype[Any] = np.dtype(np.float32)
    _last: LastMosaic = field(default_factory=LastMosaic, init=False, repr=False)

    @property
    def shape(self) -> tuple[int, int, int]:
        return (len(self.instances), self.formats[0].rows, self.formats[0].columns)

    @property
    def ndim(self) -> int:
        return 3

    def __len__(self) -> int:
        return len(self.instances)

    def __getitem__(self, index: int) -> npt.NDArray[np.float32]:
        instance, pixel_format = self.instances[index], self.formats[index]
        stored = stored_frame(instance, pixel_format, self._last)  # before allocating: the header may announce any size
        out = np.empty(self.shape[1:], dtype=np.float32)
        real_world(instance, pixel_format, stored, out)
        return out

    def at(
        self, index: int, *places: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]
    ) -> list[npt.NDArray[np.float32]]:
        """The values at some rows and columns of a slice, for each pair (rows, columns) of indexes."""
        instance, pixel_format = self.instances[index], self.formats[index]
        stored = stored_frame(instance, pixel_format, self._last)
        points = []
        for rows, columns in places:
            part = stored[np.ix_(rows, columns)]
            points.append(np.empty(part.shape[:2], dtype=np.float32))
            real_world(instance, pixel_format, part, points[-1])
        return points

    def read_into(self, index: int, out: npt.NDArray[np.float32]) -> None:
        """Decode one slice into a (row, column) array."""
        instance, pixel_format = self.instances[index], self.formats[index]
        real_world(instance, pixel_format, stored_frame(instance, pixel_format, self._last), out)

    def __iter__(self) -> Iterator[npt.NDArray[np.float32]]:
        return (self[index] for index in range(len(self)))


@dataclass(frozen=True, slots=True, eq=False)
class VolumeSlices:
    """The slices of a (time, slice, row, column) array as one sequence, volume after volume, without copying.

    Reshaping would copy the array if the axes are not in this order in memory, as in most NIfTI files.
    """

    array: npt.NDArray[Any]

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.array.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self), *self.array.shape[2:])

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __len__(self) -> int:
        return int(self.array.shape[0] * self.array.shape[1])

    def __getitem__(self, index: int) -> npt.NDArray[Any]:
        plane: npt.NDArray[Any] = self.array[divmod(index, self.array.shape[1])]
        return plane

    def __iter__(self) -> Iterator[npt.NDArray[Any]]:
        return (self[index] for index in range(len(self)))

    def view(self, dtype: npt.DTypeLike) -> VolumeSlices:
        return VolumeSlices(self.array.view(dtype))


def by_slice(image: npt.NDArray[Any], volumes: int) -> npt.NDArray[Any]:
    """An image as a sequence of its slices, which behaves like an array as far as needed.

    :param image: (slice, row, column), or (time, slice, row, column) when there are several volumes.
    """
    if volumes > 1 and isinstance(image, np.ndarray) and image.ndim == 4:
        return cast("npt.NDArray[Any]", VolumeSlices(image))
    return image


def release_mapped_pages(image: Any) -> None:
    """Release the pages of a memory-mapped file; they are read again when needed."""
    base = image.array if isinstance(image, VolumeSlices) else image
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)
