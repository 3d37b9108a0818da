"""JPEG-LS (ISO/IEC 14495-1) by imagecodecs: the two functions of pyjpegls that pydicom calls.

It is installed under pyjpegls's name where that has no wheel and would need a compiler (Python 3.14 at the time of
writing): pydicom and highdicom, which ask for pyjpegls, work as ever. Both packages wrap the same library, CharLS.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from imagecodecs import jpegls_decode, jpegls_encode

#: The version of pyjpegls whose calls these are; pydicom asks for it.
__version__ = "1.5.1"

_START_OF_IMAGE = b"\xff\xd8"
_START_OF_FRAME, _START_OF_SCAN = 0xF7, 0xDA
_BY_PLANE, _BY_PIXEL = 0, 2  # interleave modes


class _Header(NamedTuple):
    frame: int  # where the start-of-frame segment begins
    bits: int
    rows: int
    columns: int
    components: int


def encode_pixel_data(
    src: bytes,
    lossy_error: int = 0,
    *,
    rows: int,
    columns: int,
    samples_per_pixel: int,
    bits_stored: int,
    planar_configuration: int = 0,
) -> bytearray:
    """Encode one frame of DICOM's Pixel Data.

    The stream has 8 or 16 bits a sample, whichever holds ``bits_stored``, and colour by pixel.

    :param src: unsigned samples of the frame, little endian; two bytes a sample are taken for 8 bits as well.
    :param lossy_error: by how much a sample may differ; 0 is lossless.
    """
    samples = rows * columns * samples_per_pixel
    if bits_stored <= 8 and len(src) == 2 * samples:
        src = src[::2]
    frame = np.frombuffer(src, "u1" if bits_stored <= 8 else "<u2")
    if frame.size != samples:
        raise ValueError(f"{len(src)} bytes are not {rows} x {columns} x {samples_per_pixel} samples")
    if samples_per_pixel == 1:
        frame = frame.reshape(rows, columns)
    elif planar_configuration:
        frame = np.ascontiguousarray(frame.reshape(samples_per_pixel, rows, columns).transpose(1, 2, 0))
    else:
        frame = frame.reshape(rows, columns, samples_per_pixel)
    stream = bytes(jpegls_encode(frame, level=lossy_error))
    return bytearray(_START_OF_IMAGE + stream[_header(stream).frame :])  # without the SPIFF header before it


def decode_pixel_data(src: bytes | bytearray) -> tuple[bytearray, dict[str, int]]:
    """Decode one frame: its samples, little endian, and what the stream says of them.

    Colour is by pixel whatever the stream's interleave mode is.
    """
    header = _header(bytes(src))
    frame = np.asarray(jpegls_decode(bytes(src)))
    return bytearray(frame.astype(frame.dtype.newbyteorder("<"), copy=False).tobytes()), {
        "height": header.rows,
        "width": header.columns,
        "bits_per_sample": header.bits,
        "components": header.components,
        "interleave_mode": _BY_PIXEL if header.components > 1 else _BY_PLANE,
    }


def _header(stream: bytes) -> _Header:
    """The start of frame (SOF55), behind whatever application segments stand before it."""
    at = 2
    while stream[:2] == _START_OF_IMAGE and at + 10 <= len(stream) and stream[at] == 0xFF:
        kind = stream[at + 1]
        if kind == _START_OF_FRAME:
            return _Header(
                frame=at,
                bits=stream[at + 4],
                rows=int.from_bytes(stream[at + 5 : at + 7]),
                columns=int.from_bytes(stream[at + 7 : at + 9]),
                components=stream[at + 9],
            )
        if kind == _START_OF_SCAN:
            break
        if kind == _START_OF_IMAGE[1] or kind == 0xFF:  # markers without a length, fill bytes
            at += 1 if kind == 0xFF else 2
        else:
            at += 2 + int.from_bytes(stream[at + 2 : at + 4])
    raise ValueError("not a JPEG-LS stream: it has no start of frame")
