"""What was given comes back: values within half a step, by the stored values and the DS texts in the file alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from pydicom.dataset import Dataset

from building import build, parent_of, real, stored, written
from derived_series import Blueprint, NumpyFactory, ParentSeries, PlacedImage, StaticElement
from derived_series.errors import InvalidImage, PixelError, ShapeMismatch
from phantoms import ct_phantom, mr_phantom, pet_phantom

CT, MR, PET = (parent_of(p(2, 4, 3)) for p in (ct_phantom, mr_phantom, pet_phantom))
SHAPE = (2, 4, 3)
BARE = {
    name: Blueprint([StaticElement("SOPClassUID", uid)])
    for name, uid in {
        "ct": "1.2.840.10008.5.1.4.1.1.2",
        "mr": "1.2.840.10008.5.1.4.1.1.4",
        "pet": "1.2.840.10008.5.1.4.1.1.128",
        "secondary_capture": "1.2.840.10008.5.1.4.1.1.7",
    }.items()
}
CLASSES = st.sampled_from(sorted(BARE))


def check(datasets: list[Dataset], image: npt.NDArray[Any]) -> None:
    """Half a step at most, DS texts that fit, and a pixel module that agrees with itself."""
    texts = {(str(d.get("RescaleSlope", "1")), str(d.get("RescaleIntercept", "0"))) for d in datasets}
    assert len(texts) == 1
    ((slope, intercept),) = texts
    assert len(slope) <= 16 and len(intercept) <= 16 and float(slope) > 0
    for dataset, plane in zip(datasets, image, strict=True):
        assert (dataset.Rows, dataset.Columns) == plane.shape
        assert dataset.SamplesPerPixel == 1 and dataset.PhotometricInterpretation == "MONOCHROME2"
        assert dataset.BitsStored == dataset.BitsAllocated == dataset.HighBit + 1
        assert dataset.BitsAllocated == datasets[0].BitsAllocated in (8, 16)
        assert dataset.PixelRepresentation == datasets[0].PixelRepresentation
        wanted = plane.astype(np.float64)
        values = stored(dataset).astype(np.float64) * float(slope) + float(intercept)
        # half a step, and what float64 itself loses on numbers of this size
        allowed = float(slope) / 2 * (1 + 1e-9) + 4 * np.finfo(np.float64).eps * np.abs(wanted).max()
        assert np.abs(values - wanted).max() <= allowed


def classic(image: Any, name: str, **further: Any) -> list[Dataset]:
    parent = {"mr": MR, "pet": PET}.get(name, CT)
    return written(build(parent, image, blueprint=BARE[name], **further))


def whole(dtype: Any, low: int | None = None, high: int | None = None) -> Any:
    return npst.arrays(dtype, SHAPE, elements={"min_value": low, "max_value": high} if low is not None else None)


@given(st.one_of(*map(whole, (np.int8, np.uint8, np.int16, np.uint16))), CLASSES)
def test_integers_of_16_bits_come_back_exactly(image: npt.NDArray[Any], name: str) -> None:
    datasets = classic(image, name)
    for dataset, plane in zip(datasets, image, strict=True):
        assert np.array_equal(real(dataset), plane)
        if name not in ("ct", "pet"):
            assert "RescaleSlope" not in dataset
        assert np.array_equal(stored(dataset), plane)
    check(datasets, image)


@given(npst.arrays(np.bool_, SHAPE), CLASSES)
def test_masks_come_back_as_0_and_1(image: npt.NDArray[Any], name: str) -> None:
    for dataset, plane in zip(classic(image, name), image, strict=True):
        assert np.array_equal(stored(dataset), plane.astype(int))
        assert dataset.BitsAllocated == (8 if name == "secondary_capture" else 16)


@given(st.one_of(*map(whole, (np.int32, np.uint32, np.int64, np.uint64))), CLASSES)
def test_larger_integers_come_back_within_half_a_step(image: npt.NDArray[Any], name: str) -> None:
    series = build({"mr": MR, "pet": PET}.get(name, CT), image, blueprint=BARE[name])
    datasets = written(series)
    check(datasets, image)
    low, high = int(image.min()), int(image.max())
    if (-32768 <= low and high <= 32767) or (0 <= low and high <= 65535):
        assert all(np.array_equal(stored(d), p) for d, p in zip(datasets, image, strict=True))
    elif low != high:
        assert any("do not fit 16 bits" in warning for warning in series.warnings)


@given(whole(np.int32, -32768, 32767), CLASSES, st.sampled_from([np.int32, np.int64, np.float32, np.float64]))
def test_whole_numbers_that_fit_are_kept_whatever_their_type(image: npt.NDArray[Any], name: str, dtype: Any) -> None:
    for dataset, plane in zip(classic(image.astype(dtype), name), image, strict=True):
        assert np.array_equal(stored(dataset), plane) and float(str(dataset.get("RescaleSlope", "1"))) == 1


def floats(dtype: Any) -> Any:
    limit = min(1e300, float(np.finfo(dtype).max))
    return npst.arrays(dtype, SHAPE, elements={"min_value": -limit, "max_value": limit})


@given(st.one_of(*map(floats, (np.float16, np.float32, np.float64))), CLASSES)
def test_floats_of_any_size_come_back_within_half_a_step(image: npt.NDArray[Any], name: str) -> None:
    check(classic(image, name), image)


LOWS = st.sampled_from([0.0, 1.0, -1.0, 1e-3, 1e3, 1 / 3, 2 / 3, -1024.7, 1e6 / 7, 123456789.12345678, -9.87654321e12])
WIDTHS = st.sampled_from([1e-14, 1e-12, 1e-9, 1e-6, 1e-3, 0.1, 1.0, 7.3, 4095.5, 1e5, 1e9, 1e15])


@given(LOWS, WIDTHS, npst.arrays(np.float64, SHAPE, elements={"min_value": 0, "max_value": 1}), CLASSES)
def test_narrow_and_wide_ranges_anywhere(low: float, width: float, part: npt.NDArray[Any], name: str) -> None:
    image = low + width * part
    check(classic(image, name), image)


@given(st.floats(-1e300, 1e300), CLASSES)
def test_constants(value: float, name: str) -> None:
    image = np.full(SHAPE, value)
    check(classic(image, name), image)
    with np.errstate(over="ignore"):
        narrow = image.astype(np.float32)
    if np.isfinite(narrow).all() and (narrow == 0).all() == (value == 0) and abs(value) > 1e-30:
        for dataset in classic(narrow, name):
            assert np.array_equal(real(dataset).astype(np.float32), narrow[0])


@pytest.mark.wide(quick=3)
@pytest.mark.parametrize("name", sorted(BARE))
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_extremes_of_a_type(name: str, dtype: Any) -> None:
    limits = np.finfo(dtype)
    for values in (
        [limits.min, limits.max],
        [0, limits.max],
        [limits.min, 0],
        [limits.max],
        [limits.min],
        [limits.tiny, 2 * limits.tiny],
        [limits.smallest_subnormal],
        [0, limits.smallest_subnormal],
        [-limits.smallest_subnormal, limits.max],
        [limits.max / 2, limits.max],
        [1, np.nextafter(dtype(1), dtype(2))],
    ):
        image = np.resize(np.array(values, dtype), SHAPE)
        if dtype is np.float64 and np.abs(image).max() > 1e300:
            with pytest.raises(PixelError, match="no rescale slope can say that"):
                classic(image, name)
            image = image / 1e10
        check(classic(image, name), image)


@given(floats(np.float32), st.lists(st.integers(0, 23), min_size=1), st.sampled_from([np.nan, np.inf, -np.inf]), LOWS)
def test_nan_and_inf_are_refused_or_replaced(image: Any, places: list[int], bad: float, by: float) -> None:
    image.flat[places] = bad
    with pytest.raises(PixelError, match="NaN or Inf"):
        classic(image, "ct")
    wanted = np.where(np.isfinite(image), image.astype(np.float64), by)
    check(classic(image, "ct", nan=by), wanted)
    check(classic(image, "ct", factory=NumpyFactory(nan=by)), wanted)


def test_nan_cannot_be_replaced_by_nan() -> None:
    image = np.full(SHAPE, np.nan)
    for by in (np.nan, np.inf, "0"):
        with pytest.raises(PixelError, match="cannot be replaced by"):
            classic(image, "ct", nan=by)


def test_nan_is_replaced_by_a_number_of_any_type() -> None:
    numbers: list[Any] = [2**70, np.float32(-5), np.int16(3)]
    for by in numbers:
        assert all(
            np.allclose(real(dataset), float(by)) for dataset in written(build(CT, np.full(SHAPE, np.nan), nan=by))
        )


def test_zero_stays_zero() -> None:
    """Background must not become a small value beside zero."""
    for image in (np.linspace(-300.3, 2000.7, 24), np.linspace(0, 0.77, 24), np.linspace(-5e9, 0.0, 24)):
        image[5] = 0
        for name in BARE:
            values = np.stack([real(dataset) for dataset in classic(image.reshape(SHAPE), name)])
            assert values.flat[5] == 0


def test_pet_has_no_intercept() -> None:
    for image in (np.linspace(1000.5, 1001.5, 24), np.linspace(-7.5, -7.1, 24), np.arange(24), np.full(24, 3.3)):
        for dataset in classic(image.reshape(SHAPE), "pet"):
            assert float(dataset.RescaleIntercept) == 0 and dataset.BitsAllocated == 16


@pytest.mark.parametrize("dtype", [">i2", ">u2", ">f4", ">f8", "<i2", np.longdouble])
def test_byte_orders_and_long_doubles(dtype: Any) -> None:
    image = np.arange(24).reshape(SHAPE).astype(dtype)
    for dataset, plane in zip(classic(image, "ct"), image, strict=True):
        assert np.array_equal(stored(dataset), plane)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.float32])
def test_memory_layout_does_not_matter(dtype: Any) -> None:
    plain = (np.arange(24) % 3).reshape(SHAPE).astype(dtype)
    big = np.zeros((4, 8, 6), dtype)
    big[::2, ::2, ::2] = plain
    reversed_ = plain[::-1, ::-1, ::-1].copy()[::-1, ::-1, ::-1]
    for image in (np.asfortranarray(plain), big[::2, ::2, ::2], reversed_, plain.transpose(2, 1, 0).copy().T):
        for dataset, plane in zip(classic(image, "secondary_capture"), plain, strict=True):
            assert np.array_equal(stored(dataset), plane.astype(int))


def test_the_image_is_not_changed() -> None:
    for image in (np.linspace(-1, 1, 24).reshape(SHAPE), np.arange(24, dtype=np.int16).reshape(SHAPE)):
        image.flags.writeable = False
        check(classic(image, "ct"), image)
    with_nan = np.linspace(-1, 1, 24).reshape(SHAPE)
    with_nan[0, 0, 0] = np.nan
    classic(with_nan, "ct", nan=0)
    assert np.isnan(with_nan[0, 0, 0])


@pytest.mark.wide(quick=3)
@pytest.mark.parametrize("dtype", [complex, "U3", object, "M8[s]", [("a", "i2")]])
def test_types_without_an_encoding_are_refused(dtype: Any) -> None:
    with pytest.raises(PixelError, match="has no pixel encoding"):
        classic(np.zeros(SHAPE, dtype), "ct")


@pytest.mark.parametrize("shape", [(2, 4, 4), (3, 4, 3), (4, 3), (2, 4, 3, 1), (24,), (), (0, 4, 3), (2, 3, 4)])
def test_shapes_that_do_not_fit_are_refused_with_both_named(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeMismatch, match=r"\(slice|\(slices, rows, columns\)") as error:
        build(CT, np.zeros(shape))
    if len(shape) == 3 and 0 not in shape:
        assert str(shape) in str(error.value) and str(SHAPE) in str(error.value)


def test_one_slice_may_be_two_dimensional() -> None:
    parent = parent_of(ct_phantom(1, 4, 3))
    image = np.arange(12, dtype=np.int16).reshape(4, 3)
    assert np.array_equal(stored(written(build(parent, image))[0]), image)
    assert len(build(CT, image, blueprint="secondary_capture")) == 1  # no geometry: any shape is an image


@pytest.mark.wide(quick=6)
@pytest.mark.parametrize("name", ["ct", "mr", "pet", "secondary_capture"])
@pytest.mark.parametrize("kind", ["noise", "constant", "mask", "tiny", "empty"])
def test_the_window_shows_the_image(name: str, kind: str) -> None:
    parent: ParentSeries = {"mr": MR, "pet": PET}.get(name, CT)
    image = {
        "noise": np.random.default_rng(3).normal(100, 20, SHAPE),
        "constant": np.full(SHAPE, 7.5),
        "mask": np.arange(24).reshape(SHAPE) % 2 == 0,
        "tiny": np.linspace(0, 1e-4, 24).reshape(SHAPE),
        "empty": np.zeros(SHAPE, np.int16),
    }[kind]
    for dataset in written(build(parent, image, blueprint=name)):
        centre, width = (float(str(dataset[k].value)) for k in ("WindowCenter", "WindowWidth"))
        assert width > 0 and image.min() <= centre <= image.max()
        assert width >= 1 or dataset.VOILUTFunction == "LINEAR_EXACT"
    window = Blueprint([StaticElement("WindowCenter", "5"), StaticElement("WindowWidth", "9")])
    dataset = written(build(parent, image, window, blueprint=name))[0]
    assert (float(dataset.WindowCenter), float(dataset.WindowWidth)) == (5, 9)


def test_mr_says_what_its_scaled_values_are() -> None:
    image = np.linspace(0, 1.5, 24).reshape(SHAPE)
    for dataset, plane in zip(written(build(MR, image)), image, strict=True):
        (mapping,) = dataset.RealWorldValueMappingSequence
        values = stored(dataset) * mapping.RealWorldValueSlope + mapping.RealWorldValueIntercept
        assert np.abs(values - plane).max() <= mapping.RealWorldValueSlope / 2 * (1 + 1e-9)
        assert mapping.RealWorldValueFirstValueMapped <= stored(dataset).min()
        assert mapping.RealWorldValueLastValueMapped >= stored(dataset).max()
    assert "RealWorldValueMappingSequence" not in written(build(MR, np.arange(24).reshape(SHAPE)))[0]


@pytest.mark.parametrize("bad", [None, "text", [[1, 2], [3]], {"a": 1}, b"bytes"])
def test_what_is_not_an_array_is_refused(bad: Any) -> None:
    header = NumpyFactory().make_series_header(CT, BARE["ct"])
    with pytest.raises((PixelError, InvalidImage)):
        NumpyFactory().build(header, bad)


class _Tensor:
    """Like one of torch that numpy cannot have as it is."""

    def __init__(self, raised: Exception):
        self.raised = raised

    def __array__(self, dtype: Any = None, copy: Any = None) -> npt.NDArray[Any]:
        raise self.raised


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (_Tensor(TypeError("can't convert cuda:0 device type tensor to numpy")), "cuda:0"),
        (_Tensor(RuntimeError("Can't call numpy() on Tensor that requires grad")), "requires grad"),
        (CT.to_nifti(), "of the type Nifti1Image"),
        ((plane for plane in np.zeros(SHAPE)), "of the type generator"),
        (np.ma.masked_less(np.zeros((*SHAPE, 3), np.uint8), 1), "a masked array"),
        (PlacedImage(np.zeros(SHAPE), np.eye(4)), "of the type ndarray, not a Grid"),  # type: ignore[arg-type]
    ],
)
def test_what_numpy_cannot_take_as_it_is_is_refused_with_its_reason(bad: Any, words: str) -> None:
    with pytest.raises(InvalidImage, match=words) as caught:
        build(CT, bad, blueprint="secondary_capture")
    assert caught.value.remedy


def test_files_that_are_not_arrays(tmp_path: Path) -> None:
    np.save(tmp_path / "fine.npy", np.asfortranarray(np.arange(24, dtype=">i2").reshape(SHAPE)))
    array = NumpyFactory.read(tmp_path / "fine.npy")
    assert np.array_equal(array, np.arange(24).reshape(SHAPE)) and not array.flags.writeable
    check(classic(array, "ct"), array)
    content = (tmp_path / "fine.npy").read_bytes()
    np.savez(tmp_path / "several.npz", a=array)
    np.save(tmp_path / "empty_array.npy", np.zeros((0, 4, 3)))
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    files = {"text": b"text", "nothing": b"", "cut": content[:-4], "head": content[:60], "pickle": b"\x80\x04K\x01."}
    for name, bad in files.items():
        (tmp_path / f"{name}.npy").write_bytes(bad)
    for name in (*(f"{name}.npy" for name in files), "several.npz", "objects.npy", "missing.npy", "empty_array.npy"):
        with pytest.raises((InvalidImage, ShapeMismatch)):
            classic(NumpyFactory.read(tmp_path / name), "ct")
