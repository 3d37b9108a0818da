"""The values of one parent instance: stored, and in the real world."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_modality_lut
from pydicom.pixels.utils import pixel_array
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from derived_series.errors import InvalidParent

#: Whole numbers below this plus 16 bits are exact in float32.
_EXACT = 1 << 23
_NATIVE = (ImplicitVRLittleEndian, ExplicitVRLittleEndian)


def stored_frame(dataset: Dataset) -> npt.NDArray[Any]:
    """The stored values, (row, column) or (row, column, sample).

    Values of fewer bits than are allocated are sign-extended and cleared of what older writers put above
    HighBit (PS3.5 8.1.1). Native syntaxes are viewed without a copy where the bits allow.

    :raises InvalidParent: when there are no pixels or they cannot be decoded.
    """
    if not any(keyword in dataset for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise InvalidParent(f"instance {dataset.get('SOPInstanceUID')} has no pixel data")
    lacking = [keyword for keyword in ("BitsAllocated", "BitsStored") if dataset.get(keyword) is None]
    if lacking and "PixelData" in dataset:
        raise InvalidParent(f"instance {dataset.get('SOPInstanceUID')} has pixels, but no {' and '.join(lacking)}")
    meta = getattr(dataset, "file_meta", None)
    syntax = meta.get("TransferSyntaxUID") if meta is not None else None
    if syntax is None or syntax in _NATIVE:
        frame = _native(dataset)
        if frame is not None:
            return frame
    try:
        frame = pixel_array(dataset)
    except (AttributeError, ValueError, RuntimeError, NotImplementedError, KeyError, TypeError) as error:
        name = getattr(syntax, "name", syntax)
        raise InvalidParent(
            f"the pixels of instance {dataset.get('SOPInstanceUID')} cannot be decoded ({name}): {error}"
        ) from error
    if frame.dtype.kind not in "iu":
        return frame
    return _clean(frame, int(dataset.BitsStored), frame.dtype.itemsize * 8 - int(dataset.BitsStored))


def _native(dataset: Dataset) -> npt.NDArray[Any] | None:
    """A view of uncompressed grey pixels; None for what pydicom shall decode."""
    bits = int(dataset.get("BitsAllocated", 0))
    if bits not in (8, 16, 32) or int(dataset.get("SamplesPerPixel", 1)) != 1 or "PixelData" not in dataset:
        return None
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    data = dataset.PixelData
    if len(data) < rows * columns * bits // 8:
        raise InvalidParent(
            f"instance {dataset.get('SOPInstanceUID')} has {len(data)} bytes of pixels, "
            f"{rows} x {columns} of {bits} bits need {rows * columns * bits // 8}"
        )
    kind = "i" if int(dataset.get("PixelRepresentation", 0)) else "u"
    frame: npt.NDArray[Any] = np.frombuffer(data, dtype=f"<{kind}{bits // 8}", count=rows * columns)
    high = int(dataset.get("HighBit", int(dataset.BitsStored) - 1))
    return _clean(frame.reshape(rows, columns), int(dataset.BitsStored), bits - 1 - high)


def _clean(frame: npt.NDArray[Any], bits_stored: int, above: int) -> npt.NDArray[Any]:
    """Shift out the ``above`` unused bits and back: sign-extends signed, clears unsigned values."""
    bits = frame.dtype.itemsize * 8
    if bits_stored >= bits or above < 0 or (above == bits - bits_stored and _fits(frame, bits_stored)):
        return frame
    return (frame << above) >> (bits - bits_stored)


def _fits(frame: npt.NDArray[Any], bits: int) -> bool:
    """Whether all values are ones of ``bits`` bits: then there is nothing above them, and looking is quick."""
    if frame.dtype.kind == "u":
        return int(frame.max()) < 1 << bits
    return -(1 << bits - 1) <= int(frame.min()) and int(frame.max()) < 1 << bits - 1


def real_world(dataset: Dataset, stored: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """The stored values through the instance's own modality LUT or rescale, as float32.

    :raises InvalidParent: for colour, which has none.
    """
    if stored.ndim != 2:
        raise InvalidParent(
            f"instance {dataset.get('SOPInstanceUID')} is in colour ({stored.shape[-1]} samples a pixel) and has no "
            "real-world values",
            remedy="give the image itself: a colour series can only be the parent of the header",
        )
    if dataset.get("ModalityLUTSequence"):
        return np.asarray(apply_modality_lut(stored, dataset), dtype=np.float32)
    slope = float(dataset.get("RescaleSlope") or 1)
    intercept = float(dataset.get("RescaleIntercept") or 0)
    if slope == 1 and intercept == 0:
        return stored.astype(np.float32)
    if slope == 1 and intercept.is_integer() and abs(intercept) < _EXACT and stored.dtype.itemsize <= 2:
        whole = stored.astype(np.float32)
        whole += np.float32(intercept)
        return whole
    values = stored.astype(np.float64)
    values *= slope
    values += intercept
    return values.astype(np.float32)
