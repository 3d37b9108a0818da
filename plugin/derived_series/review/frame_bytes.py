"""Frames as plain little-endian bytes, for a viewer that knows no transfer syntax."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut

from derived_series.dicom.encoding.tags import to_tag
from derived_series.dicom.source import pixels as voxels
from derived_series.dicom.source.multiframe.frame import FrameDataset
from derived_series.dicom.source.pixels import PixelFormat, are_plain, pixel_bytes, real_world, stored_frame
from derived_series.errors import InvalidRequest

#: The attributes that decide a FrameFormat, besides the transfer syntax.
FORMAT_TAGS = voxels.FORMAT_TAGS | {int(to_tag("PhotometricInterpretation"))}
_PALETTE = "PALETTE COLOR"


@dataclass(frozen=True, slots=True)
class FrameFormat:
    """The form in which the viewer gets an instance's frames.

    :param raw: as stored, so that the server's own route has them; else they are decoded first (``frames``).
    :param type: "bits" (packed, lowest bit first), "uint8", "int8", "uint16", "int16", "uint32", "int32", "float32".
    :param rows, columns: of a whole frame; a mosaic's tiles are parts of it.
    :param samples: 3 for colour: red, green, blue by pixel.
    :param bits_stored, unused_high_bits: for raw values, how many bits count, and how many above them mean nothing.
    :param inverted: low values are bright (MONOCHROME1).
    :param has_modality_lut: values have passed through a modality LUT.
    """

    raw: bool
    type: str
    rows: int
    columns: int
    samples: int
    bits_stored: int
    unused_high_bits: int
    inverted: bool
    has_modality_lut: bool

    @classmethod
    def of(cls, source: Dataset) -> FrameFormat:
        """The format by the header of a stored instance."""
        photometric = str(source.get("PhotometricInterpretation") or "")
        bits = int(source.get("BitsAllocated") or 8)
        is_float = source.get("BitsStored") is None
        pixel_format = PixelFormat.of(source)
        colour = int(source.get("SamplesPerPixel") or 1) > 1 or photometric == _PALETTE
        kind = _type(source, bits, is_float, pixel_format.has_modality_lut, colour)
        grey = not colour and not is_float and not pixel_format.has_modality_lut and bits in (8, 16, 32)
        return cls(
            raw=grey and are_plain(source),
            type=kind,
            rows=int(source.Rows),
            columns=int(source.Columns),
            samples=3 if colour else 1,
            bits_stored=pixel_format.bits_stored if grey else bits,
            unused_high_bits=pixel_format.unused_high_bits if grey else 0,
            inverted=photometric == "MONOCHROME1",
            has_modality_lut=pixel_format.has_modality_lut,
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "Raw": self.raw,
            "Type": self.type,
            "Rows": self.rows,
            "Columns": self.columns,
            "Samples": self.samples,
            "BitsStored": self.bits_stored,
            "Above": self.unused_high_bits,
            "Inverted": self.inverted,
        }


def _type(source: Dataset, bits: int, is_float: bool, lut: bool, colour: bool) -> str:
    if colour:
        return "uint8"
    if is_float or lut:
        return "float32"
    if bits == 1:
        return "bits"
    return f"{'int' if int(source.get('PixelRepresentation') or 0) else 'uint'}{bits}"


def frames(source: Dataset, name: str, firsts: Sequence[int], count: int) -> bytes:
    """Frames of an instance, one after the other, in its ``FrameFormat``.

    :param source: the instance; :param name: its name in messages.
    :param firsts: 0-based; :param count: how many frames from each of them on.
    :raises InvalidRequest: the instance lacks such frames. :raises InvalidParent: its pixels cannot be decoded.
    """
    held = int(source.get("NumberOfFrames") or 1)
    if not firsts or min(firsts) < 0 or count < 1 or max(firsts) + count > held:
        wanted = ", ".join(f"{first} to {first + count - 1}" for first in firsts)
        raise InvalidRequest(f"instance {name} has {held} frames; {wanted} are not among them")
    pixel_format = FrameFormat.of(source)
    numbers = [index for first in firsts for index in range(first, first + count)]
    read = _bits if pixel_format.type == "bits" and are_plain(source) else _bytes
    return b"".join(read(source, index, pixel_format) for index in numbers)


def _bits(source: Dataset, index: int, pixel_format: FrameFormat) -> bytes:
    """A single frame of one bit a pixel; it may begin within a byte of the frame before (PS3.5 8.1.1)."""
    count = pixel_format.rows * pixel_format.columns
    first, skipped = divmod(index * count, 8)
    packed = pixel_bytes(source, first, (skipped + count + 7) // 8)
    if not skipped and count % 8 == 0:
        return packed
    bits = np.unpackbits(np.frombuffer(packed, np.uint8), bitorder="little")[skipped : skipped + count]
    return np.packbits(bits, bitorder="little").tobytes()


def _bytes(source: Dataset, index: int, pixel_format: FrameFormat) -> bytes:
    values = stored_frame(FrameDataset({}, source, index + 1), PixelFormat.of(source))
    if pixel_format.type == "bits":
        return np.packbits(values.astype(bool), axis=None, bitorder="little").tobytes()
    if pixel_format.samples > 1:
        return _colour(values, source).tobytes()
    if pixel_format.has_modality_lut:
        real = np.empty(values.shape, np.float32)
        real_world(source, PixelFormat.of(source), values, real)
        values = real
    return values.astype(np.dtype(pixel_format.type).newbyteorder("<"), copy=False).tobytes()


def _colour(values: npt.NDArray[Any], source: Dataset) -> npt.NDArray[np.uint8]:
    """The frame as (row, column, sample), 8 bits."""
    if values.ndim == 2:
        values = apply_color_lut(values, source)
        bits = 8 * values.dtype.itemsize
    else:
        bits = int(source.BitsStored)
    return (values >> max(0, bits - 8)).astype(np.uint8)
