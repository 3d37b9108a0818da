"""LatePixels: pixels written straight into the file's bytes; they become a value of their own only when read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataelem import DataElement
from pydicom.tag import BaseTag

#: Stands for the value until it is read.
_LATE = object()


class LatePixels(DataElement):
    """An element whose value is computed when it is read.

    :param size: length of the value in bytes, even and above 0.
    :param write: writes the value into an array of ``size`` bytes; its source must not change any more.
    """

    def __init__(self, tag: BaseTag, vr: str, size: int, write: Callable[[npt.NDArray[np.uint8]], None]):
        self.size = size
        self.write = write
        super().__init__(tag, vr, _LATE, already_converted=True)

    @property
    def is_late(self) -> bool:
        """Whether the value has been neither read nor replaced."""
        return self._value is _LATE

    @property
    def value(self) -> Any:
        """The pixels as bytes, or the value set in their place."""
        if self.is_late:
            place = np.empty(self.size, np.uint8)
            self.write(place)
            self._value = place.tobytes()
        return self._value

    @value.setter
    def value(self, value: Any) -> None:
        self._value = value

    @property
    def VM(self) -> int:  # noqa: N802 (pydicom's name)
        """1, unless the pixels were cleared."""
        return 1 if self.is_late else super().VM

    def __deepcopy__(self, memo: dict[int, Any]) -> DataElement:
        return DataElement(self.tag, self.VR, self.value, already_converted=True)

    def __reduce__(self) -> tuple[Any, ...]:
        return DataElement, (self.tag, self.VR, self.value)
