"""Files that end before their image does."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from derived_series import NiftiFactory, NumpyFactory
from derived_series.dicom.factories.nifti import oriented
from derived_series.errors import InvalidImage


@pytest.mark.parametrize("name", ["image.npy", "image.nii", "image.nii.gz"])
def test_a_file_that_was_cut_off_is_called_that(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    array = np.random.default_rng(1).integers(0, 1000, (3, 32, 32)).astype(np.int16)
    if name.endswith(".npy"):
        np.save(file, array)
    else:
        nib.save(nib.Nifti1Image(array, np.eye(4)), file)
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(InvalidImage, match="shorter than its header says|ends before its end mark") as caught:
        if name.endswith(".npy"):
            NumpyFactory.read(file)
        else:
            oriented(NiftiFactory.read(file), np.eye(4))
    assert "cut off" in str(caught.value.remedy) and "mmap" not in caught.value.message
