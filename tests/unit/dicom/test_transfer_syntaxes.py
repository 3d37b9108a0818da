"""Derived series in every transfer syntax that is written: pydicom's bytes, the same values, and what is refused."""

from __future__ import annotations

import copy
import io
import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.pixels import compress  # type: ignore[attr-defined]
from pydicom.pixels.encoders.base import EncodeRunner
from pydicom.uid import UID, HTJ2KLossless

import phantoms
from building import LIBRARY, build, parent_of
from derived_series import (
    Blueprint,
    BuildContext,
    ParametricMapFactory,
    SegmentationFactory,
    StaticElement,
    segments,
)
from derived_series.dicom.encoding import codecs
from derived_series.dicom.series.finished import FinishedSeries, from_user_datasets
from derived_series.errors import InvalidRequest, PixelError
from derived_series.pipelines.run import Options, run_blueprint
from derived_series.transfer_syntaxes import DEFAULT, WRITTEN, written_uid
from test_encoding import assert_same

COMPRESSED = [name for name in WRITTEN if name != DEFAULT]
PARENT = parent_of(phantoms.ct_phantom(2, 33, 32))
rng = np.random.default_rng(5)
IMAGES: dict[str, npt.NDArray[Any]] = {
    "hounsfield": PARENT.voxels(),
    "float": PARENT.voxels() * 1.37,
    "unsigned noise": rng.integers(0, 65535, PARENT.shape, "u2", endpoint=True),
    "signed noise": rng.integers(-32768, 32767, PARENT.shape, "i2", endpoint=True),
    "mask": PARENT.voxels() > 0,
    "8 bits": rng.integers(0, 255, PARENT.shape, "u1", endpoint=True),
    "constant": np.full(PARENT.shape, -7, "i2"),
}


@pytest.mark.wide(quick=8)
@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("kind", IMAGES)
def test_values_come_back_from_pydicoms_bytes(name: str, kind: str) -> None:
    plain = build(PARENT, IMAGES[kind], blueprint="secondary_capture")
    series = plain.written_in(name)
    assert_same(series)  # type: ignore[arg-type]
    for index in range(len(series)):
        encoded, wanted = (dcmread(io.BytesIO(each.encode(index))) for each in (series, plain))
        assert encoded.file_meta.TransferSyntaxUID == WRITTEN[name] == series.transfer_syntax  # type: ignore[attr-defined]
        assert np.array_equal(encoded.pixel_array, wanted.pixel_array)
        assert Dataset({t: e for t, e in encoded.items() if t != 0x7FE00010}) == Dataset(
            {t: e for t, e in wanted.items() if t != 0x7FE00010}
        )
    assert plain.transfer_syntax == WRITTEN[DEFAULT] and series.series_instance_uid == plain.series_instance_uid  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", [name for name in COMPRESSED if name != "HTJ2KLossless"])
def test_pixels_are_those_that_pydicom_compresses(name: str) -> None:
    series = build(PARENT, IMAGES["hounsfield"])
    wanted = compress(series.dataset(1), WRITTEN[name], generate_instance_uid=False)
    buffer = io.BytesIO()
    wanted.save_as(buffer, enforce_file_format=True)
    assert series.written_in(name).encode(1) == buffer.getvalue()


def test_htj2k_is_a_part_15_stream_without_loss() -> None:
    (dataset, _) = build(PARENT, IMAGES["signed noise"]).written_in("HTJ2KLossless")
    (stream,) = generate_frames(dataset.PixelData, number_of_frames=1)
    assert stream[:4] == b"\xff\x4f\xff\x51" and b"\xff\x50" in stream[:200]  # SOC, SIZ, and CAP of Part 15


def test_a_uid_names_a_transfer_syntax_too() -> None:
    for name, uid in WRITTEN.items():
        assert written_uid(uid) == written_uid(name) == uid
        assert UID(uid).keyword == name


@pytest.mark.parametrize("name", ["JPEG2000", "1.2.840.10008.1.2.4.50", "JPEGLSNearLossless", "rlelossless", "", "x"])
def test_lossy_and_unknown_ones_are_refused_naming_those_there_are(name: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        build(PARENT).written_in(name)
    assert repr(name) in caught.value.message and all(known in str(caught.value) for known in WRITTEN)


def test_a_size_that_an_encoder_refuses_is_told() -> None:
    with pytest.raises(PixelError, match="31 x 40 cannot be written as JPEG2000Lossless.*under 32 x 32"):
        build(phantoms.ct_phantom(1, 31, 40)).written_in("JPEG2000Lossless")
    for name in ("RLELossless", "HTJ2KLossless"):  # these take any
        assert_same(build(phantoms.ct_phantom(1, 1, 3)).written_in(name))  # type: ignore[arg-type]


def test_an_encoder_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    codecs.encoder_of.cache_clear()
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "imagecodecs", None)
        with pytest.raises(InvalidRequest, match=r"HTJ2KLossless: imagecodecs - requires imagecodecs .*\[htj2k\]"):
            build(PARENT).written_in("HTJ2KLossless")
    assert build(PARENT).written_in("HTJ2KLossless").transfer_syntax == HTJ2KLossless  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", WRITTEN)
def test_datasets_of_a_users_own_factory(name: str) -> None:
    datasets = list(build(PARENT, IMAGES["hounsfield"]))
    plain = from_user_datasets(datasets, PARENT, BuildContext())
    series = plain.written_in(name)
    for index, dataset in enumerate(plain):
        compressed = dcmread(io.BytesIO(series.encode(index)))
        assert compressed.file_meta.TransferSyntaxUID == WRITTEN[name]
        assert np.array_equal(compressed.pixel_array, dataset.pixel_array)
        assert dataset.file_meta.TransferSyntaxUID == WRITTEN[DEFAULT]
    assert series.warnings == ()


def test_datasets_that_are_compressed_already_stay_so() -> None:
    datasets = list(build(PARENT).written_in("RLELossless"))
    series = from_user_datasets(datasets, PARENT, BuildContext()).written_in("JPEGLSLossless")
    assert series.datasets[0].file_meta.TransferSyntaxUID == WRITTEN["RLELossless"]
    assert any("stay in RLE Lossless" in warning for warning in series.warnings)


@pytest.mark.parametrize("name", ["RLELossless", "HTJ2KLossless"])
def test_pixels_of_objects(name: str) -> None:
    """One bit a pixel is in none of the compressed syntaxes (PS3.5 8.2); floats and documents stay as they are."""
    mask = IMAGES["mask"]
    binary = build(PARENT, mask, segments(), blueprint="segmentation", factory=SegmentationFactory())
    with pytest.raises(PixelError, match=f"cannot be written as {name}"):
        binary.written_in(name)
    floats = build(PARENT, IMAGES["float"], blueprint="parametric_map", factory=ParametricMapFactory()).written_in(name)
    assert floats.dataset(0).file_meta.TransferSyntaxUID == WRITTEN[DEFAULT]
    assert any("floating point pixels stay" in warning for warning in floats.warnings)


def adopted_frames(image: npt.NDArray[Any]) -> FinishedSeries:
    """A multi-frame dataset of a pipeline, with as many bits as the image has."""
    (dataset,) = build(PARENT, image.astype("u2"), blueprint="multiframe_secondary_capture")
    dataset.BitsAllocated = dataset.BitsStored = image.dtype.itemsize * 8
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelData = image.tobytes()
    return from_user_datasets([dataset], PARENT, BuildContext())


def test_32_bits_are_refused_where_no_decoder_reads_them() -> None:
    series = adopted_frames(rng.integers(0, 1 << 32, PARENT.shape, "u4"))
    with pytest.raises(PixelError, match="32 bits cannot be written as HTJ2KLossless: decoded again, frame 1 of 2"):
        series.written_in("HTJ2KLossless")


@pytest.mark.parametrize("wrong", [0, 2, 4])
@pytest.mark.parametrize("finished", [False, True], ids=["classic", "finished multi-frame"])
def test_what_does_not_come_back_is_refused(monkeypatch: pytest.MonkeyPatch, wrong: int, finished: bool) -> None:
    """An encoder that changes one frame, the first, the middle or the last one."""
    parent = parent_of(phantoms.ct_phantom(5, 33, 32))
    image = rng.integers(0, 4000, parent.shape, "u2")
    (dataset,) = build(parent, image, blueprint="multiframe_secondary_capture")
    series = from_user_datasets([dataset], parent, BuildContext()) if finished else build(parent, image)
    size, set_source = image[0].nbytes, EncodeRunner.set_source

    def set_another(self: EncodeRunner, source: Any) -> None:
        if isinstance(source, Dataset):
            pixels = bytearray(source.PixelData)
            pixels[wrong * size] ^= 1
            source = copy.deepcopy(source)
            source.PixelData = bytes(pixels)
        elif np.array_equal(source, image[wrong]):
            source = source ^ 1
        set_source(self, source)

    assert len(series.written_in("JPEGLSLossless")) == len(series)
    monkeypatch.setattr(EncodeRunner, "set_source", set_another)
    with pytest.raises(PixelError, match="as JPEGLSLossless: decoded again, .* other values come back"):
        series.written_in("JPEGLSLossless")


def test_options_reach_blueprints() -> None:
    options = Options(extra=Blueprint([StaticElement("SeriesDescription", "x")]), transfer_syntax="RLELossless")
    series = run_blueprint(LIBRARY, "ct", "numpy", PARENT, None, options, BuildContext())
    assert series.dataset(0).file_meta.TransferSyntaxUID == WRITTEN["RLELossless"]
