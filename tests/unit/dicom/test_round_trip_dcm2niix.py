"""NIfTI in, DICOM files out, NIfTI again by dcm2niix: the same values at the same places in the patient."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable
from itertools import product
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest

from building import build, parent_of, written
from dcm2niix_program import dcm2niix_program
from derived_series import NiftiFactory, ParentSeries
from derived_series.transfer_syntaxes import WRITTEN
from phantoms import ct_phantom, mr_phantom, pet_phantom
from shared_data import needs_series, series_folder
from test_nifti import another_grid, turned

pytestmark = pytest.mark.slow

PARENTS: dict[str, Callable[[], ParentSeries]] = {
    "ct": lambda: parent_of(ct_phantom(6, 20, 16)),
    "ct, descending": lambda: parent_of(ct_phantom(6, 20, 16, descending=True, signed=True)),
    "sagittal mr": lambda: parent_of(mr_phantom(6, 20, 16, orientation="sagittal")),
    "coronal mr": lambda: parent_of(mr_phantom(6, 20, 16, orientation="coronal")),
    "oblique mr": lambda: parent_of(mr_phantom(6, 20, 16, orientation="oblique")),
    "pet": lambda: parent_of(pet_phantom(6, 20, 16)),
}
REAL = ("ct_axial_head_philips", "mr_sag_mprage_siemens", "mr_biolab_ax_obl_ps_unequal")
VALUES: dict[str, Callable[[npt.NDArray[Any]], npt.NDArray[Any]]] = {
    "integers": lambda values: np.rint(values).astype(np.int16),
    "floats": lambda values: (values * 0.731 + 0.25).astype(np.float32),
    "small floats": lambda values: (values / 2e4).astype(np.float64),
}


def converted(contents: Iterable[bytes], folder: Path) -> Any:
    """The one NIfTI image that dcm2niix makes of the files."""
    (folder / "dicom").mkdir(parents=True)
    for index, content in enumerate(contents):
        (folder / "dicom" / f"{index:04d}.dcm").write_bytes(content)
    command = [dcm2niix_program(), "-b", "n", "-z", "n", "-f", "made", "-o", str(folder), str(folder / "dicom")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    files = sorted(folder.glob("made*.nii"))
    assert done.returncode == 0 and len(files) == 1, done.stdout + done.stderr
    return nib.load(files[0])


def assert_same(image: Any, converted_image: Any, step: float, mm: float = 2e-3) -> None:
    """Each voxel that was found is the one that was given there, within half a step, whatever the order of the axes."""
    between = np.linalg.inv(image.affine) @ converted_image.affine
    corners = np.array(list(product(*((0, size - 1) for size in converted_image.shape))))
    there = nib.affines.apply_affine(between, corners)
    nearest = np.rint(there)
    assert np.abs((there - nearest) @ image.affine[:3, :3].T).max() < mm
    assert np.array_equal(nearest.min(axis=0), [0, 0, 0])
    assert np.array_equal(nearest.max(axis=0), np.array(image.shape) - 1)
    got = nib.apply_orientation(np.asarray(converted_image.dataobj, np.float64), nib.io_orientation(between))
    wanted = np.asarray(image.dataobj, np.float64)
    single = np.finfo(np.float32).eps * np.abs(wanted).max()  # what dcm2niix rounds its own slope to
    assert np.abs(got - wanted).max() <= step / 2 + 2 * single


def round_trip(parent: ParentSeries, image: Any, folder: Path) -> None:
    series = build(parent, image, factory=NiftiFactory())
    step = float(str(written(series)[0].get("RescaleSlope", "1")))
    whole = np.asarray(image.dataobj).dtype.kind in "iu"
    contents = [series.encode(index) for index in range(len(series))]
    assert_same(image, converted(contents, folder), 0.0 if whole else step)


@pytest.mark.parametrize("axes", ["LPS", "PSR", "SAL"])
@pytest.mark.parametrize("values", VALUES)
@pytest.mark.parametrize("name", PARENTS)
def test_images_on_the_parents_grid(name: str, values: str, axes: str, tmp_path: Path) -> None:
    parent = PARENTS[name]()
    parent_image = parent.to_nifti()
    image = VALUES[values](np.asarray(parent_image.dataobj))
    round_trip(parent, turned(nib.Nifti1Image(image, parent_image.affine), axes), tmp_path)


@pytest.mark.parametrize("name", PARENTS)
def test_images_on_a_grid_of_their_own(name: str, tmp_path: Path) -> None:
    parent = PARENTS[name]()
    round_trip(parent, turned(another_grid(parent), "IRP"), tmp_path)


@pytest.mark.parametrize("syntax", WRITTEN)
def test_compressed_series(syntax: str, tmp_path: Path) -> None:
    """With decoders that are not those of this project."""
    parent = parent_of(ct_phantom(4, 40, 36, signed=True))
    image = parent.to_nifti()
    series = build(parent, image, factory=NiftiFactory()).written_in(syntax)
    assert_same(image, converted((series.encode(index) for index in range(len(series))), tmp_path), 0.0)


@pytest.mark.parametrize("name", REAL)
def test_real_series(name: str, tmp_path: Path) -> None:
    """dcm2niix tells of the derived series what it tells of the parent: values and places."""
    parent = ParentSeries.from_folder(series_folder(name))
    image = turned(parent.to_nifti(), "PSR")
    round_trip(parent, image, tmp_path / "derived")
    contents = [path.read_bytes() for path in sorted(series_folder(name).rglob("*")) if path.is_file()]
    parent_image = converted(contents, tmp_path / "parent")
    assert_same(parent_image, nib.load(next((tmp_path / "derived").glob("made*.nii"))), 0.0)


@needs_series("mr_ax_obl_ge_uneven_s16")
def test_a_real_oblique_series_whose_gaps_are_not_even(tmp_path: Path) -> None:
    """dcm2niix makes of the derived series what it makes of the parent."""
    parent = ParentSeries.from_folder(series_folder("mr_ax_obl_ge_uneven_s16"))
    series = build(parent)
    derived_image = converted([series.encode(index) for index in range(len(series))], tmp_path / "derived")
    paths = sorted(series_folder("mr_ax_obl_ge_uneven_s16").rglob("*"))
    parent_image = converted([path.read_bytes() for path in paths if path.is_file()], tmp_path / "parent")
    assert np.array_equal(np.asarray(derived_image.dataobj), np.asarray(parent_image.dataobj))
    assert np.allclose(derived_image.affine, parent_image.affine, atol=1e-3)


def test_the_comparison_sees_what_it_looks_for() -> None:
    parent = PARENTS["oblique mr"]()
    image = parent.to_nifti()
    values = np.asarray(image.dataobj)
    assert_same(image, turned(image, "PIR"), 0.0)
    shifted = image.affine.copy()
    shifted[:3, 3] += 0.01
    for other in (
        nib.Nifti1Image(values[::-1], image.affine),
        nib.Nifti1Image(values + 1, image.affine),
        nib.Nifti1Image(values, shifted),
        nib.Nifti1Image(values[:-1], image.affine),
    ):
        with pytest.raises(AssertionError):
            assert_same(image, other, 1.0)
