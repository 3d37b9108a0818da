"""Each kind of virtual element: what it is called with, what it writes, and that it is a value."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage

from building import build, parent_of, written
from derived_series import (
    ABSENT,
    AttributeElement,
    Blueprint,
    CopyElement,
    CopyOrElseElement,
    DiscardElement,
    FunctionalElement,
    HeaderElement,
    ImageElement,
    InstanceCopyElement,
    InstanceEnvironment,
    NumpyFactory,
    PositionCopyElement,
    SequenceElement,
    SeriesElement,
    StaticElement,
    VirtualElement,
)
from derived_series.errors import BlueprintError, DerivedSeriesError, HeaderError, InvalidParent, UserCodeError
from phantoms import ct_phantom

ALL: list[VirtualElement] = [
    AttributeElement("OperatorsName", "PN", "operator"),
    CopyElement("PatientName"),
    CopyOrElseElement("Manufacturer", ""),
    DiscardElement("InstitutionName"),
    FunctionalElement("ImageComments", lambda env: env.index),
    HeaderElement("StudyID", lambda env: "1"),
    ImageElement("ImageComments", lambda env: env.count),
    InstanceCopyElement("AcquisitionTime"),
    PositionCopyElement("AcquisitionTime"),
    SequenceElement("RequestAttributesSequence", [Blueprint([StaticElement("ScheduledProcedureStepID", "1")])]),
    SeriesElement("SeriesNumber", lambda: 7),
    StaticElement("SeriesDescription", "x"),
]


def datasets_with(*elements: VirtualElement, parent: Any = None, factory: Any = None) -> list[Dataset]:
    """The instances of a CT series with these elements."""
    return written(build(parent or ct_phantom(3, 4, 4), None, Blueprint(elements), factory=factory))


@pytest.mark.parametrize("element", ALL, ids=lambda element: type(element).__name__)
def test_elements_are_values(element: VirtualElement) -> None:
    before = repr(element)
    for name in ("tag", "VR", "creator", "value", "func", "anything"):
        with pytest.raises(AttributeError, match="immutable"):
            setattr(element, name, 1)
        with pytest.raises(AttributeError, match="immutable"):
            delattr(element, name)
    assert copy.copy(element) == element == copy.deepcopy(element)
    assert hash(element) == hash(copy.deepcopy(element))
    assert repr(element) == before and before.startswith(f"{type(element).__name__}(")
    assert element.tag.json_key[:4] in before  # the number stands in it


def test_what_a_static_element_was_given_or_gives_does_not_change_it() -> None:
    items = [Dataset()]
    items[0].CodeValue = "1"
    element = StaticElement("DerivationCodeSequence", items)
    items[0].CodeValue = "2"
    element.value[0].CodeValue = "3"
    assert element.value[0].CodeValue == "1"
    values = ["A", "B"]
    listed = StaticElement("ScanOptions", values)
    values.append("C")
    listed.value.append("D")
    assert listed.value == ["A", "B"]


def test_elements_without_functions_can_be_pickled() -> None:
    for element in (CopyElement("PatientName", Optional=True), StaticElement(0x00091001, "LO", "x", creator="A")):
        assert pickle.loads(pickle.dumps(element)) == element


@pytest.mark.parametrize("arguments", [("LO", "text"), ("text",), ("LO", "text", "name")])
def test_static_elements_with_and_without_vr(arguments: tuple[Any, ...]) -> None:
    element = StaticElement(0x0008103E, *arguments)
    assert (element.VR, element.value) == ("LO", "text")
    assert [dataset.SeriesDescription for dataset in datasets_with(element)] == ["text"] * 3


@pytest.mark.parametrize(
    ("tag", "vr"), [("PatientName", "PN"), ("Rows", "US"), ("PixelSpacing", "DS"), (0x60003000, "OB")]
)
def test_the_vr_is_the_dictionarys(tag: Any, vr: str) -> None:
    assert StaticElement(tag, None).VR == vr


def test_a_vr_that_nobody_knows_is_asked_for() -> None:
    with pytest.raises(BlueprintError, match="has no VR"):
        StaticElement(0x00091001, "x")
    assert StaticElement(0x00091001, "LO", "x").VR == "LO"


@pytest.mark.parametrize(
    ("tag", "value"),
    [("RescaleSlope", "1.23456789012345678"), ("PatientSex", "not a code string"), ("SOPClassUID", "1.02.3")]
    + [("StudyDate", "12 March"), ("Rows", "many"), ("DerivationCodeSequence", ["x"])],
)  # fmt: skip
def test_a_wrong_value_is_told_where_it_is_written(tag: str, value: Any) -> None:
    with pytest.raises(BlueprintError, match=tag):
        StaticElement(tag, value)


@pytest.mark.parametrize("kind", [StaticElement, CopyElement, SeriesElement, FunctionalElement, InstanceCopyElement])
def test_a_tag_that_there_is_not(kind: Callable[..., Any]) -> None:
    with pytest.raises(BlueprintError, match="'PatientNames' is not a DICOM tag"):
        kind("PatientNames", *([] if "Copy" in kind.__name__ else [lambda: 1]))


class Clock:
    def now(self) -> str:
        return "method"

    def __call__(self) -> str:
        return "object"

    @staticmethod
    def stand(pivot: Dataset) -> str:
        return f"pivot {pivot.PatientID}"


@pytest.mark.parametrize(
    ("func", "text"),
    [(lambda: "plain", "plain"), (Clock().now, "method"), (Clock(), "object"), (Clock.stand, "pivot PHANTOM-1")]
    + [(partial(str, "partial"), "partial"), (lambda pivot: pivot.PatientID, "PHANTOM-1"), (str, "")]
    + [(lambda pivot=None: "default", "default"), (lambda *all: f"{len(all)} arguments", "0 arguments")],
)  # fmt: skip
def test_series_elements_call_what_can_be_called(func: Callable[..., str], text: str) -> None:
    """The one convention: nothing where that works, else the pivot."""
    for element in (SeriesElement("ImageComments", "LT", func), SeriesElement("ImageComments", func)):
        assert {dataset.ImageComments or "" for dataset in datasets_with(element)} == {text}


def test_series_elements_are_evaluated_once() -> None:
    calls: list[int] = []
    element = SeriesElement("StudyComments", lambda: calls.append(1) or "x")  # type: ignore[func-returns-value]
    assert [dataset.StudyComments for dataset in datasets_with(element)] == ["x"] * 3
    assert len(calls) == 1


@pytest.mark.parametrize("kind", [SeriesElement, FunctionalElement])
def test_functions_that_cannot_be_called_are_refused_at_once(kind: Callable[..., Any]) -> None:
    with pytest.raises(BlueprintError, match="must be callable with"):
        kind("ImageComments", lambda a, b: "")
    with pytest.raises(BlueprintError, match="cannot be called"):
        kind("ImageComments", "LT", "text")
    with pytest.raises(BlueprintError, match="must be callable with"):
        FunctionalElement("ImageComments", lambda: "")


def test_functional_elements_get_the_environment_of_each_instance() -> None:
    seen: list[InstanceEnvironment] = []

    def look(env: InstanceEnvironment) -> str:
        seen.append(env)
        assert env.instance_dataset is not None and env.position is not None
        assert list(env.position) == [float(v) for v in env.instance_dataset.ImagePositionPatient]
        assert env.source_datasets == (env.instance_dataset,)
        assert env.image.shape == (4, 4) and len(env.parent) == 3
        return f"{env.instance_number} {env.factory.__class__.__name__}"

    datasets = datasets_with(FunctionalElement("ImageComments", look))
    assert [dataset.ImageComments for dataset in datasets] == [f"{n} NumpyFactory" for n in (1, 2, 3)]
    assert {env.index for env in seen} == {0, 1, 2}


class Operated(NumpyFactory):
    operator = "Operator^Olga"
    settings = ["A", "B"]


def test_attribute_elements_read_the_factory() -> None:
    for element in (AttributeElement("OperatorsName", "PN", "operator"), AttributeElement("OperatorsName", "operator")):
        assert {str(dataset.OperatorsName) for dataset in datasets_with(element, factory=Operated())} == {
            "Operator^Olga"
        }
    assert datasets_with(AttributeElement("ScanOptions", "settings"), factory=Operated())[0].ScanOptions == ["A", "B"]
    with pytest.raises(HeaderError, match=r"OperatorsName \(0008,1070\): NumpyFactory has no attribute 'operator'"):
        datasets_with(AttributeElement("OperatorsName", "PN", "operator"))
    with pytest.raises(BlueprintError, match="names no attribute"):
        AttributeElement("OperatorsName")


def test_discarded_tags_are_not_there() -> None:
    assert "WindowCenter" in datasets_with()[0]
    assert all("WindowCenter" not in dataset for dataset in datasets_with(DiscardElement("WindowCenter")))


def test_absent_and_empty_are_two_things() -> None:
    for kind in (SeriesElement, HeaderElement, ImageElement, FunctionalElement):
        call = (lambda: None) if kind is SeriesElement else (lambda env: None)
        assert all(d["ImageComments"].is_empty for d in datasets_with(kind("ImageComments", call)))
        gone = (lambda: ABSENT) if kind is SeriesElement else (lambda env: ABSENT)
        assert all("ImageComments" not in d for d in datasets_with(kind("ImageComments", gone)))


def test_errors_of_user_code_name_the_element() -> None:
    def fail(*_: object) -> str:
        raise ZeroDivisionError("by zero")

    for kind in (SeriesElement, HeaderElement, ImageElement, FunctionalElement):
        with pytest.raises(UserCodeError, match=r"ImageComments.*ZeroDivisionError: by zero"):
            datasets_with(kind("ImageComments", fail))

    def refuse() -> str:
        raise InvalidParent("not this one")

    with pytest.raises(InvalidParent, match="not this one"):
        datasets_with(SeriesElement("ImageComments", refuse))


@pytest.mark.parametrize(("tag", "value"), [("ImageComments", 5), ("PatientState", 1.5), ("AcquisitionTime", "noon")])
def test_a_function_that_gives_a_value_of_the_wrong_kind(tag: str, value: Any) -> None:
    for element in (SeriesElement(tag, lambda: value), FunctionalElement(tag, lambda env: value)):
        with pytest.raises(DerivedSeriesError, match=tag):
            datasets_with(element)


def test_the_base_class_is_open_to_users() -> None:
    class Shouted(VirtualElement):
        def at_header(self, env: Any) -> Any:
            return str(env.pivot.PatientID).upper()

    assert datasets_with(Shouted("ImageComments"))[0].ImageComments == "PHANTOM-1"
    assert parent_of(ct_phantom(1)).pivot.SOPClassUID == CTImageStorage
