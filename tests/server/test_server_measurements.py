"""Measurement reports through a real Orthanc: of a JSON file, and of a job's values beside its mask and its images."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from orthanc_server import REPOSITORY, OrthancServer
from phantoms import ct_phantom

MEASURED = '''
"""A mask, the images within it, and a report on the mask."""
import numpy as np

from derived_series import Measurement, Segment, SegmentReference, derivation, segments
from derived_series.pipelines import Input, Output, Pipeline, StructuresInput, Value


class Measured(Pipeline):
    """What is above 0 HU."""

    outputs = {"mask": Output(), "masked": Output(), "report": Output("measurement_report", values=True)}

    def blueprint_for(self, parent, parameters, blueprints, output):
        if output == "mask":
            return blueprints["segmentation"] + segments(Segment(1, "Body", "EntireBody"))
        return blueprints["ct"] + derivation("Above 0 HU", "PixelByPixelMask")

    def process(self, container):
        voxels = container["parent"].voxels()
        body = SegmentReference.of(container.headers["mask"], "Body")
        values = {"body": Value(12.5, "ml", segment=body)}
        return {"mask": voxels > 0, "masked": np.where(voxels > 0, voxels, -1024), "values": values}


class Again(Pipeline):
    """A report on a segmentation that is stored."""

    input = {"ct": Input, "mask": StructuresInput}
    parent_input = "ct"
    outputs = {"report": Output("measurement_report")}

    def process(self, container):
        body = SegmentReference.of(container.parents["mask"], 1)
        return {"report": [Measurement("Body", "Volume", float(container["mask"].mask(1).sum()), "mm3", segment=body)]}
'''


@pytest.fixture(scope="module")
def server(orthanc_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancServer]:
    folder = tmp_path_factory.mktemp("pipelines")
    (folder / "measured.py").write_text(MEASURED)
    keys = {"DerivedSeries": {"BlueprintFolders": [str(REPOSITORY / "blueprints"), str(folder)], "Workers": 1}}
    with OrthancServer(tmp_path_factory.mktemp("measurements"), keys) as orthanc:
        yield orthanc


def test_numbers_are_stored_beside_the_images(server: OrthancServer) -> None:
    ct = server.upload(ct_phantom(slices=4))
    body = b'[{"Of": "Liver", "Concept": "118565006", "Value": 1432.5, "Unit": "ml"}]'
    answer = server.json(f"/series/{ct}/derive/measurement_report/measurement_report", "POST", data=body)
    (dataset,) = server.download(answer["ID"])
    assert dataset.Modality == "SR" and "1432.5" in str(dataset)
    assert server.json(answer["Path"])["ParentStudy"] == server.json(f"/series/{ct}")["ParentStudy"]


def test_a_job_stores_mask_images_and_report_and_they_are_accepted_together(server: OrthancServer) -> None:
    ct = server.upload(ct_phantom(slices=4))
    answer = server.json(f"/series/{ct}/derive", "POST", json={"Pipeline": "measured"})
    assert answer["Values"] == {"body": {"Value": 12.5, "Unit": "ml"}}
    ids = {each["Output"]: each["ID"] for each in answer["Series"]}
    (mask,), (report,) = server.download(ids["mask"]), server.download(ids["report"])
    named = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    stored = {item.SeriesInstanceUID: item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for item in named}
    assert stored[mask.SeriesInstanceUID] == mask.SOPInstanceUID
    assert mask.SegmentSequence[0].TrackingUID in str(report) and "12.5" in str(report)
    verdict = {"Verdict": "Accept", "User": "Anna", "All": True}
    accepted = server.json(f"/series/{ids['mask']}/review", "POST", json=verdict)
    assert {each["ID"]: each["State"] for each in accepted["Siblings"]} == dict.fromkeys(ids.values(), "Accepted")

    again = server.json(f"/series/{ct}/derive", "POST", json={"Pipeline": "again", "Inputs": {"mask": ids["mask"]}})
    (other,) = server.download(again["Series"][0]["ID"])
    assert mask.SOPInstanceUID in str(other) and mask.SegmentSequence[0].TrackingUID in str(other)
