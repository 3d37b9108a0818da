"""Wrong values of requests and settings are answered in words, without those of the library."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from derived_series.errors import InvalidRequest
from derived_series.jobs.requests.bulk import BulkKeys, BulkRequest
from derived_series.jobs.requests.derive import DeriveRequest, parse_json
from derived_series.jobs.requests.verdict import ReviewRequest
from derived_series.orthanc.config import Settings
from derived_series.orthanc.parameters import check_parameters
from derived_series.wrong_values import PATTERNS

_RULE = {"Name": "x", "Match": {"Modality": "CT"}, "Derive": {"Pipeline": "p"}}
_OF_THE_LIBRARY = re.compile(
    r"pattern|\^\[|instance of|validation|Request\b|dict\[|list\[|\[key\]|Field|isoformat|nput should|null null|\.\."
)


def _rule(**keys: Any) -> dict[str, Any]:
    return {"Rules": [{**_RULE, **keys}]}


def test_an_address_is_quoted_without_who_somebody_is_there() -> None:
    with pytest.raises(InvalidRequest, match=r"//\*\*\*@orthanc:8042") as refused:
        Settings.of({"OrthancUrl": "https://worker:SE/CRET@orthanc:8042"})
    assert "CRET" not in str(refused.value) and "SE/" not in str(refused.value)


CASES: list[tuple[Callable[[Any], object], Any, str]] = [
    (DeriveRequest.of, {"Pipeline": ""}, "Pipeline: it is empty: at least 1 character is needed"),
    (DeriveRequest.of, {"Pipeline": "p", "DryRun": None}, "DryRun: a boolean is expected, not null"),
    (DeriveRequest.of, {"Pipeline": "p", "User": "a=b"}, "User: a name without =, \\ and control characters is"),
    (DeriveRequest.of, {"Pipeline": "p", "Inputs": {"mask": "x"}}, "Inputs.mask: Orthanc's identifier, such as"),
    (DeriveRequest.of, {"Pipeline": "p", "Retrieve": {"ct": {}}}, "Retrieve.ct.From is missing"),
    (DeriveRequest.of, {"Pipeline": "p", "Orientation": [1]}, "Orientation: at least 6 are needed"),
    (DeriveRequest.of, {"Pipeline": "p", "Orientation": 3}, "'Coronal' or an array is expected, not number 3"),
    (
        BulkRequest.of,
        {"Query": {"Query": {"PatientID": 3}}, "Pipeline": "p"},
        "Query.Query.PatientID: a string is expected, not number 3",
    ),
    (BulkRequest.of, {"Query": {"Query": {"": "x"}}, "Pipeline": "p"}, "Query.Query: the key '': it is empty"),
    (BulkRequest.of, {"Resources": [], "Limits": [], "Pipeline": "p"}, "Limits: an object is expected, not array []"),
    (BulkRequest.of, {"Again": {"Pipeline": "p", "Version": "zz"}}, "a text of 8 to 64 hexadecimal digits"),
    (BulkRequest.of, {"Again": {"Pipeline": "p", "OlderThan": "now"}}, "Again.OlderThan: a time such as 2024-05-31"),
    (Settings.of, [], 'the "DerivedSeries" section of the configuration: an object is expected, not array []'),
    (Settings.of, _rule(SendTo=[]), "Rules.0.SendTo: at least one is needed"),
    (
        Settings.of,
        _rule(WaitFor={"Seconds": 5, "Series": {"a": {"Modality": "CT", "Count": 0}}}),
        "Rules.0.WaitFor.Series.a.Count: a number of at least 1 is expected, not number 0",
    ),
    (Settings.of, {"Rules": [_RULE, _RULE]}, "Rules: several rules are named 'x'"),
    (Settings.of, {"Notify": [{"URL": "http://x", "Events": ["Bad"]}]}, "Notify.0.Events.0: 'Success', 'Failure'"),
    (Settings.of, {"Notify": [{"URL": "http://x", "Template": 3}]}, "Notify.0.Template: a string or an object or an"),
    (ReviewRequest.of, {"Verdict": "Accept", "Reason": "\x00"}, "Reason: a text without control characters is"),
]


@pytest.mark.parametrize(("check", "document", "words"), CASES)
def test_a_wrong_value_is_answered_in_words(check: Callable[[Any], object], document: Any, words: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check(document)
    assert words in caught.value.message
    assert not _OF_THE_LIBRARY.search(caught.value.message.replace("5fd91a2c-...", ""))
    assert "known keys" not in (caught.value.remedy or "")


def test_what_our_own_sentences_say_has_no_value_behind_it() -> None:
    with pytest.raises(InvalidRequest) as caught:
        Settings.of({"Rules": [_RULE, _RULE]})
    assert caught.value.message.endswith("several rules are named 'x'")


def test_an_unknown_key_is_told_the_keys_of_its_own_object() -> None:
    with pytest.raises(InvalidRequest) as caught:
        BulkRequest.of({"Query": {"Levle": "Study"}, "Limits": {"Dice": "x"}, "Pipeline": "p"})
    assert caught.value.remedy == "known keys of Query: Level, Query, Labels, LabelsConstraint, CaseSensitive"


@pytest.mark.parametrize(
    ("check", "document"),
    [
        (DeriveRequest.of, {"Pipeline": "p", "K" * 100_000: 1}),
        (DeriveRequest.of, {"Pipeline": "p", "Inputs": {"K" * 100_000: 1}}),
        (DeriveRequest.of, {"Pipeline": "p", "Retrieve": {"k" * 100: {"F" * 100_000: 1}}}),
        (Settings.of, _rule(Optional=["K" * 128] * 1000)),
        (lambda document: parse_json(document.encode(), "the body"), '{"%s": 1, "%s": 2}' % (("K" * 100_000,) * 2)),
        (
            lambda document: check_parameters("p", {"additionalProperties": False}, document),
            {"K" * 100_000: 1},
        ),
        (
            lambda document: check_parameters("p", {"properties": {"A": {"type": "number"}}}, document),
            {"A": "x" * 9999},
        ),
    ],
)
def test_long_keys_and_values_are_shortened(check: Callable[[Any], object], document: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check(document)
    assert len(caught.value.message) < 1000 and len(caught.value.remedy or "") < 2000


def _patterns(schema: Any) -> Iterator[str]:
    for key, value in schema.items() if isinstance(schema, dict) else enumerate(schema):
        if key == "pattern" and isinstance(value, str):
            yield value
        elif isinstance(value, dict | list):
            yield from _patterns(value)


@pytest.mark.parametrize("model", [DeriveRequest, BulkKeys, ReviewRequest, Settings])
def test_each_pattern_has_words(model: type[BaseModel]) -> None:
    patterns = set(_patterns(json.loads(json.dumps(model.model_json_schema(mode="validation")))))
    assert patterns and patterns <= set(PATTERNS)
