"""InstanceNumber follows the parent's direction along the normal, so that both series are scrolled alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from pydicom.dataset import Dataset

from building import build, parent_of, written
from derived_series import PlacedImage
from multiframe import enhanced
from phantoms import ct_phantom, mr_phantom, pet_phantom
from phantoms_4d import fmri_phantom


def numbers(datasets: Sequence[Dataset]) -> dict[tuple[float, ...], int]:
    """InstanceNumber by place."""
    return {tuple(round(float(v), 3) for v in d.ImagePositionPatient): int(d.InstanceNumber) for d in datasets}


@pytest.mark.parametrize("phantom", [ct_phantom, mr_phantom, pet_phantom])
@pytest.mark.parametrize("descending", [False, True])
def test_both_are_scrolled_alike(phantom: object, descending: bool) -> None:
    parents = phantom(5, 8, 8, descending=descending)  # type: ignore[operator]
    datasets = written(build(parents))
    assert numbers(datasets) == numbers(parents)
    places = [float(d.SliceLocation) for d in datasets]
    assert places == sorted(places), "the files are in the order of the array"


def test_numbers_are_in_geometric_order_though_the_parents_are_not() -> None:
    parents = ct_phantom(6, 8, 8, shuffled_numbers=True)
    numbers = [int(d.InstanceNumber) for d in written(build(parents))]
    assert numbers in ([1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1])


def test_part_of_the_parents_planes_follows_it_too() -> None:
    parent = parent_of(ct_phantom(5, 8, 8, descending=True))
    assert parent.grid is not None
    image = PlacedImage(parent.voxels()[1:4], parent.grid.subset([1, 2, 3]))
    assert [d.InstanceNumber for d in written(build(parent, image))] == [3, 2, 1]


def test_another_grid_ascends() -> None:
    parent = parent_of(ct_phantom(4, 8, 8, descending=True))
    assert parent.grid is not None
    affine = parent.affine_lps.copy()
    affine[:3, 1:3] *= 2
    other = type(parent.grid).from_affine(affine, (4, 4, 4))
    image = PlacedImage(parent.voxels()[:, ::2, ::2], other)
    assert [d.InstanceNumber for d in written(build(parent, image))] == [1, 2, 3, 4]


def test_volume_after_volume_in_the_parents_direction() -> None:
    volumes = fmri_phantom(2, 3, 8, 8)
    for index, dataset in enumerate(volumes):
        time, place = divmod(index, 3)
        dataset.InstanceNumber = 3 * time + 3 - place
    parent = parent_of(volumes)
    assert parent.volumes == 2
    assert [d.InstanceNumber for d in written(build(parent))] == [3, 2, 1, 6, 5, 4]


def test_frames_of_a_multi_frame_parent_have_a_direction() -> None:
    slices = mr_phantom(4, 8, 8, orientation="axial")
    for frames, expected in ((slices, [1, 2, 3, 4]), (slices[::-1], [4, 3, 2, 1])):
        parent = parent_of([enhanced(frames)])
        assert [d.InstanceNumber for d in written(build(parent, blueprint="mr"))] == expected


def test_a_pet_image_index_goes_with_the_number() -> None:
    datasets = written(build(pet_phantom(4, 8, 8, descending=True)))
    assert [d.ImageIndex for d in datasets] == [d.InstanceNumber for d in datasets] == [4, 3, 2, 1]


def test_without_a_place_numbers_ascend() -> None:
    parents = ct_phantom(3, 8, 8, descending=True)
    for dataset in parents:
        del dataset.ImagePositionPatient, dataset.ImageOrientationPatient
    datasets = written(build(parents, np.zeros((3, 8, 8), np.uint8), blueprint="secondary_capture"))
    assert [d.InstanceNumber for d in datasets] == [1, 2, 3]
