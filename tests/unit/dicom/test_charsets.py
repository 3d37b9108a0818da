"""Names and text of every character set: byte for byte where the set is the parent's, else all of it in UTF-8."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ImplicitVRLittleEndian
from pydicom.valuerep import PersonName

import phantoms
from building import build, parent_of, written
from derived_series import (
    Blueprint,
    BuildContext,
    CopyElement,
    FillingStrategy,
    InstanceCopyElement,
    ParentSeries,
    SegmentationFactory,
    StaticElement,
)
from derived_series.dicom.series.finished import from_user_datasets
from test_encoding import assert_same

#: (SpecificCharacterSet, the bytes of a name, what they say). Those of ISO 2022 are PS3.5's examples (H.3, I.2, K.2).
NAMES: dict[str, tuple[Any, bytes, str]] = {
    "ISO_IR 100": ("ISO_IR 100", b"S\xf8ren^\xc5se", "Søren^Åse"),
    "ISO_IR 101": ("ISO_IR 101", "Wałęsa^Łucja".encode("iso8859_2"), "Wałęsa^Łucja"),
    "ISO_IR 144": ("ISO_IR 144", b"\xbb\xee\xdace\xdc\xd1yp\xd3", "Люкceмбypг"),
    "ISO_IR 126": ("ISO_IR 126", "Διονυσιος".encode("iso8859_7"), "Διονυσιος"),
    "ISO_IR 127": ("ISO_IR 127", "قباني^لنزار".encode("iso8859_6"), "قباني^لنزار"),
    "ISO_IR 138": ("ISO_IR 138", "שרון^דבורה".encode("iso8859_8"), "שרון^דבורה"),
    "ISO_IR 148": ("ISO_IR 148", "Çavuşoğlu".encode("iso8859_9"), "Çavuşoğlu"),
    "ISO_IR 166": ("ISO_IR 166", "นามสกุล".encode("tis_620"), "นามสกุล"),
    "ISO_IR 13": ("ISO_IR 13", b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3", "ﾔﾏﾀﾞ^ﾀﾛｳ"),
    "ISO_IR 192": (
        "ISO_IR 192",
        "Yamada^Tarou=山田^太郎=やまだ^たろう".encode(),
        "Yamada^Tarou=山田^太郎=やまだ^たろう",
    ),
    "Chinese in ISO_IR 192": ("ISO_IR 192", "Wang^XiaoDong=王^小東=".encode(), "Wang^XiaoDong=王^小東"),
    "ISO 2022 IR 87": (
        ["", "ISO 2022 IR 87"],
        b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
        "Yamada^Tarou=山田^太郎=やまだ^たろう",
    ),
    "ISO 2022 IR 13 and 87": (
        ["ISO 2022 IR 13", "ISO 2022 IR 87"],
        b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J=\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J",
        "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
    ),
    "ISO 2022 IR 149": (
        ["", "ISO 2022 IR 149"],
        b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
        "Hong^Gildong=洪^吉洞=홍^길동",
    ),
    "ISO 2022 IR 58": (
        ["", "ISO 2022 IR 58"],
        b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab=",
        "Zhang^XiaoDong=张^小东",
    ),
    "GB18030": ("GB18030", "Wang^XiaoDong=王^小东=".encode("gb18030"), "Wang^XiaoDong=王^小东"),
    "a backslash inside a character": ("GB18030", "Wang=乗^小".encode("gb18030"), "Wang=乗^小"),
    "several of one byte": (
        ["ISO 2022 IR 6", "ISO 2022 IR 100", "ISO 2022 IR 144"],
        b"\x1b-AJ\xe9r\xf4me^\x1b-L\xbb\xee\xda",
        "Jérôme^Люк",
    ),
    "empty groups": ("", b"Doe^John^^^==", "Doe^John^^^"),
}
BEYOND = "β-Karte 山 עברית ภาษา"
CONVERTED = [name for name, (charset, _, _) in NAMES.items() if charset not in ("ISO_IR 192", "GB18030")]


def with_name(dataset: Dataset, charset: Any, data: bytes, keyword: str = "PatientName") -> bytes:
    """The file of a dataset with these very bytes as a name."""
    dataset.SpecificCharacterSet = charset
    setattr(dataset, keyword, "?")
    dataset[keyword].value.original_string = data
    return phantoms.encode(dataset)


def bytes_of(content: bytes, keyword: str = "PatientName") -> bytes:
    """The bytes of an element as they stand in a file, without padding."""
    return bytes(dcmread(io.BytesIO(content)).get_item(keyword).value).rstrip(b" ")


def files(name: str, **changes: Any) -> list[bytes]:
    charset, data, _ = NAMES[name]
    return [with_name(dataset, charset, data) for dataset in phantoms.ct_phantom(2, 4, 4, **changes)]


def plain(name: PersonName) -> str:
    return str(name).rstrip("=")


@pytest.mark.wide(quick=5)
@pytest.mark.parametrize("strategy", FillingStrategy)
@pytest.mark.parametrize("name", NAMES)
def test_names_stay_byte_for_byte(name: str, strategy: FillingStrategy) -> None:
    contents = files(name)
    assert bytes_of(contents[0]) == NAMES[name][1]
    series = build(ParentSeries.from_bytes(contents), strategy=strategy)
    for index in range(len(series)):
        assert bytes_of(series.encode(index)) == NAMES[name][1]
        dataset = dcmread(io.BytesIO(series.encode(index)))
        assert (dataset.get("SpecificCharacterSet") or "") == (NAMES[name][0] or "")
    assert_same(series)  # type: ignore[arg-type]
    assert not any("cannot be written" in warning for warning in series.warnings)


def test_names_of_implicit_vr_and_of_each_instance_stay_too() -> None:
    charset, data, _ = NAMES["ISO 2022 IR 149"]
    operators = [b"Hong=\x1b$)C\xfb\xf3", b"Hong=\x1b$)C\xfb\xf3="]
    contents = []
    for index, dataset in enumerate(phantoms.ct_phantom(2, 4, 4)):
        with_name(dataset, charset, data)
        with_name(dataset, charset, operators[index], "OperatorsName")
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        contents.append(phantoms.encode(dataset))
    series = build(ParentSeries.from_bytes(contents), None, Blueprint([InstanceCopyElement("OperatorsName")]))
    for index in range(2):
        assert bytes_of(series.encode(index)) == data
        assert bytes_of(series.encode(index), "OperatorsName") == operators[index]
    assert_same(series)  # type: ignore[arg-type]


@pytest.mark.wide(quick=5)
@pytest.mark.parametrize("name", CONVERTED)
def test_text_beyond_the_repertoire_turns_all_to_utf8(name: str) -> None:
    charset, data, says = NAMES[name]
    contents = []
    for dataset in phantoms.ct_phantom(2, 4, 4):
        request = Dataset()
        request.RequestingPhysician = "?"
        request["RequestingPhysician"].value.original_string = data
        dataset.RequestAttributesSequence = Sequence([request])
        contents.append(with_name(dataset, charset, data))
    extra = Blueprint(
        [
            StaticElement("SeriesDescription", BEYOND),
            CopyElement("RequestAttributesSequence"),
            StaticElement(0x00111001, "LO", BEYOND, creator="ACME"),
        ]
    )
    series = build(ParentSeries.from_bytes(contents), None, extra)
    assert_same(series)  # type: ignore[arg-type]
    for dataset in written(series):
        assert dataset.SpecificCharacterSet == "ISO_IR 192"
        assert dataset.SeriesDescription == dataset[0x00111001].value == BEYOND
        assert plain(dataset.PatientName) == says
        assert plain(dataset.RequestAttributesSequence[0].RequestingPhysician) == says
    assert b"\x1b" not in bytes_of(series.encode(0))
    (warning,) = (warning for warning in series.warnings if "re-encoded" in warning)
    assert repr(BEYOND) in warning


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ISO_IR 13", "山"),  # Python's codec has it, the standard's ISO_IR 13 not
        ("ISO 2022 IR 58", "头部"),  # pydicom writes no escape sequence to it
        ("ISO 2022 IR 87", "é"),  # pydicom reads the default repertoire as Latin-1
        ("ISO 2022 IR 149", "头"),
    ],
)
def test_text_that_would_come_back_as_other_text_turns_all_to_utf8(name: str, text: str) -> None:
    series = build(ParentSeries.from_bytes(files(name)), None, Blueprint([StaticElement("SeriesDescription", text)]))
    for dataset in written(series):
        assert (dataset.SpecificCharacterSet, dataset.SeriesDescription) == ("ISO_IR 192", text)
        assert plain(dataset.PatientName) == NAMES[name][2]


@pytest.mark.parametrize(
    ("name", "text"), [("ISO 2022 IR 87", "頭部 CT"), ("ISO 2022 IR 149", "홍 CT"), ("GB18030", "头部")]
)
def test_text_of_the_repertoire_keeps_the_character_set(name: str, text: str) -> None:
    series = build(ParentSeries.from_bytes(files(name)), None, Blueprint([StaticElement("SeriesDescription", text)]))
    assert bytes_of(series.encode(0)) == NAMES[name][1]
    assert written(series)[0].SeriesDescription == text


@pytest.mark.filterwarnings("ignore:Failed to decode byte string")
def test_bytes_of_another_character_set_are_told() -> None:
    """A parent that says UTF-8 and holds Latin-1: all text keeps its bytes, and a warning names it."""
    contents = []
    for dataset in phantoms.ct_phantom(2, 4, 4, charset="ISO_IR 100"):
        dataset.StudyDescription = "Schädel"
        content = with_name(dataset, "ISO_IR 100", b"S\xf8ren")
        contents.append(content.replace(b"ISO_IR 100", b"ISO_IR 192"))
    series = build(ParentSeries.from_bytes(contents))
    assert bytes_of(series.encode(0)) == b"S\xf8ren"
    text = " ".join(series.warnings)
    named = "StudyDescription (0008,1030), PatientName (0010,0010)"
    assert f"{named}: not all bytes are of ISO_IR 192; they are kept as the parent has them" in text
    assert b"LO\x08\x00Sch\xe4del " in series.encode(0)


@pytest.mark.filterwarnings("ignore:Unknown encoding")
@pytest.mark.parametrize("charset", ["ISO_IR 999", ""])
def test_a_name_of_an_unknown_character_set_keeps_its_bytes(charset: str) -> None:
    """Nothing tells which letters they are: in another set they might become other ones."""
    parent = [with_name(dataset, charset, b"S\xf8ren") for dataset in phantoms.ct_phantom(2, 4, 4)]
    series = build(ParentSeries.from_bytes(parent))
    assert bytes_of(series.encode(0)) == b"S\xf8ren"
    assert (written(series)[0].get("SpecificCharacterSet") or "") == charset
    assert any("PatientName (0010,0010): not all bytes are of" in warning for warning in series.warnings)


#: A character set, bytes that are not all of it, and the same with nothing but ASCII beside them.
ODD = [
    ("ISO_IR 138", "שלום^עולם".encode("cp1255") + b"\xc4"),
    ("ISO_IR 192", b"S\xf8ren^\xc5se"),
    ("ISO_IR 6", b"M\xfcller"),
    ("", b"M\xfcller^J\xf6rg"),
    ("ISO_IR 127", b"\xff\xc7\xc8"),
    ("ISO_IR 13", b"\xff\xb1"),
    ("GB18030", b"\xff\xff^Li"),
    ("ISO_IR 166", b"\xdb\xa1"),
]


def odd_files(charset: str, data: bytes) -> list[bytes]:
    """Name, id and comment of a patient in bytes that are not all of the set that is named."""
    contents = []
    for dataset in phantoms.ct_phantom(2, 4, 4):
        dataset.PatientID = "ID"
        dataset.PatientComments = "COMMENT"
        content = with_name(dataset, charset, data)
        for tag, vr, old in ((b"\x10\x00\x20\x00", b"LO", b"ID"), (b"\x10\x00\x00\x40", b"LT", b"COMMENT ")):
            before = tag + vr + len(old).to_bytes(2, "little") + old
            new = data + b" " * (len(data) % 2)
            assert before in content
            content = content.replace(before, tag + vr + len(new).to_bytes(2, "little") + new)
        contents.append(content)
    return contents


def raw_text(content: bytes) -> list[bytes]:
    dataset = dcmread(io.BytesIO(content))
    return [
        bytes(dataset.get_item(name).value).rstrip(b" ") for name in ("PatientName", "PatientID", "PatientComments")
    ]


@pytest.mark.wide(quick=5)
@pytest.mark.filterwarnings("ignore:.*")
@pytest.mark.parametrize("kind", ["classic", "copied", "object", "legacy", "finished", "multi-frame parent"])
@pytest.mark.parametrize(("charset", "data"), ODD, ids=[name for name, _ in ODD])
def test_bytes_outside_of_the_character_set_are_kept(charset: str, data: bytes, kind: str) -> None:
    contents = odd_files(charset, data)
    parent = ParentSeries.from_bytes(contents)
    mask = np.ones(parent.shape, bool)
    if kind == "object":
        series = build(parent, mask, blueprint="segmentation", factory=SegmentationFactory())
    elif kind == "legacy":
        series = build(parent, parent.voxels(), blueprint="legacy_enhanced_ct")
    elif kind == "finished":
        series = from_user_datasets(list(build(parent)), parent, BuildContext())
    elif kind == "multi-frame parent":
        (whole,) = ParentSeries.from_bytes(
            [build(parent, parent.voxels(), blueprint="legacy_enhanced_ct").encode(0)]
        ).instances[:1]
        series = build(ParentSeries.from_datasets([whole.source]), blueprint="ct")
    else:
        strategy = FillingStrategy.COPY if kind == "copied" else FillingStrategy.DISCARD
        series = build(parent, strategy=strategy)
    for index in range(len(series)):
        content = bytes(series.encode(index))
        assert raw_text(content) == [data] * 3
        assert (dcmread(io.BytesIO(content)).get("SpecificCharacterSet") or "") == charset
    for name in ("PatientName (0010,0010)", "PatientID (0010,0020)", "PatientComments (0010,4000)"):
        assert any(name in warning and "not all bytes" in warning for warning in series.warnings)


@pytest.mark.wide(quick=7)
@pytest.mark.filterwarnings("ignore:.*")
@pytest.mark.parametrize("kind", ["classic", "object", "legacy", "finished", "pipeline's copy"])
@pytest.mark.parametrize(("charset", "data"), ODD, ids=[name for name, _ in ODD])
def test_bytes_outside_of_the_character_set_are_kept_in_sequences(charset: str, data: bytes, kind: str) -> None:
    """And what is at the top is kept with them."""
    text = data[:14]
    contents = []
    for dataset in phantoms.ct_phantom(2, 4, 4):
        code = Dataset()
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "1", "99X", "MEANING"
        request = Dataset()
        request.RequestedProcedureID, request.RequestedProcedureDescription = "1", "DESCRIPTION"
        request.RequestedProcedureCodeSequence = [code]
        dataset.RequestAttributesSequence = [request]
        dataset["RequestAttributesSequence"].is_undefined_length = True
        dataset.RequestAttributesSequence[0].is_undefined_length_sequence_item = True
        request["RequestedProcedureCodeSequence"].is_undefined_length = True
        code.is_undefined_length_sequence_item = True
        content = with_name(dataset, charset, data)
        for old in (b"LO\x08\x00MEANING ", b"LO\x0c\x00DESCRIPTION "):
            new = text + b" " * (len(text) % 2)
            assert content.count(old) == 1
            content = content.replace(old, b"LO" + len(new).to_bytes(2, "little") + new)
        contents.append(content)
    parent = ParentSeries.from_bytes(reversed(contents))
    if kind == "object":
        series = build(parent, np.ones(parent.shape, bool), blueprint="segmentation", factory=SegmentationFactory())
    elif kind == "legacy":
        series = build(parent, parent.voxels(), blueprint="legacy_enhanced_ct")
    elif kind == "finished":
        series = from_user_datasets(list(build(parent)), parent, BuildContext())
    elif kind == "pipeline's copy":
        series = build(parent.detached())
    else:
        series = build(parent)
    for index in range(len(series)):
        stored_dataset = dcmread(io.BytesIO(bytes(series.encode(index))))
        assert (stored_dataset.get("SpecificCharacterSet") or "") == charset
        assert bytes(stored_dataset.get_item("PatientName").value).rstrip(b" ") == data
        request = stored_dataset.RequestAttributesSequence[0]
        assert bytes(request.get_item("RequestedProcedureDescription").value).rstrip(b" ") == text
        (code,) = request.RequestedProcedureCodeSequence
        assert bytes(code.get_item("CodeMeaning").value).rstrip(b" ") == text
    assert any("RequestedProcedureDescription" in w and "not all bytes" in w for w in series.warnings)


@pytest.mark.filterwarnings("ignore:.*")
def test_text_that_needs_another_set_is_told_with_what_it_changes() -> None:
    parent = ParentSeries.from_bytes(odd_files("ISO_IR 138", ODD[0][1]))
    series = build(parent, None, Blueprint([StaticElement("SeriesDescription", BEYOND)]))
    assert written(series)[0].SpecificCharacterSet == "ISO_IR 192"
    text = " ".join(series.warnings)
    assert "PatientName (0010,0010)" in text and "PatientID (0010,0020)" in text and "replaced by other" in text
    assert "SeriesDescription (0008,103E)" in text and "re-encoded in ISO_IR 192" in text


def test_text_of_the_character_set_draws_no_warning() -> None:
    parent = ParentSeries.from_bytes(files("ISO_IR 100"))
    assert not any("bytes" in warning for warning in build(parent).warnings)


def test_instances_of_several_character_sets() -> None:
    """Text of each instance is written in the one set of the series."""
    datasets = phantoms.ct_phantom(2, 4, 4)
    for dataset, charset, text in zip(datasets, ("ISO_IR 100", "ISO_IR 144"), ("Schädel", "Голова"), strict=True):
        dataset.SpecificCharacterSet = charset
        dataset.ImageComments = text
    series = build(parent_of(datasets), None, Blueprint([InstanceCopyElement("ImageComments")]))
    results = written(series)
    assert {dataset.ImageComments for dataset in results} == {"Schädel", "Голова"}
    assert {dataset.SpecificCharacterSet for dataset in results} == {"ISO_IR 192"}


@pytest.mark.parametrize("finished", ["object", "adopted"])
@pytest.mark.parametrize("name", ["ISO_IR 100", "ISO 2022 IR 58"])
def test_finished_datasets_too(name: str, finished: str) -> None:
    parent = ParentSeries.from_bytes(files(name))
    for text, charset in (("plain", NAMES[name][0]), (BEYOND, "ISO_IR 192")):
        extra = Blueprint([StaticElement("SeriesDescription", text)])
        if finished == "object":
            mask = np.ones(parent.shape, bool)
            series = build(parent, mask, extra, blueprint="segmentation", factory=SegmentationFactory())
        else:
            series = from_user_datasets(list(build(parent, None, extra)), parent, BuildContext())
        dataset = dcmread(io.BytesIO(series.encode(0)))
        assert (dataset.SpecificCharacterSet, dataset.SeriesDescription) == (charset, text)
        if text == "plain":
            assert bytes_of(series.encode(0)) == NAMES[name][1]
        else:
            assert plain(dataset.PatientName) == NAMES[name][2]


@pytest.mark.parametrize("blueprint", ["ct", "segmentation", "secondary_capture", "legacy_enhanced_ct"])
@pytest.mark.parametrize(
    ("charset", "of_item", "text"),
    [
        ("ISO_IR 100", "ISO_IR 192", "山田^太郎"),
        ("ISO_IR 192", "ISO_IR 144", "Люкceмбypг"),
        (None, "ISO_IR 192", "山田"),
        ("ISO_IR 100", "ISO_IR 144", "Люк"),
    ],
)
def test_an_item_with_a_character_set_of_its_own(charset: str | None, of_item: str, text: str, blueprint: str) -> None:
    """PS3.3 C.12.1.1.2: its text is of that set, whatever the instance's is."""
    item, procedure = Dataset(), Dataset()
    item.SpecificCharacterSet = procedure.SpecificCharacterSet = of_item
    item.PatientID, item.TypeOfPatientID, item.IssuerOfPatientID = "X1", "TEXT", text
    procedure.CodeValue, procedure.CodingSchemeDesignator, procedure.CodeMeaning = "1", "99X", text
    datasets = phantoms.ct_phantom(3, 8, 8, patient_name="Plain^Name")
    for dataset in datasets:
        if charset is None:
            del dataset.SpecificCharacterSet
        else:
            dataset.SpecificCharacterSet = charset
        dataset.OtherPatientIDsSequence, dataset.ProcedureCodeSequence = [item], [procedure]
    parent = parent_of(datasets)
    series = build(parent, np.ones(parent.shape, np.uint8), blueprint=blueprint)
    assert not [warning for warning in series.warnings if "not all bytes" in warning or "re-encoded" in warning]
    for dataset in written(series):
        assert dataset.get("SpecificCharacterSet") == charset
        assert dataset.OtherPatientIDsSequence[0].IssuerOfPatientID == text
        assert dataset.ProcedureCodeSequence[0].CodeMeaning == text


@pytest.mark.filterwarnings("ignore:Failed to decode")
def test_bytes_that_are_not_in_an_items_own_character_set() -> None:
    """They are kept, and told."""
    item = Dataset()
    item.SpecificCharacterSet, item.PatientID, item.TypeOfPatientID = "ISO_IR 192", "X1", "TEXT"
    item.IssuerOfPatientID = "SIGN"
    datasets = phantoms.ct_phantom(3, 8, 8, patient_name="Plain^Name")
    for dataset in datasets:
        dataset.OtherPatientIDsSequence = [item]
    files = [phantoms.encode(dataset).replace(b"SIGN", b"S\xf8gn") for dataset in datasets]
    series = build(ParentSeries.from_bytes(files))
    assert any("IssuerOfPatientID" in w and "kept as the parent has them" in w for w in series.warnings)
    assert b"S\xf8gn" in series.encode(0)
