"""The laws of blueprints: + is associative, has an identity, and the right one wins."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.tag import Tag

from building import LIBRARY
from derived_series import Blueprint, CopyElement, DiscardElement, StaticElement, VirtualElement, dicom
from derived_series.dicom import modules
from derived_series.errors import BlueprintError

TAGS = ["PatientName", "SeriesDescription", "ImageComments", "StudyID", "WindowCenter"]
PRIVATE = [(0x00091001, "ACME"), (0x00091001, "OTHER"), (0x00111002, "ACME")]


def _element(tag: str, kind: int) -> VirtualElement:
    return (CopyElement(tag), DiscardElement(tag), StaticElement(tag, None))[kind]


def _private(key: tuple[int, str], text: str) -> VirtualElement:
    return StaticElement(key[0], "LO", text, creator=key[1])


ELEMENTS = st.one_of(
    st.builds(_element, st.sampled_from(TAGS), st.integers(0, 2)),
    st.builds(_private, st.sampled_from(PRIVATE), st.sampled_from(["a", "b"])),
)
BLUEPRINTS = st.builds(Blueprint, st.lists(ELEMENTS, max_size=6))
READY = sorted(name for name in modules.__all__ if name.endswith("_blueprint"))


def _history(blueprint: Blueprint) -> list[tuple[VirtualElement, list[VirtualElement]]]:
    return [(entry.element, [old.element for old in entry.overrode]) for entry in blueprint.entries()]


@given(BLUEPRINTS, BLUEPRINTS, BLUEPRINTS)
def test_associative(a: Blueprint, b: Blueprint, c: Blueprint) -> None:
    assert (a + b) + c == a + (b + c)


@given(BLUEPRINTS, BLUEPRINTS, BLUEPRINTS)
def test_what_was_overridden_is_associative_too(a: Blueprint, b: Blueprint, c: Blueprint) -> None:
    assert _history((a + b) + c) == _history(a + (b + c))


@given(BLUEPRINTS)
def test_the_empty_blueprint_is_the_identity(a: Blueprint) -> None:
    assert a + Blueprint() == a == Blueprint() + a
    assert a + a == a


@given(BLUEPRINTS, BLUEPRINTS)
def test_the_right_one_wins(a: Blueprint, b: Blueprint) -> None:
    both = {element.key: element for element in (a + b)}
    left, right = ({element.key: element for element in blueprint} for blueprint in (a, b))
    assert both == {**left, **right}
    assert Blueprint([*a, *b]) == a + b


@given(BLUEPRINTS, BLUEPRINTS)
def test_commutative_exactly_where_no_tag_meets_another_element(a: Blueprint, b: Blueprint) -> None:
    left, right = ({element.key: element for element in blueprint} for blueprint in (a, b))
    meets = any(left[key] != right[key] for key in left.keys() & right.keys())
    assert (a + b == b + a) is not meets


@given(BLUEPRINTS, BLUEPRINTS)
def test_adding_changes_neither(a: Blueprint, b: Blueprint) -> None:
    before = a.copy(), b.copy()
    total = a + b
    for element in list(total):
        if element.tag in total:
            del total[element.tag]
    assert (a, b) == before and len(total) == 0


@given(st.lists(ELEMENTS, max_size=10))
def test_iteration_is_in_tag_order(elements: list[VirtualElement]) -> None:
    keys = [element.key for element in Blueprint(elements)]
    assert keys == sorted(set(keys)) and len(Blueprint(elements)) == len(keys)


@given(BLUEPRINTS)
def test_copies_are_equal_and_apart(a: Blueprint) -> None:
    copies = [a.copy(), copy.copy(a), copy.deepcopy(a), Blueprint(a), pickle.loads(pickle.dumps(a))]
    assert all(copied == a for copied in copies)
    for copied in copies:
        copied["SeriesNumber"] = CopyElement("SeriesNumber")
    assert "SeriesNumber" not in a


@pytest.mark.parametrize("tag", [0x0008103E, "SeriesDescription", (0x0008, 0x103E), Tag(0x0008103E)])
def test_tags_may_be_numbers_keywords_pairs_or_tags(tag: object) -> None:
    blueprint = Blueprint([StaticElement(tag, "LO", "x")])  # type: ignore[arg-type]
    assert blueprint == Blueprint([StaticElement("SeriesDescription", "x")])
    assert tag in blueprint and blueprint[tag].value == "x"  # type: ignore[attr-defined, index]
    blueprint[tag] = StaticElement(0x0008103E, "LO", "y")  # type: ignore[index]
    assert blueprint[0x0008103E].value == "y"  # type: ignore[attr-defined]
    del blueprint[tag]  # type: ignore[arg-type]
    assert tag not in blueprint and len(blueprint) == 0


def test_what_is_not_there_is_named() -> None:
    blueprint = Blueprint(name="mine")
    for attempt in (lambda: blueprint["PatientName"], lambda: blueprint.__delitem__(0x00100010)):
        with pytest.raises(KeyError, match=r"PatientName \(0010,0010\) is not in the blueprint 'mine'"):
            attempt()
    assert "NoSuchKeyword" not in blueprint and None not in blueprint
    with pytest.raises(BlueprintError, match="'NoSuchKeyword' is not a DICOM tag"):
        blueprint["NoSuchKeyword"]


def test_only_elements_and_only_under_their_tag() -> None:
    blueprint = Blueprint()
    with pytest.raises(BlueprintError, match="cannot hold"):
        blueprint["PatientID"] = CopyElement("PatientName")
    with pytest.raises(BlueprintError, match="virtual elements, not str"):
        blueprint["PatientID"] = "x"  # type: ignore[assignment]
    with pytest.raises(BlueprintError, match="virtual elements, not int"):
        Blueprint([1])  # type: ignore[list-item]
    with pytest.raises(TypeError):
        blueprint + [CopyElement("PatientName")]  # type: ignore[operator]


@pytest.mark.parametrize("name", READY)
def test_ready_blueprints_are_frozen(name: str) -> None:
    blueprint = getattr(dicom, name)
    before = list(blueprint)
    with pytest.raises(BlueprintError, match="shared and cannot be changed"):
        blueprint["PatientName"] = StaticElement("PatientName", "x")
    with pytest.raises(BlueprintError, match="mine = blueprint.copy()"):
        del blueprint[before[0].tag]
    mine = blueprint.copy()
    mine["PatientName"] = StaticElement("PatientName", "x")
    mine = blueprint + Blueprint()
    del mine[before[0].tag]
    assert list(blueprint) == before


def test_named_blueprints_of_files_are_frozen() -> None:
    for named in LIBRARY.blueprints.values():
        with pytest.raises(BlueprintError, match=f"'{named.name}' is shared"):
            named.blueprint["PatientName"] = CopyElement("PatientName")


def test_private_tags_of_two_creators_live_side_by_side() -> None:
    a, b = (_private(key, "x") for key in PRIVATE[:2])
    both = Blueprint([a]) + Blueprint([b])
    assert list(both) == [a, b] and both == Blueprint([b]) + Blueprint([a])
    del both[0x00091001]
    assert len(both) == 0


def test_a_private_creator_is_not_an_element_of_its_own() -> None:
    with pytest.raises(BlueprintError, match="private creator"):
        StaticElement(0x00090010, "LO", "ACME")
    with pytest.raises(BlueprintError, match="not a private tag"):
        StaticElement("PatientName", "PN", "x", creator="ACME")


def test_repr_names_every_element() -> None:
    text = repr(Blueprint([StaticElement("SeriesDescription", "x"), CopyElement("PatientName")], name="mine"))
    assert "mine" in text and "SeriesDescription (0008,103E)" in text and "CopyElement(PatientName" in text
    assert text.index("SeriesDescription") < text.index("PatientName")
    assert repr(Blueprint()) == "Blueprint('blueprint', [])"


def test_the_tags_that_a_parent_must_have() -> None:
    optional = CopyElement("StudyID", Optional=True)
    assert Blueprint([CopyElement("PatientName"), optional]).required_tags() == (0x00100010,)
