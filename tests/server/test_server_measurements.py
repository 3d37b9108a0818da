"""A measurement report through a real Orthanc: the body of the request is the JSON file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from orthanc_server import REPOSITORY, OrthancServer
from phantoms import ct_phantom


@pytest.fixture(scope="module")
def server(orthanc_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancServer]:
    keys = {"DerivedSeries": {"BlueprintFolders": [str(REPOSITORY / "blueprints")], "Workers": 1}}
    with OrthancServer(tmp_path_factory.mktemp("measurements"), keys) as made:
        yield made


def test_numbers_are_stored_beside_the_images(server: OrthancServer) -> None:
    ct = server.upload(ct_phantom(slices=4))
    body = b'[{"Of": "Liver", "Concept": "118565006", "Value": 1432.5, "Unit": "ml"}]'
    answer = server.json(f"/series/{ct}/derive/measurement_report/measurement_report", "POST", data=body)
    (dataset,) = server.download(answer["ID"])
    assert dataset.Modality == "SR" and "1432.5" in str(dataset)
    assert server.json(answer["Path"])["ParentStudy"] == server.json(f"/series/{ct}")["ParentStudy"]
