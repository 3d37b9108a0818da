"""Rules on derived series: by what made them, and by the numbers that came with them."""

from __future__ import annotations

from typing import Any

import pytest

from derived_series.errors import InvalidRequest
from derived_series.jobs.rules.evaluate import SeriesFacts, evaluate
from derived_series.jobs.rules.matching import lacking_numbers, number_name, refusal, unit_name
from derived_series.jobs.rules.model import Rule
from derived_series.jobs.rules.series_conditions import Match
from derived_series.orthanc.config import Settings

NODULE = {
    "Modality": "SEG",
    "Derived": "nodules",
    "Output": "mask",
    number_name("volume_ml"): "30.5",
    unit_name("volume_ml"): "ml",
    number_name("text"): "none",
}


@pytest.mark.parametrize(
    ("match", "why"),
    [
        ({"Derived": "nodules", "Values": {"volume_ml": {"Min": 30}}}, None),
        ({"Values": {"volume_ml": {"Min": 30.5, "Max": 30.5, "Unit": "ml"}}}, None),
        ({"Values": {"volume_ml": 30.5}}, None),
        ({"Values": {"volume_ml": [1, 30.5]}}, None),
        ({"Values": {"volume_ml": {"Min": 31}}}, "Values.volume_ml is 30.5, wanted at least 31.0"),
        ({"Values": {"volume_ml": {"Max": 30}}}, "Values.volume_ml is 30.5, wanted at most 30.0"),
        ({"Values": {"volume_ml": [1, 2]}}, "Values.volume_ml is 30.5, wanted one of [1.0, 2.0]"),
        ({"Values": {"volume_ml": {"Min": 30, "Unit": "mm3"}}}, 'Values.volume_ml is in "ml", wanted "mm3"'),
        ({"Values": {"count": {"Min": 1}}}, "Values.count is missing"),
        ({"Values": {"text": {"Min": 1}}}, "Values.text is not a number"),
        ({"Values": {"count": {"Exists": False}, "volume_ml": {"Exists": True}}}, None),
        ({"Values": {"volume_ml": {"Exists": False}}}, 'Values.volume_ml is there: "30.5"'),
        ({"Derived": ["lungs", "bones"]}, 'Derived is "nodules", wanted "lungs" or "bones"'),
        ({"Output": "report"}, 'Output is "mask", wanted "report"'),
        ({"Not": {"Values": {"volume_ml": {"Min": 30}}}}, 'Not: Values.volume_ml is "30.5"'),
        ({"Not": {"Values": {"count": {"Min": 30}}}}, "Values.count is missing"),
        ({"Not": {"Values": {"text": {"Min": 30}}}}, "Values.text is not a number"),
        ({"Not": {"Values": {"count": {"Exists": True}}}}, None),
        ({"Any": [{"Values": {"count": 1}}, {"Values": {"volume_ml": {"Min": 1}}}]}, None),
    ],
)
def test_numbers_match_or_say_why_not(match: dict[str, Any], why: str | None) -> None:
    assert refusal(Match.model_validate(match), NODULE) == why


def test_what_is_missing_is_told_of_the_series_that_a_rule_is_for_alone() -> None:
    match = Match.model_validate(
        {"Derived": "nodules", "Any": [{"Values": {"count": 1}}, {"Values": {"text": 1, "volume_ml": 1}}]}
    )
    assert lacking_numbers(match, NODULE) == ["Values.count is missing", "Values.text is not a number"]
    assert lacking_numbers(match, {**NODULE, "Derived": "lungs"}) == []


@pytest.mark.parametrize(
    ("values", "lacking"),
    [
        ({"Max": 1e9, "Unit": "mm3"}, ['Values.volume_ml is in "ml", wanted "mm3"']),
        ({"Exists": True, "Unit": "mm3"}, ['Values.volume_ml is in "ml", wanted "mm3"']),
        ({"Min": 31, "Unit": "ml"}, []),
        ({"Min": 31}, []),
    ],
)
def test_a_number_in_another_unit_is_remarked_on(values: dict[str, Any], lacking: list[str]) -> None:
    match = {"Derived": "nodules", "Values": {"volume_ml": values}}
    assert lacking_numbers(Match.model_validate(match), NODULE) == lacking
    denied = {"Not": {"Values": {"volume_ml": {"Max": 3, "Unit": "mm3"}}}}
    assert refusal(Match.model_validate(denied), NODULE) == 'Values.volume_ml is in "ml", wanted "mm3"'


def test_either_of_two_units_will_do() -> None:
    either = [{"Values": {"volume_ml": {"Min": 40, "Unit": unit}}} for unit in ("ml", "mm3")]
    assert lacking_numbers(Match.model_validate({"Any": either}), NODULE) == []


def rule(**keys: Any) -> Rule:
    document = {"Name": "r", "Match": {"Derived": "nodules"}, "SendTo": ["surgeon"], **keys}
    return Rule.model_validate({key: value for key, value in document.items() if value is not None})


def test_derived_series_are_reached_at_any_depth_unless_the_rule_says_how_deep() -> None:
    series = SeriesFacts("s", "study", ("i",), True, NODULE, depth=3)
    assert len(evaluate(rule(), series, tuple).firings) == 1
    assert evaluate(rule(MaxDepth=2), series, tuple).reason == "it is derived (3 step(s) deep), MaxDepth is 2"
    by_tag = rule(Match={"Modality": "SEG"}, SendTo=None, Derive={"Pipeline": "p"})
    assert evaluate(by_tag, series, tuple).reason == "it is derived (3 step(s) deep), MaxDepth is 0"


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"Match": {"Values": {"volume_ml": {"Min": "30"}}}}, "Rules.0.Match.Values.volume_ml.Min: "),
        ({"Match": {"Values": {"volume_ml": {"Regex": "3"}}}}, "unknown key 'Rules.0.Match.Values.volume_ml.Regex'"),
        ({"Match": {"Values": {"volume_ml": {}}}}, "says nothing: give Equals, In, Min, Max, Unit or Exists"),
        ({"Match": {"Values": {"volume_ml": {"Min": 3, "Max": 2}}}}, "no number is at least 3 and at most 2"),
        ({"Match": {"Derived": "nodules", "Values": {}}}, "Rules.0.Match.Values: "),
        ({"Match": {"Values": {"volume_ml": "large"}}}, "Rules.0.Match.Values.volume_ml.Equals: "),
        ({"Match": {"Modality": "SEG"}}, "SendTo is for derived series: name in Match what made them"),
        ({"Match": {"Derived": {"Exists": False}}}, "SendTo is for derived series"),
        ({"Match": {"Not": {"Derived": "x"}}}, "SendTo is for derived series"),
        ({"SendTo": []}, "Rules.0.SendTo"),
        ({"SendTo": None}, "give either Derive, what is derived, or SendTo"),
        ({"Derive": {"Pipeline": "p"}}, "give either Derive, what is derived, or SendTo"),
        ({"IfMoreInstances": "New", "Optional": []}, "leave out Optional, IfMoreInstances"),
        ({"Match": None, "Inputs": {"a": {"Derived": "p"}, "b": {"Derived": "q"}}}, "leave out Inputs"),
        ({"MaxDepth": 0}, "MaxDepth 0 leaves out derived series"),
        (
            {"SendTo": None, "Derive": {"Pipeline": "p"}, "HoldUntilAccepted": True},
            'HoldUntilAccepted is of SendTo: in "Derive" it stands beside its Destinations',
        ),
    ],
)
def test_wrong_rules_are_named_when_the_configuration_is_read(keys: dict[str, Any], words: str) -> None:
    document = {"Name": "r", "Match": {"Derived": "nodules"}, "SendTo": ["surgeon"], **keys}
    with pytest.raises(InvalidRequest) as caught:
        Settings.of({"Rules": [{key: value for key, value in document.items() if value is not None}]})
    assert words in caught.value.message


def test_it_is_told_as_it_was_written() -> None:
    written = {
        "Name": "r",
        "Match": {"Derived": ["a", "b"], "Output": "mask", "Values": {"v": {"Min": 30.0, "Unit": "ml"}, "w": 1.0}},
        "SendTo": ["surgeon"],
        "HoldUntilAccepted": True,
    }
    assert Rule.model_validate(written).to_json() == written
    assert Rule.model_validate(written).names() == {"Derived", "Output"}
