"""Windows: what a viewer shows at first, rendered as PS3.3 C.11.2 says."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from pydicom.dataset import Dataset

from building import build, parent_of, ready, stored, written
from derived_series import Blueprint, ParentSeries, StaticElement
from derived_series.dicom.image.placement import PlacedImage
from derived_series.dicom.image.stored_pixels import encode_pixels
from derived_series.dicom.modules.windows import displayed, window_of, windows_of
from derived_series.dicom.preview import picture
from derived_series.kinds.kind import PixelRules
from multiframe import enhanced
from phantoms import ct_phantom, mr_phantom, pet_phantom

PHANTOMS = {"ct": ct_phantom, "mr": mr_phantom, "pet": pet_phantom}
SHAPE = (4, 16, 16)


def rendered(values: npt.NDArray[Any], centre: float, width: float, function: str) -> npt.NDArray[np.float64]:
    """The formulas of C.11.2.1.2.1, C.11.2.1.3.1 and C.11.2.1.3.2, value by value, for an output of 0 to 1."""

    def one(x: float) -> float:
        if function == "SIGMOID":
            return float(1 / (1 + np.exp(-4 * (x - centre) / width)))
        half, middle = ((width - 1) / 2, centre - 0.5) if function == "LINEAR" else (width / 2, centre)
        if x <= middle - half:
            return 0.0
        if x > middle + half:
            return 1.0
        return (x - middle) / (2 * half) + 0.5

    return np.vectorize(one, otypes=[float])(np.asarray(values, np.float64))  # type: ignore[no-any-return]


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(("centre", "width"), [(40, 80), (0.5, 1), (-3.25, 2), (100, 400)])
def test_the_three_functions(function: str, centre: float, width: float) -> None:
    values = np.linspace(centre - width, centre + width, 41)
    assert np.allclose(displayed(values, centre, width, function), rendered(values, centre, width, function))


def window_in(dataset: Dataset) -> Dataset:
    """Where the window stands: in the instance, or in its functional groups."""
    for groups in (
        *dataset.get("PerFrameFunctionalGroupsSequence", ())[:1],
        *dataset.get("SharedFunctionalGroupsSequence", ()),
    ):
        if "FrameVOILUTSequence" in groups:
            item: Dataset = groups.FrameVOILUTSequence[0]
            return item
    return dataset


def show(values: npt.NDArray[Any], dataset: Dataset) -> npt.NDArray[np.float64]:
    window = window_in(dataset)
    (centre, width), *_ = windows_of(window)
    return rendered(values, centre, width, window.get("VOILUTFunction") or "LINEAR")


def check_greys(values: npt.NDArray[Any], dataset: Dataset) -> None:
    """The 5th to the 95th percentile are greys, and far apart."""
    low, high = np.percentile(values, [5, 95])
    inside = values[(values > low) & (values < high)]
    shown = show(inside, dataset)
    assert np.mean((shown <= 0) | (shown >= 1)) <= 0.02
    assert float(show(np.array([high]), dataset)[0] - show(np.array([low]), dataset)[0]) >= 0.25


def map_of(low: float, high: float, background: float = 0.0) -> npt.NDArray[np.float32]:
    """A map with nothing around it, and a part that is surely the highest."""
    image = np.full(SHAPE, background, np.float32)
    image[:, 2:14, 2:14] = np.random.default_rng(0).uniform(low, high, (4, 12, 12))
    image[:, 6:8, 6:8] = high
    return image


KINDS = [("ct", "ct"), ("mr", "mr"), ("pet", "pet"), ("ct", "secondary_capture"), ("mr", "parametric_map")] + [
    ("ct", "legacy_enhanced_ct"),
    ("mr", "legacy_enhanced_mr"),
    ("pet", "legacy_enhanced_pet"),
]


@pytest.mark.wide(quick=8)
@pytest.mark.parametrize("scale", [1.0, 1e-3, 3.0, 100.0])
@pytest.mark.parametrize(("phantom", "name"), KINDS)
def test_a_map_is_shown_in_greys(phantom: str, name: str, scale: float) -> None:
    """A probability, a diffusion coefficient, a standardised uptake, a percentage: in the parent's class or another."""
    image = map_of(0, 1) * np.float32(scale)
    dataset = written(build(PHANTOMS[phantom](*SHAPE), image, blueprint=name))[0]
    check_greys(image, dataset)
    assert window_in(dataset).VOILUTFunction == "LINEAR_EXACT"


def test_padding_and_background_are_not_looked_at() -> None:
    """HU of another unit's name, with padding outside of the scanned circle and air around the body."""
    image = np.full(SHAPE, -2000, np.int16)
    image[:, 1:15, 1:15] = -1024
    image[:, 5:11, 5:11] = np.random.default_rng(0).integers(0, 80, (4, 6, 6))
    dataset = written(build(ct_phantom(*SHAPE), image, Blueprint([StaticElement("RescaleType", "LO", "US")])))[0]
    ((centre, width),) = windows_of(dataset)
    assert centre - width / 2 >= -3 and centre + width / 2 <= 82


@pytest.mark.parametrize("as_unsigned", [False, True])
def test_a_range_of_padding_is_not_looked_at(as_unsigned: bool) -> None:
    """From PixelPaddingValue to PixelPaddingRangeLimit all is padding (PS3.3 C.7.5.1.1.2), in either VR."""
    random = np.random.default_rng(0)
    datasets = ct_phantom(*SHAPE, signed=True)
    image = random.integers(0, 80, SHAPE)
    image[:, :8] = random.integers(-2000, -1500, image[:, :8].shape)
    for dataset, plane in zip(datasets, image, strict=True):
        dataset.PixelData = plane.astype("<i2").tobytes()
        for keyword, value in (("PixelPaddingValue", -2000), ("PixelPaddingRangeLimit", -1500)):
            dataset.add_new(keyword, "US" if as_unsigned else "SS", value % 65536 if as_unsigned else value)
    dataset = written(build(datasets, extra=Blueprint([StaticElement("RescaleType", "LO", "US")])))[0]
    ((centre, width),) = windows_of(dataset)
    assert centre - width / 2 >= -3 and centre + width / 2 <= 82


def test_outliers_do_not_set_the_window() -> None:
    image = map_of(0, 1)
    image[0, 5, 5] = 1e6
    check_greys(image, written(build(mr_phantom(*SHAPE), image))[0])


def test_the_window_is_from_the_first_percentile_to_the_99_and_a_half_th() -> None:
    """All different values, so that each percentile has one of its own."""
    image = np.random.default_rng(1).permutation(np.arange(1024)).reshape(4, 16, 16)
    window = window_of(encode_pixels(image.astype(np.int16), PixelRules()))
    assert (window.centre, window.width, window.function) == ((10 + 1018 + 1) / 2, 1018 - 10 + 1, None)
    scaled = window_of(encode_pixels(image.astype(np.float32) / 1000, PixelRules()))
    low, high = np.percentile(image / 1000, [1, 99.5])
    assert scaled.function == "LINEAR_EXACT"
    assert (scaled.centre - scaled.width / 2, scaled.centre + scaled.width / 2) == pytest.approx((low, high))


def test_signed_maps_with_zero_around() -> None:
    image = map_of(-4, 4)
    check_greys(image[image != 0], written(build(mr_phantom(*SHAPE), image))[0])


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.float32])
@pytest.mark.parametrize("blueprint", ["ct", "mr", "pet", "secondary_capture"])
def test_a_mask_is_black_and_white(blueprint: str, dtype: type) -> None:
    image = np.zeros(SHAPE, dtype)  # type: ignore[var-annotated]
    image[1:3, 5, 5] = True
    phantom = PHANTOMS.get(blueprint, ct_phantom)
    (first, *_) = written(build(phantom(*SHAPE), image, blueprint=blueprint))
    assert show(np.array([0, 1]), first).tolist() == [0, 1]


@pytest.mark.parametrize("high", [1, 255, 1000])
def test_a_mask_of_any_number_is_not_in_the_parents_unit(high: int) -> None:
    """Its values enclose the centre of the parent's window, and are other ones than the parent's."""
    image = np.zeros(SHAPE, np.int16)
    image[:, 4:12, 4:12] = high
    for phantom in (ct_phantom, mr_phantom):
        (first, *_) = written(build(phantom(*SHAPE), image))
        assert show(np.array([0, high]), first).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("phantom", "labels_of"),
    [
        (ct_phantom, lambda hu: (hu > 0).astype(np.uint8) * 100),
        (ct_phantom, lambda hu: np.digitize(hu, [-500, 0, 50, 100, 500]).astype(np.uint8) * 20),
        (mr_phantom, lambda values: (values > 300).astype(np.uint16) * 1000),
        (mr_phantom, lambda values: (values < 300).astype(np.uint16) * 1000),
    ],
)
def test_labels_among_which_the_parents_centre_is_are_not_in_its_unit(phantom: Any, labels_of: Any) -> None:
    parent = parent_of(phantom(*SHAPE))
    image = labels_of(parent.voxels())
    (first, *_) = written(build(parent, image))
    assert windows_of(first) != windows_of(parent.pivot)
    levels = np.unique(image)
    assert len(np.unique(show(levels, first))) == len(levels)


def test_multiples_among_which_the_parents_centre_is_are_not_in_its_unit() -> None:
    datasets = pet_phantom(*SHAPE)
    for dataset in datasets:
        dataset.WindowCenter, dataset.WindowWidth = 5, 10
    parent = parent_of(datasets)
    (first, *_) = written(build(parent, parent.voxels() * 0.0003))
    assert windows_of(first) != [(5, 10)]
    (first, *_) = written(build(parent, parent.voxels() * 0.9))
    assert windows_of(first) == [(5, 10)]


@pytest.mark.parametrize("change", [lambda hu: np.clip(hu, 30, 50), lambda hu: np.where(hu > 70, hu, -1000)])
def test_few_values_of_the_parent_are_still_in_its_unit(change: Any) -> None:
    parent = parent_of(ct_phantom(*SHAPE))
    (first, *_) = written(build(parent, change(parent.voxels())))
    assert windows_of(first) == [(40, 80)]


def test_labels_are_all_shown() -> None:
    image = np.zeros(SHAPE, np.uint16)
    for label in range(1, 5):
        image[:, 2 * label, 2:10] = label * 150
    (first, *_) = written(build(mr_phantom(*SHAPE), image))
    shown = show(np.arange(5) * 150, first)
    assert shown[0] == 0 and shown[4] == 1 and np.all(np.diff(shown) > 0.2)


def test_a_percentage_in_a_ct_has_a_window_of_its_own() -> None:
    """The parent's 40/80 is among its values, and they are not HU."""
    image = map_of(0, 100)
    (first, *_) = written(build(ct_phantom(*SHAPE), image))
    check_greys(image, first)


def with_windows(phantom: list[Dataset], **values: Any) -> ParentSeries:
    for dataset in phantom:
        for keyword, value in values.items():
            setattr(dataset, keyword, value)
    return parent_of(phantom)


SEVERAL = {
    "WindowCenter": ["40.0", "-600", "300"],
    "WindowWidth": ["80.0", "1500", "2000"],
    "WindowCenterWidthExplanation": ["BRAIN", "LUNG", "BONE"],
}


def kept(dataset: Dataset) -> dict[str, Any]:
    window = window_in(dataset)
    return {keyword: [str(one) for one in window[keyword].value] for keyword in SEVERAL}


@pytest.mark.wide(quick=4)
@pytest.mark.parametrize("name", ["ct", "secondary_capture", "legacy_enhanced_ct"])
@pytest.mark.parametrize("change", ["own values", "smoother", "floats", "part of the body"])
def test_the_parents_windows_are_kept(name: str, change: str) -> None:
    parent = with_windows(ct_phantom(*SHAPE), **SEVERAL)
    image = parent.voxels()
    if change == "smoother":
        image = np.rint(image + np.random.default_rng(1).normal(0, 20, SHAPE)).astype(np.int16)
    if change == "floats":
        image = image + np.random.default_rng(1).uniform(-3, 3, SHAPE).astype(np.float32)
    if change == "part of the body":
        image = np.where(image > 0, image, -1000)
    (first, *_) = written(build(parent, image, blueprint=name))
    assert kept(first) == SEVERAL
    assert "VOILUTFunction" not in window_in(first)


@pytest.mark.parametrize("function", ["SIGMOID", "LINEAR_EXACT", "LINEAR"])
def test_a_kept_window_keeps_its_function(function: str) -> None:
    parent = with_windows(ct_phantom(*SHAPE), VOILUTFunction=function)
    (first, *_) = written(build(parent, parent.voxels() + np.float32(0.5)))
    assert (first.WindowCenter, first.WindowWidth, first.VOILUTFunction) == (40, 80, function)


def test_each_slice_keeps_its_own_window() -> None:
    phantom = mr_phantom(*SHAPE)
    for index, dataset in enumerate(phantom):
        dataset.WindowCenter, dataset.WindowWidth = 400 + index, 800
    parent = parent_of(phantom)
    image = parent.voxels()
    assert [d.WindowCenter for d in written(build(parent, image))] == [400, 401, 402, 403]
    assert parent.grid is not None
    part = PlacedImage(image[1:3], parent.grid.subset([1, 2]))
    assert [d.WindowCenter for d in written(build(parent, part))] == [401, 402]


def test_frames_of_an_enhanced_parent_keep_their_window() -> None:
    source = enhanced(ct_phantom(*SHAPE))
    parent = parent_of([source])
    (first, *_) = written(build(parent, parent.voxels(), blueprint="ct"))
    expected = windows_of(parent.pivot)
    assert expected and windows_of(first) == expected


@pytest.mark.parametrize(
    ("extra", "why"),
    [
        ([StaticElement("RescaleType", "LO", "US")], "another unit"),
        ([StaticElement("Modality", "OT")], "another modality"),
    ],
)
def test_another_unit_has_another_window(extra: list[StaticElement], why: str) -> None:
    parent = with_windows(ct_phantom(*SHAPE), **SEVERAL)
    (first, *_) = written(build(parent, parent.voxels(), Blueprint(extra), blueprint="secondary_capture"))
    assert windows_of(first)[0] != (40, 80), why
    assert "WindowCenterWidthExplanation" not in first


def test_suv_has_another_window_than_becquerels() -> None:
    parent = with_windows(pet_phantom(*SHAPE), WindowCenter=2, WindowWidth=4)
    image = parent.voxels() / 5000
    units = Blueprint([StaticElement("Units", "GML"), StaticElement("SUVType", "BW")])
    (first, *_) = written(build(parent, image, units))
    assert windows_of(first) != [(2, 4)] and first.VOILUTFunction == "LINEAR_EXACT"


def test_a_centre_that_no_value_is_near_is_not_kept() -> None:
    parent = with_windows(ct_phantom(*SHAPE), WindowCenter=5000, WindowWidth=100)
    (first, *_) = written(build(parent))
    assert windows_of(first)[0][0] < 3000


@pytest.mark.parametrize(
    "values",
    [
        {"WindowWidth": 0},
        {"WindowCenter": [40, 50]},
        {"WindowCenter": None},
        {"WindowWidth": "0.5"},
        {"VOILUTFunction": "CUBIC"},
    ],
)
def test_a_parents_window_that_means_nothing_is_not_kept(values: dict[str, Any]) -> None:
    parent = with_windows(ct_phantom(*SHAPE), **values)
    (first, *_) = written(build(parent))
    check_greys(parent.voxels(), first)


def test_the_blueprints_window_stands_alone() -> None:
    parent = with_windows(ct_phantom(*SHAPE), VOILUTFunction="SIGMOID", **SEVERAL)
    window = Blueprint([StaticElement("WindowCenter", 0.5), StaticElement("WindowWidth", 1)])
    image = map_of(0, 1)
    (first, *_) = written(build(parent, image, window))
    assert windows_of(first) == [(0.5, 1)] and "WindowCenterWidthExplanation" not in first
    check_greys(image, first)


def test_colour_has_no_window() -> None:
    image = np.zeros((*SHAPE, 3), np.uint8)
    (first, *_) = written(build(ct_phantom(*SHAPE), image, blueprint="secondary_capture"))
    assert not {"WindowCenter", "WindowWidth", "VOILUTFunction"} & set(first.dir())


@pytest.mark.parametrize("blueprint", ["ct", "parametric_map", "legacy_enhanced_ct"])
def test_the_preview_is_in_the_same_window(blueprint: str) -> None:
    image = map_of(-0.5, 0.5)
    series = build(ct_phantom(*SHAPE), image, blueprint=blueprint)
    preview = picture(series)
    assert preview is not None
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(preview["PNG"]))))
    if blueprint == "ct":
        values, dataset = image[2], written(series)[0]
    else:
        (dataset,) = written(series)
        groups = dataset.SharedFunctionalGroupsSequence[0]
        scale = groups.get("PixelValueTransformationSequence") or dataset.PerFrameFunctionalGroupsSequence[2].get(
            "PixelValueTransformationSequence"
        )
        values = dataset.pixel_array[2]
        if scale:
            values = values * float(scale[0].RescaleSlope) + float(scale[0].RescaleIntercept)
    assert preview["Frame"] == (1 if blueprint == "ct" else 3)
    assert np.abs(pixels - 255 * show(values, dataset)).max() <= 1


def test_a_window_of_few_whole_numbers_shows_each() -> None:
    image = np.array([[[0, 1], [2, 3]]], np.uint8)
    window = window_of(encode_pixels(image, PixelRules()))
    assert rendered(image, window.centre, window.width, "LINEAR").ravel() == pytest.approx([0, 1 / 3, 2 / 3, 1])


def test_stored_values_are_what_the_window_is_of() -> None:
    """The window is in output units, after the rescale."""
    image = map_of(0, 1)
    (first, *_) = written(build(ct_phantom(*SHAPE), image))
    check_greys(stored(first) * float(first.RescaleSlope) + float(first.RescaleIntercept), first)
    assert ready("ct")["WindowCenter"]
