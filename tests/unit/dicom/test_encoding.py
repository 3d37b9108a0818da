"""``encode(i)`` gives the bytes that pydicom writes for ``dataset(i)``, in any character set."""

from __future__ import annotations

import io
from datetime import datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.valuerep import DSfloat

import phantoms
from building import Parents, build, parent_of, written
from derived_series import (
    Blueprint,
    BuildContext,
    CopyElement,
    DerivedSeries,
    FillingStrategy,
    FunctionalElement,
    InstanceCopyElement,
    ParentSeries,
    SequenceElement,
    StaticElement,
)
from derived_series.errors import DerivedSeriesError

PARENTS = Parents(
    {
        "ct": lambda: parent_of(phantoms.ct_phantom(3, 6, 5)),
        "mr": lambda: parent_of(phantoms.mr_phantom(3, 6, 5)),
        "pet": lambda: parent_of(phantoms.pet_phantom(3, 6, 5)),
    }
)
NAMES = [
    ("ISO_IR 100", "Søren^Åse"),
    ("ISO_IR 192", "Søren^Åse"),
    ("ISO_IR 192", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎"),
    (["ISO 2022 IR 13", "ISO 2022 IR 87"], "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"),
    ("ISO_IR 144", "Люкceмбypг"),
    ("", "Phantom^Head"),
]


def pydicoms(series: DerivedSeries, index: int) -> bytes:
    """What pydicom writes for the dataset."""
    buffer = io.BytesIO()
    dcmwrite(buffer, series.dataset(index), enforce_file_format=True)
    return buffer.getvalue()


def assert_same(series: DerivedSeries) -> None:
    for index in range(len(series)):
        assert series.encode(index) == pydicoms(series, index)


@pytest.mark.wide(quick=8)
@pytest.mark.parametrize("strategy", FillingStrategy)
@pytest.mark.parametrize("name", ["ct", "mr", "pet", "secondary_capture"])
@pytest.mark.parametrize("kind", ["int16", "float32", "bool", "uint8"])
def test_the_bytes_are_pydicoms(name: str, kind: str, strategy: FillingStrategy) -> None:
    parent = PARENTS.get(name, PARENTS["mr"])
    image = (parent.voxels() * (1 if kind != "float32" else 1.37)).clip(-1000, 30000).astype(kind)
    series = build(parent, image, blueprint=name, strategy=strategy)
    assert_same(series)  # type: ignore[arg-type]
    if name == "secondary_capture" and kind in ("bool", "uint8"):
        assert series.dataset(0).BitsAllocated == 8


@pytest.mark.parametrize("name", ["ct", "secondary_capture"])
def test_the_bytes_are_pydicoms_of_an_odd_number_of_bytes(name: str) -> None:
    parent = phantoms.ct_phantom(2, 3, 5)
    series = build(parent, np.arange(30, dtype=np.uint8).reshape(2, 3, 5), blueprint=name)
    assert_same(series)  # type: ignore[arg-type]


def test_the_bytes_are_pydicoms_on_another_grid() -> None:
    from derived_series import NiftiFactory

    image = PARENTS["ct"].to_nifti().slicer[1:, :, :2]
    assert_same(build(PARENTS["ct"], image, factory=NiftiFactory()))  # type: ignore[arg-type]


def test_the_file_is_whole() -> None:
    series = build(PARENTS["ct"])
    for index in range(len(series)):
        content = series.encode(index)
        assert content[:132] == b"\0" * 128 + b"DICM"
        dataset = dcmread(io.BytesIO(content))
        meta = dataset.file_meta
        assert meta.TransferSyntaxUID == ExplicitVRLittleEndian
        assert (meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID) == (
            dataset.SOPClassUID,
            dataset.SOPInstanceUID,
        )
        assert dataset.SOPInstanceUID == series.instance_uid(index)
        length = meta.FileMetaInformationGroupLength
        assert content[144 + length :][:4] == b"\x08\x00\x05\x00"  # the dataset begins where the meta ends


def test_the_same_instance_has_the_same_bytes_however_often_it_is_asked_for() -> None:
    series = build(PARENTS["mr"])
    first = [series.encode(index) for index in range(3)]
    assert [series.encode(index) for index in (2, 0, 1)] == [first[2], first[0], first[1]]


def test_a_seed_repeats_a_build_byte_for_byte() -> None:
    one, two = (build(PARENTS["ct"], context=CONTEXT) for _ in range(2))
    assert [one.encode(index) for index in range(3)] == [two.encode(index) for index in range(3)]


@pytest.mark.wide(quick=3)
@pytest.mark.parametrize(("charset", "name"), NAMES)
def test_names_come_back(charset: Any, name: str) -> None:
    for phantom in (phantoms.ct_phantom, phantoms.mr_phantom, phantoms.pet_phantom):
        parent = phantom(2, 4, 4, charset=charset, patient_name=name)
        for strategy in FillingStrategy:
            series = build(parent, strategy=strategy)
            assert_same(series)  # type: ignore[arg-type]
            for dataset in written(series):
                assert dataset.PatientName == name
                assert (dataset.get("SpecificCharacterSet") or "") == (charset or "")
            assert not any("re-encoded" in warning for warning in series.warnings)


def test_a_parent_without_a_character_set() -> None:
    parent = phantoms.ct_phantom(2, 4, 4)
    for dataset in parent:
        del dataset.SpecificCharacterSet
    assert all("SpecificCharacterSet" not in dataset for dataset in written(build(parent)))
    (first, _) = written(build(parent, None, Blueprint([StaticElement("SeriesDescription", "flöt")])))
    assert (first.SpecificCharacterSet, first.SeriesDescription) == ("ISO_IR 192", "flöt")


JAPANESE = Blueprint([StaticElement("RequestedProcedureDescription", "山")])
BEYOND = {
    "static": StaticElement("SeriesDescription", "山"),
    "function": FunctionalElement("ImageComments", lambda env: "山" * (env.index + 1)),
    "later function": FunctionalElement("ImageComments", lambda env: "山" if env.index == 1 else "a"),
    "in a sequence": SequenceElement("RequestAttributesSequence", [JAPANESE]),
    "in a sequence, by instance": SequenceElement(
        "RequestAttributesSequence",
        [Blueprint([FunctionalElement("RequestedProcedureDescription", lambda env: "山")])],
    ),
    "private": StaticElement(0x00111001, "LO", "山", creator="ACME"),
}


@pytest.mark.wide(quick=4)
@pytest.mark.parametrize("where", BEYOND)
@pytest.mark.parametrize(("charset", "name"), [("ISO_IR 100", "Søren^Åse"), ("", "Phantom^Head")])
def test_text_beyond_the_repertoire_turns_the_series_to_utf8(where: str, charset: str, name: str) -> None:
    parent = phantoms.ct_phantom(2, 4, 4, charset=charset, patient_name=name)
    series = build(parent, None, Blueprint([BEYOND[where]]))
    assert_same(series)  # type: ignore[arg-type]
    for dataset in written(series):
        assert dataset.SpecificCharacterSet == "ISO_IR 192"
        assert dataset.PatientName == name
    assert "山" in str(written(series)[1])
    assert any("re-encoded in ISO_IR 192" in warning for warning in series.warnings)


def japanese_parent() -> ParentSeries:
    """Japanese text in sequences, shared and by instance, as read from a file."""
    datasets = phantoms.ct_phantom(2, 4, 4, charset=["", "ISO 2022 IR 87"], patient_name="Yamada^Tarou=山田^太郎")
    for index, dataset in enumerate(datasets):
        item = Dataset()
        item.RequestedProcedureDescription = "頭部"
        item.RequestingPhysician = "Suzuki=鈴木"
        dataset.RequestAttributesSequence = [item]
        region = Dataset()
        region.CodeMeaning = f"頭 {index}"
        dataset.AnatomicRegionSequence = [region]
        equipment = Dataset()
        equipment.InstitutionName = "東京"
        dataset.ContributingEquipmentSequence = [equipment]
        dataset.ImageComments = f"頭 {index}"
    return parent_of(datasets)


@pytest.mark.parametrize("text", ["plain", "Åse €"])
def test_text_in_sequences_is_written_in_the_series_character_set(text: str) -> None:
    extra = Blueprint([StaticElement("SeriesDescription", text), InstanceCopyElement("ImageComments")])
    series = build(japanese_parent(), None, extra, strategy=FillingStrategy.COPY)
    assert_same(series)  # type: ignore[arg-type]
    for index, dataset in enumerate(written(series)):
        assert list(np.atleast_1d(dataset.SpecificCharacterSet))[-1] == (
            "ISO 2022 IR 87" if text == "plain" else "ISO_IR 192"
        )
        assert dataset.SeriesDescription == text
        assert dataset.PatientName == "Yamada^Tarou=山田^太郎"
        assert dataset.RequestAttributesSequence[0].RequestedProcedureDescription == "頭部"
        assert dataset.RequestAttributesSequence[0].RequestingPhysician == "Suzuki=鈴木"
        assert dataset.AnatomicRegionSequence[0].CodeMeaning == dataset.ImageComments == f"頭 {index}"
        assert dataset.ContributingEquipmentSequence[0].InstitutionName == "東京"


def test_a_character_set_that_the_blueprint_names_and_the_text_does_not_fit() -> None:
    extra = Blueprint([StaticElement("SpecificCharacterSet", "ISO_IR 100"), InstanceCopyElement("ImageComments")])
    for index, dataset in enumerate(written(build(japanese_parent(), None, extra))):
        assert (dataset.SpecificCharacterSet, dataset.ImageComments) == ("ISO_IR 192", f"頭 {index}")


TEXTS = st.one_of(
    st.text(st.sampled_from(" aA1.-+\\^=_:é\x1b\n/"), max_size=18),
    st.sampled_from(["20240312", "103000.5", "1.50", " 7 ", "007", "+3", "1e3", "1.2.3", "064Y", "DERIVED", "x" * 70]),
    st.sampled_from(["y" * 40 + "\\" + "z" * 40, "A\\B", "1\\2", ""]),
)
VALUES = st.one_of(
    st.none(),
    TEXTS,
    st.integers(-(2**33), 2**33),
    st.floats(-1e20, 1e20),
    st.booleans(),
    st.builds(np.int16, st.integers(-5, 5)),
    st.builds(np.float32, st.floats(-5, 5, width=32)),
    st.builds(DSfloat, st.floats(-1e3, 1e3), auto_format=st.just(True)),
    st.lists(st.one_of(TEXTS, st.integers(-3, 3)), max_size=3),
)
TAGS = """ImageComments SeriesDescription StationName ScanOptions AcquisitionTime AcquisitionDate AcquisitionDateTime
SliceLocation AcquisitionNumber TriggerTime PatientAge ConcatenationUID OperatorsName RetrieveAETitle RetrieveURL
PixelPaddingValue NumberOfPhaseEncodingSteps DiffusionBValue LongCodeValue PatientState ReferencedFrameNumber""".split()

SMALL = Blueprint([StaticElement("SeriesDescription", "small")])
CONTEXT = BuildContext(datetime(2024, 3, 12, 10, 30), "seed")


@settings(max_examples=100)
@given(st.sampled_from(TAGS), VALUES)
@example("SliceLocation", " 7 ")
@example("AcquisitionNumber", ["1", " 2"])
@example("ConcatenationUID", DSfloat(0.5))
@example("AcquisitionDate", ["20240312", "20240312"])
@example("SeriesDescription", "y" * 40 + "\\" + "z" * 40)
@pytest.mark.slow
def test_values_of_functions_are_written_as_pydicom_writes_them(tag: str, value: Any) -> None:
    """The same bytes, or the same kind of error."""
    extra = Blueprint([FunctionalElement(tag, lambda env: value)])
    outcomes = []
    for write in (lambda s: s.encode(0), lambda s: pydicoms(s, 0)):
        try:
            series = build(PARENTS["ct"], None, SMALL + extra, blueprint=Blueprint(), context=CONTEXT)
            outcomes.append(write(series))
        except DerivedSeriesError as error:
            outcomes.append(type(error))
    assert outcomes[0] == outcomes[1]


def test_copies_of_values_that_break_their_vr_are_carried_over() -> None:
    """A parent's odd value (a DS of 17 characters, a lower case CS) is its own; it is no reason to fail."""
    import warnings

    datasets = phantoms.ct_phantom(2, 4, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for dataset in datasets:
            dataset.ScanOptions = "helical mode"
            dataset.TableSpeed = None
            dataset["TableSpeed"]._value = 12.5
            dataset.ProtocolName = "x" * 70
        parent = parent_of(datasets)
        series = build(parent, None, Blueprint([CopyElement("ProtocolName")]))
        assert_same(series)  # type: ignore[arg-type]
        assert written(series)[0].ScanOptions == "helical mode"
