"""What a derived series is, whatever its blueprint says: of the parent's patient and study, new, and derived."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from itertools import product
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from building import build, parent_of, ready, written
from derived_series import (
    Blueprint,
    BuildContext,
    CopyElement,
    DiscardElement,
    FillingStrategy,
    FunctionalElement,
    ImageElement,
    InstanceCopyElement,
    NumpyFactory,
    SeriesElement,
    StaticElement,
)
from derived_series.dicom.blueprints.filling import NEVER_COPIED
from derived_series.dicom.series.finished import from_user_datasets
from derived_series.errors import HeaderError, UserCodeError
from phantoms import ct_phantom, decoded, encode, mr_phantom, pet_phantom

IDENTITY = {
    "PatientName": "Other^Name",
    "PatientID": "OTHER",
    "PatientBirthDate": "19990101",
    "PatientSex": "M",
    "IssuerOfPatientID": "ELSEWHERE",
    "StudyInstanceUID": "1.2.3",
    "StudyDate": "19990101",
    "StudyTime": "101010",
    "AccessionNumber": "B2",
    "ReferringPhysicianName": "Nobody",
    "StudyID": "9",
}
BLUEPRINTS = [Blueprint(), *map(ready, ("ct", "secondary_capture"))]


def _elements(keyword: str, value: str) -> list[Any]:
    return [
        StaticElement(keyword, value),
        StaticElement(keyword, None),
        SeriesElement(keyword, lambda: value),
        ImageElement(keyword, lambda env: value),
        FunctionalElement(keyword, lambda env: value),
        DiscardElement(keyword),
        CopyElement(keyword, source="SeriesDescription") if keyword == "PatientID" else StaticElement(keyword, value),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("keyword", IDENTITY)
@pytest.mark.parametrize("blueprint", BLUEPRINTS[:2], ids=["none", "ct"])
def test_patient_and_study_are_always_the_parents(keyword: str, blueprint: Blueprint) -> None:
    parent = parent_of(ct_phantom(2, 4, 4))
    for element, strategy in product(_elements(keyword, IDENTITY[keyword]), FillingStrategy):
        series = build(parent, None, Blueprint([element]), blueprint=blueprint, strategy=strategy)
        for dataset in written(series):
            assert all(dataset.get(key) == parent.pivot.get(key) for key in IDENTITY)
        assert any(keyword in warning for warning in series.warnings)


def test_patient_values_that_the_parent_lacks_are_not_invented() -> None:
    parent = ct_phantom(2, 4, 4)
    for dataset in parent:
        del dataset.PatientBirthDate, dataset.IssuerOfPatientID, dataset.StudyID
    extra = [StaticElement(k, IDENTITY[k]) for k in ("PatientBirthDate", "IssuerOfPatientID", "StudyID")]
    extra += [StaticElement("PatientComments", "mine"), FunctionalElement("EthnicGroup", lambda env: "x")]  # type: ignore[list-item]
    series = build(parent, None, Blueprint(extra))
    (first, _) = written(series)
    assert first["PatientBirthDate"].is_empty and first["StudyID"].is_empty  # type 2: there, and empty
    assert not {"IssuerOfPatientID", "PatientComments", "EthnicGroup"} & {e.keyword for e in first}
    assert sum("the parent's" in warning for warning in series.warnings) == 5


def test_a_blueprint_that_agrees_is_not_warned_of() -> None:
    extra = Blueprint([StaticElement("PatientID", "PHANTOM-1"), CopyElement("PatientName")])
    assert not any("Patient" in warning for warning in build(ct_phantom(2, 4, 4), None, extra).warnings)


@pytest.mark.parametrize("strategy", FillingStrategy)
def test_uids_are_new_unique_and_well_formed(strategy: FillingStrategy) -> None:
    parent = ct_phantom(4, 4, 4)
    one, two = (build(parent, strategy=strategy) for _ in range(2))
    old = {uid for d in parent for uid in (d.SOPInstanceUID, d.SeriesInstanceUID)}
    uids = [d.SOPInstanceUID for series in (one, two) for d in series]
    uids += [one.series_instance_uid, two.series_instance_uid]
    assert len(set(uids)) == 10 and not old & set(uids)
    for uid in uids:
        assert len(uid) <= 64 and re.fullmatch(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))+", uid)
    assert {d.SeriesInstanceUID for d in one} == {one.series_instance_uid}


@pytest.mark.parametrize("keyword", ["SOPInstanceUID", "SeriesInstanceUID", "InstanceNumber"])
def test_the_builds_own_tags_cannot_be_set(keyword: str) -> None:
    value = "5" if keyword == "InstanceNumber" else "1.2.3"
    parent = ct_phantom(3, 4, 4)
    for element in (StaticElement(keyword, value), InstanceCopyElement(keyword), DiscardElement(keyword)):
        series = build(parent, None, Blueprint([element]))
        datasets = written(series)
        assert [d.InstanceNumber for d in datasets] == [1, 2, 3]
        assert len({d.SOPInstanceUID for d in datasets} | {d.SOPInstanceUID for d in parent}) == 6
        assert datasets[0].SeriesInstanceUID == series.series_instance_uid != parent[0].SeriesInstanceUID
        assert any(keyword in warning and "the build's own" in warning for warning in series.warnings)


def test_series_values_are_identical_in_all_instances() -> None:
    """Even where the parent's own instances differ in them."""
    parent = ct_phantom(3, 4, 4)
    for index, dataset in enumerate(parent):
        dataset.SeriesDescription = f"series {index}"
        dataset.ProtocolName = f"protocol {index}"
        dataset.SeriesTime = f"10{index:02d}00"
        dataset.StudyDescription = f"study {index}"
        dataset.PatientAge = f"06{index}Y"
    for strategy in FillingStrategy:
        datasets = written(build(parent, strategy=strategy))
        for keyword in ("SeriesDescription", "ProtocolName", "SeriesTime", "StudyDescription", "PatientAge"):
            assert len({str(dataset.get(keyword)) for dataset in datasets}) == 1


@pytest.mark.parametrize(
    ("parents", "taken", "number"),
    [(3, (), 1003), (3, (1003,), 1004), (3, (1003, 1004, 1005, 7), 1006), (None, (), 1000), (0, (1000,), 1001)]
    + [(-5, (), 1000)],
)  # fmt: skip
def test_the_series_number_is_the_parents_with_an_offset(parents: Any, taken: tuple[int, ...], number: int) -> None:
    parent = ct_phantom(2, 4, 4)
    for dataset in parent:
        dataset.SeriesNumber = parents
    context = BuildContext(taken_series_numbers=frozenset(taken))
    assert {dataset.SeriesNumber for dataset in build(parent, context=context)} == {number}


def test_dates() -> None:
    """Study and acquisition are the source's, series and content are now, in PET the series too is the parent's."""
    context = BuildContext(datetime(2025, 1, 2, 3, 4, 5, 600000, tzinfo=timezone(timedelta(hours=1))))
    parent = ct_phantom(3, 4, 4)
    for dataset in parent:
        dataset.TimezoneOffsetFromUTC = "+0100"
    for before, after in zip(parent, written(build(parent, context=context)), strict=True):
        for keyword in ("StudyDate", "StudyTime", "AcquisitionDate", "AcquisitionTime", "TimezoneOffsetFromUTC"):
            assert after[keyword].value == before[keyword].value
        for what in ("Series", "Content", "InstanceCreation"):
            assert (after[f"{what}Date"].value, after[f"{what}Time"].value) == ("20250102", "030405.600000")
    pet = build(pet_phantom(2, 4, 4), context=context).dataset(0)
    assert (pet.SeriesDate, pet.SeriesTime, pet.ContentDate) == ("20240312", "103000.00", "20250102")
    bare = build(pet_phantom(2, 4, 4), blueprint=Blueprint(), strategy=FillingStrategy.COPY, context=context).dataset(0)
    assert (bare.SeriesDate, bare.SeriesTime) == ("20240312", "103000.00")


def _loaded(keyword: str, dataset: Dataset) -> None:
    element = Tag(keyword)
    from pydicom.datadict import dictionary_VR

    vr = dictionary_VR(element).split(" or ")[0]
    item = Dataset()
    item.CodeValue = "leak"
    values: dict[str, Any] = {"SQ": [item], "UI": "1.2.3.4", "DS": "1", "IS": "1", "US": 1, "FL": 1.0, "FD": 1.0}
    values.update(AT=0x00100010, UL=1, UV=1, OB=b"\0\0", OW=b"\0\0", OV=b"\0" * 8)
    dataset.add_new(element, vr, values.get(vr, "LEAK"))


#: These are written by the rules: with a value of the derived series' own, or with a window that is kept as a whole.
REWRITTEN = """SOPInstanceUID SeriesInstanceUID SeriesNumber InstanceNumber Rows Columns BitsAllocated BitsStored
HighBit PixelRepresentation SamplesPerPixel PhotometricInterpretation RescaleSlope RescaleIntercept WindowCenter
WindowWidth WindowCenterWidthExplanation""".split()


@pytest.mark.wide(quick=12)
@pytest.mark.parametrize("tag", sorted(NEVER_COPIED), ids=lambda tag: Tag(tag).json_key)
def test_copy_leaks_nothing_that_is_never_copied(tag: int) -> None:
    from pydicom.datadict import dictionary_keyword

    keyword = dictionary_keyword(tag)
    parent = mr_phantom(2, 4, 4)
    if keyword not in REWRITTEN and keyword not in ("RescaleType", "NumberOfFrames"):
        for dataset in parent:
            _loaded(keyword, dataset)
    from derived_series import ParentSeries

    source = ParentSeries.from_datasets(parent)
    for blueprint in (Blueprint(), ready("mr")):
        copied = build(source, source.stored(), blueprint=blueprint, strategy=FillingStrategy.COPY).dataset(0)
        if keyword not in REWRITTEN:
            assert keyword not in copied
        elif keyword in ("SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber", "BitsStored", "HighBit"):
            assert copied[keyword].value != parent[0][keyword].value


def test_copy_takes_no_private_tag_at_any_depth_and_no_overlay_curve_or_signature() -> None:
    parent = ct_phantom(2, 4, 4)
    for dataset in parent:
        dataset.private_block(0x0009, "ACME", create=True).add_new(1, "LO", "secret")
        inner, item = Dataset(), Dataset()
        for one in (inner, item):
            one.CodeMeaning = "kept"
            one.private_block(0x0011, "ACME", create=True).add_new(1, "LO", "secret")
        item.PurposeOfReferenceCodeSequence = [inner]
        dataset.AnatomicRegionSequence = [item]
        dataset.add_new(0x60003000, "OW", b"\0\0")
        dataset.add_new(0x60000010, "US", 4)
        dataset.add_new(0x50000005, "US", 1)
        dataset.add_new(0x00281201, "OW", b"\0\0")
        dataset.add_new(0xFFFAFFFA, "SQ", [])
        dataset.add_new(0xFFFCFFFC, "OB", b"\0\0")
        dataset.add_new(0x4FFE0001, "SQ", [])
        dataset.StudyComments = "kept"
    (first, _) = written(build(parent, strategy=FillingStrategy.COPY))
    assert first.StudyComments == "kept"
    assert first.AnatomicRegionSequence[0].PurposeOfReferenceCodeSequence[0].CodeMeaning == "kept"
    assert "secret" not in str(first) and b"ACME" not in encode(first)
    assert not [e.tag for e in first if e.tag.group in (0x6000, 0x5000, 0x4FFE) or e.tag.group > 0x7FE0]
    assert 0x00281201 not in first
    assert "secret" in str(parent[0])  # the parent is as it was


@pytest.mark.wide(quick=4)
@pytest.mark.parametrize("strategy", FillingStrategy)
@pytest.mark.parametrize("phantom", [ct_phantom, mr_phantom, pet_phantom])
@pytest.mark.parametrize("named", [True, False])
def test_the_image_type_is_never_original(strategy: FillingStrategy, phantom: Any, named: bool) -> None:
    parent = parent_of(phantom(2, 4, 4))
    blueprint = None if named else Blueprint()
    kinds: list[Any] = [["ORIGINAL", "PRIMARY"], "ORIGINAL", ["ORIGINAL", "PRIMARY", "AXIAL", "NORM"]]
    blueprints: list[Blueprint] = [Blueprint(), Blueprint([CopyElement("ImageType")])]
    blueprints += [Blueprint([StaticElement("ImageType", kind)]) for kind in kinds]
    blueprints += [Blueprint([FunctionalElement("ImageType", lambda env, kind=kind: kind)]) for kind in kinds]
    blueprints += [Blueprint([InstanceCopyElement("ImageType")])]
    for extra in blueprints:
        for dataset in written(build(parent, None, extra, blueprint=blueprint, strategy=strategy)):
            values = [dataset.ImageType] if isinstance(dataset.ImageType, str) else list(dataset.ImageType)
            assert values[0] == "DERIVED" and len(values) >= 2


@pytest.mark.parametrize("strategy", FillingStrategy)
@pytest.mark.parametrize("blueprint", ["ct", "none"])
def test_marks_once_set_stay_set(strategy: FillingStrategy, blueprint: str) -> None:
    parent = ct_phantom(3, 4, 4)
    parent[1].LossyImageCompression = "01"
    parent[2].BurnedInAnnotation = "YES"
    for dataset in parent:
        dataset.LossyImageCompressionRatio = 12.5
        dataset.LossyImageCompressionMethod = "ISO_10918_1"
    extra = Blueprint([StaticElement("LossyImageCompression", "00"), DiscardElement("BurnedInAnnotation")])
    whole = ready("ct") if blueprint == "ct" else Blueprint()
    for addition in (Blueprint(), extra):
        for dataset in written(build(parent, None, addition, blueprint=whole, strategy=strategy)):
            assert (dataset.LossyImageCompression, dataset.BurnedInAnnotation) == ("01", "YES")
    clean = build(ct_phantom(2, 4, 4), blueprint=whole, strategy=strategy).dataset(0)
    assert "LossyImageCompression" not in clean and "BurnedInAnnotation" not in clean


@pytest.mark.parametrize("blueprint", BLUEPRINTS, ids=["none", "ct", "secondary_capture"])
def test_marks_of_deidentification_are_carried_over(blueprint: Blueprint) -> None:
    parent = ct_phantom(2, 4, 4)
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "113100", "DCM", "Basic Profile"
    for dataset in parent:
        dataset.PatientIdentityRemoved = "YES"
        dataset.DeidentificationMethod = "by hand"
        dataset.DeidentificationMethodCodeSequence = [code]
        dataset.LongitudinalTemporalInformationModified = "REMOVED"
    drop = Blueprint([DiscardElement("PatientIdentityRemoved"), StaticElement("DeidentificationMethod", None)])
    for extra in (Blueprint(), drop):
        (first, _) = written(build(parent, None, extra, blueprint=blueprint))
        assert (first.PatientIdentityRemoved, first.DeidentificationMethod) == ("YES", "by hand")
        assert first.DeidentificationMethodCodeSequence[0].CodeValue == "113100"
        assert first.LongitudinalTemporalInformationModified == "REMOVED"


def test_a_series_without_a_class_is_refused_by_name() -> None:
    for element in (DiscardElement("SOPClassUID"), FunctionalElement("SOPClassUID", lambda env: "1.2.3")):
        with pytest.raises(HeaderError, match=r"SOPClassUID \(0008,0016\)"):
            build(ct_phantom(2, 4, 4), None, Blueprint([element]))


def test_finished_datasets_are_held_to_the_same_rules() -> None:
    parent = parent_of(ct_phantom(2, 4, 4, patient_name="Søren^Åse"))
    context = BuildContext(uid_seed="s")
    foreign = ct_phantom(2, 4, 4, patient_id="OTHER", study="9")
    for dataset in foreign:
        dataset.PatientComments = "other"
        dataset.ImageType = "ORIGINAL"
        dataset.SeriesDescription = "山"
    series = from_user_datasets(foreign, parent, context)
    for index, dataset in enumerate(series):
        assert (dataset.PatientID, str(dataset.PatientName)) == ("PHANTOM-1", "Søren^Åse")
        assert dataset.StudyInstanceUID == parent.study_instance_uid and not dataset.get("PatientComments")
        assert dataset.ImageType[0] == "DERIVED"
        assert dataset.SOPInstanceUID == series.instance_uid(index) != foreign[index].SOPInstanceUID
        assert dataset.SeriesInstanceUID == context.uid("series")
        assert dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
    from phantoms import decoded

    again = decoded(series.encode(0))
    assert (again.SpecificCharacterSet, again.SeriesDescription) == ("ISO_IR 192", "山")
    assert str(again.PatientName) == "Søren^Åse"
    assert any("PatientID" in warning for warning in series.warnings)
    assert foreign[0].PatientID == "OTHER"  # the user's own datasets are as they were
    with pytest.raises(UserCodeError, match="no datasets"):
        from_user_datasets([], parent, context)
    with pytest.raises(HeaderError, match="SOPClassUID"):
        from_user_datasets([Dataset()], parent, context)
    header = NumpyFactory().make_series_header(parent, ready("ct"), context=context)
    kept = from_user_datasets(NumpyFactory().build_from_header(header, np.zeros(parent.shape)), parent, context)
    assert kept.series_instance_uid == context.uid("series") and not kept.warnings


def test_no_finished_dataset_keeps_an_instance_uid_of_the_parent() -> None:
    """Not even in the series that the build was to make, where the user took the parent's UIDs over."""
    parent = parent_of(ct_phantom(3, 4, 4))
    context = BuildContext(uid_seed="s")
    header = NumpyFactory().make_series_header(parent, ready("ct"), context=context)
    datasets = NumpyFactory().build_from_header(header, np.zeros(parent.shape))
    datasets[1].SOPInstanceUID = parent.instances[1].SOPInstanceUID
    series = from_user_datasets(datasets, parent, context)
    parents = {str(instance.SOPInstanceUID) for instance in parent.instances}
    for content in (decoded(series.encode(index)) for index in range(3)):
        assert content.SOPInstanceUID not in parents
        assert content.file_meta.MediaStorageSOPInstanceUID == content.SOPInstanceUID
        assert content.SeriesInstanceUID == context.uid("series")
    assert len({series.instance_uid(index) for index in range(3)}) == 3
