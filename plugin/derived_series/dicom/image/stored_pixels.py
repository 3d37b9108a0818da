"""StoredPixels: an array of values as stored pixels, in one encoding for the series (PS3.3 C.7.6.3, C.11.1)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.tag import BaseTag

from derived_series.dicom.encoding.decimal_string import decimal_string
from derived_series.dicom.encoding.late_pixels import LatePixels
from derived_series.dicom.source.slices import release_mapped_pages
from derived_series.errors import Advice, Choice, PixelError
from derived_series.kinds.kind import PixelRules

#: The pages of a memory-mapped image are released after this many slices.
_LET_GO_SLICES = 32
#: Between this and its reciprocal, a float64 and its reciprocal have full precision.
_NORMAL = 1e-300
#: Beyond this, a stored value times its slope may exceed float64.
_LARGEST_VALUE = 1e300
_SMALLEST_VALUE = 5e-324


@dataclass(frozen=True, slots=True, eq=False)
class StoredPixels:
    """An image, and how its values are stored.

    :param image: the values as passed in, (slice, row, column), or (slice, row, column, 3) in RGB.
    :param dtype: the stored integer type, little endian.
    :param slope: real = stored * slope + intercept; exactly the number in its DS text.
    :param nan: the value that replaces NaN and Inf; None if there are none.
    :param low: smallest, :param high: largest real value (before quantisation).
    :param is_mask: whether the image was passed in as bool.
    """

    image: npt.NDArray[Any]
    dtype: np.dtype[Any]
    slope: float
    intercept: float
    nan: float | None
    low: float
    high: float
    is_mask: bool = False
    warnings: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        return int(self.image.shape[1])

    @property
    def columns(self) -> int:
        return int(self.image.shape[2])

    @property
    def samples(self) -> int:
        """Of a pixel: 3 in colour."""
        return 3 if self.image.ndim == 4 else 1

    @property
    def bits(self) -> int:
        return self.dtype.itemsize * 8

    @property
    def signed(self) -> bool:
        return self.dtype.kind == "i"

    @property
    def rescaled(self) -> bool:
        return self.slope != 1 or self.intercept != 0

    @property
    def size(self) -> int:
        """Bytes of one slice's PixelData, padded to even length (PS3.5 8.1.1)."""
        size = self.rows * self.columns * self.samples * self.dtype.itemsize
        return size + size % 2

    def stored(self, index: int) -> npt.NDArray[Any]:
        """The stored values of a slice, (row, column), rounded to nearest."""
        return self._whole(index).astype(self.dtype, copy=False)

    def _whole(self, index: int) -> npt.NDArray[Any]:
        """The stored values of a slice as whole numbers, in a type that holds them."""
        frame: npt.NDArray[Any] = self.image[index]
        if index % _LET_GO_SLICES == 0:
            release_mapped_pages(self.image)
        if frame.dtype.kind == "f" and self.nan is not None:
            frame = np.where(np.isfinite(frame), frame, np.float64(self.nan))
        if not self.rescaled:
            return frame if frame.dtype.kind in "iu" else np.rint(frame)
        scaled = frame.astype(np.float64)
        if self.intercept:
            scaled -= self.intercept
        inverse = 1 / self.slope  # multiplying takes a third of the time of dividing
        if _NORMAL <= inverse <= 1 / _NORMAL:
            scaled *= inverse
        else:
            scaled /= self.slope
        return np.rint(scaled, out=scaled)

    def write(self, index: int, place: npt.NDArray[np.uint8]) -> None:
        """Write the PixelData of a slice, little endian, into a buffer.

        :param place: ``size`` bytes, or as many as the slice has without padding.
        """
        frame = self._whole(index)
        place[-1:] = 0  # the padding, where there is any
        values = place[: frame.size * self.dtype.itemsize].view(self.dtype)
        np.copyto(values.reshape(frame.shape), frame, casting="unsafe")

    def encode(self, index: int) -> bytes:
        """Encode the PixelData of a slice."""
        place = np.empty(self.size, np.uint8)
        self.write(index, place)
        return place.tobytes()

    def together(self, order: Sequence[int], tag: BaseTag, vr: str) -> LatePixels:
        """An element with the slices concatenated and padded once at the end; computed when it is written."""
        size = self.rows * self.columns * self.samples * self.dtype.itemsize

        def write(place: npt.NDArray[np.uint8]) -> None:
            place[-1:] = 0
            for number, index in enumerate(order):
                self.write(index, place[number * size : (number + 1) * size])

        return LatePixels(tag, vr, len(order) * size + len(order) * size % 2, write)


def require_encodable(dtype: np.dtype[Any]) -> None:
    """Require a type that can be stored as pixels. :raises PixelError: it cannot."""
    if dtype.kind not in "biuf":
        raise PixelError(
            f"an image of dtype {dtype} has no pixel encoding",
            remedy="give bool, an integer or a float type; of complex values the magnitude or the phase",
        )


def encode_pixels(image: npt.NDArray[Any], rules: PixelRules, nan: float | None = None) -> StoredPixels:
    """Choose how to store a (slice, row, column) array.

    Integers, and floats that are all whole numbers, are stored unchanged with slope 1 if they fit 16 bits. Everything
    else gets one slope for the series, rounded to its DS text first. Zero stays exactly zero if the range can be
    stored with intercept 0 at no more than twice the step.

    :param nan: what NaN and Inf are replaced by; None refuses them.
    :raises PixelError: NaN or Inf without ``nan``, or a dtype that cannot be stored as pixels.
    """
    require_encodable(image.dtype)
    is_mask = image.dtype.kind == "b"
    if is_mask:
        image = image.view(np.uint8)
    low, high, replaced = _range(image, nan)
    warnings: tuple[str, ...] = ()
    whole = image.dtype.kind in "iu" or _all_whole(image, low, high, nan if replaced else None)
    dtype = _whole_type(image.dtype, low, high, rules) if whole else None
    slope, intercept = 1.0, 0.0
    if dtype is None:
        dtype, slope, intercept = _scaled(low, high, rules)
        if image.dtype.kind in "iu":
            warnings = (f"integers from {low:.0f} to {high:.0f} do not fit 16 bits: stored in steps of {slope:g}",)
    return StoredPixels(
        image=image,
        dtype=dtype.newbyteorder("<"),
        slope=slope,
        intercept=intercept,
        nan=nan if replaced else None,
        low=low,
        high=high,
        is_mask=is_mask,
        warnings=warnings,
    )


def _range(image: npt.NDArray[Any], nan: float | None) -> tuple[float, float, bool]:
    """(low, high, whether NaN or Inf must be replaced), found slice by slice."""
    lows, highs, bad = [], [], []
    for index, frame in enumerate(image):
        if index % _LET_GO_SLICES == 0:
            release_mapped_pages(image)
        low, high = frame.min(), frame.max()
        if image.dtype.kind == "f" and not (np.isfinite(low) and np.isfinite(high)):
            bad.append(index)
            finite = frame[np.isfinite(frame)]
            if finite.size:
                lows.append(finite.min())
                highs.append(finite.max())
        else:
            lows.append(low)
            highs.append(high)
    if bad and nan is None:
        raise PixelError(
            f"{len(bad)} of {len(image)} slices hold NaN or Inf, the first is slice {bad[0]} (counted from 0)",
            remedy="replace them in the image, or choose what they are replaced by, such as NumpyFactory(nan=0)",
            advice=Advice(Choice.NAN),
        )
    if bad and nan is not None:
        if not isinstance(nan, (int, float, np.number)) or not math.isfinite(nan):
            raise PixelError(f"NaN cannot be replaced by {nan!r}", remedy="give a number, such as NumpyFactory(nan=0)")
        lows.append(nan)
        highs.append(nan)
    return float(min(lows)), float(max(highs)), bool(bad)


def _all_whole(image: npt.NDArray[Any], low: float, high: float, nan: float | None) -> bool:
    if low < -32768 or high > 65535 or not float(low).is_integer() or not float(high).is_integer():
        return False
    if nan is not None and not float(nan).is_integer():
        return False
    with np.errstate(invalid="ignore"):
        if nan is None:
            return all(bool(np.all(np.rint(frame) == frame)) for frame in image)
        return all(bool(np.all((np.rint(frame) == frame) | ~np.isfinite(frame))) for frame in image)


def _whole_type(dtype: np.dtype[Any], low: float, high: float, rules: PixelRules) -> np.dtype[Any] | None:
    """The type that holds the whole numbers unchanged; None if there is none."""
    unsigned_first = dtype.kind == "u"
    for bits in rules.bits:
        if bits == 8 and dtype.itemsize > 1:
            continue  # a 16 bit image stays 16 bit even when its values are small
        for name in (f"u{bits // 8}", f"i{bits // 8}") if unsigned_first else (f"i{bits // 8}", f"u{bits // 8}"):
            if bits == 8 and name == "i1":
                continue
            limits = np.iinfo(name)
            if limits.min <= low and high <= limits.max:
                return np.dtype(name)
    return None


def _scaled(low: float, high: float, rules: PixelRules) -> tuple[np.dtype[Any], float, float]:
    """(type, slope, intercept) for 16 bits; slope and intercept are the numbers in their DS texts."""
    if max(-low, high) > _LARGEST_VALUE:
        raise PixelError(
            f"the image's values reach from {low:g} to {high:g}: no rescale slope can say that",
            remedy=f"scale the image to values below {_LARGEST_VALUE:g}",
        )
    if low == high:  # a single value is restored exactly
        slope = as_ds(abs(low))
        return np.dtype("u2" if low > 0 else "i2"), slope, 0.0
    unsigned = low >= 0
    around_zero = high / 65535 if unsigned else max(high / 32767, -low / 32768)
    if rules.zero_intercept or around_zero <= 2 * (high - low) / 65535:
        return np.dtype("u2" if unsigned else "i2"), as_ds(max(around_zero, _SMALLEST_VALUE), 1), 0.0
    intercept = as_ds(low, -1)
    return np.dtype("u2"), as_ds((high - intercept) / 65535, 1), intercept


def as_ds(value: float, side: int = 0) -> float:
    """The number in the DS text (at most 16 characters) of ``value``; never 0 for a positive value.

    :param side: 1 for a number not below the value, -1 for one not above it: a slope too small or an intercept too
        large would push values out of the stored range, where they wrap around.
    """
    rounded = float(decimal_string(value))
    part = 1e-16
    while side * (rounded - value) < 0 and part < 1:
        part *= 10
        rounded = float(decimal_string(value + side * abs(value) * part))
    return rounded
