"""A preview: one slice of a series that is not stored yet, as a PNG file."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.dataset import Dataset

from derived_series.dicom.image.stored_pixels import encode_pixels
from derived_series.dicom.modules.windows import displayed, window_of, windows_of
from derived_series.dicom.series.classic import DerivedSeries
from derived_series.dicom.series.interface import Series
from derived_series.dicom.source.multiframe.functional_groups import has_groups
from derived_series.dicom.source.multiframe.split import split_into_slices
from derived_series.dicom.source.pixels import decoded_frame
from derived_series.errors import DerivedSeriesError
from derived_series.kinds.kind import PixelRules

#: The most rows and columns of a picture; larger slices are thinned out.
_LARGEST_PIXELS = 512


def picture(series: Series) -> dict[str, Any] | None:
    """Draw the middle slice, as JSON values; None if nothing can be drawn.

    ``PNG`` is base64 of 8 bit grey, in the header's window, or of RGB; ``Instance`` and ``Frame`` are 1-based;
    ``Aspect`` is the height of a pixel over its width.
    """
    index = _middle(series)
    dataset = pydicom.dcmread(io.BytesIO(series.encode(index)))
    if "Rows" not in dataset:
        return None
    frame = int(dataset.get("NumberOfFrames") or 1) // 2
    header = _frame_header(dataset, frame)
    try:
        pixels = decoded_frame(dataset, frame)
    except (AttributeError, NotImplementedError, RuntimeError, ValueError):
        return None  # datasets that a pipeline finished itself may be in any transfer syntax
    step = -(-max(pixels.shape[:2]) // _LARGEST_PIXELS)
    pixels = pixels[::step, ::step]
    grey = pixels if pixels.ndim == 3 else _windowed(pixels.astype(np.float64), header)
    return {
        "PNG": base64.b64encode(_png(np.rint(grey).astype(np.uint8))).decode(),
        "Instance": index + 1,
        "Frame": frame + 1,
        "Aspect": _aspect(header),
    }


def _middle(series: Series) -> int:
    """The middle slice of the middle volume."""
    volumes = series.env.volumes if isinstance(series, DerivedSeries) else 1
    slices = len(series) // volumes
    return volumes // 2 * slices + slices // 2


def _frame_header(dataset: Dataset, frame: int) -> Dataset:
    """The attributes of a frame; in an enhanced object, those of its functional groups."""
    if not has_groups(dataset):
        return dataset
    try:
        return split_into_slices([dataset])[frame]
    except (DerivedSeriesError, IndexError):  # datasets that a pipeline finished itself may lack any of it
        return dataset


def _windowed(stored: npt.NDArray[np.float64], header: Dataset) -> npt.NDArray[np.float64]:
    """Map values to 0 to 255 through the header's first window, or through one of their own (PS3.3 C.11.2)."""
    values = stored * float(header.get("RescaleSlope") or 1) + float(header.get("RescaleIntercept") or 0)
    values = np.where(np.isfinite(values), values, 0)
    windows = windows_of(header)
    if windows:
        shown = displayed(values, *windows[0], header.get("VOILUTFunction")) * 255
    else:
        window = window_of(encode_pixels(values[np.newaxis], PixelRules()))
        shown = displayed(values, window.centre, window.width, window.function) * 255
    return 255 - shown if header.get("PhotometricInterpretation") == "MONOCHROME1" else shown


def _aspect(dataset: Dataset) -> float:
    kinds = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing", "PixelAspectRatio")
    spacing = next((dataset.get(keyword) for keyword in kinds if dataset.get(keyword)), [1, 1])
    return round(float(spacing[0]) / float(spacing[1]), 4)


def _png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """A PNG file (ISO/IEC 15948) of (row, column) or (row, column, 3)."""
    rows, columns = pixels.shape[:2]
    lines = np.zeros((rows, 1 + pixels[0].size), np.uint8)  # each begins with its filter: none
    lines[:, 1:] = pixels.reshape(rows, -1)
    head = struct.pack(">IIBBBBB", columns, rows, 8, 2 if pixels.ndim == 3 else 0, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(lines.tobytes())), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
