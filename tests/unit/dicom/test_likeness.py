"""An image that fits its parent far better another way round is told, and so are values that no CT, MR or PET has."""

from __future__ import annotations

from typing import Any

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from building import Parents, build, parent_of
from derived_series import Blueprint, NiftiFactory, ParentSeries, StaticElement, derivation
from derived_series.dicom.series.likeness import picked
from multiframe import enhanced
from phantoms import ct_phantom, encode, mr_phantom, pet_phantom
from shared_data import needs_series, series_folder, series_names

SAID = derivation("done", "Smoothing")


def uneven(shape: tuple[int, int, int]) -> Any:
    """A smooth field without any symmetry."""
    noise = np.random.default_rng(3).normal(size=shape)
    return gaussian_filter(noise, 1.5)


def over(datasets: Any, scale: float = 400, zero: float = 0) -> ParentSeries:
    """A parent with a field in its pixels."""
    field = uneven((len(datasets), int(datasets[0].Rows), int(datasets[0].Columns)))
    ordered = sorted(datasets, key=lambda d: d.InstanceNumber)
    for dataset, values in zip(ordered, field / np.abs(field).max(), strict=True):
        stored = np.rint(
            (values * scale + zero - float(dataset.get("RescaleIntercept", 0))) / float(dataset.get("RescaleSlope", 1))
        )
        dtype = "<i2" if dataset.PixelRepresentation else "<u2"
        dataset.PixelData = np.clip(stored, np.iinfo(dtype).min, np.iinfo(dtype).max).astype(dtype).tobytes()
    return parent_of(ordered)


PARENTS = Parents(
    {
        "MR": lambda: over(mr_phantom(12, 16, 16, orientation="axial"), zero=1000),
        "sagittal": lambda: over(mr_phantom(12, 16, 14, orientation="sagittal"), zero=1000),
        "CT": lambda: over(ct_phantom(12, 16, 14)),
        "PET": lambda: over(pet_phantom(12, 16, 14), scale=5000, zero=9000),
    }
)


def warnings_of(parent: ParentSeries, image: Any, extra: Blueprint | None = None, **options: Any) -> list[str]:
    return list(build(parent, image, SAID + (extra or Blueprint()), **options).warnings)


@pytest.mark.parametrize(
    ("axes", "axial", "sagittal"),
    [
        ((2,), "mirrored left-right:", "mirrored front-back:"),
        ((1,), "mirrored front-back:", "mirrored head-feet:"),
        ((0,), "with its slices reversed (head-feet):", "with its slices reversed (left-right):"),
        ((1, 2), "mirrored left-right and front-back:", "mirrored front-back and head-feet:"),
        ((0, 2), "mirrored left-right and with its slices", "mirrored front-back and with its slices"),
    ],
)
def test_mirrored_and_reversed(axes: tuple[int, ...], axial: str, sagittal: str) -> None:
    for name, parent in PARENTS.items():
        (warning,) = warnings_of(parent, np.flip(parent.voxels(), axes).copy())
        assert (sagittal if name == "sagittal" else axial) in warning
        assert ": 1.00 against " in warning


def test_transposed() -> None:
    (warning,) = warnings_of(PARENTS["MR"], PARENTS["MR"].voxels().swapaxes(1, 2).copy())
    assert "transposed (rows and columns swapped): 1.00 against" in warning


def test_axes_of_one_length_in_another_order() -> None:
    """(x, y, z) given as (z, y, x), which the shape does not tell in a cube."""
    cube = over(mr_phantom(16, 16, 16, orientation="axial"), zero=1000)
    (warning,) = warnings_of(cube, cube.voxels().transpose(2, 1, 0).copy())
    assert "transposed (slices and columns swapped)" in warning


def test_one_bright_slice_does_not_hide_it() -> None:
    parent = over(mr_phantom(12, 16, 16, orientation="axial"), zero=1000)
    bright = parent.voxels().copy()
    bright[4] *= 1000
    (warning,) = [w for w in warnings_of(parent, bright[:, :, ::-1].copy()) if "fits" in w]
    assert "mirrored left-right" in warning


def test_what_was_filtered_is_found_too() -> None:
    smooth = gaussian_filter(PARENTS["MR"].voxels(), 1)
    assert warnings_of(PARENTS["MR"], smooth) == []
    (warning,) = warnings_of(PARENTS["MR"], smooth[:, :, ::-1].copy())
    assert "mirrored left-right" in warning


def test_multi_frame_parents_and_files() -> None:
    """The image of an enhanced parent; a NIfTI file whose values lie the other way than its affine says."""
    slices = mr_phantom(12, 16, 16, orientation="axial")
    parent = parent_of([enhanced(slices)])
    (warning,) = [w for w in warnings_of(parent, parent.voxels()[:, :, ::-1].copy(), blueprint="mr") if "fits" in w]
    assert "mirrored left-right" in warning
    nifti = PARENTS["MR"].to_nifti()
    wrong = nib.Nifti1Image(nifti.get_fdata()[::-1].astype(np.int16), nifti.affine)
    (warning,) = warnings_of(PARENTS["MR"], wrong, factory=NiftiFactory())
    assert "mirrored left-right" in warning


@pytest.mark.parametrize("name", PARENTS)
def test_right_builds_draw_no_warning(name: str) -> None:
    parent = PARENTS[name]
    values = parent.voxels()
    noise = np.random.default_rng(1).normal(0, values.std(), values.shape)
    edges = values - gaussian_filter(values, 1)
    for image in (values.copy(), values * 0.5 + 3, gaussian_filter(values, 1), values + noise, edges):
        assert [w for w in warnings_of(parent, image) if "SUV" not in w] == []
    assert warnings_of(parent, values[::-1].copy(), blueprint="secondary_capture") == []  # no claim to be such an image


def test_another_modality_is_not_compared() -> None:
    """A map in another unit may look like anything."""
    units = Blueprint([StaticElement("RescaleType", "LO", "US")])
    assert warnings_of(PARENTS["CT"], PARENTS["CT"].voxels()[:, :, ::-1].copy(), units) == []


@pytest.mark.slow
@needs_series("ct_axial_head_philips")
@pytest.mark.parametrize("name", [n for n in series_names() if not n.startswith(("sc_", "mr_mixed"))])
def test_real_series(name: str) -> None:
    """No alarm on what is right, one on what is mirrored front to back, or along the rows at least."""
    parent = ParentSeries.from_folder(series_folder(name))
    values = parent.voxels()
    smooth = gaussian_filter(values, [0] * (values.ndim - 2) + [1, 1])
    for image in (values.copy(), smooth, values - smooth, np.clip(values, *np.percentile(values, [20, 80]))):
        assert not any("far better" in warning for warning in warnings_of(parent, image))
    (warning,) = [w for w in warnings_of(parent, np.flip(values, -2).copy()) if "far better" in w]
    assert "mirrored" in warning


def test_one_value_alone() -> None:
    for parent in PARENTS.values():
        assert "all values of the image are 7" in warnings_of(parent, np.full(parent.shape, 7, np.int16))


def test_stored_values_in_place_of_hu() -> None:
    (warning,) = warnings_of(PARENTS["CT"], PARENTS["CT"].voxels() + 1024)
    assert "about 1024 above the parent's, which are HU" in warning
    (warning,) = warnings_of(PARENTS["CT"], gaussian_filter(PARENTS["CT"].voxels(), 0.5) - 1024)
    assert "about 1024 below the parent's" in warning
    ct = PARENTS["CT"]
    for fine in (ct.voxels() + 200, np.abs(ct.voxels()) + 1024):  # a shift of another kind; another image
        assert warnings_of(ct, fine) == []


@pytest.mark.parametrize("name", ["MR", "CT", "PET"])
def test_values_that_are_far_too_large(name: str) -> None:
    parent = PARENTS[name]
    image = parent.voxels().copy()
    image[3, 4, 5] = 1e9
    warnings = [w for w in warnings_of(parent, image) if "SUV" not in w]
    assert any("1e+09" in warning and "stay below" in warning for warning in warnings)


def test_several_volumes_of_a_parent_of_one() -> None:
    warnings = warnings_of(PARENTS["MR"], np.stack([PARENTS["MR"].voxels(), PARENTS["MR"].voxels() + 1]))
    assert warnings == ["the image has 2 volumes, its parent is one: they are stored as points in time"]


@pytest.mark.parametrize("count", [*range(1, 40), 299, 300, 512])
@pytest.mark.parametrize("most", [8, 32])
def test_samples_are_the_same_from_both_ends(count: int, most: int) -> None:
    """Else a mirrored image would never fit."""
    indexes = picked(count, most)
    assert len(indexes) >= min(count, most) - 1 and len(set(indexes)) == len(indexes)
    assert np.array_equal(indexes, count - 1 - indexes[::-1])
    assert np.all(np.diff(indexes) > 0)


def test_pixels_that_are_not_there_are_not_compared() -> None:
    headers = ParentSeries.from_bytes([encode(dataset) for dataset in mr_phantom(6, 8, 7)], pixels=False)
    assert not any("fits" in warning for warning in warnings_of(headers, np.arange(336.0).reshape(6, 8, 7)))
