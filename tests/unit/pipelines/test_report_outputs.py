"""Measurement reports of pipelines: of their values, and of the segments of the same job or of an input."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from building import LIBRARY, build, parent_of, written
from dciodvfy import errors
from derived_series import Blueprint, BuildContext, Measurement, ParentSeries, Segment, SegmentReference, segments
from derived_series.errors import BlueprintError, InvalidImage, UserCodeError
from derived_series.pipelines import Algorithm, Input, Library, Output, Pipeline, SegmentationGrinder, Value
from derived_series.pipelines.library import NamedPipeline
from derived_series.pipelines.run import Options, run_outputs
from phantoms import ct_phantom, encode

CT = parent_of(ct_phantom(4, 16, 16))
LEFT_KIDNEY = Segment(7, "Left kidney", "Kidney", modifier="Left", color="#aa4400")
MASS = Segment(3, "Mass 1", "Neoplasm", "MorphologicallyAbnormalStructure", region="Liver", tracking_id="M1")
LABELS = np.zeros(CT.shape, np.uint8)
LABELS[1:3, 4:8, 4:8] = 7
LABELS[1:3, 10:12, 4:8] = 3


class Measured(Pipeline):
    """Two segments, numbered with gaps, and a report on them."""

    algorithm = Algorithm("Net", "2.1", "Our clinic")
    outputs = {"report": Output("measurement_report", values=True), "mask": Output(), "same": Output("ct")}
    mask_blueprint = "segmentation"

    def blueprint_for(self, parent: Any, parameters: Any, blueprints: Any, output: str = "") -> Blueprint:
        return blueprints[self.mask_blueprint] + segments(LEFT_KIDNEY, MASS)  # type: ignore[no-any-return]

    def process(self, input_container: Any) -> Any:
        header = input_container.headers["mask"]
        kidney, mass = SegmentReference.of(header, "Left kidney"), SegmentReference.of(header, 3)
        values = {
            "volume": Value(1432.1, "ml", segment=kidney),
            "mean": Value(31.5, "[hnsf'U]", concept=codes.SCT.Mean, segment=kidney),
            "mass": Value(2.5, "mm3", segment=mass),
            "score of all": Value(float(np.float32(0.5))),
        }
        return {"mask": LABELS, "same": input_container["parent"].voxels(), "values": values}


def run(pipeline: type[Pipeline], parents: dict[str, ParentSeries] | None = None) -> dict[str, list[Dataset]]:
    named = {"mine": NamedPipeline("mine", pipeline, "", Path("mine.py"), "")}
    library = Library(LIBRARY.blueprints, named, LIBRARY.factories, ())
    results = run_outputs(library, "mine", parents or {"parent": CT}, {}, Options(), BuildContext(uid_seed="job"))
    return {name: written(series) for name, series in results.series.items()}


def groups_of(report: Dataset) -> dict[str, Any]:
    """The groups of a report as highdicom reads them back, by tracking identifier."""
    from highdicom.sr import srread

    content: Any = srread(io.BytesIO(encode(report))).content
    groups = [*content.get_volumetric_roi_measurement_groups(), *content.get_image_measurement_groups()]
    return {group.tracking_identifier: group for group in groups}


def numbers_of(group: Any) -> dict[str, tuple[float, str]]:
    return {item.name.meaning: (float(item.value), item.unit.value) for item in group.get_measurements()}


@pytest.mark.parametrize("kind", ["segmentation", "label_map_segmentation"])
def test_values_become_a_report_on_the_segments_of_the_job(kind: str) -> None:
    results = run(type("Kind", (Measured,), {"mask_blueprint": kind}))
    assert list(results) == ["report", "mask", "same"]
    (report,), (mask,) = results["report"], results["mask"]
    items = {str(item.SegmentLabel): item for item in mask.SegmentSequence}
    groups = groups_of(report)
    assert sorted(groups) == ["Left kidney", "M1", "score of all"]
    for label, group in (("Left kidney", groups["Left kidney"]), ("Mass 1", groups["M1"])):
        item, reference = items[label], group.referenced_segment
        assert (group.tracking_uid, group.tracking_identifier) == (item.TrackingUID, item.TrackingID)
        assert reference.referenced_sop_instance_uid == mask.SOPInstanceUID
        referred = reference[0].ReferencedSOPSequence[0]
        assert (referred.ReferencedSegmentNumber, referred.ReferencedSOPClassUID) == (
            item.SegmentNumber,
            mask.SOPClassUID,
        )
    assert numbers_of(groups["Left kidney"]) == {"Volume": (1432.1, "ml"), "Mean": (31.5, "[hnsf'U]")}
    assert numbers_of(groups["M1"]) == {"Volume": (2.5, "mm3")}
    assert numbers_of(groups["score of all"]) == {"score of all": (0.5, "1")}
    evidence = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    assert {item.SeriesInstanceUID for item in evidence} == {CT.series_instance_uid, mask.SeriesInstanceUID}
    unknown = "Shall not be present for Referenced SOP Class that is not segmentation"  # dicom3tools has no label maps
    assert [error for error in errors(report) if kind == "segmentation" or unknown not in error] == []


def test_findings_and_sites_are_the_segments() -> None:
    groups = groups_of(run(Measured)["report"][0])
    (kidney,), (liver,) = (groups[name].finding_sites for name in ("Left kidney", "M1"))
    assert (kidney.value.meaning, kidney.laterality.meaning) == ("Kidney", "Left")
    assert (groups["M1"].finding_type.meaning, liver.value.meaning, liver.laterality) == ("Neoplasm", "Liver", None)
    assert groups["score of all"].finding_sites == []


def test_the_algorithm_is_the_pipelines_and_the_observer_this_device() -> None:
    (report,) = run(Measured)["report"]
    assert {"Net", "2.1", "Our clinic"} <= set(_texts(report))
    (other,) = run(type("Plain", (Measured,), {"algorithm": None}))["report"]
    assert "Net" not in _texts(other) and "derived_series" in _texts(other)
    observers = [item.UID for item in report.ContentSequence if item.ConceptNameCodeSequence[0].CodeValue == "121012"]
    again = [item.UID for item in other.ContentSequence if item.ConceptNameCodeSequence[0].CodeValue == "121012"]
    assert observers == again and len(observers) == 1  # it is the same device in each report
    languages = {item.ConceptNameCodeSequence[0].CodeValue for item in report.ContentSequence}
    assert {"121049", "121058"} <= languages  # language of content, procedure reported


def _texts(item: Dataset) -> list[str]:
    texts = [str(item.TextValue)] if "TextValue" in item else []
    return texts + [text for inner in item.get("ContentSequence") or () for text in _texts(inner)]


def test_dcmtk_reads_it(tmp_path: Path) -> None:
    if not shutil.which("dsrdump"):
        pytest.skip("dsrdump is not installed (apt-get install dcmtk)")
    (tmp_path / "sr.dcm").write_bytes(encode(run(Measured)["report"][0]))
    text = subprocess.run(["dsrdump", str(tmp_path / "sr.dcm")], capture_output=True, text=True, check=True).stdout
    assert "1432.1" in text and "score of all" in text and "Laterality" in text


class Mask(Input):
    image_grinder = SegmentationGrinder()


def test_a_segmentation_that_is_an_input_is_referred_to() -> None:
    class OnMask(Pipeline):
        input = {"ct": Input, "mask": Mask}
        parent_input = "ct"
        outputs = {"report": Output("measurement_report")}

        def process(self, input_container: Any) -> Any:
            kidney = SegmentReference.of(input_container.parents["mask"], "Left kidney")
            return {"report": [Measurement("K", "Volume", 3.5, "ml", segment=kidney)]}

    (mask,) = written(build(CT, LABELS, segments(LEFT_KIDNEY, MASS), blueprint="segmentation"))
    (report,) = run(OnMask, {"ct": CT, "mask": ParentSeries.from_objects([encode(mask)])})["report"]
    (group,) = groups_of(report).values()
    assert group.referenced_segment[0].ReferencedSOPSequence[0].ReferencedSegmentNumber == 2
    assert group.referenced_segment.referenced_sop_instance_uid == mask.SOPInstanceUID
    assert group.finding_sites[0].laterality.meaning == "Left"
    with pytest.raises(InvalidImage, match="no segment is called 'Spleen'"):
        SegmentReference.of(ParentSeries.from_objects([encode(mask)]), "Spleen")
    with pytest.raises(InvalidImage, match="is not a segmentation"):
        SegmentReference.of(CT, 1)


def changed(**more: Any) -> type[Pipeline]:
    """The pipeline with other results."""

    class Changed(Measured):
        def process(self, input_container: Any) -> Any:
            return {**super().process(input_container), **more}

    return Changed


def test_what_cannot_be_reported_is_refused() -> None:
    optional = {**Measured.outputs, "mask": Output(optional=True)}
    with pytest.raises(UserCodeError, match="a segment of the output 'mask', which process left out"):
        run(type("Left", (changed(mask=None),), {"outputs": optional}))
    with pytest.raises(InvalidImage, match="has no segment 'Segment 9'"):
        run(_referring(9))
    with pytest.raises(UserCodeError, match="without report"):
        run(changed(values={}))
    with pytest.raises(UserCodeError, match="returned a int for 'report'"):
        run(changed(report=3))
    with pytest.raises(UserCodeError, match="the value 'x' of process of pipeline 'mine': 'Wolume' is not a code"):
        run(changed(values={"x": Value(1, "ml", concept="Wolume")}))
    with pytest.raises(BlueprintError, match="'same' of pipeline 'mine' is to hold values"):
        run(type("Wrong", (Measured,), {"outputs": {**Measured.outputs, "same": Output("ct", values=True)}}))


def _referring(label: int) -> type[Pipeline]:
    class Referring(Measured):
        def process(self, input_container: Any) -> Any:
            reference = SegmentReference.of(input_container.headers["mask"], label)
            return {**super().process(input_container), "values": {"x": Value(1, "ml", segment=reference)}}

    return Referring


def test_without_a_report_segments_have_no_tracking_of_their_own() -> None:
    (mask,) = run(type("Bare", (Measured,), {"outputs": {"mask": Output(), "same": Output("ct")}}))["mask"]
    tracked = {str(item.SegmentLabel): item.get("TrackingID") for item in mask.SegmentSequence}
    assert tracked == {"Left kidney": None, "Mass 1": "M1"}
