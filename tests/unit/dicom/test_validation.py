"""The gate before STOW: a good series passes without a word, each fault of a bad one is found and named."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import CTImageStorage, generate_uid

import dciodvfy
from building import build, parent_of, written
from derived_series import (
    Blueprint,
    DiscardElement,
    FunctionalElement,
    InstanceCopyElement,
    InstanceEnvironment,
    NumpyFactory,
    ParentSeries,
    StaticElement,
)
from derived_series.dicom.blueprints.build_context import BuildContext
from derived_series.dicom.blueprints.function_elements import ImageElement
from derived_series.dicom.modules import ct_image_blueprint, image_plane_blueprint, volume_blueprint
from derived_series.dicom.series.classic import DerivedSeries
from derived_series.dicom.series.finished import FinishedSeries, from_user_datasets
from derived_series.dicom.series.required import REQUIRED, required_blueprint
from derived_series.dicom.validation import Severity, errors, lint, validate
from derived_series.dicom.validation.standard import iod_of
from derived_series.errors import BlueprintError, GeometryError, ValidationFailed
from derived_series.pipelines.gate import check_series
from derived_series.pipelines.library import Library
from phantoms import ct_phantom, decoded, mr_phantom, pet_phantom

BLUEPRINTS = Path(__file__).resolve().parents[3] / "blueprints"


def built(blueprint: Blueprint, parent: ParentSeries, image: Any = None) -> DerivedSeries:
    factory = NumpyFactory()
    series = factory.build(factory.make_series_header(parent, blueprint), parent.slices() if image is None else image)
    assert isinstance(series, DerivedSeries)
    return series


@pytest.fixture(scope="module")
def parent() -> ParentSeries:
    return ParentSeries.from_datasets(ct_phantom(5))


def datasets(parent: ParentSeries) -> FinishedSeries:
    series = built(volume_blueprint + ct_image_blueprint, parent)
    return FinishedSeries(tuple(series), ())


@pytest.mark.wide(quick=3)
@pytest.mark.parametrize(
    ("name", "phantom"),
    [("ct", ct_phantom), ("mr", mr_phantom), ("pet", pet_phantom), ("secondary_capture", ct_phantom)],
)
@pytest.mark.parametrize("masked", [False, True])
def test_ready_blueprints_pass_without_a_finding(name: str, phantom: Callable[[], list[Dataset]], masked: bool) -> None:
    parent = ParentSeries.from_datasets(phantom())
    image = parent.voxels() > 0 if masked else None
    series = built(Library.load([BLUEPRINTS]).blueprint(name).blueprint, parent, image)
    assert validate(series, parent) == ()
    assert validate(FinishedSeries(tuple(series), ()), parent) == ()


def test_what_the_gate_has_seen_is_what_is_stored(parent: ParentSeries) -> None:
    """A function that answers differently each time is asked once for an instance."""
    asked: list[int] = []

    def drawn(env: InstanceEnvironment) -> list[str]:
        asked.append(env.index)
        return [f"drawn {len(asked)}", "ä"]

    def drawn_uid(env: InstanceEnvironment) -> str:
        return generate_uid()

    functions = Blueprint(
        [FunctionalElement("ImageComments", lambda env: drawn(env)[0]), FunctionalElement("ConvolutionKernel", drawn)]
    ) + Blueprint([FunctionalElement("IrradiationEventUID", drawn_uid)])
    series = check_series(built(volume_blueprint + ct_image_blueprint + functions, parent), parent, "Strict")
    seen = [series.dataset(index) for index in range(len(series))]
    for index, dataset in enumerate(seen):
        stored = decoded(series.encode(index))
        for keyword in ("ImageComments", "ConvolutionKernel", "IrradiationEventUID"):
            assert stored[keyword].value == dataset[keyword].value
    assert sorted(asked) == sorted([*range(len(parent)), *range(len(parent))])


def test_another_environment_is_asked_anew(parent: ParentSeries) -> None:
    """An object of all slices is built from the environment of the slices, with other sources."""
    env = built(volume_blueprint + ct_image_blueprint, parent).env
    image = ImageElement("ImageComments", lambda env: str(env.count))
    instance = FunctionalElement("ImageComments", lambda env: str(len(env.source_datasets)))
    whole = replace(env, sources=(tuple(range(len(parent))),))
    asked = [(image.at_image(each), instance.at_instance(InstanceEnvironment(each, 0))) for each in (env, whole)]
    assert asked == [("5", "1"), ("1", "5")]


def change(keyword: str, value: object) -> Callable[[list[Dataset]], None]:
    def apply(datasets: list[Dataset]) -> None:
        for dataset in datasets:
            setattr(dataset, keyword, value)

    return apply


def remove(keyword: str) -> Callable[[list[Dataset]], None]:
    def apply(datasets: list[Dataset]) -> None:
        for dataset in datasets:
            del dataset[Tag(keyword)]

    return apply


def raw(keyword: str, vr: str, value: object) -> Callable[[list[Dataset]], None]:
    """A value that pydicom would refuse to set."""

    def apply(datasets: list[Dataset]) -> None:
        for dataset in datasets:
            element = DataElement(Tag(keyword), vr, "", validation_mode=0)
            element._value = value
            dataset[Tag(keyword)] = element

    return apply


def one(index: int, keyword: str, value: object) -> Callable[[list[Dataset]], None]:
    return lambda datasets: setattr(datasets[index], keyword, value)


def _reverse(datasets: list[Dataset]) -> None:
    positions = [dataset.ImagePositionPatient for dataset in datasets]
    for dataset, position in zip(datasets, reversed(positions), strict=True):
        dataset.ImagePositionPatient = position


def _same_uid(datasets: list[Dataset]) -> None:
    datasets[1].SOPInstanceUID = datasets[0].SOPInstanceUID


def _own_source(datasets: list[Dataset]) -> None:
    for dataset in datasets:
        dataset.SourceImageSequence[0].ReferencedSOPInstanceUID = dataset.SOPInstanceUID


def _in_an_item(keyword: str) -> Callable[[list[Dataset]], None]:
    def apply(datasets: list[Dataset]) -> None:
        for dataset in datasets:
            del dataset.SourceImageSequence[0][Tag(keyword)]

    return apply


def _code_without_meaning(datasets: list[Dataset]) -> None:
    for dataset in datasets:
        del dataset.DerivationCodeSequence[0].CodeMeaning


def _shorter_pixels(datasets: list[Dataset]) -> None:
    for dataset in datasets:
        dataset.PixelData = dataset.PixelData[:-2]


def _text_without_set(datasets: list[Dataset]) -> None:
    for dataset in datasets:
        dataset.SeriesDescription = "Größe"
        dataset.pop("SpecificCharacterSet", None)


FAULTS: dict[str, tuple[Callable[[list[Dataset]], None], str]] = {
    "type 1 missing": (remove("ImageType"), "ImageType .* is missing: it is of type 1"),
    "type 1 empty": (change("RescaleSlope", None), "RescaleSlope .* is empty"),
    "type 1 of the class": (remove("RescaleIntercept"), "RescaleIntercept"),
    "no pixel spacing": (remove("PixelSpacing"), "PixelSpacing .* missing"),
    "no orientation": (remove("ImageOrientationPatient"), "ImageOrientationPatient .* missing"),
    "no position": (remove("ImagePositionPatient"), "ImagePositionPatient .* missing"),
    "no frame of reference": (remove("FrameOfReferenceUID"), "FrameOfReferenceUID .* missing"),
    "no modality": (remove("Modality"), "Modality"),
    "no SOP instance": (change("SOPInstanceUID", ""), "SOPInstanceUID"),
    "type 2 patient name": (remove("PatientName"), "PatientName .* type 2"),
    "type 2 accession": (remove("AccessionNumber"), "AccessionNumber .* type 2"),
    "type 2 manufacturer": (remove("Manufacturer"), "Manufacturer .* type 2"),
    "type 2 KVP": (remove("KVP"), "KVP .* type 2"),
    "type 2 instance number": (remove("InstanceNumber"), "InstanceNumber .* type 2"),
    "in an item": (_in_an_item("ReferencedSOPClassUID"), r"ReferencedSOPClassUID .*SourceImageSequence\[0\]"),
    "code without meaning": (_code_without_meaning, "CodeMeaning"),
    "character set missing": (_text_without_set, "SpecificCharacterSet"),
    "other modality": (change("Modality", "MR"), "Modality .* is 'MR'"),
    "original": (change("ImageType", ["ORIGINAL", "PRIMARY", "AXIAL"]), "ImageType .* begins with 'ORIGINAL'"),
    "DS too long": (raw("SliceLocation", "DS", "1.2345678901234567"), "SliceLocation .*1.2345678901234567"),
    "CS in small letters": (raw("BodyPartExamined", "CS", "head"), "BodyPartExamined .* 'head'"),
    "no date": (raw("ContentDate", "DA", "25.11.2026"), "ContentDate"),
    "no time": (raw("ContentTime", "TM", "noon"), "ContentTime"),
    "long text": (raw("SeriesDescription", "LO", "x" * 65), "SeriesDescription"),
    "UID with a leading zero": (raw("FrameOfReferenceUID", "UI", "1.02.3"), "FrameOfReferenceUID .* not a UID"),
    "UID too long": (raw("SeriesInstanceUID", "UI", "1." + "2" * 64), "SeriesInstanceUID .* not a UID"),
    "bits stored": (change("BitsStored", 17), "BitsStored"),
    "high bit": (change("HighBit", 11), "HighBit"),
    "pixel representation": (change("PixelRepresentation", 2), "PixelRepresentation"),
    "photometric": (change("PhotometricInterpretation", "RGB"), "PhotometricInterpretation"),
    "planar configuration": (change("SamplesPerPixel", 3), "PlanarConfiguration"),
    "pixels too short": (_shorter_pixels, "PixelData .* bytes"),
    "slope 0": (change("RescaleSlope", 0), "RescaleSlope .* is 0"),
    "window of no width": (change("WindowWidth", 0), "WindowWidth"),
    "window without width": (remove("WindowWidth"), "WindowWidth"),
    "descending": (_reverse, "does not ascend"),
    "spacing": (change("SpacingBetweenSlices", 17), "SpacingBetweenSlices .* 17 mm"),
    "orientation": (change("ImageOrientationPatient", [1, 0, 0, 1, 0, 0]), "two unit vectors"),
    "UID twice": (_same_uid, "SOPInstanceUID .* 2 times"),
    "its own source": (_own_source, "itself"),
    "one other patient": (one(2, "PatientID", "other"), "PatientID .* not the same in all"),
    "one other series number": (one(2, "SeriesNumber", 99), "SeriesNumber .* not the same in all"),
    "number twice": (one(2, "InstanceNumber", 1), "InstanceNumber .* not different"),
}


@pytest.mark.wide(quick=14)
@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found(parent: ParentSeries, fault: str) -> None:
    apply, message = FAULTS[fault]
    good = datasets(parent)
    bad = tuple(copy.deepcopy(good.datasets))
    apply(list(bad))
    series = replace(good, datasets=bad)
    findings = validate(series, parent)
    assert any(re.search(message, str(finding)) for finding in errors(findings)), findings
    with pytest.raises(ValidationFailed, match=message) as caught:
        check_series(series, parent, "Strict")
    assert len(caught.value.findings) == len(errors(findings))
    assert [*map(str, findings)] == list(check_series(series, parent, "Warn").warnings)
    assert check_series(series, parent, "Off") is series


def test_a_short_blueprint_is_filled_in(parent: ParentSeries) -> None:
    """What an IOD cannot be without comes by itself, so that two lines make a series that any PACS takes."""
    short = Blueprint(
        [StaticElement("SOPClassUID", "UI", CTImageStorage), StaticElement("SeriesDescription", "LO", "x")]
    )
    series = built(short, parent)
    assert validate(series, parent) == ()
    assert [d.ImagePositionPatient for d in series] == [d.ImagePositionPatient for d in parent.instances]
    assert dciodvfy.new_errors(series.encode(0), parent.instances) == []


@pytest.mark.parametrize("sop_class", REQUIRED)
def test_what_is_filled_in_is_all_that_the_standard_asks_for(sop_class: str) -> None:
    iod = iod_of(sop_class)
    assert iod is not None
    left = [f for f in lint(Blueprint([StaticElement("SOPClassUID", "UI", sop_class)]), iod)]
    assert errors(tuple(left)) == () and all("left to the rules" in str(finding) for finding in left)
    assert {f.tag for f in left} <= {int(e.tag) for e in required_blueprint(sop_class)}


def test_everything_is_listed(parent: ParentSeries) -> None:
    faulty = (
        volume_blueprint
        + ct_image_blueprint
        + Blueprint(
            [DiscardElement("Manufacturer"), DiscardElement("PositionReferenceIndicator"), DiscardElement("KVP")]
        )
    )
    with pytest.raises(ValidationFailed) as caught:
        check_series(built(faulty, parent), parent, "Strict")
    assert len(caught.value.findings) == 3 and "KVP" in str(caught.value)


def test_what_the_parent_lacks_is_a_warning() -> None:
    lacking = mr_phantom(4)
    for dataset in lacking:
        del dataset.SequenceVariant
        dataset["StationName"] = DataElement(0x00081010, "SH", "a name of more than 16 letters", validation_mode=0)
    parent = ParentSeries.from_datasets(lacking)
    blueprint = Library.load([BLUEPRINTS]).blueprint("mr").blueprint
    findings = validate(built(blueprint, parent), parent)
    assert {finding.severity for finding in findings} == {Severity.WARNING}
    assert any("SequenceVariant" in str(finding) for finding in findings)
    assert any("StationName" in str(finding) for finding in findings)


def test_a_position_that_is_not_the_images(parent: ParentSeries) -> None:
    moved = Blueprint([FunctionalElement("ImagePositionPatient", lambda env: [0, 0, float(env.index)])])
    findings = errors(validate(built(volume_blueprint + ct_image_blueprint + moved, parent), parent))
    assert any("the slice is at" in str(finding) for finding in findings)


def test_another_frame_of_reference_on_the_same_grid(parent: ParentSeries) -> None:
    other = Blueprint([StaticElement("FrameOfReferenceUID", "UI", generate_uid())])
    findings = errors(validate(built(volume_blueprint + ct_image_blueprint + other, parent), parent))
    assert any("FrameOfReferenceUID" in str(finding) for finding in findings)


def test_a_foreign_source_is_a_warning(parent: ParentSeries) -> None:
    good = datasets(parent)
    bad = copy.deepcopy(good.datasets)
    for dataset in bad:
        dataset.SourceImageSequence[0].ReferencedSOPInstanceUID = "1.2.3"
    findings = validate(replace(good, datasets=bad), parent)
    assert errors(findings) == () and any("1.2.3" in str(finding) for finding in findings)


def test_a_large_series_is_checked_without_its_pixels(parent: ParentSeries) -> None:
    """The pixels are not asked for: an image that cannot be read again passes."""
    series = built(volume_blueprint + ct_image_blueprint, parent, np.zeros(parent.shape, np.int16))
    broken = replace(series, env=replace(series.env, pixels=replace(series.env.pixels, image=None)))  # type: ignore[arg-type]
    assert validate(broken, parent) == ()


@pytest.mark.parametrize(
    ("keyword", "function", "message"),
    [
        ("PatientPosition", lambda env: "HFP" if env.index == 2 else "HFS", None),
        (
            "FrameOfReferenceUID",
            lambda env: "1.2.3" if env.index == 2 else "1.2.4",
            "FrameOfReferenceUID .* not the same",
        ),
        ("SeriesDescription", lambda env: f"slice {env.index}", "SeriesDescription .* not the same"),
        ("PixelSpacing", lambda env: None if env.index == 2 else [1, 1], "PixelSpacing .* type 1 .*instance 3"),
    ],
)
def test_an_instance_in_the_middle(parent: ParentSeries, keyword: str, function: Any, message: str | None) -> None:
    """What a function says of the instances between the first and the last is checked as well."""
    blueprint = volume_blueprint + ct_image_blueprint + Blueprint([FunctionalElement(keyword, function)])
    messages = [str(finding) for finding in errors(validate(built(blueprint, parent), parent))]
    assert any(re.search(message, line) for line in messages) if message else messages == []


def test_a_value_in_the_middle_that_its_vr_forbids_stores_nothing(parent: ParentSeries) -> None:
    wrong = FunctionalElement("ScanOptions", lambda env: "small letters" if env.index == 2 else "HEAD")
    series = built(volume_blueprint + ct_image_blueprint + Blueprint([wrong]), parent)
    with pytest.raises(BlueprintError, match="ScanOptions .* not a value for VR CS"):
        check_series(series, parent, "Strict")


def test_what_differs_in_the_parents_series_is_a_warning() -> None:
    varied = ct_phantom(4)
    varied[2].Manufacturer = "Another"
    parent = ParentSeries.from_datasets(varied)
    copied = Blueprint([InstanceCopyElement("Manufacturer")])
    findings = validate(built(volume_blueprint + ct_image_blueprint + copied, parent), parent)
    assert errors(findings) == () and any("Manufacturer" in str(finding) for finding in findings)


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_the_place_in_an_object_of_one_instance_is_whole() -> None:
    parent = ParentSeries.from_datasets(ct_phantom(3))
    report = Dataset()
    report.SOPClassUID, report.Modality = "1.2.840.10008.5.1.4.1.1.66.4", "SEG"
    report.ROIContourSequence = [Dataset()]
    report.ROIContourSequence[0].add(DataElement(0x00200052, "UI", "1.02.3", validation_mode=0))
    findings = validate(from_user_datasets([report], parent, BuildContext()), parent)
    assert [finding.where for finding in findings if finding.tag == 0x00200052 and "1.02.3" in finding.message] == [
        "ROIContourSequence[0]"
    ]


def test_tables_of_another_highdicom_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import metadata

    from derived_series.dicom.validation import standard
    from derived_series.errors import DerivedSeriesError

    standard._table.cache_clear()
    monkeypatch.setattr(metadata, "version", lambda name: "0.31.0")
    try:
        with pytest.raises(DerivedSeriesError, match=r"highdicom 0\.31\.0 is installed.*0\.28\.x.*pip install"):
            standard.iod_of("1.2.840.10008.5.1.4.1.1.2")
    finally:
        standard._table.cache_clear()


@pytest.mark.parametrize(
    ("keyword", "value", "message"),
    [
        ("ImagePositionPatient", [0, 0, 0], "the slice is at"),
        ("ImageOrientationPatient", [0, 1, 0, 0, 0, -1], r"the image's is \[1, 0, 0, 0, 1, 0\]"),
        ("PixelSpacing", [1, 1], r"the image's is \[0.8, 0.7\]"),
    ],
)
def test_a_blueprint_cannot_move_the_image(keyword: str, value: list[float], message: str) -> None:
    """All slices at one position, turned, or with pixels of another size than the image's."""
    parent = parent_of(ct_phantom(3, 8, 8))
    blueprint = Blueprint([StaticElement(keyword, "DS", value)])
    series = build(parent, extra=blueprint)
    assert any(re.search(message, str(finding)) for finding in errors(validate(series, parent)))
    with pytest.raises(GeometryError, match=rf"{keyword} .* is "):
        build(parent, extra=blueprint, blueprint="legacy_enhanced_ct")


#: What makes an object of all slices, and what it is made from.
ONE_INSTANCE = ("segmentation", "parametric_map", "rt_dose", "rt_structure_set", "multiframe_secondary_capture")
ELSEWHERE = [
    *[("ImagePositionPatient", "DS", value) for value in ([0, 0, 0], [1, 2])],
    ("ImageOrientationPatient", "DS", [0, 1, 0, 0, 0, -1]),
    ("PixelSpacing", "DS", [1, 1]),
    ("SpacingBetweenSlices", "DS", 9),
    ("SliceThickness", "DS", -1),
    ("FrameOfReferenceUID", "UI", "1.2.3"),
]


@pytest.mark.parametrize("blueprint", ONE_INSTANCE)
@pytest.mark.parametrize(("keyword", "vr", "value"), ELSEWHERE)
def test_a_blueprint_cannot_move_an_object_of_all_slices(blueprint: str, keyword: str, vr: str, value: Any) -> None:
    extra = Blueprint([StaticElement(keyword, vr, value)])
    with pytest.raises(GeometryError, match=rf"^{keyword} "):
        build(ct_phantom(3, 8, 8), np.ones((3, 8, 8), np.uint8), extra, blueprint=blueprint)


@pytest.mark.parametrize("keyword", ["SliceThickness", "FrameOfReferenceUID", "PixelSpacing"])
@pytest.mark.parametrize("blueprint", ["ct", "secondary_capture", "overlay"])
def test_a_blueprint_cannot_move_images_of_one_slice(blueprint: str, keyword: str) -> None:
    value = {"SliceThickness": -1, "FrameOfReferenceUID": "1.2.3", "PixelSpacing": [9, 9]}[keyword]
    parent = parent_of(ct_phantom(3, 8, 8))
    extra = Blueprint([StaticElement(keyword, "UI" if "UID" in keyword else "DS", value)])
    series = build(parent, np.ones((3, 8, 8), np.uint8), extra, blueprint=blueprint)
    assert any(str(finding).startswith(keyword) for finding in errors(validate(series, parent)))


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("ImagePositionPatient", [0, 0, 0]),
        ("ImageOrientationPatient", [0, 1, 0, 0, 0, -1]),
        ("PixelSpacing", [9, 9]),
        ("SliceThickness", -1),
        ("FrameOfReferenceUID", "1.2.3"),
    ],
)
def test_a_function_cannot_move_a_slice(keyword: str, value: Any) -> None:
    """Which tells each instance's own value: here only the last one is wrong."""
    parent = parent_of(ct_phantom(3, 8, 8))

    def of_slice(env: InstanceEnvironment) -> Any:
        return value if env.index == 2 else parent.instances[env.index][keyword].value

    extra = Blueprint([FunctionalElement(keyword, of_slice)])
    series = build(parent, extra=extra)
    places = [finding.where for finding in errors(validate(series, parent)) if str(finding).startswith(keyword)]
    assert "instance 3" in places
    with pytest.raises(GeometryError, match=rf"^{keyword} .*\[slice 3\]"):
        build(parent, extra=extra, blueprint="legacy_enhanced_ct")


@pytest.mark.parametrize("blueprint", ["segmentation", "label_map_segmentation", "parametric_map"])
def test_a_plane_of_a_blueprint_is_in_the_functional_groups_alone(blueprint: str) -> None:
    """Where a reader that looks at the top level would find one position for all frames."""
    thick = Blueprint([StaticElement("SliceThickness", "DS", 4.5)])
    series = build(
        ct_phantom(3, 8, 8), np.ones((3, 8, 8), np.uint8), image_plane_blueprint + thick, blueprint=blueprint
    )
    (dataset,) = written(series)
    assert not any(element.tag in dataset for element in image_plane_blueprint)
    assert dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SliceThickness == 4.5
    assert [warning.split()[0] for warning in series.warnings if "is left out" in warning] == ["SliceLocation"]


@pytest.mark.parametrize("blueprint", ["ct", "legacy_enhanced_ct", "segmentation", "rt_dose", "overlay"])
@pytest.mark.parametrize("keyword", ["NumberOfFrames", "SharedFunctionalGroupsSequence", "FloatPixelData"])
def test_a_blueprint_does_not_count_the_frames(blueprint: str, keyword: str) -> None:
    vr, value = {"N": ("IS", 77), "S": ("SQ", [Dataset()]), "F": ("OF", bytes(4))}[keyword[0]]
    image = None if "ct" in blueprint else np.ones((3, 8, 8), np.uint8)
    parent = parent_of(ct_phantom(3, 8, 8))
    series = build(parent, image, Blueprint([StaticElement(keyword, vr, value)]), blueprint=blueprint)
    assert any(f"{keyword} " in warning and "is not used" in warning for warning in series.warnings)
    plain = written(build(parent, image, blueprint=blueprint))[0]
    dataset = written(series)[0]
    assert (keyword in dataset) == (keyword in plain)
    assert dataset.get("NumberOfFrames") == plain.get("NumberOfFrames")


@pytest.mark.parametrize("keyword", ["TransferSyntaxUID", "MediaStorageSOPInstanceUID"])
def test_a_blueprint_does_not_write_the_file_meta_information(keyword: str) -> None:
    """A transfer syntax that is not the file's would make it unreadable."""
    series = build(ct_phantom(3, 8, 8), extra=Blueprint([StaticElement(keyword, "UI", "1.2.840.10008.1.2")]))
    assert any(f"{keyword} " in warning and "is not used" in warning for warning in series.warnings)
    (dataset, *_) = written(series)
    assert dataset.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
    assert keyword not in dataset
