"""What is told of a run: its table as CSV, the limits, and the report."""

from __future__ import annotations

import csv
import dataclasses
import io
from typing import Any

import pytest

from derived_series.jobs.bulk.agreement import agree, disagreements
from derived_series.jobs.bulk.bulk_run import BulkRun, Member, MemberState
from derived_series.jobs.bulk.commissioning_report import report
from derived_series.jobs.bulk.result_table import COLUMNS, csv_text, row
from derived_series.jobs.requests.bulk import AgreementLimits

LIMITS = AgreementLimits.model_validate({"LargestDifference": 2.0})
IMAGES = {
    **{"Kind": "Images", "Geometry": "", "Correlation": 0.995, "RelativeDifference": 0.04},
    **{"LargestDifference": 1.5, "At": [0, 1, 2]},
}
LABELS = {"Kind": "Labels", "Geometry": "", "Dice": {"1": 0.97, "2": None}, "Voxels": {}}
MEMBER = Member(
    1,
    "parent",
    MemberState.SUCCESS,
    job="job",
    submitted=0.0,
    completed=1.25,
    derived={"a": "new 1", "b": "new 2"},
    reference={"a": "old 1", "b": "old 2"},
    comparison={"a": IMAGES, "b": LABELS},
    agrees=True,
)


def test_the_table_is_csv_by_rfc_4180() -> None:
    wild = dataclasses.replace(MEMBER, number=2, reason='a "quoted", text\nof two lines')
    text = csv_text([MEMBER, wild], LIMITS)
    assert text.startswith(",".join(COLUMNS) + "\r\n") and text.endswith("\r\n")
    assert '"a ""quoted"", text\nof two lines"' in text
    first, second = csv.DictReader(io.StringIO(text, newline=""))
    assert (first["Number"], first["Derived"], first["Agrees"]) == ("1", "new 1 new 2", "true")
    assert (first["Correlation"], first["Dice"], first["Seconds"]) == ("0.995", "0.97", "1.2")
    assert first["Submitted"] == "1970-01-01T00:00:00+00:00" and second["Reason"] == wild.reason


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_is_a_formula_to_a_spreadsheet(start: str) -> None:
    text = csv_text([dataclasses.replace(MEMBER, reason=f"{start}1+1")], LIMITS)
    (line,) = csv.DictReader(io.StringIO(text, newline=""))
    assert line["Reason"] == f"'{start}1+1"


def test_a_negative_number_stays_one() -> None:
    opposite = {**IMAGES, "Correlation": -0.5}
    text = csv_text([dataclasses.replace(MEMBER, comparison={"a": opposite})], LIMITS)
    (line,) = csv.DictReader(io.StringIO(text, newline=""))
    assert line["Correlation"] == "-0.5" and line["Disagreement"] == "the correlation is -0.50000, below 0.99"


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        (IMAGES, []),
        (LABELS, []),
        ({**IMAGES, "Correlation": 0.98}, ["the correlation is 0.98000, below 0.99"]),
        ({**IMAGES, "LargestDifference": 2.5}, ["the largest difference is 2.5, above 2"]),
        ({**IMAGES, "Correlation": None, "LargestDifference": 0.0}, []),
        ({**IMAGES, "Correlation": None}, ["they have no correlation: one of them has a single value"]),
        ({**IMAGES, "RelativeDifference": 1.0}, ["the relative difference is 1.00000, above 0.05"]),
        (
            {**IMAGES, "RelativeDifference": None},
            ["there is no relative difference: the old one has a single value"],
        ),
        ({**IMAGES, "Geometry": "3 x 4"}, ["geometry: 3 x 4"]),
        ({**LABELS, "Dice": {"1": 0.9}}, ["Dice of label 1 is 0.9000, below 0.95"]),
        ({"Kind": "Nothing", "Problem": "of other classes"}, ["of other classes"]),
    ],
)
def test_the_limits_decide_and_say_why(figures: dict[str, Any], words: list[str]) -> None:
    assert disagreements(figures, LIMITS) == words
    assert agree({"a": LABELS, "b": figures}, LIMITS) == (not words)
    assert not agree({}, LIMITS), "nothing was compared"


def test_without_limits_nothing_but_geometry_disagrees() -> None:
    none = AgreementLimits.model_validate({"Correlation": None, "RelativeDifference": None, "Dice": None})
    assert agree({"a": {**IMAGES, "Correlation": -1.0}, "b": {**LABELS, "Dice": {"1": 0.0}}}, none)
    assert not agree({"a": {**IMAGES, "Geometry": "x"}}, none)


RUN = BulkRun(
    "the-run",
    {"Name": "<b>new</b> version"},
    {"User": "Anna", "UserFrom": "Basic"},
    {"Software": "1.0", "Name": "smooth", "Code": "c0de"},
    0.0,
    completed=5.0,
)


def test_the_report_has_versions_limits_figures_and_the_verdict() -> None:
    text = report(RUN, LIMITS, [dataclasses.replace(MEMBER, reference_code="01d")])
    for words in (
        "PASSED: 1 of 1",
        "c0de",
        "01d",
        "Anna (Basic)",
        "smooth",
        "the-run",
        "parent",
        "old 1 old 2",
        "new 1",
    ):
        assert words in text, words
    assert "correlation 0.995000, relative difference 0.040000, largest difference 1.5 at (0, 1, 2)" in text
    assert "Dice by label: 1 0.9700, 2 in neither" in text
    limits = "correlation at least 0.99, relative difference at most 0.05, largest difference at most 2, Dice of each"
    assert f"{limits} label at least 0.95" in text
    assert "a: Correlation holds, a: RelativeDifference holds, a: LargestDifference holds, b: Dice holds" in text
    assert "&lt;b&gt;new&lt;/b&gt; version" in text and "<b>new" not in text


def test_one_that_fails_or_was_not_compared_fails_the_whole_report() -> None:
    failed = Member(2, "other", MemberState.FAILURE, reason="UserCodeError", reference={"a": "old"})
    text = report(RUN, LIMITS, [MEMBER, failed])
    assert "FAILED: 1 of 2" in text and '<td class="failed">Failure: UserCodeError</td>' in text
    assert "NOTHING WAS COMPARED: no series was found" in report(RUN, LIMITS, [])
    skipped = Member(1, "other", MemberState.SKIPPED, reason="it was rejected", reference={"a": "old"})
    assert "NOTHING WAS COMPARED: 1 series, all skipped" in report(RUN, LIMITS, [skipped])
    low = dataclasses.replace(MEMBER, comparison={"result": {**IMAGES, "Correlation": 0.1}}, agrees=False)
    words = '<td class="failed">the correlation is 0.10000, below 0.99 (Correlation does not hold, '
    assert words in report(RUN, LIMITS, [low])


def test_a_row_says_what_was_decided() -> None:
    assert row(MEMBER, LIMITS)["Decision"] is None
    assert row(Member(1, "s"), LIMITS)["Correlation"] is None


def test_a_report_that_no_user_has_asked_for_says_it_in_words() -> None:
    text = report(dataclasses.replace(RUN, by={"UserFrom": "Nobody"}), LIMITS, [MEMBER])
    assert "not known: no user was named" in text and "Nobody" not in text
