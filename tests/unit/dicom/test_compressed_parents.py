"""Parents in every transfer syntax that Orthanc stores: read from memory and from files, then derived from."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from building import LIBRARY, build, parent_of, volume, written
from derived_series import Blueprint, BuildContext, ParentSeries, StaticElement
from derived_series.errors import InvalidParent
from derived_series.pipelines.run import Options, run_blueprint
from phantoms import compressed, ct_phantom, encode, mr_phantom

Array = npt.NDArray[Any]
LOSSLESS: dict[UID, Callable[[Array], bytes] | None] = {
    ImplicitVRLittleEndian: None,
    ExplicitVRLittleEndian: None,
    ExplicitVRBigEndian: None,
    DeflatedExplicitVRLittleEndian: None,
    RLELossless: None,
    JPEGLSLossless: None,
    JPEG2000Lossless: None,
    JPEGLossless: lambda frame: imagecodecs.jpeg8_encode(frame, lossless=True, predictor=6, bitspersample=12),  # type: ignore[dict-item, return-value]
    JPEGLosslessSV1: lambda frame: imagecodecs.jpeg8_encode(frame, lossless=True, predictor=1, bitspersample=12),  # type: ignore[dict-item, return-value]
    HTJ2KLossless: lambda frame: imagecodecs.htj2k_encode(frame, reversible=True),  # type: ignore[dict-item, return-value]
    HTJ2KLosslessRPCL: lambda frame: imagecodecs.htj2k_encode(frame, reversible=True, tlm=True),  # type: ignore[dict-item, return-value]
}
METHODS = {JPEGBaseline8Bit: "ISO_10918_1", JPEGExtended12Bit: "ISO_10918_1", JPEGLSNearLossless: "ISO_14495_1"}
#: With the bits a sample has, and the largest difference that is to be expected of 4000 or 250 grey levels.
LOSSY: dict[UID, tuple[Callable[[Array], bytes], int, int]] = {
    JPEGBaseline8Bit: (lambda frame: imagecodecs.jpeg8_encode(frame, 95), 8, 12),  # type: ignore[dict-item, return-value]
    JPEGExtended12Bit: (lambda frame: imagecodecs.jpeg8_encode(frame, 95, bitspersample=12), 12, 200),  # type: ignore[dict-item, return-value]
    JPEGLSNearLossless: (lambda frame: imagecodecs.jpegls_encode(frame, 3), 12, 3),  # type: ignore[dict-item, return-value]
    JPEG2000: (lambda frame: imagecodecs.jpeg2k_encode(frame, 80, codecformat="j2k", reversible=False), 12, 300),  # type: ignore[dict-item, return-value]
    HTJ2K: (lambda frame: imagecodecs.htj2k_encode(frame, level=0.002, reversible=False), 12, 300),  # type: ignore[dict-item, return-value]
}


def packed(datasets: list[Dataset], syntax: UID, encoder: Callable[[Array], bytes] | None) -> list[bytes]:
    """Files in a transfer syntax, by pydicom where it has an encoder."""
    if encoder is None:
        return [encode(dataset) for dataset in compressed(datasets, syntax)]
    contents = []
    for dataset in datasets:
        data = encoder(np.ascontiguousarray(dataset.pixel_array))
        dataset.PixelData = encapsulate([bytes(data)])
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = syntax
        contents.append(encode(dataset))
    return contents


def in_files(folder: Path, contents: list[bytes]) -> ParentSeries:
    paths = [folder / f"{index}.dcm" for index in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    return ParentSeries.from_files(paths)


@pytest.mark.wide(quick=3)
@pytest.mark.parametrize("syntax", LOSSLESS, ids=lambda uid: uid.keyword)
@pytest.mark.parametrize("phantom", [ct_phantom, mr_phantom])
def test_lossless_parents_are_read_exactly(syntax: UID, phantom: Any, tmp_path: Path) -> None:
    wanted = parent_of(phantom(2, 33, 34))
    contents = packed(phantom(2, 33, 34), syntax, LOSSLESS[syntax])
    for parent in (ParentSeries.from_bytes(contents), in_files(tmp_path, contents)):
        assert parent.pivot.file_meta.TransferSyntaxUID == syntax
        assert np.array_equal(parent.stored(), wanted.stored())
        assert np.array_equal(parent.voxels(), wanted.voxels())
        series = build(parent)
        assert np.array_equal(volume(series), volume(build(wanted)))
        assert "LossyImageCompression" not in series.dataset(0)


@pytest.mark.wide(quick=2)
@pytest.mark.parametrize("syntax", LOSSY, ids=lambda uid: uid.keyword)
def test_lossy_parents_are_read_as_their_codec_does(syntax: UID, tmp_path: Path) -> None:
    encoder, bits, tolerance = LOSSY[syntax]
    datasets = ct_phantom(2, 64, 48)
    for dataset in datasets:
        dataset.LossyImageCompression = "01"
        dataset.LossyImageCompressionRatio, dataset.LossyImageCompressionMethod = "7.5", "ISO_10918_1"
        if bits == 8:
            dataset.PixelData = (dataset.pixel_array >> 4).astype("u1").tobytes()
            dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    before = [dataset.pixel_array.astype(int) for dataset in datasets]
    contents = packed(datasets, syntax, encoder)
    for parent in (ParentSeries.from_bytes(contents), in_files(tmp_path, contents)):
        after = parent.stored().astype(int)
        assert 0 < np.abs(after - np.stack(before)).max() <= tolerance
        derived = build(parent)
        assert np.array_equal(volume(derived), parent.voxels())
        for name in ("ExplicitVRLittleEndian", "HTJ2KLossless"):  # whatever it is written in, what was lost stays lost
            for dataset in derived.written_in(name):
                assert dataset.LossyImageCompression == "01"
                assert (dataset.LossyImageCompressionRatio, dataset.LossyImageCompressionMethod) == (7.5, "ISO_10918_1")


@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless], ids=lambda u: u.keyword)
def test_a_syntax_that_is_always_lossy_marks_though_the_parent_does_not(syntax: UID) -> None:
    encoder, bits, _ = LOSSY[syntax]
    datasets = ct_phantom(2, 32, 32)
    for dataset in datasets:
        if bits == 8:
            dataset.PixelData = (dataset.pixel_array >> 4).astype("u1").tobytes()
            dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    parent = ParentSeries.from_bytes(packed(datasets, syntax, encoder))
    extra = Blueprint([StaticElement("LossyImageCompression", "00")])
    for series in (build(parent), build(parent, None, extra), build(parent, parent.voxels() > 0)):
        assert {dataset.LossyImageCompression for dataset in written(series)} == {"01"}
        assert {dataset.LossyImageCompressionMethod for dataset in written(series)} == {METHODS[syntax]}


@pytest.mark.parametrize("syntax", [JPEGLSNearLossless, JPEG2000], ids=lambda uid: uid.keyword)
@pytest.mark.parametrize("name", ["ct", "segmentation", "legacy_enhanced_ct", "parametric_map"])
def test_a_ratio_that_the_parent_does_not_name_is_that_of_its_compressed_pixels(
    name: str, syntax: UID, tmp_path: Path
) -> None:
    """Type 1C in all but classic images (PS3.3 C.7.6.1.1.5.2); by the slice, or of the middle one of all."""
    datasets = ct_phantom(3, 256, 256)
    for dataset in datasets:
        dataset.LossyImageCompression = "01"
    contents = packed(datasets, syntax, LOSSY[syntax][0])
    sizes = [len(dcmread(io.BytesIO(content)).PixelData) for content in contents]
    assert (min(sizes) > 1 << 14) == (syntax == JPEGLSNearLossless), "large ones stay in their files"
    ratios = [256 * 256 * 2 / size for size in sizes]
    assert len({round(ratio, 2) for ratio in ratios}) > 1
    for parent in (ParentSeries.from_bytes(contents), in_files(tmp_path, contents)):
        image = np.ones(parent.shape, np.uint8) if name == "segmentation" else None
        derived = [dataset.LossyImageCompressionRatio for dataset in written(build(parent, image, blueprint=name))]
        assert derived == pytest.approx(ratios if name == "ct" else ratios[1:2], abs=0.006)
        assert "LossyImageCompressionRatio" in written(build(parent, image, blueprint=name))[0]


def test_headers_alone_do_not_tell_the_ratio_and_nothing_is_refused(tmp_path: Path) -> None:
    """A syntax that is always lossy marks the image; without pixels nobody knows how much was lost."""
    contents = packed(ct_phantom(2, 32, 32), JPEGLSNearLossless, LOSSY[JPEGLSNearLossless][0])
    parent = ParentSeries.from_bytes(contents, pixels=False)
    np.save(tmp_path / "image.npy", np.ones(parent.shape, np.uint8))
    series = run_blueprint(LIBRARY, "segmentation", "numpy", parent, tmp_path / "image.npy", Options(), BuildContext())
    (derived,) = written(series)
    assert derived.LossyImageCompression == "01" and derived.LossyImageCompressionMethod == "ISO_14495_1"
    assert sum("LossyImageCompressionRatio" in warning for warning in series.warnings) == 1


def test_a_ratio_that_nothing_tells_is_left_out() -> None:
    """Pixels that were compressed once and are plain now, or compressed without a loss."""
    for syntax in (ExplicitVRLittleEndian, RLELossless):
        datasets = ct_phantom(2, 32, 32)
        for dataset in datasets:
            dataset.LossyImageCompression = "01"
        for name in ("ct", "legacy_enhanced_ct"):
            parent = parent_of(compressed(datasets, syntax))
            (derived, *_) = written(build(parent, blueprint=name))
            assert derived.LossyImageCompression == "01" and "LossyImageCompressionRatio" not in derived


def test_the_method_of_compression_is_that_of_the_slices_that_lost_something() -> None:
    """JPEG 2000 may have lost something or not: the mark says so; it is one for the series, the method each slice's."""
    datasets = compressed(ct_phantom(3, 64, 64), JPEG2000Lossless)
    for dataset in datasets:
        dataset.file_meta.TransferSyntaxUID = JPEG2000
    assert "LossyImageCompressionMethod" not in written(build(parent_of(datasets)))[0]
    datasets[1].LossyImageCompression = "01"
    parent = parent_of(datasets)
    series = written(build(parent))
    assert [dataset.get("LossyImageCompressionMethod") for dataset in series] == [None, "ISO_15444_1", None]
    assert {dataset.LossyImageCompression for dataset in series} == {"01"}
    for blueprint in ("legacy_enhanced_ct", "segmentation"):
        image = parent.voxels() > 0 if blueprint == "segmentation" else None
        (whole,) = written(build(parent, image, blueprint=blueprint))
        assert whole.LossyImageCompressionMethod == "ISO_15444_1"


@pytest.mark.parametrize("uid", ["1.2.840.10008.1.2.4.100", "1.2.840.10008.1.2.4.103", "1.2.840.10008.1.2.4.108"])
def test_video_is_refused_by_name(uid: str, tmp_path: Path) -> None:
    datasets = ct_phantom(2, 32, 32)
    contents = packed(datasets, UID(uid), lambda frame: b"\0\0\1\xb3 video")
    for parent in (ParentSeries.from_bytes(contents), in_files(tmp_path, contents)):
        with pytest.raises(InvalidParent, match="cannot be decoded") as caught:
            parent.voxels()
        assert UID(uid).name in str(caught.value) and datasets[0].SOPInstanceUID in str(caught.value)
