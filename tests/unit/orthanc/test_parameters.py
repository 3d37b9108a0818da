"""Wrong parameters are refused by their JSON schema before there is a job, in the words that a worker would use."""

from __future__ import annotations

import json
from typing import Any

import pytest

from derived_series.errors import InvalidRequest
from derived_series.orthanc.parameters import check_parameters
from test_checked_parameters import CASES, Settings

#: What a schema cannot say, only the model.
_OF_THE_MODEL = ("after: a value greater than", "after: a valid date", "high is below low")


def _is_json(parameters: dict[str, Any]) -> bool:
    try:
        return bool(json.dumps(parameters))
    except TypeError:
        return False


OF_THE_SCHEMA = [
    (parameters, words) for parameters, words in CASES if _is_json(parameters) and not words.startswith(_OF_THE_MODEL)
]


@pytest.mark.parametrize(("parameters", "words"), OF_THE_SCHEMA)
def test_a_wrong_parameter_is_answered_in_the_words_of_the_worker(parameters: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_parameters("mine", Settings.model_json_schema(), parameters)
    assert caught.value.message == f"parameters of pipeline 'mine': {words}"
    assert str(caught.value.remedy).startswith("its parameters are: low, high, steps, ")


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "array", "minItems": 2}, "A: at least 2 are needed"),
        ({"type": "array", "maxItems": 0}, "A: at most 0 are allowed"),
        ({"const": "x"}, "A: 'x' is expected, not array [1]"),
        ({"type": "array", "contains": {"type": "string"}}, "A: [1] does not contain items matching the given schema"),
        ({"type": ["string", "null"]}, "A: a string or null is expected, not array [1]"),
    ],
)
def test_other_schemas_are_put_into_words_as_far_as_they_are_known(schema: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_parameters("mine", {"properties": {"A": schema}}, {"A": [1]})
    assert caught.value.message == f"parameters of pipeline 'mine': {words}"


def test_each_wrong_parameter_has_a_line_of_its_own_in_the_details() -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_parameters("mine", Settings.model_json_schema(), {"low": "wide", "Low": 1, "lower": 2})
    lines = str(caught.value.details).splitlines()
    assert lines == ["unknown key 'Low'", "unknown key 'lower'", 'low: a number is expected, not string "wide"']


def test_each_missing_parameter_is_named_once() -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_parameters("mine", {"required": ["A", "B", "C"]}, {"A": 1})
    assert caught.value.message == "parameters of pipeline 'mine': B is missing; C is missing"


def test_what_the_schema_takes_passes() -> None:
    check_parameters("mine", Settings.model_json_schema(), {"low": 0, "region": {"first": 1}, "spacing": [1.0]})
