"""Elements that take their value from the parent, and sequences of blueprints."""

from __future__ import annotations

from typing import Any

import pytest

from building import build
from derived_series import (
    Blueprint,
    CopyElement,
    CopyOrElseElement,
    FunctionalElement,
    ImageElement,
    InstanceCopyElement,
    SequenceElement,
    SeriesElement,
    StaticElement,
)
from derived_series.errors import BlueprintError, HeaderError
from phantoms import ct_phantom, pet_phantom
from test_elements import datasets_with


def test_copies_that_the_parent_lacks() -> None:
    with pytest.raises(HeaderError, match=r"the parent series has no ImageComments \(0020,4000\) to copy"):
        datasets_with(CopyElement("ImageComments"))
    assert "ImageComments" not in datasets_with(CopyElement("ImageComments", Optional=True))[0]
    assert "ImageComments" not in datasets_with(CopyElement(0x00204000, Optional=True))[0]


def test_copy_or_else() -> None:
    parent = ct_phantom(3, 4, 4)
    for dataset in parent:
        dataset.StationName = ""
    fallbacks: list[tuple[Any, str | None]] = [("none", "none"), (None, None), (StaticElement("StationName", "s"), "s")]
    fallbacks += [(SeriesElement("StationName", lambda: "f"), "f")]
    fallbacks += [(ImageElement("StationName", lambda env: f"{env.count}"), "3")]
    for fallback, text in fallbacks:
        assert {
            d.StationName or None for d in datasets_with(CopyOrElseElement("StationName", fallback), parent=parent)
        } == {text}
    each = FunctionalElement("StationName", lambda env: str(env.index))
    assert [d.StationName for d in datasets_with(CopyOrElseElement("StationName", each), parent=parent)] == [
        "0",
        "1",
        "2",
    ]
    assert datasets_with(CopyOrElseElement("Manufacturer", "none"))[0].Manufacturer == "Phantom Works"
    with pytest.raises(BlueprintError, match="for another tag"):
        CopyOrElseElement("StationName", StaticElement("Manufacturer", "x"))


def test_a_value_out_of_a_sequence() -> None:
    isotope = "RadiopharmaceuticalInformationSequence[0]"
    elements = [
        CopyElement("ImageComments", source=f"{isotope}.Radiopharmaceutical"),
        CopyElement("StudyComments", source=f"{isotope}.RadionuclideCodeSequence[0].CodeMeaning"),
        CopyElement("SeriesDescription", source=f"{isotope}.RadionuclideHalfLife"),
        CopyElement("StationName", Optional=True, source=f"{isotope}.RadionuclideCodeSequence[1].CodeMeaning"),
        InstanceCopyElement("FrameComments", source="DecayFactor"),
    ]
    dataset = datasets_with(*elements, parent=pet_phantom(3, 4, 4))[1]
    assert dataset.ImageComments == "Fluorodeoxyglucose" and dataset["ImageComments"].VR == "LT"
    assert dataset.StudyComments == "^18^Fluorine"
    assert dataset.SeriesDescription == "6586.2" and dataset["SeriesDescription"].VR == "LO"
    assert "StationName" not in dataset
    assert dataset.FrameComments.startswith("1.03") and dataset["FrameComments"].VR == "LT"
    with pytest.raises(HeaderError, match=r"no CTExposureSequence\[0\].CTDIvol to copy"):
        datasets_with(CopyElement("ImageComments", source="CTExposureSequence[0].CTDIvol"))
    with pytest.raises(BlueprintError, match="is not like Keyword"):
        CopyElement("ImageComments", source="CTExposureSequence.CTDIvol")


def test_a_sequence_of_blueprints() -> None:
    item = Blueprint(
        [
            StaticElement("ScheduledProcedureStepID", "7"),
            CopyElement("AccessionNumber"),
            SeriesElement("RequestedProcedureID", lambda: "R"),
            FunctionalElement("RequestedProcedureDescription", lambda env: f"slice {env.index}"),
            CopyElement("ReasonForTheRequestedProcedure", Optional=True),
            StaticElement(0x00091001, "LO", "inner", creator="ACME"),
            SequenceElement("ScheduledProtocolCodeSequence", [Blueprint([StaticElement("CodeValue", "c")])]),
        ]
    )
    second = Blueprint([StaticElement("ScheduledProcedureStepID", "8")])
    for index, dataset in enumerate(datasets_with(SequenceElement("RequestAttributesSequence", [item, second]))):
        first, last = dataset.RequestAttributesSequence
        assert (first.ScheduledProcedureStepID, first.AccessionNumber, first.RequestedProcedureID) == ("7", "A1", "R")
        assert first.RequestedProcedureDescription == f"slice {index}"
        assert "ReasonForTheRequestedProcedure" not in first
        assert first.private_block(0x0009, "ACME")[0x01].value == "inner"
        assert first.ScheduledProtocolCodeSequence[0].CodeValue == "c"
        assert last.ScheduledProcedureStepID == "8"
    with pytest.raises(HeaderError, match="in an item, ImageComments"):
        datasets_with(SequenceElement("RequestAttributesSequence", [Blueprint([CopyElement("ImageComments")])]))
    with pytest.raises(BlueprintError, match="no item blueprint"):
        SequenceElement("RequestAttributesSequence", [])


def test_a_sequence_keeps_the_blueprints_that_it_was_given() -> None:
    item = Blueprint([StaticElement("CodeValue", "a")])
    element = SequenceElement("DerivationCodeSequence", [item])
    item["CodeValue"] = StaticElement("CodeValue", "b")
    assert datasets_with(element)[0].DerivationCodeSequence[0].CodeValue == "a"


def test_instance_copies_are_the_slices_own() -> None:
    parent = ct_phantom(3, 4, 4)
    for dataset in parent:
        dataset.ImageComments = f"z = {dataset.ImagePositionPatient[2]}"
    for derived in datasets_with(InstanceCopyElement("ImageComments"), parent=parent[::-1]):
        assert derived.ImageComments == f"z = {derived.ImagePositionPatient[2]}"
    del parent[1].ImageComments
    with pytest.raises(HeaderError, match="1 of the parent's 3 instances lack it"):
        datasets_with(InstanceCopyElement("ImageComments"), parent=parent)
    optional = datasets_with(InstanceCopyElement("ImageComments", Optional=True), parent=parent)
    assert ["ImageComments" in dataset for dataset in optional] == [True, False, True]


def test_a_copy_of_a_value_that_differs_is_warned_of() -> None:
    series = build(ct_phantom(3, 4, 4), None, Blueprint([CopyElement("AcquisitionTime")]))
    assert any("AcquisitionTime" in text and "InstanceCopyElement" in text for text in series.warnings)
