"""Text that a blueprint, a request or a segment brings obeys PS3.5 6.2; what does not is refused, by its name."""

from __future__ import annotations

from typing import Any

import pytest
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.tag import Tag

from building import build, parent_of, ready, written
from derived_series import Blueprint, FunctionalElement, HeaderElement, Segment, SequenceElement, StaticElement
from derived_series.dicom.encoding.ucum import readable
from derived_series.dicom.encoding.value_rules import value_problem
from derived_series.dicom.modules import real_world_values, segments
from derived_series.dicom.modules.codes import unit
from derived_series.errors import BlueprintError, InvalidRequest, InvalidValue, ValidationFailed
from derived_series.pipelines.gate import check_series
from derived_series.pipelines.run import extra_blueprint
from phantoms import ct_phantom

CONTROLS = {
    "\r": "CR",
    "\n": "LF",
    "\t": "TAB",
    "\a": "BEL",
    "\x1b": "ESC",
    "\0": "NUL",
    "\x0b": r"U\+000B",
    "\x7f": r"U\+007F",
    "\x85": r"U\+0085",
    "\ud800": r"U\+D800",
    "\u2028": r"U\+2028",
    "\u202e": r"U\+202E",
    "\ufeff": r"U\+FEFF",
}
ONE_LINE = ["SeriesDescription", "StudyID", "ReferringPhysicianName", "BodyPartExamined", "StrainDescription", "KVP"]


@pytest.mark.parametrize("keyword", ONE_LINE)
@pytest.mark.parametrize("character", CONTROLS)
def test_control_characters_are_refused(keyword: str, character: str) -> None:
    with pytest.raises(BlueprintError, match=rf"{keyword}.*has.*{CONTROLS[character]}"):
        StaticElement(keyword, f"12{character}34")


@pytest.mark.parametrize("keyword", ONE_LINE)
def test_a_backslash_is_refused_where_there_is_one_value(keyword: str) -> None:
    with pytest.raises(BlueprintError, match=rf"{keyword}.*a backslash"):
        StaticElement(keyword, "1\\2")
    with pytest.raises(BlueprintError, match=rf"{keyword}.*2 values"):
        StaticElement(keyword, ["1", "2"])


def test_a_backslash_separates_values_where_there_may_be_several() -> None:
    image_type = StaticElement("ImageType", "DERIVED\\SECONDARY")
    assert list(image_type.data_element(image_type.value).value) == ["DERIVED", "SECONDARY"]
    with pytest.raises(BlueprintError, match="ImageType.*a backslash"):
        StaticElement("ImageType", ["DERIVED\\PRIMARY", "SECONDARY"])
    with pytest.raises(BlueprintError, match="OperatorsName.*CR"):
        StaticElement("OperatorsName", "A^B\\C\r^D")


@pytest.mark.parametrize(
    ("keyword", "length"),
    [
        ("SeriesDescription", 64),
        ("StudyID", 16),
        ("PatientName", 64),
        ("BodyPartExamined", 16),
        ("ImageComments", 10240),
    ]
    + [("DerivationDescription", 1024), ("KVP", 16)],
)
def test_lengths(keyword: str, length: int) -> None:
    StaticElement(keyword, "1" * length)
    with pytest.raises(BlueprintError, match=rf"{keyword}.*\({length + 1}\)"):
        StaticElement(keyword, "1" * (length + 1))


@pytest.mark.parametrize("keyword", ["DerivationDescription", "ImageComments", "LabelText"])
def test_text_of_several_lines(keyword: str) -> None:
    text = "one\r\ntwo\t2\fC:\\data"
    element = StaticElement(keyword, text)
    assert element.data_element(text).value == text
    for character in ("\a", "\x1b", "\0", "\x0b"):
        with pytest.raises(BlueprintError, match=rf"{keyword}.*{CONTROLS[character]}"):
            StaticElement(keyword, f"a{character}b")


def test_a_decimal_string_that_no_number_is_read_from() -> None:
    element = DataElement(0x00180060, "DS", "1e400", already_converted=True)
    assert "larger than any number" in (value_problem(element) or "")


@pytest.mark.parametrize(
    ("keyword", "value"), [("SeriesDescription", "a\tb"), ("StationName", "a\\b"), ("BodyPartExamined", "x")]
)
def test_what_a_function_gives_is_refused_as_what_lacks_is(keyword: str, value: str) -> None:
    extra = Blueprint([FunctionalElement(keyword, lambda env: value)])
    with pytest.raises(InvalidValue, match=keyword) as refused:
        written(build(ct_phantom(2, 4, 4), None, extra))
    assert refused.value.http_status == 422


def item(**values: Any) -> Dataset:
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def test_at_any_depth() -> None:
    inner = item(CodeValue="1", CodingSchemeDesignator="99X", CodeMeaning="a\rb")
    outer = item(ContextIdentifier="1", PurposeOfReferenceCodeSequence=[inner])
    pattern = r"item 1, PurposeOfReferenceCodeSequence.*item 1, CodeMeaning.*CR"
    with pytest.raises(BlueprintError, match=pattern):
        StaticElement("SourceImageSequence", "SQ", [outer])
    with pytest.raises(BlueprintError, match="CodeMeaning.*CR"):
        SequenceElement("ViewCodeSequence", [Blueprint([StaticElement("CodeMeaning", "a\rb")])])


@pytest.mark.filterwarnings("ignore:The value length")
@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"label": "Li\\ver"}, "SegmentLabel.*backslash"),
        ({"label": "  "}, "segment 1 has the label '  '"),
        ({"label": "x" * 65}, "SegmentLabel.*65"),
        ({"label": "x", "description": "a\nb\0"}, "SegmentDescription.*NUL"),
        ({"label": "x", "algorithm_name": "a\tb"}, "SegmentAlgorithmName.*TAB"),
        ({"label": "x", "type": Code("1", "99X", "a\x1bb")}, "SegmentedPropertyTypeCodeSequence.*CodeMeaning.*ESC"),
        ({"label": "x", "category": Code("1", "9" * 17, "a")}, "CodingSchemeDesignator.*17"),
    ],
)
def test_segments(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(BlueprintError, match=text):
        segments(Segment(1, **fields))


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        ({"series_description": "Lung\\Axial"}, "SeriesDescription.*backslash"),
        ({"series_description": "x" * 65}, "SeriesDescription.*65"),
        ({"replace": {"StationName": "a\rb"}}, "StationName.*CR"),
        ({"replace": {"ViewCodeSequence": [{"CodeMeaning": "a\ab"}]}}, "CodeMeaning.*BEL"),
        ({"described": [{"Number": 1, "Label": "a\nb"}]}, "SegmentLabel.*LF"),
        ({"units": "HU"}, r"HU.*\[hnsf'U\]"),
    ],
)
def test_requests(request_: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidRequest, match=text):
        extra_blueprint(**request_)


def test_functions_bring_no_such_text_either() -> None:
    parent = parent_of(ct_phantom(3, 8, 8))
    with pytest.raises(BlueprintError, match="StationName.*LF"):
        build(parent, extra=Blueprint([HeaderElement("StationName", lambda env: "a\nb")]))
    by_instance = FunctionalElement("ImageComments", lambda env: f"a{chr(7) * env.index}")
    with pytest.raises((ValidationFailed, BlueprintError), match="ImageComments.*BEL"):
        check_series(build(parent, extra=Blueprint([by_instance])), parent, "Strict")


def test_the_same_text_of_the_parent_is_a_warning() -> None:
    datasets = ct_phantom(3, 8, 8)
    for dataset in datasets:
        dataset["ProtocolName"] = RawDataElement(Tag("ProtocolName"), "LO", 6, b"a\rb\tc ", 0, False, True)
    parent = parent_of(datasets)
    series = check_series(build(parent, None, ready("ct")), parent, "Strict")
    assert any("ProtocolName" in w and "CR" in w and "the parent has it so" in w for w in series.warnings)
    assert written(series)[0].ProtocolName == "a\rb\tc"


def test_escape_sequences_that_were_read_are_not_control_characters() -> None:
    dataset = ct_phantom(1, 8, 8)[0]
    dataset.ProtocolName = "a\x1b$)Ab"  # as pydicom leaves it in the text of ISO 2022 IR 58
    assert value_problem(dataset["ProtocolName"]) is None


UNITS = (
    "mm2/s ms g/ml 1 % /s 10*-6.mm2/s kg.m/s2 ml/(min.g) [hnsf'U] {SUVbw}g/ml g/ml{SUVbw} ppm ml/[100]g/min Cel [iU]/l"
)


@pytest.mark.parametrize("text", UNITS.split())
def test_units_of_ucum(text: str) -> None:
    assert unit(text).value == text
    code = Code(text, "UCUM", "my words")
    assert unit(code) is code
    real_world_values(text)


@pytest.mark.parametrize(
    ("text", "meant"),
    [("HU", "[hnsf'U]"), ("HU/s", "[hnsf'U]/s"), ("mm^2/s", "mm2/s"), ("MM2/S", "mm2/s")]
    + [
        ("sec", "s"),
        ("mmHg", "mm[Hg]"),
        ("SUV", "g/ml{SUVbw}"),
        ("mm per s", "mm/s"),
        ("ml/100g/min", "ml/[100]g/min"),
    ],
)
def test_units_that_are_meant(text: str, meant: str) -> None:
    for form in (text, Code(text, "UCUM", "x")):
        with pytest.raises(BlueprintError) as error:
            unit(form)
        assert f'"{meant}"' in str(error.value)


def test_units_are_read_as_people_write_them() -> None:
    read = {"[hnsf'U]": "HU", "1": "", "ml": "ml", "mm[Hg]": "mmHg", "mm2/s": "mm2/s"}
    assert {each: readable(each) for each in read} == read


@pytest.mark.parametrize("text", ["foo", "mm2/", "", "mm//s", "[HU]", "m)", "(m", "m2s", "x" * 17, "mm 2x"])
def test_texts_that_are_not_units(text: str) -> None:
    with pytest.raises(BlueprintError, match="not a UCUM code"):
        unit(text)
    assert unit(Code(text, "99MINE", "x")).value == text
