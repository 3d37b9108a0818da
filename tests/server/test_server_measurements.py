"""Results for people through a real Orthanc: measurement reports beside masks and images, and pictures of labels."""

from __future__ import annotations

import json
from collections.abc import Iterator

import nibabel as nib
import numpy as np
import pytest
from pydicom.dataset import Dataset

from derived_series import ParentSeries
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


def test_pictures_of_a_posted_label_map_and_of_a_stored_segmentation(server: OrthancServer) -> None:
    """Every viewer shows them: a posted NIfTI file, and what a segmentation holds, drawn over the images."""
    ct = server.upload(ct_phantom(slices=4))
    parent = ParentSeries.from_datasets(server.download(ct))
    labels = np.zeros(parent.shape, np.uint8)
    labels[1:3, 8:20, 6:18] = 2
    image = nib.Nifti1Image(labels.T, parent.to_nifti().affine).to_bytes()
    segments = [{"Number": 2, "Label": "Liver", "Type": "Liver", "Color": "#ff0000"}]
    options = {"Segments": segments, "Picture": {"Fill": 0.5, "Note": True}}
    headers = {"X-Derived-Series-Options": json.dumps(options)}
    answer = server.json(f"/series/{ct}/derive/overlay/nifti", "POST", data=image, headers=headers)
    pictures = server.download(answer["ID"])
    assert len(pictures) == 4 and {dataset.PhotometricInterpretation for dataset in pictures} == {"RGB"}
    assert sum(reddish(dataset) > 10_000 for dataset in pictures) == 2
    pdf = server.json(f"/series/{ct}/derive/summary_pdf/nifti", "POST", data=image)
    assert server.download(pdf["ID"])[0].EncapsulatedDocument.startswith(b"%PDF-")
    refused = server.post(f"/series/{ct}/derive/ct/nifti", data=image, headers=headers)
    assert refused.status_code == 400 and '"Segments" is for the blueprint' in refused.json()["Message"]

    only = {"X-Derived-Series-Options": json.dumps({"Segments": segments})}
    seg = server.json(f"/series/{ct}/derive/segmentation/nifti", "POST", data=image, headers=only)
    asked = {"Pipeline": "draw_structures", "Inputs": {"structures": seg["ID"]}}
    drawn = server.json(f"/series/{ct}/derive", "POST", json=asked)
    ids = {each["Output"]: each["ID"] for each in drawn["Series"]}
    (summary,) = server.download(ids["summary"])
    assert reddish(summary) > 500
    assert len(server.download(ids["overlay"])) == 4


def reddish(dataset: Dataset) -> int:
    """How many pixels are red."""
    colours = dataset.pixel_array.astype(int)
    return int((colours[..., 0] > colours[..., 1] + 60).sum())
