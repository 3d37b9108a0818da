"""Wrong parameters of a pipeline are answered in plain words: which one, what it is, what it may be."""

from __future__ import annotations

import enum
from datetime import date
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from pydantic import Field, model_validator

from derived_series.errors import InvalidRequest
from derived_series.pipelines import Parameters, Pipeline
from derived_series.pipelines.checked_parameters import checked_parameters


class Organ(enum.Enum):
    """An organ."""

    LIVER = "liver"
    SPLEEN = "spleen"


class Region(Parameters):
    """A part of a series."""

    first: int
    last: int = 10


class Settings(Parameters):
    """One of each kind."""

    low: float
    high: float = Field(default=0.0, le=2_000_000)
    steps: int = Field(default=4, multiple_of=2)
    mode: Literal["fast", "exact"] = "fast"
    organ: Organ = Organ.LIVER
    label: str = Field(default="ab", min_length=2, pattern="^[a-z]+$")
    after: date = Field(default=date(2024, 1, 31), gt=date(2020, 1, 31))
    region: Region | None = None
    spacing: tuple[float, ...] = ()
    smooth: bool | int = False
    table: dict[str, float] = {}
    weights: Path | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Settings:
        if self.high < self.low:
            raise AssertionError("high is below low")  # as a plain assert does, which pytest would reword
        return self


class Mine(Pipeline):
    """A pipeline with parameters."""

    parameters = Settings


CASES: list[tuple[dict[str, Any], str]] = [
    ({}, "low is missing"),
    ({"low": "wide"}, 'low: a number is expected, not string "wide"'),
    ({"low": [1]}, "low: a number is expected, not array [1]"),
    ({"low": np.array([1.0, 2.0])}, 'low: a number is expected, not ndarray "[1. 2.]"'),
    ({"low": {(1, 2): 3}}, "low: a number is expected, not object {(1, 2): 3}"),
    ({"low": 0, "high": 1e7}, "high: a number of at most 2000000 is expected, not number 10000000.0"),
    ({"low": 0, "steps": 2.5}, "steps: a whole number is expected, not number 2.5"),
    ({"low": 0, "steps": "many"}, 'steps: a whole number is expected, not string "many"'),
    ({"low": 0, "steps": 3}, "steps: a multiple of 2 is expected, not number 3"),
    ({"low": 0, "mode": "slow"}, "mode: 'fast' or 'exact' is expected, not string \"slow\""),
    ({"low": 0, "organ": "bone"}, "organ: 'liver' or 'spleen' is expected, not string \"bone\""),
    ({"low": 0, "label": "a"}, "label: at least 2 characters are needed, not 1"),
    ({"low": 0, "label": "AB"}, 'label: a text of the form ^[a-z]+$ is expected, not string "AB"'),
    (
        {"low": 0, "after": "2019-01-01"},
        'after: a value greater than 2020-01-31 is expected, not string "2019-01-01"',
    ),
    ({"low": 0, "after": "soon"}, 'after: a valid date or datetime is expected, not string "soon"'),
    ({"low": 0, "region": {}}, "region.first is missing"),
    ({"low": 0, "region": {"first": 1, "Last": 2}}, "unknown key 'region.Last'"),
    ({"low": 0, "spacing": 3}, "spacing: an array is expected, not number 3"),
    ({"low": 0, "smooth": "maybe"}, 'smooth: a boolean or a whole number is expected, not string "maybe"'),
    ({"low": 0, "table": {"a": "x"}}, 'table.a: a number is expected, not string "x"'),
    ({"low": 1, "high": 0}, "high is below low"),
]


@pytest.mark.parametrize(("parameters", "words"), CASES)
def test_a_wrong_parameter_is_answered_in_words(parameters: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        checked_parameters(Mine, parameters)
    assert caught.value.message == f"parameters of pipeline 'mine': {words}"
    assert str(caught.value.remedy).startswith("its parameters are: low, high, steps, ")


def test_each_wrong_parameter_has_a_line_of_its_own_in_the_details() -> None:
    with pytest.raises(InvalidRequest) as caught:
        checked_parameters(Mine, {"low": "wide", "Low": 1})
    assert caught.value.details == "low: a number is expected, not string \"wide\"\nunknown key 'Low'"


def test_right_parameters_are_an_object_of_the_model() -> None:
    checked = checked_parameters(Mine, {"low": "1.5", "high": 2, "organ": "spleen"})
    assert checked == Settings(low=1.5, high=2, organ=Organ.SPLEEN)
