"""Pixels in a compressed transfer syntax (PS3.5 8.2, A.4), by pydicom's encoders."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders.base import Encoder, get_encoder
from pydicom.pixels.utils import as_pixel_options, pixel_array
from pydicom.tag import Tag
from pydicom.uid import UID, HTJ2KLossless, RLELossless

from derived_series.dicom.encoding.run_lengths import encode_runs
from derived_series.errors import Advice, Choice, InvalidOption, PixelError

PIXEL_DATA = Tag("PixelData")


@cache
def encoder_of(syntax: UID) -> Encoder:
    """pydicom's encoder for a transfer syntax. :raises InvalidOption: the package that provides it is not installed."""
    if syntax == HTJ2KLossless:
        encoder = Encoder(syntax)
        encoder.add_plugin("imagecodecs", ("derived_series.dicom.encoding.htj2k", "encode_frame"))
    else:
        encoder = get_encoder(syntax)
    if not encoder.is_available:
        raise InvalidOption(
            f"nothing here encodes {syntax.keyword}: {'; '.join(encoder.missing_dependencies)}",
            remedy="install the package (pip install 'derived-series-orthanc[htj2k]' for HTJ2K), or choose another "
            "transfer syntax",
            advice=Advice(Choice.TRANSFER_SYNTAX),
        )
    return encoder


def check_decoded(dataset: Dataset, frame_of: Callable[[int], npt.NDArray[Any]]) -> None:
    """Decode the first, middle and last frame of compressed pixels and compare them with the originals.

    :param frame_of: returns the stored values that a frame (from 0) was encoded from.
    :raises PixelError: pydicom's decoder returns other values.
    """
    count = int(dataset.get("NumberOfFrames") or 1)
    for index in sorted({0, count // 2, count - 1}):
        problem = "other values come back"
        try:
            if np.array_equal(pixel_array(dataset, index=index, raw=True), frame_of(index)):
                continue
        except (RuntimeError, ValueError, AttributeError, NotImplementedError) as error:
            problem = " ".join(str(error).split())
        syntax = UID(dataset.file_meta.TransferSyntaxUID)
        raise PixelError(
            f"pixels of {dataset.BitsStored} bits cannot be written as {syntax.keyword}: decoded again, frame "
            f"{index + 1} of {count} of instance {dataset.get('SOPInstanceUID')} is not the same: {problem}",
            remedy="store them uncompressed, or choose another transfer syntax",
            advice=Advice(Choice.TRANSFER_SYNTAX),
        )


def encoded_frame(frame: npt.NDArray[Any], syntax: UID, options: Mapping[str, Any]) -> bytes:
    """Encode one frame as the value of PixelData: a basic offset table and one fragment (PS3.5 A.4).

    :param frame: stored values, (row, column) or (row, column, sample).
    :param options: pydicom's ``as_pixel_options`` of the dataset that the frame belongs to.
    :raises PixelError: the encoder refuses the frame.
    """
    try:
        return encapsulate([encoder_of(syntax).encode(np.ascontiguousarray(frame), **options)])
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise PixelError(
            f"an image of {options['rows']} x {options['columns']} cannot be written as {syntax.keyword}: {reason}",
            remedy="encoders refuse very small images, JPEG 2000 those under 32 x 32; choose another transfer syntax",
            advice=Advice(Choice.TRANSFER_SYNTAX),
        ) from error


def pixel_element(value: bytes, bits: int, compressed: bool) -> DataElement:
    """PixelData (7FE0,0010): OW for 16 bits, OB for 8 (PS3.5 A.2); OB with undefined length if compressed (A.4)."""
    element = DataElement(PIXEL_DATA, "OB" if compressed or bits == 8 else "OW", value)
    element.is_undefined_length = compressed
    return element


def _encoded_frames(dataset: Dataset, syntax: UID, options: Mapping[str, Any]) -> Iterator[bytes]:
    """The frames of an uncompressed dataset, encoded."""
    encoder = encoder_of(syntax)
    bits, samples = dataset.BitsAllocated, dataset.SamplesPerPixel
    if syntax != RLELossless or samples != 1 or bits not in (8, 16):
        yield from encoder.iter_encode(dataset, **options)
        return
    count, rows, columns = int(dataset.get("NumberOfFrames") or 1), dataset.Rows, dataset.Columns
    values = np.frombuffer(dataset.PixelData, f"<u{bits // 8}", count * rows * columns)
    for frame in values.reshape(count, rows, columns):
        yield encode_runs(frame) or encoder.encode(frame.tobytes(), **{**options, "number_of_frames": 1})


def compress(dataset: Dataset, syntax: UID) -> None:
    """Compress the pixels of an uncompressed dataset in place, as ``Dataset.compress`` does, and check the result.

    :raises PixelError: the encoder refuses the pixels, or they decode to other values.
    """
    options = as_pixel_options(dataset)
    plain = Dataset(dict(dataset.items()))
    plain.file_meta = copy.deepcopy(dataset.file_meta)
    try:
        frames = list(_encoded_frames(dataset, syntax, options))
    except (RuntimeError, ValueError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise PixelError(
            f"the pixels of instance {dataset.get('SOPInstanceUID')} cannot be written as {syntax.keyword}: {reason}",
            remedy="choose another transfer syntax",
            advice=Advice(Choice.TRANSFER_SYNTAX),
        ) from error
    dataset[PIXEL_DATA] = pixel_element(encapsulate(frames), 8, True)
    dataset.file_meta.TransferSyntaxUID = syntax
    check_decoded(dataset, lambda index: pixel_array(plain, index=index, raw=True))
