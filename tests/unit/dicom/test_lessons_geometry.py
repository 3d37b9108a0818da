"""Defects seen in systems that do this job: geometry (lessons 20 to 23)."""

from __future__ import annotations

from typing import Any

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

from building import build, parent_of, positions, volume, written
from derived_series import NiftiFactory
from derived_series.dicom.grid import Grid
from phantoms import ORIENTATIONS, ct_phantom, mr_phantom


def _as_axes(image: Any, axes: str) -> Any:
    """The same image with its axes in another order and sign."""
    turn = ornt_transform(io_orientation(image.affine), axcodes2ornt(tuple(axes)))
    return image.as_reoriented(turn)


@pytest.mark.wide(quick=6)
@pytest.mark.parametrize("axes", ["RAS", "LAS", "LPI", "PSR", "PIL", "SAR", "IPL", "ASL"])
@pytest.mark.parametrize("orientation", ["axial", "sagittal", "coronal", "oblique"])
def test_lesson_20_the_nifti_affine_ignored_and_output_mirrored(axes: str, orientation: str) -> None:
    parent = parent_of(ct_phantom(5, 7, 6, orientation=orientation))
    series = build(parent, _as_axes(parent.to_nifti(), axes), factory=NiftiFactory())
    assert positions(written(series)) == positions(parent.instances)
    assert np.array_equal(volume(series), parent.voxels())
    for before, after in zip(parent.instances, written(series), strict=True):
        assert after.ImageOrientationPatient == before.ImageOrientationPatient
        assert after.SourceImageSequence[0].ReferencedSOPInstanceUID == before.SOPInstanceUID


def test_lesson_20_xyz_taken_as_zyx() -> None:
    """A cube, so that no shape tells the axes apart."""
    parent = parent_of(ct_phantom(6, 6, 6, spacing=1.0, pixel_spacing=(1.0, 1.0)))
    image = nib.Nifti1Image(np.arange(216, dtype=np.int16).reshape(6, 6, 6), parent.to_nifti().affine)
    values = volume(build(parent, image, factory=NiftiFactory()))
    assert np.array_equal(values, image.get_fdata().transpose(2, 1, 0))
    assert not np.array_equal(values, image.get_fdata())


def test_lesson_21_lps_written_as_ras_without_a_change_of_sign() -> None:
    """A voxel is at the same place of the patient, told by nibabel and by the DICOM attributes."""
    parent = parent_of(ct_phantom(4, 6, 5, spacing=3.0))
    image = parent.to_nifti().slicer[1:4, 2:5, :2]
    for dataset, number in zip(written(build(parent, image, factory=NiftiFactory())), range(2), strict=True):
        ras = image.affine @ [0, 0, number, 1]
        assert np.allclose(np.array(dataset.ImagePositionPatient, float), ras[:3] * [-1, -1, 1], atol=1e-4)
        assert abs(dataset.ImagePositionPatient[0] - ras[0]) > 1  # as RAS it would be elsewhere


@pytest.mark.parametrize("spacing", [(0.5, 2.0), (2.0, 0.5)])
def test_lesson_21_pixel_spacing_of_rows_and_columns_swapped(spacing: tuple[float, float]) -> None:
    parent = parent_of(mr_phantom(3, 6, 5, pixel_spacing=spacing, orientation="coronal"))
    assert np.allclose(np.linalg.norm(parent.affine_lps[:3, 1]), spacing[0])  # from row to row
    assert np.allclose(np.linalg.norm(parent.affine_lps[:3, 2]), spacing[1])  # from column to column
    for image in (parent.to_nifti(), parent.to_nifti().slicer[:, 1:, :]):
        for dataset in written(build(parent, image, factory=NiftiFactory())):
            assert np.allclose(np.array(dataset.PixelSpacing, float), spacing)
    assert np.allclose(parent.to_nifti().header.get_zooms(), (spacing[1], spacing[0], 1.5))


def test_lesson_21_slice_thickness_used_as_spacing() -> None:
    datasets = ct_phantom(4, 6, 5, spacing=2.5)
    for dataset in datasets:
        dataset.SliceThickness = "5"
        dataset.SpacingBetweenSlices = "7"  # wrong, as some scanners write it
    parent = parent_of(datasets)
    assert parent.grid is not None and abs(parent.grid.slice_spacing or 0 - 2.5) < 3
    assert np.isclose(np.linalg.norm(parent.affine_lps[:3, 0]), 2.5)
    for dataset in written(build(parent)):
        assert (float(dataset.SliceThickness), float(dataset.SpacingBetweenSlices)) == (5, 2.5)
    every_second = build(parent, parent.to_nifti().slicer[:, :, ::2], factory=NiftiFactory())
    assert {float(dataset.SpacingBetweenSlices) for dataset in written(every_second)} == {5.0}


@pytest.mark.wide(quick=3)
@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("descending", [False, True])
def test_lesson_22_sorting_by_the_z_coordinate_alone(orientation: str, descending: bool) -> None:
    datasets = ct_phantom(7, 6, 5, orientation=orientation, descending=descending)
    shuffled = [datasets[index] for index in (3, 0, 6, 2, 5, 1, 4)]
    parent = parent_of(shuffled)
    ascending = datasets[::-1] if descending else datasets
    assert [d.SOPInstanceUID for d in parent.instances] == [d.SOPInstanceUID for d in ascending]
    assert np.linalg.matrix_rank(parent.affine_lps) == 4
    row, column = np.array(parent.pivot.ImageOrientationPatient, float).reshape(2, 3)
    along = np.array(positions(parent.instances)) @ np.cross(row, column)
    assert np.all(np.diff(along) > 0)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_lesson_23_slice_order_reversed_against_positions(orientation: str) -> None:
    """A descending and an ascending series of the same head give the same images in the same places."""
    series = []
    for descending in (False, True):
        datasets = ct_phantom(5, 6, 5, orientation=orientation, descending=descending, noise=0)
        parent = parent_of(datasets)
        marked = parent.voxels()
        marked[0] = -1000
        marked[0, 0, 0] = 77
        series.append(written(build(parent, marked)))
        lowest = min(datasets, key=lambda d: parent.instances.index(next(p for p in parent.instances if p == d)))
        assert series[-1][0].ImagePositionPatient == lowest.ImagePositionPatient
    for up, down in zip(*series, strict=True):
        assert np.allclose(np.array(up.ImagePositionPatient, float), np.array(down.ImagePositionPatient, float))
        assert up.PixelData == down.PixelData
        assert int(up.InstanceNumber) == 6 - int(down.InstanceNumber), "each is scrolled as its parent"
        assert np.isclose(float(up.SliceLocation), float(down.SliceLocation))


def test_lesson_23_a_grid_that_descends_is_refused() -> None:
    from derived_series.errors import GeometryError

    grid = parent_of(ct_phantom(4, 6, 5)).require_grid()
    with pytest.raises(GeometryError, match="must ascend along its normal"):
        Grid(*(getattr(grid, name) for name in ("row_cosines", "column_cosines", "pixel_spacing")),  # type: ignore[call-arg]
             grid.positions[::-1], grid.rows, grid.columns)  # fmt: skip
    with pytest.raises(GeometryError, match="must ascend"):
        grid.subset([2, 1])
