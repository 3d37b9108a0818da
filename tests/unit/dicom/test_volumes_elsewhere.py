"""4D series in the eyes of other programs: dcm2niix reads the volumes back, dciodvfy finds nothing new."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from building import build, parent_of
from dciodvfy import new_errors
from dcm2niix_program import dcm2niix_program
from derived_series import Blueprint, FillingStrategy, NiftiFactory, ParentSeries
from phantoms import ct_phantom
from phantoms_4d import dti_phantom, dynamic_pet_phantom, fmri_phantom
from shared_data import needs_series, series_files, series_folder


def converted(parts: list[bytes], folder: Path) -> Any:
    """The one NIfTI image that dcm2niix makes of a series."""
    (folder / "dicom").mkdir()
    for index, part in enumerate(parts):
        (folder / "dicom" / f"{index}.dcm").write_bytes(part)
    command = [dcm2niix_program(), "-b", "n", "-z", "n", "-f", "made", "-o", str(folder), str(folder / "dicom")]
    run = subprocess.run(command, capture_output=True, timeout=120, check=False)
    assert run.returncode == 0, run.stdout.decode() + run.stderr.decode()
    (file,) = folder.glob("*.nii")
    return nib.load(file)


def agrees(converted_image: Any, wanted: Any) -> None:
    """The same values at the same places, whatever the axes' order."""
    turned = converted_image.as_reoriented(
        nib.orientations.ornt_transform(
            nib.orientations.io_orientation(converted_image.affine), nib.orientations.io_orientation(wanted.affine)
        )
    )
    assert turned.shape == wanted.shape and np.allclose(turned.affine, wanted.affine, atol=1e-3)
    assert np.array_equal(np.asarray(turned.dataobj), np.asarray(wanted.dataobj))


def test_a_functional_mr(tmp_path: Path) -> None:
    parent = parent_of(fmri_phantom(3, 5, 32, 24))
    image = parent.to_nifti()
    series = build(parent, image, factory=NiftiFactory())
    converted_image = converted([series.encode(k) for k in range(len(series))], tmp_path)
    agrees(converted_image, image)
    assert converted_image.header.get_zooms()[3] == 2.0


@needs_series("mr_fmri_ge_4d", "mr_mosaic_siemens_2vol")
@pytest.mark.parametrize(
    ("name", "key", "step"), [("mr_fmri_ge_4d", "InstanceNumber", 5), ("mr_mosaic_siemens_2vol", "AcquisitionTime", 3)]
)
def test_a_real_functional_mr(tmp_path: Path, name: str, key: str, step: float) -> None:
    """What dcm2niix makes of the parent is what it makes of the derived series."""
    parent = ParentSeries.from_folder(series_folder(name))
    assert parent.volume_key == key and parent.time_step == step
    image = parent.to_nifti()
    series = build(parent, image, factory=NiftiFactory())
    (tmp_path / "parent").mkdir()
    theirs = converted([path.read_bytes() for path in series_files(name)], tmp_path / "parent")
    agrees(theirs, image)
    (tmp_path / "derived").mkdir()
    converted_image = converted([series.encode(k) for k in range(len(series))], tmp_path / "derived")
    agrees(converted_image, image)
    assert converted_image.header.get_zooms()[3] == theirs.header.get_zooms()[3] == step


@pytest.mark.wide(quick=3)
@pytest.mark.parametrize("phantom", [fmri_phantom, dti_phantom, dynamic_pet_phantom])
@pytest.mark.parametrize("shape", ["of each", "one", "two"])
def test_nothing_new_is_wrong(phantom: Any, shape: str) -> None:
    datasets = phantom()
    parent = parent_of(datasets)
    values = parent.voxels()
    image = {"of each": values, "one": values.mean(axis=0), "two": values[:2]}[shape]
    series = build(parent, image)
    assert new_errors(series.encode(len(series) - 1), datasets[:1]) == []
    copied = build(parent, image, blueprint=Blueprint(), strategy=FillingStrategy.COPY)
    assert new_errors(copied.encode(len(series) - 1), datasets[:1]) == []


def test_nothing_is_wrong_with_a_ct_of_several_volumes() -> None:
    datasets = ct_phantom(3, 8, 6)
    parent = parent_of(datasets)
    series = build(parent, np.stack([parent.voxels()] * 2))
    assert new_errors(series.encode(5), datasets[:1]) == []
