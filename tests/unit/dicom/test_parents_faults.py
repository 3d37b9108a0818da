"""What the parent has wrong itself, and is only carried over, is a warning that names the parent, never a refusal."""

from __future__ import annotations

import re
import struct
import warnings
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.tag import Tag
from pydicom.uid import RLELossless

from building import LIBRARY, build, parent_of, volume, written
from dciodvfy import errors
from derived_series import Blueprint, BuildContext, ParentSeries, StaticElement
from derived_series.dicom.encoding.value_rules import is_uid, values_of
from derived_series.dicom.modules.codes import code_item
from derived_series.dicom.series.interface import Series
from derived_series.dicom.validation import errors as validation_errors
from derived_series.dicom.validation import validate
from derived_series.errors import BlueprintError, GeometryError, InvalidParent, ValidationFailed
from derived_series.pipelines.run import Options, extra_blueprint, run_blueprint
from phantoms import compressed, ct_phantom, encode, mr_phantom, pet_phantom
from phantoms_projection import mammograms

pytestmark = pytest.mark.filterwarnings("ignore")  # pydicom tells of every wrong value that it reads

PHANTOMS = {"ct": ct_phantom, "mr": mr_phantom, "pet": pet_phantom}
OTHER_KINDS = ("secondary_capture", "multiframe_secondary_capture", "segmentation", "parametric_map", "rt_dose")
MADE = [(kind, blueprint) for kind in PHANTOMS for blueprint in (kind, f"legacy_enhanced_{kind}")]
MADE += [("ct", blueprint) for blueprint in OTHER_KINDS]
ENHANCED = [(kind, f"legacy_enhanced_{kind}") for kind in PHANTOMS]


def derive(kind: str, blueprint: str, change: Callable[[Dataset], Any], folder: Path) -> tuple[ParentSeries, Series]:
    """A derivation with validation Strict of a phantom that was changed."""
    datasets = PHANTOMS[kind](3, 8, 8)
    for dataset in datasets:
        change(dataset)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parent = ParentSeries.from_bytes([encode(dataset) for dataset in datasets])
        image = np.zeros(parent.shape, np.float32 if blueprint in ("parametric_map", "rt_dose") else np.uint8)
        image[1, 2:4, 2:4] = 1
        np.save(folder / "image.npy", image)
        result = folder / "image.npy" if blueprint in OTHER_KINDS else None
        return parent, run_blueprint(LIBRARY, blueprint, "numpy", parent, result, Options(), BuildContext())


def is_warned_of(series: Series, keyword: str) -> bool:
    return any(warning.startswith(keyword) and "the parent has it" in warning for warning in series.warnings)


def raw(keyword: str, value: bytes) -> Callable[[Dataset], None]:
    """A value as it stands in a file, which pydicom would not write."""

    def change(dataset: Dataset) -> None:
        tag = Tag(keyword)
        vr = dictionary_VR(keyword)
        padded = value + b" " * (len(value) % 2)
        dataset[tag] = RawDataElement(tag, vr, len(padded), padded, 0, False, True)

    return change


def with_a_zero(*keywords: str) -> Callable[[Dataset], None]:
    """UIDs whose last component begins with a zero."""

    def change(dataset: Dataset) -> None:
        for keyword in keywords:
            head, last = str(dataset[keyword].value).rsplit(".", 1)
            uid = f"{head}.0{last[1:]}".encode()
            uid += b"\0" * (len(uid) % 2)
            dataset[keyword] = RawDataElement(Tag(keyword), "UI", len(uid), uid, 0, False, True)

    return change


@pytest.mark.wide(quick=4)
@pytest.mark.parametrize(("kind", "blueprint"), MADE)
def test_identity_removed_without_a_method(kind: str, blueprint: str, tmp_path: Path) -> None:
    _, series = derive(kind, blueprint, lambda d: setattr(d, "PatientIdentityRemoved", "YES"), tmp_path)
    assert is_warned_of(series, "DeidentificationMethod")
    assert written(series)[0].PatientIdentityRemoved == "YES"


def test_what_the_request_itself_has_wrong_is_refused() -> None:
    parent = ParentSeries.from_datasets(ct_phantom(3, 8, 8))
    options = Options(extra=extra_blueprint({"WindowWidth": None}))
    with pytest.raises(ValidationFailed, match="WindowWidth"):
        run_blueprint(LIBRARY, "ct", "numpy", parent, None, options, BuildContext())


UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")


@pytest.mark.wide(quick=4)
@pytest.mark.parametrize(("kind", "blueprint"), MADE)
def test_uids_with_leading_zeros(kind: str, blueprint: str, tmp_path: Path) -> None:
    parent, series = derive(kind, blueprint, with_a_zero(*UIDS), tmp_path)
    assert is_warned_of(series, "StudyInstanceUID") and is_warned_of(series, "ReferencedSOPInstanceUID")
    known = {str(dataset.SOPInstanceUID) for dataset in parent.instances}
    for dataset in written(series):
        assert dataset.StudyInstanceUID == parent.study_instance_uid
        (references,) = dataset.ReferencedSeriesSequence
        assert references.SeriesInstanceUID == parent.series_instance_uid
        assert {str(item.ReferencedSOPInstanceUID) for item in references.ReferencedInstanceSequence} <= known
        if "FrameOfReferenceUID" in dataset:
            assert dataset.FrameOfReferenceUID == parent.pivot.FrameOfReferenceUID
        for uid in (dataset.SOPInstanceUID, dataset.SeriesInstanceUID):
            assert not re.search(r"\.0\d", uid)


def test_a_uid_with_a_leading_zero_that_is_not_the_parents_is_refused() -> None:
    item = Dataset()
    item.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    item["ReferencedSOPInstanceUID"] = RawDataElement(Tag(0x00081155), "UI", 8, b"1.2.03.4", 0, False, True)
    parent = ParentSeries.from_datasets(ct_phantom(3, 8, 8))
    with pytest.raises((ValidationFailed, BlueprintError), match=r"1\.2\.03\.4"):
        extra = Blueprint([StaticElement("ReferencedImageSequence", "SQ", [item])])
        run_blueprint(LIBRARY, "ct", "numpy", parent, None, Options(extra=extra), BuildContext())


@pytest.mark.wide(quick=6)
@pytest.mark.parametrize(("kind", "blueprint"), MADE)
@pytest.mark.parametrize("keyword", ["PatientWeight", "PixelSpacing", "SliceThickness"])
def test_decimal_strings_of_17_characters(kind: str, blueprint: str, keyword: str, tmp_path: Path) -> None:
    value = b"1.500000000000000\\1.500000000000000" if keyword == "PixelSpacing" else b"72.00000000000001"
    _, series = derive(kind, blueprint, raw(keyword, value), tmp_path)
    datasets = [dataset for dataset in written(series) if keyword in dataset]
    assert is_warned_of(series, keyword) or all(
        len(v) <= 16 for d in datasets for v in str(d[keyword].value).split("\\")
    )


@pytest.mark.wide(quick=4)
@pytest.mark.parametrize(("kind", "blueprint"), MADE)
def test_positions_of_17_characters(kind: str, blueprint: str, tmp_path: Path) -> None:
    """Of sagittal slices as well, each of which has another one in its first value."""

    def change(dataset: Dataset) -> None:
        text = "\\".join(f"{float(value):.15f}" for value in dataset.ImagePositionPatient)
        raw("ImagePositionPatient", text.encode())(dataset)

    parent, series = derive(kind, blueprint, change, tmp_path)
    assert parent.grid is not None and len(series) in (1, len(parent))


@pytest.mark.parametrize(("kind", "blueprint"), ENHANCED)
@pytest.mark.parametrize("laterality", ["", None])
def test_laterality_that_nothing_tells(kind: str, blueprint: str, laterality: str | None, tmp_path: Path) -> None:
    def change(dataset: Dataset) -> None:
        dataset.BodyPartExamined = "KNEE"
        if laterality is not None:
            dataset.ImageLaterality = laterality

    _, series = derive(kind, blueprint, change, tmp_path)
    assert is_warned_of(series, "FrameLaterality")


@pytest.mark.wide(quick=3)
@pytest.mark.parametrize(("kind", "blueprint"), ENHANCED)
@pytest.mark.parametrize("number", [b"70000", b"-1", b"1.5"])
def test_acquisition_numbers_that_a_frame_cannot_hold(kind: str, blueprint: str, number: bytes, tmp_path: Path) -> None:
    _, series = derive(kind, blueprint, raw("AcquisitionNumber", number), tmp_path)
    (dataset,) = written(series)
    groups = (*dataset.SharedFunctionalGroupsSequence, *dataset.PerFrameFunctionalGroupsSequence)
    contents = [content for group in groups for content in group.get("FrameContentSequence") or ()]
    assert contents and not any("FrameAcquisitionNumber" in content for content in contents)
    assert any("FrameAcquisitionNumber" in w and f"parent's {number.decode()}" in w for w in series.warnings)


@pytest.mark.wide(quick=8)
@pytest.mark.parametrize(("kind", "blueprint"), MADE)
@pytest.mark.parametrize("number", [b"2147483647", b"-2147483648", b"2147483000", b"1.5", b"3000000000"])
def test_series_numbers_at_the_ends_of_their_range(kind: str, blueprint: str, number: bytes, tmp_path: Path) -> None:
    _parent, series = derive(kind, blueprint, raw("SeriesNumber", number), tmp_path)
    written_number = int(written(series)[0].SeriesNumber)
    assert 0 < written_number < 2**31 and str(written_number) != number.decode()


def test_numbers_of_the_study_are_passed_over_at_the_end_of_the_range() -> None:
    taken: Iterable[int] = {1, 2, 2**31 - 1}
    assert BuildContext(taken_series_numbers=frozenset(taken)).series_number(2**31 - 1001) == 3


@pytest.mark.parametrize("blueprint", ["segmentation", "summary", "legacy_enhanced_ct"])
@pytest.mark.parametrize("thickness", [b"abc", b"nan", b"-1", b"1e300"])
def test_a_thickness_that_no_slice_has(blueprint: str, thickness: bytes) -> None:
    datasets = ct_phantom(3, 8, 8)
    for instance in datasets:
        raw("SliceThickness", thickness)(instance)
    parent = ParentSeries.from_bytes([encode(instance) for instance in datasets])
    image = np.ones(parent.shape, np.uint8)
    (dataset, *_) = written(build(parent, image, blueprint=blueprint))
    if blueprint != "summary":
        shared, frame = dataset.SharedFunctionalGroupsSequence[0], dataset.PerFrameFunctionalGroupsSequence[0]
        (measures,) = (shared if "PixelMeasuresSequence" in shared else frame).PixelMeasuresSequence
        assert float(measures.SliceThickness) == 2.5  # the distance of the slices


@pytest.mark.parametrize("slices", [3, 26])
@pytest.mark.parametrize(
    ("keyword", "value"), [("KVP", b"abc"), ("AcquisitionTime", b"25"), ("AcquisitionDate", b"20240312-")]
)
def test_what_cannot_be_read_is_left_out_of_an_enhanced_image(slices: int, keyword: str, value: bytes) -> None:
    datasets = ct_phantom(slices, 8, 8)
    for dataset in datasets:
        raw(keyword, value)(dataset)
    series = build(datasets, blueprint="legacy_enhanced_ct")
    assert any(re.match(rf"{keyword} .* is left out: .*{value.decode()}", warning) for warning in series.warnings)
    assert written(series)[0].NumberOfFrames == slices


def test_a_range_in_place_of_a_date_is_told(tmp_path: Path) -> None:
    _, series = derive("ct", "ct", raw("AcquisitionDate", b"20240312-"), tmp_path)
    assert is_warned_of(series, "AcquisitionDate")


@pytest.mark.parametrize("modality", ["", "ct", "OT"])
def test_an_image_type_without_a_modality_to_go_by(modality: str, tmp_path: Path) -> None:
    """A CT image has a value 3 (PS3.3 C.8.2.1.1.1), whatever its parent calls itself."""

    def change(dataset: Dataset) -> None:
        dataset.Modality = modality

    _, series = derive("ct", "ct", change, tmp_path)
    assert list(written(series)[0].ImageType) == ["DERIVED", "SECONDARY", "AXIAL"]


@pytest.mark.parametrize("blueprint", ["ct", "segmentation"])
def test_directions_of_another_length_than_1(blueprint: str, tmp_path: Path) -> None:
    _, series = derive("ct", blueprint, raw("ImageOrientationPatient", b"1.05\\0\\0\\0\\0.95\\0"), tmp_path)
    assert any("lengths 1.05 and 0.95" in warning for warning in series.warnings)
    (dataset, *_) = written(series)
    if blueprint == "segmentation":
        dataset = dataset.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0]
    assert list(map(float, dataset.ImageOrientationPatient)) == [1, 0, 0, 0, 1, 0]


def test_directions_of_twice_the_length_are_refused(tmp_path: Path) -> None:
    with pytest.raises(GeometryError, match="unit vectors"):
        derive("ct", "segmentation", raw("ImageOrientationPatient", b"2\\0\\0\\0\\2\\0"), tmp_path)


@pytest.mark.parametrize("value", [b"nan", b"inf", b"1e400"])
def test_a_slope_that_is_not_finite_is_named(value: bytes, tmp_path: Path) -> None:
    with pytest.raises(InvalidParent, match=r"RescaleSlope \(0028,1053\)"):
        derive("ct", "ct", raw("RescaleSlope", value), tmp_path)


def test_a_slope_of_zero_is_told(tmp_path: Path) -> None:
    _, series = derive("pet", "pet", raw("RescaleSlope", b"0"), tmp_path)
    assert any("is 0: it was taken as 1" in warning for warning in series.warnings)


@pytest.mark.parametrize(
    ("keyword", "value", "words"),
    [
        ("HighBit", 5, "HighBit (0028,0102) of the parent series is 5, with 12 bits of 16: it was taken as 11"),
        ("HighBit", 16, "HighBit (0028,0102) of the parent series is 16"),
        ("BitsStored", 20, "BitsStored (0028,0101) of the parent series is 20, of 16"),
        ("BitsStored", 0, "BitsStored (0028,0101) of the parent series is 0, of 16"),
        ("PixelRepresentation", None, "no PixelRepresentation (0028,0103): its values were taken as unsigned"),
        ("HighBit", None, ""),
    ],
)
def test_bits_that_cannot_be_are_told(keyword: str, value: int | None, words: str) -> None:
    wanted = parent_of(ct_phantom(3, 8, 8)).voxels()
    datasets = ct_phantom(3, 8, 8)
    for dataset in datasets[1:]:
        setattr(dataset, keyword, value)
    series = build(datasets)
    assert np.array_equal(volume(series), wanted)
    warned = [warning for warning in series.warnings if "taken" in warning]
    assert len(warned) == bool(words) and all(words in warning for warning in warned)


def test_a_highest_bit_that_cannot_be_is_told_of_run_lengths_too() -> None:
    datasets = compressed(ct_phantom(3, 8, 8), RLELossless)
    for dataset in datasets:
        dataset.HighBit = 5
    series = build(datasets)
    assert np.array_equal(volume(series), parent_of(ct_phantom(3, 8, 8)).voxels())
    assert any("it was taken as 11" in warning for warning in series.warnings)


@pytest.mark.parametrize(("keyword", "value"), [("RescaleSlope", [1, 2]), ("SamplesPerPixel", [1, 1])])
def test_several_numbers_in_place_of_one_are_named(keyword: str, value: Any) -> None:
    datasets = ct_phantom(3, 8, 8)
    setattr(datasets[1], keyword, value)
    with pytest.raises(
        InvalidParent, match=rf"{keyword} \(0028,\d{{4}}\) of instance {datasets[1].SOPInstanceUID} is .*, not a number"
    ):
        build(datasets)


def test_an_image_without_rows_is_not_one() -> None:
    datasets = ct_phantom(3, 8, 8)
    for dataset in datasets:
        dataset.Rows = 0
    with pytest.raises(InvalidParent, match="not an image: it has 0 Rows and 8 Columns"):
        parent_of(datasets)
    for dataset in datasets:
        del dataset.Rows
    with pytest.raises(InvalidParent, match="not an image: it has no Rows and Columns") as caught:
        parent_of(datasets)
    assert caught.value.remedy and "derive from a series of images" in caught.value.remedy


@pytest.mark.parametrize("keyword", ["RescaleSlope", "RescaleIntercept"])
@pytest.mark.parametrize(
    ("kind", "lacking", "begins"),
    [("ct", 1, "1 of the 3 instances"), ("ct", 3, "the parent series has"), ("pet", 2, "2 of the 3"), ("mr", 0, "")],
)
def test_a_rescale_that_instances_lack_is_told(kind: str, lacking: int, begins: str, keyword: str) -> None:
    """It is of type 1 in CT and PET; MR has none, in all or in some of its instances."""
    datasets = PHANTOMS[kind](3, 8, 8)
    for dataset in datasets[:lacking]:
        del dataset[keyword]
    warned = [w for w in build(datasets).warnings if "it was taken as" in w]
    assert len(warned) == bool(begins) and all(w.startswith(begins) and keyword in w for w in warned)
    if kind == "mr":
        datasets[1].RescaleSlope, datasets[1].RescaleIntercept = 2, 0
        assert sum("2 of the 3 instances" in warning for warning in build(datasets).warnings) == 2


def test_an_enhanced_image_of_one_slice_has_both_groups_of_what_is_unassigned() -> None:
    """PS3.3 table A.70-2: they are mandatory; that of each frame is empty where one slice has all in common."""
    (dataset,) = written(build(ct_phantom(1, 8, 8), blueprint="legacy_enhanced_ct"))
    assert len(dataset.PerFrameFunctionalGroupsSequence[0].UnassignedPerFrameConvertedAttributesSequence) == 1
    assert len(dataset.SharedFunctionalGroupsSequence[0].UnassignedSharedConvertedAttributesSequence) == 1


@pytest.mark.parametrize("offset", [b"+9", b"0900", b"+2500", b"+0160", b"+01:00"])
def test_a_time_zone_that_is_not_an_offset_is_told(offset: bytes, tmp_path: Path) -> None:
    for blueprint in ("ct", "segmentation"):
        _, series = derive("ct", blueprint, raw("TimezoneOffsetFromUTC", offset), tmp_path)
        assert is_warned_of(series, "TimezoneOffsetFromUTC")
        now, times = datetime.now(), [dataset.ContentDate + dataset.ContentTime[:6] for dataset in written(series)]
        assert all(abs(datetime.strptime(time, "%Y%m%d%H%M%S") - now) < timedelta(hours=1) for time in times)


def test_a_ct_image_says_its_patient_position_whatever_it_was_made_from() -> None:
    """PS3.3 C.7.3.1, type 2C of CT and MR images: empty where a PET, which has none, does not tell."""
    (dataset, *_) = written(build(pet_phantom(3, 8, 8), blueprint="ct"))
    assert "PatientPosition" in dataset and dataset["PatientPosition"].is_empty
    (dataset, *_) = written(build(pet_phantom(3, 8, 8)))
    assert "PatientPosition" not in dataset


@pytest.mark.parametrize("manufacturer", ["", None])
def test_an_enhanced_image_names_a_manufacturer(manufacturer: str | None) -> None:
    """Of type 1 in enhanced images (PS3.3 C.7.5.2), of type 2 in the parent."""
    datasets = ct_phantom(3, 8, 8)
    for dataset in datasets:
        dataset.Manufacturer = manufacturer
    series = build(datasets, blueprint="legacy_enhanced_ct")
    assert series.dataset(0).Manufacturer == "Unknown" and errors(series.encode(0)) == []
    assert any(warning.startswith("Manufacturer (0008,0070) is 'Unknown'") for warning in series.warnings)
    assert build(datasets).dataset(0).Manufacturer in ("", None)


@pytest.mark.parametrize(
    ("value", "series_type"),
    [
        ("STATIC", ["STATIC", "IMAGE"]),
        ("DYNAMIC", ["STATIC", "IMAGE"]),  # of one volume
        ("GATED", ["GATED", "IMAGE"]),
        ("WHOLE BODY", ["WHOLE BODY", "IMAGE"]),
        (None, ["STATIC", "IMAGE"]),
        (["", "REPROJECTION"], ["STATIC", "REPROJECTION"]),
        (["WHOLE BODY", ""], ["WHOLE BODY", "IMAGE"]),
    ],
)
def test_a_series_type_that_is_not_two_values(value: Any, series_type: list[str], tmp_path: Path) -> None:
    _, series = derive("pet", "pet", lambda dataset: setattr(dataset, "SeriesType", value), tmp_path)
    assert {tuple(dataset.SeriesType) for dataset in written(series)} == {tuple(series_type)}


def test_a_series_type_that_is_not_a_code_string(tmp_path: Path) -> None:
    _, series = derive("pet", "pet", raw("SeriesType", b"low dose, static"), tmp_path)
    assert list(written(series)[0].SeriesType) == ["low dose, static", "IMAGE"]
    assert is_warned_of(series, "SeriesType")


def _equipment(lacking: str) -> Dataset:
    """An item of ContributingEquipmentSequence that lacks an attribute of type 1."""
    item = Dataset()
    item.Manufacturer = "Archive"
    item.PurposeOfReferenceCodeSequence = [code_item(Code("109104", "DCM", "De-identifying Equipment"))]
    if lacking == "CodeMeaning":
        del item.PurposeOfReferenceCodeSequence[0].CodeMeaning
    else:
        del item[lacking]
    return item


@pytest.mark.wide(quick=8)
@pytest.mark.parametrize("lacking", ["PurposeOfReferenceCodeSequence", "Manufacturer", "CodeMeaning"])
@pytest.mark.parametrize(("kind", "blueprint"), MADE)
def test_contributing_equipment_that_the_parent_describes_in_part(
    kind: str, blueprint: str, lacking: str, tmp_path: Path
) -> None:
    def change(dataset: Dataset) -> None:
        dataset.ContributingEquipmentSequence = [_equipment(lacking)]

    _, series = derive(kind, blueprint, change, tmp_path)
    assert any(w.startswith(lacking) and "the parent has it no better" in w for w in series.warnings)
    item, *_ = written(series)[0].ContributingEquipmentSequence
    assert item == _equipment(lacking)


def test_own_equipment_that_is_described_in_part_is_refused_beside_the_parents(tmp_path: Path) -> None:
    datasets = ct_phantom(3, 8, 8)
    for dataset in datasets:
        dataset.ContributingEquipmentSequence = [_equipment("Manufacturer")]
    parent = parent_of(datasets)
    ours = _equipment("Manufacturer")
    ours.ManufacturerModelName = "another"
    items = StaticElement("ContributingEquipmentSequence", "SQ", [_equipment("Manufacturer"), ours])
    series = build(parent, extra=Blueprint([items]))
    (wrong,) = validation_errors(validate(series, parent))
    assert "Manufacturer" in str(wrong) and "ContributingEquipmentSequence[1]" in str(wrong)


@pytest.mark.parametrize("lacking", ["CodeMeaning", "ViewModifierCodeSequence"])
def test_views_that_differ_by_image_and_lack_an_attribute(lacking: str) -> None:
    """Each image has its own view, so most are not those of the first instance."""
    datasets = mammograms()
    for dataset in datasets:
        del dataset.ViewCodeSequence[0][lacking]
    parent = parent_of(datasets)
    series = run_blueprint(LIBRARY, "mg", "numpy", parent, None, Options(), BuildContext())
    assert any(lacking in w and "the parent has it no better" in w for w in series.warnings)
    views = [dataset.ViewCodeSequence[0] for dataset in written(series)]
    assert len({view.CodeValue for view in views}) > 1 and not any(lacking in view for view in views)


#: Attributes of which each slice has a value of its own that is wrong, by kind: they end in a functional group.
WRONG_IN_EACH = {
    ("ct", "TableHeight"): b"1.23456789012345%d",  # longer than 16 characters
    ("ct", "FocalSpots"): b"0.12345678901234%d\\1.0",
    ("ct", "ConvolutionKernel"): b"A KERNEL OF MANY WORDS %d",
    ("ct", "FilterType"): b"A FILTER OF MANY WORDS %d",
    ("ct", "ScanOptions"): b"an option %d",
    ("mr", "SequenceName"): b"A SEQUENCE OF MANY WORDS %d",
    ("mr", "ImageLaterality"): b"side %d",
    ("ct", "FilterType "): b"FLAT\\WEDGE%d",  # of one value
    ("mr", "SequenceName "): b"ONE\\OTHER%d",
    ("ct", "DataCollectionDiameter"): b"500\\25%d",
    ("pet", "ReconstructionMethod"): b"OSEM\\TOF%d",
}


@pytest.mark.wide(quick=8)
@pytest.mark.parametrize("slices", [3, 26])
@pytest.mark.parametrize(("kind", "keyword"), WRONG_IN_EACH)
def test_a_wrong_value_of_each_slice_is_a_warning_in_a_functional_group(kind: str, keyword: str, slices: int) -> None:
    datasets = PHANTOMS[kind](slices, 8, 8)
    for number, dataset in enumerate(datasets):
        raw(keyword.strip(), WRONG_IN_EACH[kind, keyword] % (number % 10))(dataset)
    parent = ParentSeries.from_bytes([encode(dataset) for dataset in datasets])
    series = run_blueprint(LIBRARY, f"legacy_enhanced_{kind}", "numpy", parent, None, Options(), BuildContext())
    assert any("the parent has it" in warning for warning in series.warnings)
    assert len(written(series)[0].PerFrameFunctionalGroupsSequence) == slices


@pytest.mark.parametrize(("kind", "blueprint"), ENHANCED)
@pytest.mark.parametrize("keyword", ["Manufacturer", "ManufacturerModelName", "DeviceSerialNumber", "SoftwareVersions"])
def test_equipment_with_a_long_name(kind: str, blueprint: str, keyword: str, tmp_path: Path) -> None:
    _, series = derive(kind, blueprint, raw(keyword, b"x" * 80), tmp_path)
    assert written(series)[0][keyword].value == "x" * 80 and is_warned_of(series, keyword)


def in_vr(keyword: str, vr: str, value: bytes | None = None) -> Callable[[Dataset], None]:
    """The same text, or other bytes, under another VR."""

    def change(dataset: Dataset) -> None:
        tag, data = Tag(keyword), value
        if data is None:
            data = "\\".join(map(str, values_of(dataset[tag]))).encode()
        data += b" " * (len(data) % 2)
        dataset[tag] = RawDataElement(tag, vr, len(data), data, 0, False, True)

    return change


#: Attributes that a file has in another VR than PS3.6, and bytes of a number.
OTHER_VRS: list[tuple[str, str, bytes | None]] = [
    *[(keyword, "LO", None) for keyword in ("StudyDate", "PatientName", "SliceThickness", "FrameOfReferenceUID")],
    *[("ImagePositionPatient", vr, None) for vr in ("LO", "ST", "UT")],
    *[("KVP", "SH", None), ("PixelSpacing", "SH", None), ("ImageOrientationPatient", "LT", None)],
    *[("SliceThickness", "FL", struct.pack("<f", 2.5)), ("SliceThickness", "FD", struct.pack("<d", 2.5))],
    *[
        ("SliceThickness", "US", b"\2\0"),
        ("InstanceNumber", "LO", None),
        ("Rows", "IS", None),
        ("Columns", "UL", b"\x08\0\0\0"),
    ],
]


@pytest.mark.wide(quick=12)
@pytest.mark.parametrize("blueprint", ["ct", "legacy_enhanced_ct", "segmentation"])
@pytest.mark.parametrize(("keyword", "vr", "value"), OTHER_VRS)
def test_a_standard_attribute_in_another_vr_is_read_by_the_dictionary(
    keyword: str, vr: str, value: bytes | None, blueprint: str, tmp_path: Path
) -> None:
    parent, series = derive("ct", blueprint, in_vr(keyword, vr, value), tmp_path)
    right, _ = derive("ct", blueprint, lambda dataset: None, tmp_path)
    (warning,) = [warning for warning in series.warnings if f"has the VR {vr}: it was read as" in warning]
    assert warning.startswith(keyword)
    wanted = {"US": 2, "FL": 2.5, "FD": 2.5, "UL": 8}.get(vr, right.pivot[keyword].value)
    assert parent.pivot[keyword].value == wanted and parent.pivot[keyword].VR == dictionary_VR(keyword)
    for dataset in written(series):
        assert keyword not in dataset or dataset[keyword].VR == dictionary_VR(keyword)


def test_a_number_that_is_none_stays_in_its_other_vr(tmp_path: Path) -> None:
    parent, series = derive("ct", "ct", in_vr("KVP", "SH", b"high"), tmp_path)
    assert any(w.startswith("KVP") and "in place of DS, which its value cannot be of" in w for w in series.warnings)
    assert parent.pivot.KVP == "high"


def test_a_vr_that_is_another_in_some_instances_only() -> None:
    datasets = ct_phantom(4, 8, 8)
    in_vr("StudyID", "LO")(datasets[2])
    parent = parent_of(datasets)
    assert {instance["StudyID"].VR for instance in parent.instances} == {"SH"} and parent.is_constant("StudyID")
    assert [warning[:7] for warning in parent.warnings] == ["StudyID"]


@pytest.mark.parametrize("which", [slice(None), slice(1, 2), slice(0, 2)])
@pytest.mark.parametrize("value", [b"abc", b"1.2.x", b"1." + b"2" * 70])
@pytest.mark.parametrize("blueprint", ["ct", "segmentation", "legacy_enhanced_ct"])
def test_a_frame_of_reference_that_is_not_a_uid_is_replaced(blueprint: str, value: bytes, which: slice) -> None:
    datasets = ct_phantom(3, 8, 8)
    for dataset in datasets[which]:
        raw("FrameOfReferenceUID", value)(dataset)
    parent = ParentSeries.from_bytes([encode(dataset) for dataset in datasets])
    series = build(parent, np.ones(parent.shape, np.uint8), blueprint=blueprint)
    (frame,) = {dataset.FrameOfReferenceUID for dataset in written(series)}
    assert is_uid(frame) and frame != datasets[-1].FrameOfReferenceUID
    assert any(w.startswith("FrameOfReferenceUID") and value.decode() in w for w in series.warnings)
    assert validation_errors(validate(series, parent)) == ()


def test_an_identity_that_is_not_a_uid_is_refused_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(InvalidParent, match="StudyInstanceUID .*'abc' is not a UID.*send the series again"):
        derive("ct", "ct", raw("StudyInstanceUID", b"abc"), tmp_path)
