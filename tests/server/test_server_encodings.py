"""Transfer syntaxes and character sets through a real Orthanc: what is read back by WADO-RS is what was made."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UID, JPEG2000Lossless

from derived_series.dicom.source.parent_series import ParentSeries
from derived_series.dicomweb.client import Client, Connection
from derived_series.dicomweb.wado import fetch_series
from derived_series.transfer_syntaxes import DEFAULT, WRITTEN
from orthanc_server import OrthancServer
from phantoms import compressed, ct_phantom, mr_phantom
from server_fixtures import derive, npy, settings
from test_charsets import BEYOND, CONVERTED, NAMES, plain, with_name


@pytest.fixture(scope="module")
def server(orthanc_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancServer]:
    folder = tmp_path_factory.mktemp("encodings")
    with OrthancServer(folder, settings(folder / "library", Workers=1)) as orthanc:
        yield orthanc


@pytest.fixture(scope="module")
def series(server: OrthancServer) -> str:
    return server.upload(ct_phantom(slices=3, rows=40, columns=33))


def read_back(server: OrthancServer, answer: Any) -> list[Dataset]:
    """The instances of the derived series by WADO-RS, by InstanceNumber."""
    study = server.json(f"/series/{answer['ID']}/study")["MainDicomTags"]["StudyInstanceUID"]
    with Client(Connection(server.url)) as client:
        parts = list(fetch_series(client, study, answer["SeriesInstanceUID"], expected=answer["InstancesCount"]))
    return sorted((dcmread(io.BytesIO(part)) for part in parts), key=lambda dataset: int(dataset.InstanceNumber))


@pytest.mark.parametrize("name", WRITTEN)
def test_a_series_is_stored_in_the_transfer_syntax_asked_for(server: OrthancServer, series: str, name: str) -> None:
    """The worker has read it back and compared it before it answers."""
    rng = np.random.default_rng(1)
    image = rng.integers(-1024, 3071, (3, 40, 33), dtype=np.int16)
    options = f'{{"TransferSyntax": "{name}"}}'
    answer = server.json(
        f"/series/{series}/derive/ct/numpy", "POST", data=npy(image), headers={"X-Derived-Series-Options": options}
    )
    datasets = read_back(server, answer)
    assert {dataset.file_meta.TransferSyntaxUID for dataset in datasets} == {WRITTEN[name]}
    assert np.array_equal(ParentSeries.from_datasets(datasets).voxels(), image)
    assert {dataset.SOPInstanceUID for dataset in datasets} == {
        d.file_meta.MediaStorageSOPInstanceUID for d in datasets
    }


def test_a_pipeline_and_a_parent_in_other_transfer_syntaxes(server: OrthancServer) -> None:
    plain = mr_phantom(slices=3, rows=32, columns=36, series="packed")
    packed = server.upload(compressed(plain, JPEG2000Lossless))
    answer = derive(server, packed, Pipeline="plain", TransferSyntax=WRITTEN["JPEGLSLossless"])
    datasets = read_back(server, answer)
    assert {UID(dataset.file_meta.TransferSyntaxUID).keyword for dataset in datasets} == {"JPEGLSLossless"}
    assert np.array_equal(ParentSeries.from_datasets(datasets).voxels(), ParentSeries.from_datasets(plain).voxels())
    assert derive(server, packed, Pipeline="plain", DryRun=True, TransferSyntax="RLELossless")["InstancesCount"] == 3


@pytest.mark.parametrize(
    ("request_", "status", "words"),
    [
        ({"TransferSyntax": "JPEG2000"}, 400, ["'JPEG2000'", *WRITTEN]),
        ({"TransferSyntax": "1.2.840.10008.1.2.4.50"}, 400, ["1.2.840.10008.1.2.4.50", DEFAULT]),
        ({"TransferSyntax": "JPEG2000Lossless"}, 422, ["16 x 12 cannot be written as JPEG2000Lossless", "32 x 32"]),
    ],
)
def test_what_cannot_be_written_is_refused_and_nothing_is_stored(
    server: OrthancServer, request_: dict[str, str], status: int, words: list[str]
) -> None:
    small = server.upload(ct_phantom(slices=2, rows=16, columns=12, series="small"))
    before = server.series_ids()
    answer = server.post(f"/series/{small}/derive", json={"Pipeline": "plain", **request_})
    assert answer.status_code == status
    assert all(word in answer.text for word in words), answer.text
    assert server.series_ids() == before


ISSUED = ["ISO_IR 100", "ISO_IR 192", "ISO_IR 144", "ISO 2022 IR 87", "ISO 2022 IR 149", "ISO 2022 IR 58", "GB18030"]


@pytest.mark.parametrize("name", ISSUED)
def test_names_come_back_byte_for_byte(server: OrthancServer, name: str) -> None:
    charset, data, says = NAMES[name]
    datasets = ct_phantom(slices=2, rows=4, columns=4, patient_id=name)
    parent = server.upload(with_name(dataset, charset, data) for dataset in datasets)
    for dataset in read_back(server, derive(server, parent, Blueprint="ct", Factory="numpy")):
        assert bytes(dataset.get_item("PatientName").value).rstrip(b" ") == data
    beyond = derive(server, parent, Blueprint="ct", Factory="numpy", SeriesDescription=BEYOND)
    for dataset in read_back(server, beyond):
        assert dataset.SeriesDescription == BEYOND and plain(dataset.PatientName) == says
    assert any("re-encoded" in warning for warning in beyond["Warnings"]) is (name in CONVERTED)
