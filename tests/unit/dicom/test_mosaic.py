"""Siemens mosaics: taken apart to slices where the CSA header tells how, else refused with what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import JPEGLSLossless, MRImageStorage

from building import build, parent_of, positions, volume, written
from dciodvfy import new_errors
from derived_series import FillingStrategy, ParentSeries, derivation
from derived_series.errors import InvalidParent
from multiframe import csa_header, mosaic
from phantoms import compressed, encode, mr_phantom
from shared_data import needs_series, series_files

DONE = derivation("nothing", "PixelByPixelMean")


@pytest.mark.wide(quick=4)
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("orientation", ["axial", "sagittal", "oblique"])
@pytest.mark.parametrize("slices", [4, 7, 10])
def test_tiles_are_the_slices_that_they_were(slices: int, orientation: str, descending: bool) -> None:
    packed = mr_phantom(slices, 8, 6, orientation=orientation, descending=descending)
    parent, classic = parent_of([mosaic(packed)]), parent_of(packed)
    assert parent.shape == (slices, 8, 6)
    assert np.array_equal(parent.voxels(), classic.voxels())
    assert np.allclose(parent.require_grid().positions, classic.require_grid().positions, atol=1e-5)


@pytest.mark.parametrize("strategy", FillingStrategy)
def test_the_derived_series_has_one_slice_an_instance(strategy: FillingStrategy) -> None:
    source = mosaic(mr_phantom(5, 8, 8))
    parent = parent_of([source])
    series = build(parent, extra=DONE, strategy=strategy)
    datasets = written(series)
    assert np.array_equal(volume(series), parent.voxels()) and positions(datasets) == positions(parent.instances)
    for dataset in datasets:
        assert dataset.SOPClassUID == MRImageStorage and "MOSAIC" not in dataset.ImageType
        assert (dataset.Rows, dataset.Columns) == (8, 8)
        (item,) = dataset.SourceImageSequence
        assert item.ReferencedSOPInstanceUID == source.SOPInstanceUID and "ReferencedFrameNumber" not in item
    assert new_errors(series.encode(0), [source]) == []


def test_a_compressed_mosaic(tmp_path: Path) -> None:
    packed = mr_phantom(5, 32, 24)
    (source,) = compressed([mosaic(packed)], JPEGLSLossless)
    (tmp_path / "mosaic.dcm").write_bytes(encode(source))
    for parent in (ParentSeries.from_datasets([source]), ParentSeries.from_files([tmp_path / "mosaic.dcm"])):
        assert np.array_equal(parent.voxels(), parent_of(packed).voxels())
        assert np.array_equal(parent.instances[3].pixel_array, parent.stored()[3])


@pytest.mark.parametrize("packed", [False, True])
def test_several_mosaics_are_several_times(packed: bool) -> None:
    times = [mr_phantom(5, 32, 24, noise=number) for number in (5, 20, 40)]
    sources = [mosaic(slices, number=number) for number, slices in enumerate(times, start=1)]
    if packed:
        sources = compressed(sources, JPEGLSLossless)
    parent = parent_of(sources[::-1])
    assert parent.shape == (3, 5, 32, 24)
    wanted = np.stack([parent_of(slices).voxels() for slices in times])
    assert np.array_equal(parent.voxels(), wanted) and np.array_equal(parent.stored(), wanted)
    slices = parent.slices()
    assert all(np.array_equal(slices[index], wanted.reshape(15, 32, 24)[index]) for index in (0, 7, 1, 14, 2))


def _no_header(source: Dataset) -> None:
    source.remove_private_tags()


def _broken_header(source: Dataset) -> None:
    source[0x00291010].value = source[0x00291010].value[:100]


def _no_spacing(source: Dataset) -> None:
    del source.SpacingBetweenSlices


def _other_plane(source: Dataset) -> None:
    source.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (_no_header, r"no CSA image header \(0029,1010\)"),
        (_broken_header, "CSA header cannot be read"),
        (_no_spacing, "lacks SpacingBetweenSlices"),
        (_other_plane, "SliceNormalVector .* is not normal to"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_mosaic_that_does_not_tell_its_tiles_is_refused(spoil: Any, text: str) -> None:
    source = mosaic(mr_phantom(5, 8, 8, orientation="axial"))
    spoil(source)
    with pytest.raises(InvalidParent, match=f"is a mosaic.*{text}"):
        parent_of([source])


@pytest.mark.parametrize("count", ["0", "-4", "2000000000"])
def test_a_number_of_tiles_that_cannot_be_is_refused(count: str) -> None:
    source = mosaic(mr_phantom(5, 8, 8))
    header = {"NumberOfImagesInMosaic": ("IS", [count]), "SliceNormalVector": ("FD", ["1.0", "0.0", "0.0"])}
    source[0x00291010].value = csa_header(header)
    with pytest.raises(InvalidParent, match=f"its NumberOfImagesInMosaic is {count}"):
        parent_of([source])


@needs_series("mr_mosaic_siemens_2vol")
def test_a_real_mosaic_is_where_dcm2niix_puts_it() -> None:
    """The affine of `dcm2niix -z n` on the same file, to its float32; axes (column, row, slice), rows flipped."""
    parent = ParentSeries.from_files(series_files("mr_mosaic_siemens_2vol")[:1])
    canonical = nib.as_closest_canonical(parent.to_nifti())
    wanted = [
        [3.25, 0, 0, -100.75],
        [0, 3.23099065, -0.388797671, -58.6843109],
        [0, 0.350997895, 3.57894325, -84.7980347],
    ]
    assert canonical.shape == (64, 64, 35)
    assert np.abs(canonical.affine[:3] - wanted).max() < 1e-4
    assert int(parent.stored().max()) == parent.pivot["LargestImagePixelValue"].value == 2362
