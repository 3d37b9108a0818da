"""Parents whose pixels stay in files, and images that are made a slice at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless, RLELossless

from derived_series import (
    BuildContext,
    FillingStrategy,
    NumpyFactory,
    ParentSeries,
    ct_image_blueprint,
    volume_blueprint,
)
from derived_series.dicom.source.slices import release_mapped_pages
from phantoms import compressed, ct_phantom, encode, pet_phantom

BLUEPRINT = volume_blueprint + ct_image_blueprint


def in_files(folder: Path, contents: list[bytes]) -> ParentSeries:
    paths = [folder / f"{index}.dcm" for index in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    return ParentSeries.from_files(paths)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless, JPEGLSLossless])
def test_a_parent_in_files_is_the_parent_in_memory(tmp_path: Path, syntax: str) -> None:
    datasets = ct_phantom(slices=4, rows=128, columns=96)
    if syntax != ExplicitVRLittleEndian:
        datasets = compressed(datasets, syntax)
    contents = [encode(dataset) for dataset in datasets]
    held, parent = ParentSeries.from_bytes(contents), in_files(tmp_path, contents)
    assert np.array_equal(parent.voxels(), held.voxels()) and np.array_equal(parent.stored(), held.stored())
    assert parent.varying == held.varying and parent.grid == held.grid
    if syntax == ExplicitVRLittleEndian:
        assert all(dict(instance.items())[Tag("PixelData")].value is None for instance in parent.instances), (
            "it was kept"
        )
    assert np.array_equal(parent.instances[1].pixel_array, held.instances[1].pixel_array)


@pytest.mark.parametrize("phantom", [ct_phantom, pet_phantom])
def test_slices_are_the_voxels(tmp_path: Path, phantom: type) -> None:
    parent = in_files(tmp_path, [encode(dataset) for dataset in phantom(slices=4, rows=128, columns=96)])
    slices = parent.slices()
    assert slices.shape == parent.shape and slices.dtype == np.float32 and len(slices) == len(parent)
    assert np.array_equal(np.stack(list(slices)), parent.voxels())


def test_a_series_made_a_slice_at_a_time_is_the_same(tmp_path: Path) -> None:
    parent = in_files(tmp_path, [encode(dataset) for dataset in ct_phantom(slices=4, rows=128, columns=96)])
    factory, context = NumpyFactory(), BuildContext(uid_seed="same")
    header = factory.make_series_header(parent, BLUEPRINT, FillingStrategy.COPY, context)
    whole, sliced = factory.build(header, parent.voxels()), factory.build(header, parent.slices())
    assert [whole.encode(index) for index in range(4)] == [sliced.encode(index) for index in range(4)]


def test_a_mapped_image_is_given_back_and_read_again(tmp_path: Path) -> None:
    image = np.arange(70 * 64 * 64, dtype=np.int16).reshape(70, 64, 64)
    np.save(tmp_path / "image.npy", image)
    mapped = NumpyFactory.read(tmp_path / "image.npy")
    assert np.array_equal(mapped, image)
    release_mapped_pages(np.asarray(mapped)[3:])
    assert np.array_equal(mapped, image)
    release_mapped_pages(image)  # nothing to give back
    parent = ParentSeries.from_datasets(ct_phantom(slices=70, rows=64, columns=64))
    factory = NumpyFactory()
    series = factory.build(factory.make_series_header(parent, BLUEPRINT), mapped)
    reread = ParentSeries.from_bytes(series.encode(index) for index in range(70))
    assert np.array_equal(reread.voxels(), image)
