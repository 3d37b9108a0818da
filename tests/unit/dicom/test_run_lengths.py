"""RLE of frames of long runs: the bytes of an encoder of single pixels, read back by pydicom's decoder."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.pixels.decoders.rle import _rle_decode_frame
from pydicom.pixels.encoders.base import get_encoder
from pydicom.uid import RLELossless

from derived_series.dicom.encoding.run_lengths import encode_runs

rng = np.random.default_rng(11)


@pytest.mark.parametrize("dtype", ["<u1", "<u2"])
@pytest.mark.parametrize("shape", [(64, 64), (5, 40), (3, 129), (1, 1), (4, 128), (3, 257), (2, 300)])
def test_runs_are_those_of_other_encoders(shape: tuple[int, int], dtype: str) -> None:
    frame = np.zeros(shape, dtype)
    for number in range(1, 4):
        top, bottom = sorted(rng.integers(0, shape[0] + 1, 2))
        left, right = sorted(rng.integers(0, shape[1] // 2 + 1, 2) * 2)
        frame[top:bottom, left:right] = number * (1 if dtype == "<u1" else 300)
    encoded = encode_runs(frame)
    if encoded is None:
        assert min(shape) == 1 or shape[1] % 128 in (1, 2)
        return
    bits = frame.dtype.itemsize * 8
    assert np.array_equal(_decoded(encoded, frame), frame)
    theirs = get_encoder(RLELossless).encode(
        frame, encoding_plugin="pylibjpeg", rows=shape[0], columns=shape[1], number_of_frames=1, samples_per_pixel=1,
        bits_allocated=bits, bits_stored=bits, pixel_representation=0, photometric_interpretation="MONOCHROME2",
    )  # fmt: skip
    assert len(encoded) <= 1.05 * len(theirs) + 2


def _decoded(encoded: bytes, frame: np.ndarray) -> np.ndarray:
    bits = frame.dtype.itemsize * 8
    data = _rle_decode_frame(encoded, *frame.shape, 1, bits)  # type: ignore[call-arg]
    return np.frombuffer(data, frame.dtype).reshape(frame.shape)


def test_frames_of_short_runs_are_left_to_others() -> None:
    assert encode_runs(rng.integers(0, 9, (64, 64), "u1")) is None
    lines = np.zeros((64, 64), "u1")
    lines[:, ::16] = 1  # a pixel alone in every run
    assert encode_runs(lines) is None
