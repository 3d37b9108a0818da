"""An RT structure set through a real Orthanc, and back into a pipeline as labels on the grid of its parent."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest

from derived_series import ParentSeries
from derived_series.dicom.objects.structures import labels_on
from orthanc_server import REPOSITORY, OrthancServer
from phantoms import ct_phantom, encode
from server_fixtures import npy

PIPELINE = '''"""Empties what a structure set does not name."""

import numpy as np
from derived_series.pipelines import Input, NumpyGrinder, Pipeline, StructuresInput


class CT(Input):
    required_values = {"Modality": "CT"}
    image_grinder = NumpyGrinder()


class OnLiver(Pipeline):
    input = {"CT": CT, "Structures": StructuresInput}
    parent_input = "CT"

    def blueprint_for(self, parent, parameters, blueprints):
        return blueprints["ct"]

    def process(self, container):
        return np.where(container["Structures"].mask("Liver"), container["CT"], -1000).astype(np.int16)
'''


@pytest.fixture(scope="module")
def server(orthanc_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancServer]:
    folder = tmp_path_factory.mktemp("pipelines")
    (folder / "on_liver.py").write_text(PIPELINE)
    folders = [str(REPOSITORY / "blueprints"), str(folder)]
    keys = {"DerivedSeries": {"BlueprintFolders": folders, "Workers": 1}}
    with OrthancServer(tmp_path_factory.mktemp("structures"), keys) as orthanc:
        yield orthanc


@pytest.mark.parametrize("kind", ["rt_structure_set", "segmentation"])
def test_structures_are_made_and_used(server: OrthancServer, kind: str) -> None:
    ct = server.upload(ct_phantom(slices=4, series=kind, series_number=10 * len(kind)))
    parent = ParentSeries.from_datasets(server.download(ct))
    image = np.zeros(parent.shape, np.uint8)
    image[1:3, 4:20, 5:15] = 1
    image[1:3, 8:12, 8:12] = 0
    options = {"Segments": [{"Number": 1, "Label": "Liver", "Color": "#aa0000"}]}
    headers = {"X-Derived-Series-Options": json.dumps(options)}
    derived = server.json(f"/series/{ct}/derive/{kind}/{kind}", "POST", data=npy(image), headers=headers)
    assert derived["Warnings"] == []
    stored = ParentSeries.from_objects(map(encode, server.download(derived["ID"])))
    assert np.array_equal(labels_on(stored, parent).array, image)
    offered = {each["Name"]: each for each in server.json(f"/series/{ct}/pipelines")}
    fits = {each["ID"]: each["Fits"] for each in offered["on_liver"]["Others"]["Structures"]}
    assert fits[derived["ID"]] is True
    request = {"Pipeline": "on_liver", "Inputs": {"Structures": derived["ID"]}}
    answer = server.json(f"/series/{ct}/derive", "POST", json=request)
    values = ParentSeries.from_datasets(server.download(answer["ID"])).voxels()
    assert np.array_equal(values, np.where(image == 1, parent.voxels(), -1000))
