"""``explain``: for every tag of the result who set it, what it overrode, and the value."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydicom.multival import MultiValue

from building import LIBRARY, build, parent_of, ready, written
from derived_series import (
    Blueprint,
    CopyElement,
    DiscardElement,
    Explanation,
    FillingStrategy,
    FunctionalElement,
    NumpyFactory,
    SequenceElement,
    StaticElement,
    derivation,
    explain,
)
from derived_series.dicom.explanation import Row
from derived_series.errors import HeaderError
from phantoms import ct_phantom, mr_phantom, pet_phantom

PARENT = parent_of(ct_phantom(3, 4, 4))


def row(explanation: Explanation, keyword: str) -> Row:
    (only,) = (row for row in explanation.rows if row.keyword == keyword)
    return only


def as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, MultiValue) else [value]


def mine() -> Blueprint:
    return ready("ct") + Blueprint([StaticElement("SeriesDescription", "Mine")], name="mine")


def test_who_set_a_tag_and_what_it_overrode() -> None:
    tag_row = row(explain(mine(), PARENT), "SeriesDescription")
    assert (tag_row.tag, tag_row.vr, tag_row.value, tag_row.varies) == ("(0008,103E)", "LO", "Mine", False)
    assert (tag_row.element, tag_row.source) == ("StaticElement('Mine')", "mine")
    assert tag_row.overrode == ("HeaderElement(_description) of general_series",)


def test_a_chain_of_blueprints_newest_first() -> None:
    blueprint = Blueprint([CopyElement("StationName")], name="a")
    for name in "bcd":
        blueprint = blueprint + Blueprint([StaticElement("StationName", name)], name=name)
    tag_row = row(explain(ready("ct") + blueprint, PARENT), "StationName")
    assert (tag_row.source, tag_row.value) == ("d", "d")
    assert [line.split(" of ")[-1] for line in tag_row.overrode] == ["c", "b", "a", "general_equipment"]


def test_setting_a_tag_like_a_dictionary_is_told_too() -> None:
    blueprint = mine().copy()
    blueprint["SeriesDescription"] = StaticElement("SeriesDescription", "Later")
    tag_row = row(explain(blueprint, PARENT), "SeriesDescription")
    assert tag_row.value == "Later"
    assert [line.split(" of ")[-1] for line in tag_row.overrode] == ["mine", "general_series"]


def test_before_the_image_what_waits_for_it_is_told() -> None:
    explanation = explain(mine(), PARENT)
    assert row(explanation, "Rows").value == row(explanation, "SOPInstanceUID").value == "<with the image>"
    assert row(explanation, "PatientID").value == "PHANTOM-1"


@pytest.mark.parametrize("name", ["ct", "mr", "pet", "secondary_capture"])
@pytest.mark.parametrize("strategy", FillingStrategy)
def test_with_the_image_every_tag_and_value_is_there(name: str, strategy: FillingStrategy) -> None:
    phantom = {"ct": ct_phantom, "mr": mr_phantom}.get(name, pet_phantom)
    series = build(phantom(3, 4, 4), blueprint=name, strategy=strategy)
    first, *others = written(series)
    explanation = explain(series)
    assert [row.tag for row in explanation.rows] == sorted(row.tag for row in explanation.rows)
    rows = {row.tag: row for row in explanation.rows}
    tags = {f"({e.tag >> 16:04X},{e.tag & 0xFFFF:04X})" for e in first if e.keyword != "PixelData"}
    assert set(rows) == tags
    for element in first:
        if element.keyword in ("PixelData", ""):
            continue
        tag_row = rows[f"({element.tag >> 16:04X},{element.tag & 0xFFFF:04X})"]
        assert tag_row.keyword == element.keyword and tag_row.vr == element.VR
        assert tag_row.element and tag_row.source
        text = "\\".join("" if value is None else str(value) for value in as_list(element.value))
        if element.VR == "SQ":
            assert tag_row.value == f"{len(element.value)} item(s)"
        elif element.VM and len(text) <= 64:
            assert tag_row.value == text
        if not tag_row.varies:
            assert all(other[element.tag].value == element.value for other in others)
    varying = {row.keyword for row in explanation.rows if row.varies}
    assert {"SOPInstanceUID", "InstanceNumber", "SourceImageSequence"} <= varying
    assert explanation.warnings == series.warnings


def test_values_that_only_some_instances_have() -> None:
    from derived_series import ABSENT

    extra = Blueprint([FunctionalElement("ImageComments", lambda env: ABSENT if env.index == 0 else "later")])
    series = build(PARENT, None, extra)
    assert "ImageComments" not in series.dataset(0) and series.dataset(1).ImageComments == "later"
    tag_row = row(explain(series), "ImageComments")
    assert tag_row.varies and "lambda of test_explain.py, line " in tag_row.element


def test_functions_of_ready_blueprints_have_names() -> None:
    texts = [repr(element) for name in LIBRARY.blueprints for element in ready(name)]
    assert len(texts) > 1000 and not [text for text in texts if "lambda" in text or "<locals>" in text]


@pytest.mark.parametrize("name", ["ct", "pet", "segmentation", "parametric_map"])
def test_elements_are_named_by_public_classes(name: str) -> None:
    parent = parent_of(pet_phantom(3, 4, 4)) if name == "pet" else PARENT
    explained = explain(ready(name), parent).rows
    assert not [tag_row.element for tag_row in explained if tag_row.element.startswith("_")]
    assert row(explain(ready(name), parent), "SOPInstanceUID").element == "FunctionalElement(_instance_uid)"


def test_private_tags_name_their_creator() -> None:
    extra = Blueprint([StaticElement(0x00091001, "LO", "x", creator="ACME")])
    (tag_row,) = (row for row in explain(build(PARENT, None, extra)).rows if row.tag == "(0009,1001)")
    assert (tag_row.keyword, tag_row.value) == ("private of ACME", "x")


def test_filling_and_rules_are_named_as_origins() -> None:
    parent = ct_phantom(3, 4, 4)
    for dataset in parent:
        dataset.ImageComments = "seen"
    explanation = explain(build(parent, None, Blueprint(), strategy=FillingStrategy.COPY))
    assert row(explanation, "ImageComments").source == "FillingStrategy.COPY"
    assert row(explain(build(PARENT, blueprint=Blueprint())), "PatientID").source in ("rules", "patient")


def test_what_is_overruled_is_warned_of() -> None:
    extra = Blueprint([StaticElement("PatientID", "OTHER"), StaticElement("Rows", 7)])
    series = build(PARENT, None, extra)
    explanation = explain(series)
    assert row(explanation, "PatientID").value == "PHANTOM-1" and row(explanation, "Rows").value == "4"
    for keyword in ("PatientID", "Rows"):
        assert any(keyword in warning for warning in explanation.warnings)
    assert "warning: PatientID (0010,0020) cannot be set to 'OTHER'" in str(explanation)


def test_discarded_tags_have_no_row() -> None:
    explanation = explain(build(PARENT, None, Blueprint([DiscardElement("StationName")])))
    assert "StationName" not in [row.keyword for row in explanation.rows]


def test_json_and_text_say_the_same() -> None:
    item = Blueprint([StaticElement("ScheduledProcedureStepID", "1")])
    extra = derivation("Smoothed", "GaussianBlur") + Blueprint([SequenceElement("RequestAttributesSequence", [item])])
    explanation = explain(build(PARENT, None, extra))
    as_json = json.loads(json.dumps(explanation.to_json()))
    assert [tag["Tag"] for tag in as_json["Tags"]] == [row.tag for row in explanation.rows]
    assert set(as_json["Tags"][0]) == {
        *("Tag", "Keyword", "VR", "Value", "VariesByInstance", "Element", "Blueprint", "Overrode", "Origin"),
    }
    text = str(explanation)
    assert all(row.tag in text and row.keyword[:34] in text for row in explanation.rows)
    lines = text.split("\n")
    assert len(lines) == len(explanation.rows) + sum(len(row.overrode) for row in explanation.rows) + len(
        explanation.warnings
    )


def test_all_that_the_parent_lacks_is_in_the_error() -> None:
    blueprint = ready("ct") + Blueprint([CopyElement("ImageComments"), CopyElement("FrameComments")])
    with pytest.raises(HeaderError, match="lacks 2 attribute") as error:
        explain(blueprint, PARENT)
    assert [missing.keyword for missing in error.value.missing] == ["ImageComments", "FrameComments"]


def test_a_strategy_and_a_factory_may_be_given() -> None:
    class Mine(NumpyFactory):
        operator = "Olga"

    from derived_series import AttributeElement

    blueprint = ready("ct") + Blueprint([AttributeElement("OperatorsName", "operator")])
    explanation = explain(blueprint, PARENT, FillingStrategy.COPY, Mine())
    assert row(explanation, "OperatorsName").value == "Olga"
    assert row(explanation, "StudyDescription").value == "Head"
