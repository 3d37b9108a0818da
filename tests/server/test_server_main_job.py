"""The main job, end to end on a real Orthanc: parent in, image handed in, derived series read back over WADO-RS."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest
from pydicom.dataset import Dataset

from dciodvfy import errors, new_errors
from derived_series import ParentSeries
from derived_series.dicomweb.client import Client, Connection
from derived_series.dicomweb.wado import fetch_series
from orthanc_server import OrthancServer
from phantoms import ct_phantom, mr_phantom
from server_fixtures import npy
from shared_data import needs_series, series_datasets

PHANTOMS: dict[str, Callable[[], Sequence[Dataset]]] = {
    "ct axial": lambda: ct_phantom(slices=5, pixel_spacing=(0.7, 0.9)),
    "ct descending, shuffled": lambda: ct_phantom(slices=5, descending=True, shuffled_numbers=True),
    "ct oblique": lambda: ct_phantom(slices=5, orientation="oblique"),
    "mr sagittal": lambda: mr_phantom(slices=5, orientation="sagittal", pixel_spacing=(0.7, 0.9)),
    "mr coronal": lambda: mr_phantom(slices=5, orientation="coronal"),
}
REAL = ["ct_axial_head_philips", "mr_sag_mprage_siemens", "mr_biolab_ax_obl_ps_unequal"]

PARENTS = [
    *(pytest.param(make, id=name) for name, make in PHANTOMS.items()),
    *(pytest.param(lambda name=name: series_datasets(name), id=name, marks=needs_series(name)) for name in REAL),
]


def wado(server: OrthancServer, series: str) -> list[bytes]:
    """The instances of a series over WADO-RS."""
    study = server.json(f"/series/{series}/study")["MainDicomTags"]["StudyInstanceUID"]
    uid = server.json(f"/series/{series}")["MainDicomTags"]["SeriesInstanceUID"]
    with Client(Connection(server.url)) as client:
        return list(fetch_series(client, study, uid))


def mirrored(image: npt.NDArray[Any], affine_ras: npt.NDArray[Any]) -> bytes:
    """A gzipped NIfTI file of a (slice, row, column) image, axes reversed in order and one of them in sign."""
    array, affine = image.transpose(2, 1, 0)[::-1], affine_ras[:, [2, 1, 0, 3]].copy()
    affine[:3, 3] += (array.shape[0] - 1) * affine[:3, 0]
    affine[:3, 0] *= -1
    return gzip.compress(nib.Nifti1Image(np.ascontiguousarray(array), affine).to_bytes())


def check(server: OrthancServer, answer: dict[str, Any], parent: ParentSeries, image: npt.NDArray[Any]) -> None:
    """Values within half a step, positions within 1e-3 mm, each slice naming its source, no new dciodvfy Error."""
    parts = wado(server, answer["ID"])
    derived = ParentSeries.from_bytes(parts)
    assert len(derived) == answer["InstancesCount"] == len(parent)
    assert derived.series_instance_uid == answer["SeriesInstanceUID"] != parent.series_instance_uid
    assert derived.study_instance_uid == parent.study_instance_uid
    step = float(derived.pivot.get("RescaleSlope") or 1)
    intercept = float(derived.pivot.get("RescaleIntercept") or 0)
    real = derived.stored().astype(np.float64) * step + intercept
    assert np.abs(real - image.astype(np.float64)).max() <= step * 0.5000001
    for instance, source in zip(derived.instances, parent.instances, strict=True):
        away = np.subtract(instance.ImagePositionPatient, source.ImagePositionPatient)
        assert np.linalg.norm(away.astype(float)) <= 1e-3
        assert instance.SourceImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
        assert instance.PatientID == source.PatientID
    numbers = [int(instance.InstanceNumber) for instance in derived.instances]
    assert numbers in (list(range(1, len(numbers) + 1)), list(range(len(numbers), 0, -1))), "in geometric order"
    assert new_errors(parts[0], parent.instances[:1]) == []


@pytest.mark.parametrize("make", PARENTS)
def test_the_main_job(empty_orthanc: OrthancServer, make: Callable[[], Sequence[Dataset]]) -> None:
    server = empty_orthanc
    datasets = make()
    series = server.upload(datasets)
    parent = ParentSeries.from_bytes(wado(server, series))
    blueprint = parent.modality.lower()
    image = parent.voxels() * np.float32(0.77) + np.float32(0.3)
    url = f"/series/{series}/derive/{blueprint}"

    check(server, server.json(f"{url}/numpy", "POST", data=npy(image)), parent, image)
    check(server, server.json(f"{url}/nifti", "POST", data=mirrored(image, parent.affine_ras)), parent, image)
    whole = np.rint(parent.voxels()).astype(np.int16)
    answer = server.json(f"{url}/numpy", "POST", data=npy(whole))
    check(server, answer, parent, whole)
    assert np.array_equal(ParentSeries.from_bytes(wado(server, answer["ID"])).voxels(), whole)
    smoothed = server.json(f"/series/{series}/derive", "POST", json={"Pipeline": "gaussian_smoothing"})
    assert smoothed["InstancesCount"] == len(parent)
    faults = [warning for warning in smoothed["Warnings"] if "[instance " in warning]  # the parent's own, if it has any
    assert smoothed["Warnings"] == faults and (not faults or errors(parent.pivot))
    assert server.series_ids() >= {series, answer["ID"], smoothed["ID"]}
    assert len(server.series_ids()) == 5
