"""compat/pyjpegls, which stands in for pyjpegls where that has no wheel: each reads what the other writes."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt
import pytest

SOURCE = Path(__file__).resolve().parents[3] / "compat" / "pyjpegls" / "jpeg_ls" / "__init__.py"
ROWS, COLUMNS = 24, 31


@pytest.fixture(scope="module")
def stand_in() -> ModuleType:
    spec = importlib.util.spec_from_file_location("jpeg_ls_stand_in", SOURCE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def installed() -> ModuleType:
    """pyjpegls, or on a Python that it has no wheel for the stand-in itself."""
    return importlib.import_module("jpeg_ls")


def samples(bits: int, count: int = 1) -> npt.NDArray[np.unsignedinteger]:
    shape = (ROWS, COLUMNS) if count == 1 else (ROWS, COLUMNS, count)
    ramp = np.arange(np.prod(shape)).reshape(shape) * 37 % (1 << bits)
    ramp.flat[:2] = 0, (1 << bits) - 1
    return ramp.astype("u1" if bits <= 8 else "<u2")


def by_pixel(decoded: bytes, info: dict[str, int]) -> npt.NDArray[np.unsignedinteger]:
    flat = np.frombuffer(decoded, "u1" if info["bits_per_sample"] <= 8 else "<u2")
    if info["components"] == 1:
        return flat.reshape(ROWS, COLUMNS)
    if info["interleave_mode"] == 0:
        return flat.reshape(-1, ROWS, COLUMNS).transpose(1, 2, 0)
    return flat.reshape(ROWS, COLUMNS, -1)


def encoded(
    module: ModuleType, frame: npt.NDArray[np.unsignedinteger], bits: int, error: int = 0, planar: int = 0
) -> bytes:
    count = 1 if frame.ndim == 2 else frame.shape[2]
    source = frame.transpose(2, 0, 1) if planar else frame
    stream = module.encode_pixel_data(
        source.tobytes(), lossy_error=error, rows=ROWS, columns=COLUMNS, samples_per_pixel=count, bits_stored=bits,
        **({"planar_configuration": planar} if count > 1 else {}),
    )  # fmt: skip
    return bytes(stream)


@pytest.mark.parametrize("bits", [6, 8, 10, 12, 16])
def test_grey_frames_are_exchanged_both_ways(stand_in: ModuleType, installed: ModuleType, bits: int) -> None:
    frame = samples(bits)
    for writer, reader in ((stand_in, installed), (installed, stand_in), (stand_in, stand_in)):
        assert np.array_equal(by_pixel(*reader.decode_pixel_data(encoded(writer, frame, bits))), frame)


@pytest.mark.parametrize("planar", [0, 1])
def test_colour_is_exchanged_both_ways(stand_in: ModuleType, installed: ModuleType, planar: int) -> None:
    frame = samples(8, 3)
    for writer, reader in ((stand_in, installed), (installed, stand_in)):
        assert np.array_equal(by_pixel(*reader.decode_pixel_data(encoded(writer, frame, 8, planar=planar))), frame)


def test_a_lossy_frame_stays_within_its_error(stand_in: ModuleType, installed: ModuleType) -> None:
    frame = samples(12)
    back = by_pixel(*installed.decode_pixel_data(encoded(stand_in, frame, 12, error=3)))
    difference = np.abs(back.astype(int) - frame)
    assert 0 < difference.max() <= 3


def test_small_values_in_two_bytes_are_taken(stand_in: ModuleType, installed: ModuleType) -> None:
    frame = samples(8)
    assert np.array_equal(by_pixel(*installed.decode_pixel_data(encoded(stand_in, frame.astype("<u2"), 8))), frame)


def test_the_stream_has_no_header_of_another_format(stand_in: ModuleType) -> None:
    assert encoded(stand_in, samples(12), 12)[:4] == b"\xff\xd8\xff\xf7"


def test_what_is_not_jpeg_ls_and_what_is_too_short_is_refused(stand_in: ModuleType) -> None:
    for stream in (b"", b"\xff\xd8", b"\xff\xd8\xff\xda" + bytes(20), bytes(64)):
        with pytest.raises(ValueError, match="not a JPEG-LS stream"):
            stand_in.decode_pixel_data(stream)
    with pytest.raises(ValueError, match="10 bytes are not 24 x 31 x 1 samples"):
        stand_in.encode_pixel_data(bytes(10), rows=ROWS, columns=COLUMNS, samples_per_pixel=1, bits_stored=8)


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="pyjpegls has no wheel here, the stand-in is what is installed")
def test_the_two_are_compared(installed: ModuleType) -> None:
    assert hasattr(installed, "CharLS")
