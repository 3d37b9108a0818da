"""Defects seen in systems that do this job: pixels (lessons 10 to 19)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless, RLELossless

from building import build, parent_of, real, stored, volume, written
from derived_series import (
    Blueprint,
    DicomFactory,
    FillingStrategy,
    NiftiFactory,
    NumpyFactory,
    ParentSeries,
    StaticElement,
)
from derived_series.errors import PixelError
from phantoms import compressed, ct_phantom, mr_phantom, pet_phantom

CT = parent_of(ct_phantom(4, 6, 5))
MR = parent_of(mr_phantom(4, 6, 5))
SHAPE = (4, 6, 5)


@pytest.mark.wide(quick=6)
@pytest.mark.parametrize("value", [-1000, 0, 3, 64536, -32768, 65535, 0.25, -0.25, 1e-30, -7e20])
@pytest.mark.parametrize("dtype", [np.int32, np.float32, np.float64])
def test_lesson_10_a_constant_slice_written_with_the_wrong_number_of_bytes(value: float, dtype: Any) -> None:
    if dtype is np.int32 and abs(value) > 1e9:
        return
    image = np.full(SHAPE, value).astype(dtype)
    for blueprint in ("ct", "secondary_capture"):
        series = build(CT, image, blueprint=blueprint)
        for dataset in written(series):
            assert len(dataset.PixelData) == dataset.Rows * dataset.Columns * dataset.BitsAllocated // 8
        assert np.array_equal(volume(series).astype(dtype), image)


def test_lesson_10_one_constant_slice_among_others() -> None:
    image = CT.voxels()
    image[2] = -1000
    assert np.array_equal(volume(build(CT, image)), image)


def test_lesson_11_int16_arithmetic_that_overflows() -> None:
    image = np.array([-32768, 32767, 0, -1, 1, 12345] * 20, np.int16).reshape(SHAPE)
    for blueprint, parent in (("ct", CT), ("mr", MR), ("secondary_capture", CT)):
        series = build(parent, image, blueprint=blueprint)
        assert np.array_equal(volume(series), image)
        assert all(float(str(dataset.get("RescaleSlope", "1"))) > 0 for dataset in written(series))
    for scaled in (image.astype(np.float32) * 1.5, image.astype(np.float16)):
        assert all(float(str(dataset.get("RescaleSlope", "1"))) > 0 for dataset in written(build(CT, scaled)))


@pytest.mark.wide(quick=3)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_lesson_12_nan_written_as_a_rescale_slope(bad: float, dtype: Any) -> None:
    image = np.linspace(-3.3, 90.7, 120).reshape(SHAPE).astype(dtype)
    image[1, 2, 3] = bad
    with pytest.raises(PixelError, match="1 of 4 slices hold NaN or Inf, the first is slice 1"):
        build(CT, image)
    with pytest.raises(PixelError):
        build(CT, np.full(SHAPE, bad, dtype))
    for nan in (0.0, -1024.0, 5000.5):
        series = build(CT, image, nan=nan)
        values, step = volume(series), float(written(series)[0].RescaleSlope)
        wanted = np.where(np.isfinite(image), image.astype(np.float64), nan)
        assert np.abs(values - wanted).max() <= step / 2 * (1 + 1e-9)
    assert np.all(volume(build(CT, np.full(SHAPE, bad, dtype), nan=7)) == 7)


def test_lesson_13_hu_never_stored_losslessly() -> None:
    hu = np.arange(-1024, -1024 + 120 * 26, 26).reshape(SHAPE)
    for dtype in (np.int16, np.int32, np.int64, np.float32, np.float64):
        for dataset, plane in zip(written(build(CT, hu.astype(dtype))), hu, strict=True):
            assert (float(dataset.RescaleSlope), float(dataset.RescaleIntercept)) == (1, 0)
            assert np.array_equal(stored(dataset), plane)


def test_lesson_13_a_slope_for_each_slice_and_truncation() -> None:
    """One slope for the series; errors of rounding lie on both sides of zero, not on one."""
    image = np.random.default_rng(1).normal(40.3, 300, SHAPE).astype(np.float32)
    image[0] *= 0.01
    series = build(CT, image)
    assert len({(str(d.RescaleSlope), str(d.RescaleIntercept)) for d in written(series)}) == 1
    step = float(written(series)[0].RescaleSlope)
    errors = (volume(series) - image) / step
    assert np.abs(errors).max() <= 0.5 * (1 + 1e-9)
    assert abs(errors.mean()) < 0.1 and errors.min() < -0.2 and errors.max() > 0.2


@pytest.mark.parametrize("scale", [1e-30, 1e-7, 1 / 3, 1 / 7e5, np.pi, 1e7 / 3, 1e30 / 7])
def test_lesson_14_a_rescale_slope_longer_than_16_characters(scale: float) -> None:
    image = np.random.default_rng(2).uniform(-3, 7, SHAPE) * scale
    for blueprint, parent in (("ct", CT), ("mr", MR)):
        for dataset in written(build(parent, image, blueprint=blueprint)):
            for keyword in ("RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth", "SliceLocation"):
                assert len(str(dataset[keyword].value)) <= 16
            errors = real(dataset) - image[dataset.InstanceNumber - 1]
            assert np.abs(errors).max() <= float(str(dataset.RescaleSlope)) / 2 * (1 + 1e-9)


@pytest.mark.parametrize("dtype", [np.uint8, bool, np.int8, np.uint16])
@pytest.mark.parametrize("blueprint", ["ct", "mr", "secondary_capture"])
def test_lesson_15_a_mask_of_0_and_1_becoming_0_and_65535(dtype: Any, blueprint: str) -> None:
    mask = (CT.voxels() > 0).astype(dtype)
    parent = MR if blueprint == "mr" else CT
    series = build(parent, mask, blueprint=blueprint)
    for dataset, plane in zip(written(series), mask, strict=True):
        assert np.array_equal(stored(dataset), plane.astype(int))
        assert float(str(dataset.get("RescaleSlope", "1"))) == 1
        width = float(str(dataset.WindowWidth))
        assert 0 < width <= 2 and abs(float(str(dataset.WindowCenter)) - 0.5) <= 1  # the window shows it


@pytest.mark.wide(quick=4)
@pytest.mark.parametrize("strategy", FillingStrategy)
@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int8, np.int16, np.uint16, np.int32, np.float32])
def test_lesson_16_bits_allocated_changed_alone(strategy: FillingStrategy, dtype: Any) -> None:
    """The parent has 12 bits of 16; a blueprint that says otherwise is overruled."""
    extra = Blueprint(
        [StaticElement("BitsStored", 12), StaticElement("HighBit", 11), StaticElement("BitsAllocated", 32)]
    )
    image = np.arange(120).reshape(SHAPE).astype(dtype)
    for addition in (Blueprint(), extra):
        for blueprint in ("ct", "secondary_capture"):
            for dataset in written(build(CT, image, addition, blueprint=blueprint, strategy=strategy)):
                assert dataset.BitsStored == dataset.BitsAllocated == dataset.HighBit + 1
                assert dataset.BitsAllocated in (8, 16) if blueprint == "secondary_capture" else (16,)
                assert dataset["PixelData"].VR == ("OB" if dataset.BitsAllocated == 8 else "OW")
                assert np.abs(real(dataset) - image[dataset.InstanceNumber - 1]).max() == 0


@pytest.mark.parametrize(("slope", "inter"), [(0.5, 0), (2, -1024), (-1.5, 3.25), (1e-4, 1e3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_lesson_17_the_scaling_of_a_nifti_file_ignored(tmp_path: Path, slope: float, inter: float, dtype: Any) -> None:
    raw = np.arange(120).reshape(SHAPE[::-1]).astype(dtype)
    image = nib.Nifti1Image(raw, CT.to_nifti().affine)
    image.header.set_slope_inter(slope, inter)
    path = tmp_path / "scaled.nii.gz"
    nib.save(image, path)
    loaded = nib.load(path)
    assert (float(loaded.dataobj.slope), float(loaded.dataobj.inter)) == pytest.approx((slope, inter), rel=1e-6)  # type: ignore[attr-defined]
    series = build(CT, NiftiFactory.read(path), factory=NiftiFactory())
    step = float(str(written(series)[0].RescaleSlope))
    assert np.abs(volume(series) - loaded.get_fdata().transpose(2, 1, 0)).max() <= step / 2 * (1 + 1e-6)  # type: ignore[attr-defined]


def test_lesson_17_floats_truncated_and_negatives_lost() -> None:
    image = np.linspace(-1.5, 2.5, 120, dtype=np.float32).reshape(SHAPE)
    cases: list[tuple[DicomFactory, Any]] = [(NumpyFactory(), image)]
    cases += [(NiftiFactory(), nib.Nifti1Image(image.transpose(2, 1, 0), CT.to_nifti().affine))]
    for factory, result in cases:
        values = volume(build(CT, result, factory=factory))
        assert np.abs(values - image).max() < 4 / 65535 and values.min() < -1.49


@pytest.mark.parametrize("phantom", [pet_phantom, ct_phantom, mr_phantom])
def test_lesson_18_a_rescale_of_each_slice_ignored(phantom: Any) -> None:
    datasets: list[Dataset] = phantom(5, 8, 7)
    for index, dataset in enumerate(datasets):
        dataset.RescaleSlope = str(0.5 + index)
        dataset.RescaleIntercept = str(-10 * index)
    parent = parent_of(datasets[::-1])
    wanted = np.stack([stored(d) * (0.5 + i) - 10 * i for i, d in enumerate(datasets)])
    assert parent.voxels().dtype == np.float32
    assert np.allclose(parent.voxels(), wanted, rtol=1e-6)
    assert np.array_equal(parent.stored(), np.stack([stored(d) for d in datasets]))
    step = float(str(written(build(parent))[0].get("RescaleSlope", "1")))
    assert np.abs(volume(build(parent)) - wanted).max() <= step / 2 + 1e-3


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
@pytest.mark.parametrize("strategy", FillingStrategy)
def test_lesson_19_stale_tags_of_compression(syntax: str, strategy: FillingStrategy) -> None:
    datasets = ct_phantom(2, 32, 32)
    packed = compressed(datasets, syntax)
    for dataset in packed:
        dataset.LossyImageCompressionRatio = 3.5
        dataset.LossyImageCompressionMethod = "ISO_14495_1"
        dataset.PixelPaddingValue = 0
        dataset.SmallestImagePixelValue = 0
    parent = ParentSeries.from_datasets(packed)
    series = build(parent, strategy=strategy)
    for dataset in written(series):
        assert dataset.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
        assert "LossyImageCompression" not in dataset  # the parent does not say that it ever was
        assert not dataset["PixelData"].is_undefined_length
        assert "PixelPaddingValue" not in dataset and "SmallestImagePixelValue" not in dataset
    assert np.array_equal(volume(series), parent_of(datasets).voxels())
    packed[0].LossyImageCompression = "01"
    marked = written(build(ParentSeries.from_datasets(packed), strategy=strategy))
    assert {dataset.LossyImageCompression for dataset in marked} == {"01"}
    assert {float(dataset.LossyImageCompressionRatio) for dataset in marked} == {3.5}
