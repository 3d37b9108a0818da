"""Measurement reports: what highdicom reads back from them, and nothing that dciodvfy finds."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.sr.coding import Code

from building import LIBRARY, build, parent_of, written
from dciodvfy import errors
from derived_series import BuildContext, Measurement, Segment, SegmentReference, segments
from derived_series.dicom.series.finished import from_user_datasets
from derived_series.errors import InvalidImage, ValidationFailed
from derived_series.pipelines.gate import check_series
from derived_series.pipelines.run import Options
from phantoms import ct_phantom

PARENT = parent_of(ct_phantom(4, 16, 16))
MEAN = Code("373098007", "SCT", "Mean")
GIVEN = [
    {"Of": "Liver", "Concept": "118565006", "Value": 1432.5, "Unit": "ml", "Finding": "Liver"},
    {"Of": "Liver", "Concept": {"Value": "373098007", "Scheme": "SCT", "Meaning": "Mean"}, "Value": 54, "Unit": "1"},
]


def report(content: Any) -> Any:
    factory = LIBRARY.factory("measurement_report")()
    return build(PARENT, content, blueprint="measurement_report", factory=factory)


def test_numbers_come_back() -> None:
    from highdicom.sr import srread

    series = report(json.dumps(GIVEN).encode())
    read: Any = srread(io.BytesIO(series.encode(0))).content
    (group,) = read.get_image_measurement_groups()
    assert (group.tracking_identifier, group.finding_type.value) == ("Liver", "10200004")
    numbers = {item.name.value: (float(item.value), item.unit.value) for item in group.get_measurements()}
    assert numbers == {"118565006": (1432.5, "ml"), "373098007": (54.0, "1")}
    (dataset,) = written(series)
    assert (dataset.Modality, dataset.CompletionFlag) == ("SR", "COMPLETE") and "Rows" not in dataset
    named = dataset.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    assert named.SeriesInstanceUID == PARENT.series_instance_uid
    assert len(named.ReferencedSOPSequence) == len(PARENT)
    assert errors(series.encode(0)) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("CompletionFlag"), "CompletionFlag.*is missing"),
        (lambda d: setattr(d, "CompletionFlag", "DONE"), "CompletionFlag.*'DONE'"),
        (lambda d: setattr(d, "VerificationFlag", "YES"), "VerificationFlag.*'YES'"),
        (lambda d: setattr(d, "VerificationFlag", "VERIFIED"), "VerifyingObserverSequence.*is missing"),
        (lambda d: d.pop("ConceptNameCodeSequence"), "ConceptNameCodeSequence.*is missing"),
        (lambda d: d.pop("ContentSequence"), "ContentSequence.*is missing"),
        (lambda d: setattr(d, "ValueType", "TEXT"), "ValueType.*'TEXT'"),
    ],
)
def test_a_report_that_lacks_what_its_modules_ask_for_is_refused(change: Any, message: str) -> None:
    """PS3.3 C.17.2, C.17.3, of finished datasets as of our own."""
    (dataset,) = written(report(json.dumps(GIVEN).encode()))
    check_series(from_user_datasets([dataset], PARENT, BuildContext()), PARENT, "Strict")
    change(dataset)
    with pytest.raises(ValidationFailed, match=message):
        check_series(from_user_datasets([dataset], PARENT, BuildContext()), PARENT, "Strict")


def test_segments_are_named_with_their_tracking() -> None:
    from highdicom.sr import srread

    image = np.zeros(PARENT.shape, np.uint8)
    image[1:3, 4:8, 4:8] = 1
    (seg,) = written(build(PARENT, image, segments(Segment(1, "Liver", "Liver")), blueprint="segmentation"))
    to = SegmentReference(seg.SeriesInstanceUID, seg.SOPInstanceUID, 1)
    series = report([Measurement("Liver", "118565006", 0.2, "ml", "2.25.77", to, "Liver")])
    read: Any = srread(io.BytesIO(series.encode(0))).content
    (group,) = read.get_volumetric_roi_measurement_groups()
    assert group.tracking_uid == "2.25.77"
    reference = group.referenced_segment
    assert reference.referenced_sop_instance_uid == seg.SOPInstanceUID
    evidence = written(series)[0].CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    assert {item.SeriesInstanceUID for item in evidence} == {PARENT.series_instance_uid, seg.SeriesInstanceUID}
    assert errors(series.encode(0)) == []


def test_dcmtk_reads_the_numbers(tmp_path: Path) -> None:
    if not shutil.which("dsrdump"):
        pytest.skip("dsrdump is not installed (apt-get install dcmtk)")
    (tmp_path / "sr.dcm").write_bytes(report(json.dumps({"Measurements": GIVEN}).encode()).encode(0))
    run = subprocess.run(["dsrdump", str(tmp_path / "sr.dcm")], capture_output=True, text=True, timeout=60, check=True)
    assert "1432.5" in run.stdout and "Liver" in run.stdout


def test_the_gate_passes_it() -> None:
    series = report(json.dumps(GIVEN).encode())
    assert Options().ready(series, PARENT).warnings == series.warnings


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[", "not JSON"),
        (b"[]", "no measurements"),
        (b"[1]", "not a list of objects"),
        (json.dumps([{**GIVEN[0], "Value": None}]).encode(), "is None"),
        (json.dumps([{**GIVEN[0], "Colour": "red"}]).encode(), "has Colour"),
        (b'[{"Of": "Liver"}]', "lacks Concept, Unit, Value"),
    ],
)
def test_what_is_not_a_measurement_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(InvalidImage, match=message):
        report(content)


def test_unknown_codes_and_units_are_refused() -> None:
    """They are in what was sent, not in a blueprint."""
    for key, value in (("Concept", "Wolume"), ("Unit", "millilitres"), ("Finding", "Lever")):
        with pytest.raises(InvalidImage, match=f"the measurement of '{GIVEN[0]['Of']}': '{value}'"):
            report(json.dumps([{**GIVEN[0], key: value}]).encode())


@pytest.mark.parametrize(
    ("value", "text", "exact"),
    [
        (np.float32(0.1), "0.10000000149012", float(np.float32(0.1))),
        (np.int64(7), "7", None),
        ((1 << 53) + 1, "9007199254740993", None),
        (123456789012345678, "1.2345678901e+17", 123456789012345678.0),
    ],
)
def test_numbers_of_any_kind_keep_their_digits(value: Any, text: str, exact: float | None) -> None:
    (dataset,) = written(report([Measurement("Liver", "118565006", value, "ml")]))
    (item,) = [item for item in dataset.iterall() if item.keyword == "MeasuredValueSequence"][0].value
    assert float(item.NumericValue) == float(text) and len(str(item.NumericValue)) <= 16
    assert item.get("FloatingPointValue") == exact
    if isinstance(value, int) and exact is None:
        assert str(item.NumericValue) == text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"value": float("nan")}, "the value of 'Liver' is nan"),
        ({"value": np.float32("inf")}, "the value of 'Liver' is .*inf"),
        ({"value": True}, "the value of 'Liver' is True"),
        ({"value": None}, "the value of 'Liver' is None"),
        ({"of": " "}, "a measurement is of ' '"),
        ({"unit": "HU"}, "'HU' is not a UCUM code"),
        ({"concept": Code("1", "99X", "m" * 65)}, "the code '1' has the scheme '99X'"),
        ({"concept": Code("1", "", "Mine")}, "the code '1' has the scheme ''"),
        ({"concept": Code("", "99X", "Mine")}, "'Mine' has no code"),
        ({"segment": SegmentReference("1.2", "1.2.3", 0)}, "the segment of 'Liver' is 0 of"),
        ({"segment": SegmentReference("1.2", "abc", 1)}, "the segment of 'Liver' is 1 of 'abc'"),
    ],
)
def test_measurements_of_a_pipeline_are_checked_as_those_of_a_file(change: dict[str, Any], message: str) -> None:
    plain = Measurement("Liver", "118565006", 1.5, "ml")
    with pytest.raises(InvalidImage, match=message):
        report([replace(plain, **change)])
