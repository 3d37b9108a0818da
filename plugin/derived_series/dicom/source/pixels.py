"""Reading the pixels of one parent instance: stored values and real-world values."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.pixels.utils import pixel_array
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from derived_series.dicom.encoding.read_errors import reading
from derived_series.dicom.encoding.tags import describe, to_tag
from derived_series.dicom.encoding.writer import ITEM
from derived_series.dicom.source.lookup_tables import look_up
from derived_series.dicom.source.multiframe.frame import FrameDataset, source_of
from derived_series.errors import InvalidParent

#: The sum of a whole number below this and a 16-bit one is exact in float32.
_EXACT = 1 << 23
_PIXEL_DATA = Tag("PixelData")
_NATIVE = (ImplicitVRLittleEndian, ExplicitVRLittleEndian)
_LITTLE_ENDIAN = (*_NATIVE, DeflatedExplicitVRLittleEndian)
_UNCOMPRESSED = (*_LITTLE_ENDIAN, ExplicitVRBigEndian)
#: Those that keep the bits as they are, with what is above and below the value (PS3.5 8.1.1, G.2).
_KEEPS_ALL_BITS = (None, *_UNCOMPRESSED, RLELossless)
#: The end of pixels of undefined length.
_DELIMITER_BYTES = 8
_UNDEFINED = 0xFFFFFFFF
#: The tags that a PixelFormat is read from.
FORMAT_TAGS = frozenset(
    int(to_tag(keyword))
    for keyword in (
        *("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel"),
        *("NumberOfFrames", "RescaleSlope", "RescaleIntercept", "ModalityLUTSequence"),
    )
)


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """How to read an instance's pixels (PS3.3 C.7.6.3, C.11.1).

    :param native: whether the pixels are uncompressed, grey and in whole bytes, so that they can be viewed in place.
    :param has_modality_lut: whether there is a modality LUT instead of slope and intercept.
    """

    native: bool
    rows: int
    columns: int
    dtype: str
    bits_stored: int
    unused_high_bits: int
    slope: float
    intercept: float
    has_modality_lut: bool

    @classmethod
    @reading("what the parent's headers tell of its pixels")
    def of(cls, dataset: Dataset) -> PixelFormat:
        """Read the format of an instance. :raises InvalidParent: attributes are missing."""
        lacking = [keyword for keyword in ("BitsAllocated", "BitsStored") if dataset.get(keyword) is None]
        if lacking and "PixelData" in source_of(dataset):
            raise InvalidParent(f"instance {dataset.get('SOPInstanceUID')} has pixels, but no {' and '.join(lacking)}")
        bits, stored = _whole(dataset, "BitsAllocated") or 32, _whole(dataset, "BitsStored") or 32
        high = dataset.get("HighBit")
        highest = stored - 1 if high is None or not stored - 1 <= int(high) < bits else int(high)
        grey = (_whole(dataset, "SamplesPerPixel") or 1) == 1 and (_whole(dataset, "NumberOfFrames") or 1) == 1
        return cls(
            native=are_plain(dataset) and grey and bits in (8, 16, 32),
            rows=int(dataset.Rows),
            columns=int(dataset.Columns),
            dtype=f"<{'i' if _whole(dataset, 'PixelRepresentation') else 'u'}{bits // 8}",
            bits_stored=stored,
            unused_high_bits=bits - 1 - highest,
            slope=_number(dataset, "RescaleSlope") or 1,
            intercept=_number(dataset, "RescaleIntercept"),
            has_modality_lut=bool(dataset.get("ModalityLUTSequence")),
        )


def _whole(dataset: Dataset, keyword: str) -> int:
    return int(_number(dataset, keyword))


def _number(dataset: Dataset, keyword: str) -> float:
    """The number; 0 where it is missing or empty. :raises InvalidParent: it is not one number."""
    value = dataset.get(keyword)
    try:
        return float(value or 0)
    except (TypeError, ValueError) as error:
        raise InvalidParent(
            f"{describe(to_tag(keyword))} of instance {dataset.get('SOPInstanceUID')} is {value!r}, not a number",
            remedy="correct it in the parent series",
        ) from error


def transfer_syntax(dataset: Dataset) -> UID | None:
    """The transfer syntax in the file meta information; None without it."""
    meta = getattr(dataset, "file_meta", None)
    uid = None if meta is None else meta.get("TransferSyntaxUID")
    return UID(uid) if uid else None


def are_plain(dataset: Dataset) -> bool:
    """Whether the pixels are little endian and uncompressed, by the transfer syntax, unless they contradict it."""
    syntax = transfer_syntax(dataset)
    if syntax is None or syntax in _NATIVE:
        return not _are_encapsulated(source_of(dataset))
    return are_mislabelled(dataset)


def are_mislabelled(dataset: Dataset) -> bool:
    """Whether the transfer syntax says compressed, but the pixels have the length of uncompressed ones."""
    syntax = transfer_syntax(dataset)
    source = source_of(dataset)
    if syntax is None or syntax in _UNCOMPRESSED or _are_encapsulated(source):
        return False
    pixels = _pixels_of(source)
    if pixels is None or (pixels.value is None and not isinstance(pixels, RawDataElement)):
        return False
    length = pixels.length if isinstance(pixels, RawDataElement) else len(pixels.value)
    plain = plain_size(source)
    return length in (plain, plain + plain % 2)


def plain_size(dataset: Dataset) -> int:
    """Bytes of an instance's pixels where they are not compressed."""
    sizes = ("Rows", "Columns", "SamplesPerPixel", "NumberOfFrames", "BitsAllocated")
    return math.prod(int(dataset.get(keyword) or 1) for keyword in sizes) // 8


def _pixels_of(dataset: Dataset) -> DataElement | RawDataElement | None:
    """The element of the pixels as it is: those that are still in the file are not read, as ``get_item`` would."""
    return dict(dataset.items()).get(_PIXEL_DATA)


def _are_encapsulated(source: Dataset) -> bool:
    """Whether the pixels are encapsulated in fragments (PS3.5 A.4)."""
    pixels = _pixels_of(source)
    if pixels is None:
        return False
    undefined = pixels.length == _UNDEFINED if isinstance(pixels, RawDataElement) else pixels.is_undefined_length
    return undefined or bytes((pixels.value or b"")[:4]) == ITEM


def compression_ratio(dataset: Dataset) -> float | None:
    """Tell how many times larger pixels would be uncompressed; None unless compressed ones are at hand."""
    pixels = _pixels_of(dataset)
    if pixels is None or not _are_encapsulated(dataset):
        return None
    if pixels.value is None and isinstance(pixels, RawDataElement):  # they are the last of their file
        compressed = Path(str(dataset.filename)).stat().st_size - pixels.value_tell - _DELIMITER_BYTES
    else:
        compressed = len(pixels.value or b"")
    return plain_size(dataset) / compressed if compressed > 0 else None


@dataclass(slots=True)
class LastMosaic:
    """Caches the mosaic decoded last for its other tiles, since a compressed one is decoded as a whole."""

    decoded: tuple[Dataset, npt.NDArray[Any]] | None = None


@reading("the parent's pixels")
def stored_frame(dataset: Dataset, pixel_format: PixelFormat, last: LastMosaic | None = None) -> npt.NDArray[Any]:
    """Read the stored values of a slice, (row, column) or (row, column, sample).

    Values of fewer bits than are allocated are sign-extended and cleared of what older writers put above
    HighBit (PS3.5 8.1.1). Native syntaxes are viewed without a copy if the bits allow.

    :param last: the cache of mosaics, kept from one call to the next.
    :raises InvalidParent: there are no pixels, or they cannot be decoded.
    """
    if not isinstance(dataset, FrameDataset):
        return _frame(dataset, 0, pixel_format)
    source = dataset.source
    if dataset.box is None:
        return _frame(source, dataset.index, pixel_format)
    if last is not None and last.decoded is not None and last.decoded[0] is source:
        return last.decoded[1][dataset.box]
    whole = _frame(source, 0, replace(pixel_format, rows=int(source.Rows), columns=int(source.Columns)))
    if last is not None:
        last.decoded = (source, whole)
    return whole[dataset.box]


def _frame(dataset: Dataset, index: int, pixel_format: PixelFormat) -> npt.NDArray[Any]:
    """Read the stored values of one frame of an instance."""
    deferred = _deferred_pixels(dataset)
    if pixel_format.native and "PixelData" in dataset:
        return _native(dataset, index, pixel_format, deferred)
    if not any(keyword in dataset for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise InvalidParent(f"instance {dataset.get('SOPInstanceUID')} has no pixel data")
    if transfer_syntax(dataset) in (None, *_UNCOMPRESSED) and _are_encapsulated(dataset):
        raise InvalidParent(
            f"the pixels of instance {dataset.get('SOPInstanceUID')} are compressed, and its file meta information "
            "does not say how",
            remedy="send the instance again with its right TransferSyntaxUID (0002,0010)",
        )
    bits = _frame_of_bits(dataset, index)
    if bits is not None:
        return bits
    all_bits = transfer_syntax(dataset) in _KEEPS_ALL_BITS  # pydicom takes the lowest bits, whatever HighBit says
    try:
        source = dataset if deferred is None else str(dataset.filename)
        frame = pixel_array(source, index=index, correct_unused_bits=not all_bits)
    except (AttributeError, ValueError, RuntimeError, NotImplementedError, KeyError, TypeError, IndexError) as error:
        syntax = transfer_syntax(dataset)
        name = None if syntax is None else syntax.name
        raise InvalidParent(
            f"the pixels of instance {dataset.get('SOPInstanceUID')} cannot be decoded ({name}): {error}"
        ) from error
    except MemoryError as error:
        raise InvalidParent(
            f"the pixels of instance {dataset.get('SOPInstanceUID')} need more memory than there is: its header "
            f"announces {pixel_format.rows} x {pixel_format.columns} of {pixel_format.dtype}"
        ) from error
    if frame.dtype.kind not in "iu":
        return frame
    unused = pixel_format.unused_high_bits if all_bits else frame.dtype.itemsize * 8 - pixel_format.bits_stored
    return _clean(frame, pixel_format.bits_stored, unused)


def decoded_frame(dataset: Dataset, index: int) -> npt.NDArray[Any]:
    """Decode a frame of pixels that are in memory, (row, column) or (row, column, sample).

    It raises the errors of pydicom's decoders.
    """
    bits = _frame_of_bits(dataset, index)
    return np.asarray(pixel_array(dataset, index=index)) if bits is None else bits


def _frame_of_bits(dataset: Dataset, index: int) -> npt.NDArray[np.uint8] | None:
    """Read a frame of one-bit pixels, (row, column), which may begin inside a byte (PS3.5 8.1.1).

    pydicom's decoder reads only frames that begin with a byte. None for other pixels, or compressed ones.
    """
    if int(dataset.get("BitsAllocated") or 0) != 1 or transfer_syntax(dataset) not in (None, *_LITTLE_ENDIAN):
        return None
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    count = rows * columns
    first, skipped = divmod(index * count, 8)
    packed = np.frombuffer(pixel_bytes(dataset, first, -(-(skipped + count) // 8)), np.uint8)
    return np.unpackbits(packed, bitorder="little")[skipped : skipped + count].reshape(rows, columns)


def _deferred_pixels(dataset: Dataset) -> RawDataElement | None:
    """The raw element of pixels that are still in the dataset's file; None if they are in memory."""
    pixels = _pixels_of(dataset)
    return pixels if isinstance(pixels, RawDataElement) and pixels.value is None and pixels.length else None


def pixel_bytes(dataset: Dataset, start: int, count: int) -> bytes:
    """Read bytes of uncompressed pixels; from a file, only these are read.

    :raises InvalidParent: there are fewer.
    """
    deferred = _deferred_pixels(dataset)
    data = dataset.get("PixelData", b"")[start : start + count] if deferred is None else b""
    data = data if deferred is None else _read(dataset, deferred, start, count)
    if len(data) < count:
        raise InvalidParent(
            f"instance {dataset.get('SOPInstanceUID')} has no bytes {start} to {start + count - 1} of pixels",
            remedy="send the complete instance again",
        )
    return bytes(data)


def _read(dataset: Dataset, place: RawDataElement, start: int, count: int) -> bytes:
    with open(str(dataset.filename), "rb") as file:
        file.seek(place.value_tell + start)
        return file.read(min(count, place.length - start))


def _native(
    dataset: Dataset, index: int, pixel_format: PixelFormat, deferred: RawDataElement | None
) -> npt.NDArray[Any]:
    """View a frame of uncompressed grey pixels; from a file, only the frame is read."""
    needed = pixel_format.rows * pixel_format.columns * np.dtype(pixel_format.dtype).itemsize
    start, length = index * needed, len(dataset.PixelData) if deferred is None else deferred.length
    if length < start + needed:
        raise InvalidParent(
            f"instance {dataset.get('SOPInstanceUID')} has {length} bytes of pixels, "
            f"{f'{index + 1} frames of ' if index else ''}{pixel_format.rows} x {pixel_format.columns} of "
            f"{8 * np.dtype(pixel_format.dtype).itemsize} bits need {start + needed}"
        )
    data, offset = (dataset.PixelData, start) if deferred is None else (_read(dataset, deferred, start, needed), 0)
    frame: npt.NDArray[Any] = np.frombuffer(
        data, dtype=pixel_format.dtype, count=pixel_format.rows * pixel_format.columns, offset=offset
    )
    return _clean(
        frame.reshape(pixel_format.rows, pixel_format.columns), pixel_format.bits_stored, pixel_format.unused_high_bits
    )


def _clean(frame: npt.NDArray[Any], bits_stored: int, unused_high_bits: int) -> npt.NDArray[Any]:
    """Shift out the ``unused_high_bits`` and back, which sign-extends signed values and clears unsigned ones."""
    bits = frame.dtype.itemsize * 8
    if (
        bits_stored >= bits
        or unused_high_bits < 0
        or (unused_high_bits == bits - bits_stored and _fits(frame, bits_stored))
    ):
        return frame
    return (frame << unused_high_bits) >> (bits - bits_stored)


def _fits(frame: npt.NDArray[Any], bits: int) -> bool:
    """Whether every value fits in ``bits`` bits, so that no masking is needed."""
    if frame.dtype.kind == "u":
        return int(frame.max()) < 1 << bits
    return -(1 << bits - 1) <= int(frame.min()) and int(frame.max()) < 1 << bits - 1


def _is_label_map(dataset: Dataset) -> bool:
    """Whether it is of a segmentation whose values are numbers of segments, in whatever colours (PS3.3 C.8.20.2)."""
    return str(source_of(dataset).get("SegmentationType")) == "LABELMAP"


@reading("the rescale or modality LUT of the parent's pixels")
def real_world(
    dataset: Dataset, pixel_format: PixelFormat, stored: npt.NDArray[Any], out: npt.NDArray[np.float32]
) -> None:
    """Convert stored values to real-world values by the instance's modality LUT or rescale, into ``out``.

    :raises InvalidParent: the pixels are in colour, which has no real-world values.
    """
    palette = dataset.get("PhotometricInterpretation") == "PALETTE COLOR" and not _is_label_map(dataset)
    if stored.ndim != 2 or palette:
        how_so = "palette" if palette else f"{stored.shape[-1]} samples a pixel"
        raise InvalidParent(
            f"instance {dataset.get('SOPInstanceUID')} is in colour ({how_so}) and has no real-world values",
            remedy="give the image itself: a colour series can only be the parent of the header",
        )
    slope, intercept = pixel_format.slope, pixel_format.intercept
    if not (math.isfinite(slope) and math.isfinite(intercept)):
        raise InvalidParent(
            f"instance {dataset.get('SOPInstanceUID')} has no real-world values: its RescaleSlope (0028,1053) is "
            f"{slope:g}, its RescaleIntercept (0028,1052) {intercept:g}",
            remedy="correct it in the parent series",
        )
    if pixel_format.has_modality_lut:
        big_endian = transfer_syntax(dataset) == ExplicitVRBigEndian
        signed = pixel_format.dtype.startswith("<i")
        out[...] = look_up(stored, dataset.ModalityLUTSequence[0], signed=signed, big_endian=big_endian)
    elif slope == 1 and intercept == 0:
        out[...] = stored
    elif slope == 1 and intercept.is_integer() and abs(intercept) < _EXACT and stored.dtype.itemsize <= 2:
        out[...] = stored  # both steps take half the time of a single converting addition
        out += np.float32(intercept)
    else:
        values = stored.astype(np.float64)
        with np.errstate(over="ignore"):  # beyond float32 it becomes Inf and is refused as such
            values *= slope
            values += intercept
            out[...] = values
