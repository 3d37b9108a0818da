"""What may be asked of a run over many series, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from derived_series.errors import InvalidRequest
from derived_series.jobs.requests.bulk import PRIORITY, BulkRequest

SERIES = "-".join(["a1b2c3d4"] * 5)
SMOOTHED = {"Resources": [SERIES], "Pipeline": "gaussian_smoothing"}


def test_each_job_is_asked_for_as_a_single_one_is_but_after_those() -> None:
    asked = BulkRequest.of({**SMOOTHED, "Parameters": {"SigmaMm": 2}, "Name": "night", "Hours": ["20:00-06:00"]})
    one = asked.for_one()
    assert one.pipeline == "gaussian_smoothing" and one.parameters == {"SigmaMm": 2}
    assert one.priority == PRIORITY < 0 and one.if_exists == "Reuse"
    assert asked.for_one().to_json().keys() == {"Pipeline", "Parameters", "Priority", "IfExists"}
    assert BulkRequest.of({**SMOOTHED, "IfExists": "New", "Priority": -5}).for_one().priority == -5


def test_what_is_retrieved_is_only_known_to_the_job() -> None:
    asked = {**SMOOTHED, "Retrieve": {"before": {"From": "pacs", "Query": {"SeriesDescription": "x"}}}}
    assert BulkRequest.of(asked).for_one().if_exists == "New"
    with pytest.raises(InvalidRequest, match='without "IfExists": "Reuse"'):
        BulkRequest.of({**asked, "IfExists": "Reuse"})


def test_what_is_kept_reads_as_it_was() -> None:
    for document in (
        {**SMOOTHED, "Priority": -7, "Throttle": {"PerHour": 9}},
        {"Again": {"Pipeline": "x", "Version": "0123abcd"}, "Priority": -7, "Limits": {"Dice": 0.5}},
        {"Compare": {"Pairs": [{"Parent": SERIES, "Reference": SERIES}]}, "Pipeline": "x"},
    ):
        asked = BulkRequest.of(document)
        assert asked.to_json() == document and BulkRequest.of(asked.to_json()) == asked


def test_again_asks_for_what_was_asked_for_then_and_sends_nothing_on() -> None:
    asked = BulkRequest.of({"Again": {"Pipeline": "x"}})
    former = {"Pipeline": "x", "Parameters": {"A": 1}, "Destinations": ["pacs"], "User": "Eve", "IfExists": "Replace"}
    assert asked.derive is None and asked.keys.compares
    again = asked.for_one({**former, "Priority": 9, "HoldUntilAccepted": True})
    assert again.to_json() == {"Pipeline": "x", "Parameters": {"A": 1}, "IfExists": "New", "Priority": PRIORITY}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({**SMOOTHED, "Since": 0}, "Since: only with DryRun"),
        ({**SMOOTHED, "Since": 1, "Limit": 1}, "Since and Limit: only with DryRun"),
        ({**SMOOTHED, "Resources": []}, "Resources is empty"),
        ({"Compare": {"Pairs": [{"Parent": SERIES, "Reference": SERIES}]}, "Pipeline": "x"}, "its own Reference"),
    ],
)
def test_what_a_new_run_must_not_ask_for_is_read_where_it_is_on_disk(document: Any, words: str) -> None:
    request = BulkRequest.of(document)
    with pytest.raises(InvalidRequest) as refusal:
        request.check_new()
    assert words in refusal.value.message and refusal.value.remedy is not None


def test_a_dry_run_may_ask_for_a_page() -> None:
    BulkRequest.of({**SMOOTHED, "DryRun": True, "Since": 1, "Limit": 1}).check_new()


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], "not a JSON object"),
        ({"Pipeline": "x"}, "name one of Query, Resources, Again and Compare"),
        ({**SMOOTHED, "Query": {}}, "name one of Query"),
        ({"Resources": [SERIES]}, "name either a Pipeline"),
        ({**SMOOTHED, "Colour": 1}, "unknown key 'Colour'"),
        ({**SMOOTHED, "Inputs": {"a": SERIES}}, "Inputs cannot be asked"),
        ({**SMOOTHED, "Synchronous": True}, "Synchronous cannot be asked"),
        ({**SMOOTHED, "Priority": 0}, "below 0"),
        ({**SMOOTHED, "Hours": ["20:00"]}, "is not a window"),
        ({**SMOOTHED, "Resources": ["x"]}, "Resources.0"),
        ({**SMOOTHED, "Query": {"Level": "Image"}, "Resources": None}, "Level"),
        ({"Again": {"Pipeline": "x"}, "Parameters": {}}, "Parameters cannot be chosen"),
        ({"Again": {"Pipeline": "x", "OlderThan": "yesterday"}}, "OlderThan"),
        ({"Compare": {}, "Pipeline": "x"}, "either Pairs"),
        ({"Compare": {"Accepted": "x"}, "Pipeline": "x", "Destinations": ["pacs"]}, "wait for a decision"),
        ({**SMOOTHED, "Throttle": {"AtOnce": 0}}, "AtOnce"),
    ],
)
def test_a_wrong_request_names_what_is_wrong(document: Any, words: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        BulkRequest.of(document)
    assert words in refusal.value.message and refusal.value.remedy is not None


def test_the_page_that_has_the_keys_of_a_run_is_named() -> None:
    with pytest.raises(InvalidRequest) as refusal:
        BulkRequest.of({**SMOOTHED, "Hours": "20-6"})
    assert "docs/bulk.md" in str(refusal.value.remedy)
