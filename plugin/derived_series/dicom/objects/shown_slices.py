"""The parent's slices as a viewer first displays them: in their own windows (PS3.3 C.11.2), with square pixels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import pixel_array

from derived_series.dicom.image.stored_pixels import encode_pixels
from derived_series.dicom.modules.windows import Window, displayed, window_of, windows_of
from derived_series.dicom.source.lookup_tables import look_up, numbers_of
from derived_series.dicom.source.multiframe.frame import FrameDataset, source_of
from derived_series.dicom.source.parent_series import ParentSeries
from derived_series.dicom.source.slices import ParentSlices
from derived_series.kinds.kind import PixelRules

#: Attributes with the size of pixels, or at least their shape; rows first.
_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing", "PixelAspectRatio")


@dataclass(frozen=True, eq=False)
class ShownSlices:
    """The slices of a parent in 8 bits, decoded one at a time."""

    parent: ParentSeries

    @cached_property
    def _slices(self) -> ParentSlices:
        return self.parent.slices()

    @cached_property
    def _own_window(self) -> Window:
        """The window for slices that have none."""
        return window_of(encode_pixels(self._slices, PixelRules(), nan=0.0))  # type: ignore[arg-type]

    def picture(self, index: int) -> npt.NDArray[np.uint8]:
        """One slice in 8 bits, (row, column), or (row, column, 3) if the parent is in colour.

        :param index: the index of the parent's instance.
        """
        return _in_colour(self.parent.instances[index]) if self._is_colour else self.grey(index)

    def grey(self, index: int) -> npt.NDArray[np.uint8]:
        """One slice in grey, (row, column). :param index: the index of the parent's instance."""
        if self._is_colour:
            brightness: npt.NDArray[np.float64] = _in_colour(self.parent.instances[index]) @ _BRIGHTNESS
            return np.rint(brightness).astype(np.uint8)
        return self.window(self._slices[index], self.parent.instances[index])

    @property
    def _is_colour(self) -> bool:
        return str(self.parent.pivot.get("PhotometricInterpretation")) not in ("MONOCHROME1", "MONOCHROME2")

    def window(self, values: npt.NDArray[Any], instance: Dataset) -> npt.NDArray[np.uint8]:
        """Map real-world values through the window of an instance, to 0 to 255."""
        values = np.nan_to_num(np.asarray(values, np.float64))
        windows = windows_of(instance)
        if windows:
            shown = displayed(values, *windows[0], instance.get("VOILUTFunction"))
        elif instance.get("VOILUTSequence"):
            shown = _by_table(values, instance)
        else:
            voi = self._own_window
            shown = displayed(values, voi.centre, voi.width, voi.function)
        inverted = instance.get("PhotometricInterpretation") == "MONOCHROME1"
        return np.rint((1 - shown if inverted else shown) * 255).astype(np.uint8)


#: Weights of red, green and blue (ITU-R BT.601).
_BRIGHTNESS = np.array([0.299, 0.587, 0.114])


def _in_colour(instance: Dataset) -> npt.NDArray[np.uint8]:
    """A slice in RGB, converted from its stored colours."""
    source = source_of(instance)
    frame = instance.frame_number if isinstance(instance, FrameDataset) else None
    pixels = np.asarray(pixel_array(source, index=(frame or 1) - 1))
    if str(source.PhotometricInterpretation) != "PALETTE COLOR":
        return pixels.astype(np.uint8, copy=False)
    looked_up = np.asarray(apply_color_lut(pixels, source))[..., :3]
    return (looked_up >> 8 if looked_up.dtype.itemsize > 1 else looked_up).astype(np.uint8)


def _by_table(values: npt.NDArray[np.float64], instance: Dataset) -> npt.NDArray[np.float64]:
    """Map values through the first VOI LUT, to 0 to 1 (PS3.3 C.11.2.1.1)."""
    table = instance.VOILUTSequence[0]
    _, _, bits = numbers_of(table)
    looked_up = look_up(np.rint(values), table, signed=bool(instance.get("PixelRepresentation")))
    return np.clip(looked_up / ((1 << max(bits, 1)) - 1), 0, 1)


def pixel_size(parent: ParentSeries) -> tuple[float, float]:
    """Height and width of a pixel: in mm if known, else their ratio."""
    if parent.grid is not None:
        return parent.grid.pixel_spacing
    spacing = next((parent.pivot.get(keyword) for keyword in _SPACINGS if parent.pivot.get(keyword)), None)
    return (1.0, 1.0) if spacing is None else (float(spacing[0]), float(spacing[1]))


def picture_size(shape: tuple[int, ...], size: tuple[float, float], least: int, most: int) -> tuple[int, int]:
    """Choose rows and columns of a picture with square pixels, at least as fine as the slice, within limits.

    :param shape: (..., rows, columns) of the slice. :param size: height and width of its pixels.
    :param least: the fewest pixels of the picture's longer side. :param most: the most.
    """
    rows, columns = shape[-2:]
    finest = min(size)
    height, width = rows * size[0] / finest, columns * size[1] / finest
    longer = max(height, width)
    scale = min(max(least / longer, 1.0), most / longer)
    return max(round(height * scale), 1), max(round(width * scale), 1)
