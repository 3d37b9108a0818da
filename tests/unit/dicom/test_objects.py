"""Segmentation, parametric map and encapsulated PDF: read back by highdicom, frame by frame, against what was given."""

from __future__ import annotations

import io
import os
import re
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian

import derived_series
from building import LIBRARY, build, parent_of, ready, turned_parents, written
from dciodvfy import errors, new_errors
from derived_series import (
    Blueprint,
    BuildContext,
    EncapsulatedPdfFactory,
    FillingStrategy,
    Grid,
    NiftiFactory,
    ParametricMapFactory,
    ParentSeries,
    PlacedImage,
    Resampling,
    Segment,
    SegmentationFactory,
    StaticElement,
    derivation,
    explain,
    real_world_values,
    segments,
)
from derived_series.dicom.modules.cielab import cielab
from derived_series.dicom.modules.codes import snomed, unit
from derived_series.dicom.objects.highdicom_planes import close_table
from derived_series.errors import (
    BlueprintError,
    DerivedSeriesError,
    GeometryError,
    HeaderError,
    InvalidImage,
    InvalidValue,
    PixelError,
    ShapeMismatch,
)
from derived_series.kinds import KINDS as ALL_KINDS
from derived_series.pipelines import Pipeline
from derived_series.pipelines.gate import check_series
from derived_series.pipelines.library import FACTORIES, NamedPipeline  # type: ignore[attr-defined]
from derived_series.pipelines.run import Options, extra_blueprint, run_pipeline
from multiframe import enhanced
from phantoms import ct_phantom, mr_phantom, pet_phantom
from phantoms_4d import fmri_phantom

PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF"
ORIENTATIONS = ("axial", "sagittal", "oblique")
PARENTS = turned_parents(5, 16, 12, ORIENTATIONS)
PARENT = PARENTS["oblique"]
LIVER = Segment(1, "Liver", "Liver", color="#b5651d")


def labels(*numbers: int) -> npt.NDArray[np.int32]:
    """A label map with a block for each number; the first slice is empty."""
    label_map = np.zeros(PARENT.shape, np.int32)
    for k, number in enumerate(numbers, 1):
        label_map[k : k + 2, 2 + k : 7, 3 * k % 9 : 3 * k % 9 + 3] = number
    return label_map


def seg(image: Any, *described: Segment, **more: Any) -> Any:
    return build(more.pop("parent", PARENT), image, segments(*described), blueprint="segmentation", **more)


def places(dataset: Dataset) -> list[npt.NDArray[np.float64]]:
    """The position of every frame."""
    frames = dataset.PerFrameFunctionalGroupsSequence
    return [np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float) for frame in frames]


def slice_at(parent: ParentSeries, place: npt.NDArray[np.float64]) -> int:
    assert parent.grid is not None
    off = np.linalg.norm(np.asarray(parent.grid.positions) - place, axis=1)
    assert off.min() < 1e-6
    return int(off.argmin())


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_label_map_comes_back_frame_by_frame(orientation: str) -> None:
    from highdicom.seg import segread

    parent, image = PARENTS[orientation], labels(1, 2, 3)
    series = seg(image, LIVER, Segment(2, "Spleen", "78961009"), Segment(3, "Cyst", "Cyst"), parent=parent)
    assert len(series) == 1 and not [w for w in series.warnings if "nothing says" not in w]
    segmentation = segread(io.BytesIO(series.encode(0)))
    close_table(segmentation)
    assert (segmentation.SegmentationType, segmentation.BitsAllocated, segmentation.SegmentsOverlap) == (
        "BINARY",
        1,
        "NO",
    )
    seen = np.zeros_like(image)
    for frame, place, groups in zip(
        segmentation.pixel_array, places(segmentation), segmentation.PerFrameFunctionalGroupsSequence, strict=True
    ):
        k = slice_at(parent, place)
        number = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        seen[k][frame == 1] = number
        (source,) = groups.DerivationImageSequence[0].SourceImageSequence
        assert source.ReferencedSOPInstanceUID == parent.instances[k].SOPInstanceUID
    assert np.array_equal(seen, image)
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    assert parent.grid is not None
    assert np.allclose(shared.PixelMeasuresSequence[0].PixelSpacing, parent.grid.pixel_spacing)
    assert shared.PixelMeasuresSequence[0].SpacingBetweenSlices == pytest.approx(2.5)
    assert np.allclose(shared.PlaneOrientationSequence[0].ImageOrientationPatient[:3], parent.grid.row_cosines)
    assert errors(series.encode(0)) == []


def test_segments_are_described() -> None:
    cyst = Segment(
        2, "Cyst", Code("12345", "99LOCAL", "Odd cyst"), "MorphologicallyAbnormalStructure", algorithm="MANUAL"
    )
    dataset = written(seg(labels(1, 2), LIVER, cyst))[0]
    first, second = dataset.SegmentSequence
    assert (first.SegmentNumber, first.SegmentLabel, first.SegmentAlgorithmType) == (1, "Liver", "AUTOMATIC")
    code = first.SegmentedPropertyTypeCodeSequence[0]
    assert (code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning) == ("10200004", "SCT", "Liver")
    assert first.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "91723000"
    assert second.SegmentedPropertyTypeCodeSequence[0].CodingSchemeDesignator == "99LOCAL"
    assert second.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "49755003"
    assert "SegmentAlgorithmName" not in second and first.SegmentAlgorithmName


def test_colours_come_back_as_they_were() -> None:
    from highdicom.color import CIELabColor

    for color in ("#000000", "#ffffff", "#b5651d", "#00ff80"):
        rgb = CIELabColor.from_dicom_value(cielab(color)).to_rgb()
        assert "#" + "".join(f"{part:02x}" for part in rgb) == color
    with pytest.raises(BlueprintError, match="is not a colour"):
        cielab("brown")


def test_labels_that_are_not_described_or_not_there_are_told() -> None:
    series = seg(labels(1, 5), LIVER, Segment(3, "Spleen", "Spleen"))
    dataset = written(series)[0]
    assert [item.SegmentLabel for item in dataset.SegmentSequence] == ["Liver", "Spleen", "Segment 5"]
    assert [item.SegmentNumber for item in dataset.SegmentSequence] == [1, 2, 3]
    warnings = " ".join(series.warnings)
    for text in ("label 5 is not described", "segment 3 (Spleen) has no voxel", "label 5 is segment 3"):
        assert text in warnings
    numbers = [
        f.SegmentIdentificationSequence[0].ReferencedSegmentNumber for f in dataset.PerFrameFunctionalGroupsSequence
    ]
    assert numbers == [1, 1, 3, 3]
    assert errors(series.encode(0)) == []


def test_of_many_labels_the_first_are_named_and_the_others_counted() -> None:
    """300 labels do not bury the other warnings."""
    series = seg(np.arange(1, PARENT.voxels().size + 1).reshape(PARENT.shape).astype(np.uint16) % 41 * 2)
    assert [text for text in series.warnings if "described" in text][9:] == [
        "label 20 is not described: it is called 'Segment 20', a tissue "
        "(describe it by segments(...) in the blueprint)",
        "30 more labels are not described",
    ]
    assert series.warnings[-1] == "30 more labels are segments of other numbers" and len(series.warnings) == 22


def test_labels_with_gaps_keep_their_voxels_and_their_names() -> None:
    """Segments are numbered without gaps, in the order of the labels: each label's voxels under its own name."""
    image = labels(7, 2, 4)
    series = seg(image, Segment(7, "Cyst", "Cyst"), Segment(2, "Liver", "Liver"), Segment(4, "Spleen", "Spleen"))
    dataset = written(series)[0]
    assert [(item.SegmentNumber, item.SegmentLabel) for item in dataset.SegmentSequence] == [
        (1, "Liver"),
        (2, "Spleen"),
        (3, "Cyst"),
    ]
    seen = np.zeros_like(image)
    for frame, place, groups in zip(
        dataset.pixel_array, places(dataset), dataset.PerFrameFunctionalGroupsSequence, strict=True
    ):
        label = {1: 2, 2: 4, 3: 7}[groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber]
        seen[slice_at(PARENT, place)][frame == 1] = label
    assert np.array_equal(seen, image)


def test_a_mask_is_segment_one_even_an_empty_one() -> None:
    for image in (labels(1) > 0, np.zeros(PARENT.shape, bool), labels(1).astype(np.float32)):
        series = seg(image, LIVER)
        dataset = written(series)[0]
        assert [item.SegmentLabel for item in dataset.SegmentSequence] == ["Liver"]
        assert int(dataset.pixel_array.sum()) == int(np.sum(image))
        assert errors(series.encode(0)) == []


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (labels(1) * 0.5, "not whole numbers"),
        (np.where(labels(1) > 0, np.nan, 0), "not whole numbers"),
        (-labels(1), "from -1 to 0"),
        (labels(1) * 70000, "70000"),
    ],
)
def test_what_is_not_a_label_map_is_refused(image: Any, message: str) -> None:
    with pytest.raises(PixelError, match=message) as caught:
        seg(image)
    assert caught.value.remedy and "bool mask" in caught.value.remedy


def test_a_label_map_on_a_grid_of_its_own() -> None:
    image = PARENT.to_nifti()
    image = type(image)(labels(1, 2).transpose(2, 1, 0).astype(np.uint8), image.affine)
    same = seg(image, LIVER, Segment(2, "Cyst", "Cyst"), factory=NiftiFactory())
    image.affine[:3, 3] += 1.1
    moved = seg(image, LIVER, Segment(2, "Cyst", "Cyst"), factory=SegmentationFactory())
    for series, preserved in ((same, "YES"), (moved, "NO")):
        dataset = written(series)[0]
        (frame, *_) = dataset.PerFrameFunctionalGroupsSequence
        source = frame.DerivationImageSequence[0].SourceImageSequence[0]
        assert source.SpatialLocationsPreserved == preserved
        assert errors(series.encode(0)) == []
    assert places(written(moved)[0])[0] - places(written(same)[0])[0] == pytest.approx([-1.1, -1.1, 1.1])


def test_a_label_map_is_resampled_to_the_parents_grid() -> None:
    image = PARENT.to_nifti()
    image = type(image)(labels(1, 2).transpose(2, 1, 0).astype(np.uint8), image.affine)
    image.affine[:3, 3] += 0.05
    factory = SegmentationFactory()
    header = factory.make_series_header(PARENT, ready("segmentation") + segments(LIVER, Segment(2, "Cyst", "Cyst")))
    series = factory.build(header, image, resampling=Resampling())
    dataset = written(series)[0]
    assert any("resampled" in warning for warning in series.warnings)
    codes = [item.CodeValue for item in dataset.DerivationCodeSequence]
    assert len(codes) == 2 and "113076" in codes
    assert [slice_at(PARENT, place) for place in places(dataset)]
    assert int(dataset.pixel_array.sum()) == np.count_nonzero(labels(1, 2))
    assert errors(series.encode(0)) == []


@pytest.mark.parametrize("phantom", [ct_phantom, mr_phantom, pet_phantom])
def test_a_parametric_map_comes_back_frame_by_frame(phantom: Any) -> None:
    from highdicom.pm import ParametricMap
    from pydicom import dcmread

    parent = parent_of(phantom(4, 9, 7, orientation="oblique"))
    image = np.random.default_rng(1).normal(0, 1e-3, parent.shape)
    extra = real_world_values("mm2/s", label="ADC", quantity=Code("113041", "DCM", "Apparent Diffusion Coefficient"))
    series = build(parent, image, extra + derivation("ADC", "DiffusionImageAnalysis"), blueprint="parametric_map")
    assert not series.warnings
    parametric_map = ParametricMap.from_dataset(dcmread(io.BytesIO(series.encode(0))))
    close_table(parametric_map)
    pixels = np.frombuffer(parametric_map.FloatPixelData, "<f4").reshape(parent.shape)
    for frame, place, groups in zip(
        pixels, places(parametric_map), parametric_map.PerFrameFunctionalGroupsSequence, strict=True
    ):
        k = slice_at(parent, place)
        assert np.array_equal(frame, image[k].astype(np.float32))
        (source,) = groups.DerivationImageSequence[0].SourceImageSequence
        assert source.ReferencedSOPInstanceUID == parent.instances[k].SOPInstanceUID
    mapping = parametric_map.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "mm2/s" and mapping.LUTLabel == "ADC"
    assert (mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept) == (1, 0)
    assert "RealWorldValueMappingSequence" not in parametric_map
    assert errors(series.encode(0)) == []


def test_a_parametric_map_without_a_unit_says_so() -> None:
    series = build(PARENT, blueprint="parametric_map", factory=ParametricMapFactory())
    assert any("measured in" in warning for warning in series.warnings)
    groups = written(series)[0].SharedFunctionalGroupsSequence[0]
    assert groups.RealWorldValueMappingSequence[0].MeasurementUnitsCodeSequence[0].CodeValue == "1"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (lambda ramp: 1e9 + ramp, "in steps of 64"),
        (lambda ramp: ramp.astype(np.int64) + (1 << 24), "in steps of 2:"),
        (lambda ramp: ramp * 1e-42, "few digits or as 0"),
        (lambda ramp: ramp * 1e-310, "few digits or as 0"),
        (lambda ramp: ramp / 7 - 20, ""),
        (lambda ramp: 1e6 + ramp, ""),
        (lambda ramp: ramp * 0 + 1e9 + 0.3, ""),
        (lambda ramp: (1e9 + 64 * ramp).astype(np.float32), ""),
    ],
)
def test_what_32_bits_do_not_hold_is_told(values: Any, message: str) -> None:
    ramp = np.arange(np.prod(PARENT.shape), dtype=np.float64).reshape(PARENT.shape) % 255
    series = build(PARENT, values(ramp), blueprint="parametric_map", extra=real_world_values("1"))
    warnings = [warning for warning in series.warnings if "32 bits" in warning]
    assert [message in warning for warning in warnings] == ([True] if message else [])


def test_a_window_of_a_blueprint_is_that_of_the_frames() -> None:
    def frames(**window: Any) -> Dataset:
        vrs = {"WindowCenterWidthExplanation": "LO", "VOILUTFunction": "CS"}
        extra = Blueprint([StaticElement(name, vrs.get(name, "DS"), value) for name, value in window.items()])
        (dataset,) = written(build(PARENT, PARENT.voxels(), extra, blueprint="parametric_map"))
        assert "WindowCenter" not in dataset and "WindowWidth" not in dataset
        (group,) = dataset.SharedFunctionalGroupsSequence[0].FrameVOILUTSequence
        return Dataset(group)

    two = frames(WindowCenter=[40, 50], WindowWidth=[80, 300], WindowCenterWidthExplanation=["A", "B"])
    assert (two.WindowCenter, two.WindowWidth, two.WindowCenterWidthExplanation) == ([40, 50], [80, 300], ["A", "B"])
    narrow = frames(WindowCenter=0.5, WindowWidth=0.1, VOILUTFunction="LINEAR_EXACT")
    assert (narrow.WindowCenter, narrow.WindowWidth, narrow.VOILUTFunction) == (0.5, 0.1, "LINEAR_EXACT")
    for wrong in (
        {"WindowCenter": 40},
        {"WindowCenter": 40, "WindowWidth": 0.5},
        {"WindowCenter": [40, 50], "WindowWidth": [80, 90], "WindowCenterWidthExplanation": "A"},
    ):
        with pytest.raises(InvalidValue, match="not a window"):
            frames(**wrong)


def test_nan_in_a_parametric_map() -> None:
    image = np.full(PARENT.shape, 0.25)
    image[1, 2, 3] = np.nan
    with pytest.raises(PixelError, match="NaN"):
        build(PARENT, image, blueprint="parametric_map")
    dataset = written(build(PARENT, image, blueprint="parametric_map", nan=-1))[0]
    pixels = np.frombuffer(dataset.FloatPixelData, "<f4")
    assert np.count_nonzero(pixels == -1) == 1 and np.count_nonzero(pixels == 0.25) == image.size - 1
    with pytest.raises(PixelError, match="32 bit floats"):
        build(PARENT, np.full(PARENT.shape, 1e200), blueprint="parametric_map")


@pytest.mark.parametrize("document", [PDF, PDF + b"\n"])
def test_a_document_comes_back_as_it_was(document: bytes) -> None:
    extra = Blueprint([StaticElement("DocumentTitle", "Perfusion report")])
    series = build(PARENT, document, extra, blueprint="encapsulated_pdf", factory=EncapsulatedPdfFactory())
    dataset = written(series)[0]
    assert dataset.EncapsulatedDocument[: dataset.EncapsulatedDocumentLength] == document
    assert (dataset.Modality, dataset.DocumentTitle) == ("DOC", "Perfusion report")
    assert dataset.MIMETypeOfEncapsulatedDocument == "application/pdf"
    assert {item.ReferencedSOPInstanceUID for item in dataset.SourceInstanceSequence} == {
        instance.SOPInstanceUID for instance in PARENT.instances
    }
    assert "ImageType" not in dataset and "Rows" not in dataset
    assert errors(series.encode(0)) == []


def test_documents_and_images_are_not_taken_for_each_other() -> None:
    with pytest.raises(InvalidImage, match="made from a PDF"):
        build(PARENT, blueprint="encapsulated_pdf")
    for wrong in (b"PK", PARENT.voxels()):
        with pytest.raises(InvalidImage, match="not a PDF"):
            build(PARENT, wrong, blueprint="encapsulated_pdf", factory=EncapsulatedPdfFactory())
    with pytest.raises(HeaderError, match="makes no CT Image Storage"):
        build(PARENT, PDF, blueprint="ct", factory=EncapsulatedPdfFactory())
    with pytest.raises(HeaderError, match="makes no Parametric Map"):
        build(PARENT, blueprint="parametric_map", factory=SegmentationFactory())


def make(name: str, **more: Any) -> Any:
    """An object of each kind from the same parent."""
    factory = EncapsulatedPdfFactory() if name == "encapsulated_pdf" else None
    image = {"encapsulated_pdf": PDF, "segmentation": labels(1)}.get(name, PARENT.voxels())
    return build(more.pop("parent", PARENT), image, blueprint=name, factory=factory, **more)


KINDS = ("segmentation", "parametric_map", "encapsulated_pdf")


@pytest.mark.parametrize("name", KINDS)
def test_the_same_seed_gives_the_same_bytes(name: str) -> None:
    context = BuildContext(uid_seed="job 1")
    once, again = make(name, context=context), make(name, context=context)
    assert once.encode(0) == again.encode(0)
    assert once.instance_uid(0) == context.uid("instance", 0) == once.dataset(0).SOPInstanceUID
    assert once.series_instance_uid == context.uid("series")
    other = make(name)
    assert {other.instance_uid(0), other.series_instance_uid}.isdisjoint(
        {once.instance_uid(0), once.series_instance_uid}
    )


@pytest.mark.parametrize("name", KINDS)
def test_values_of_the_blueprint_win_and_identity_does_not_yield(name: str) -> None:
    extra = Blueprint(
        [
            StaticElement("SeriesDescription", "Mine"),
            StaticElement("ContentLabel", "MINE"),
            StaticElement("PatientID", "other"),
            StaticElement("NumberOfFrames", 99),
            StaticElement(0x00091001, "LO", "private", creator="ACME"),
        ]
    )
    series = make(name, extra=extra)
    dataset = written(series)[0]
    assert (dataset.SeriesDescription, dataset.ContentLabel, dataset.PatientID) == ("Mine", "MINE", "PHANTOM-1")
    assert dataset.private_block(0x0009, "ACME")[0x01].value == "private"
    assert any("PatientID" in warning for warning in series.warnings)
    if name != "encapsulated_pdf":
        assert dataset.NumberOfFrames != 99 and any("NumberOfFrames" in warning for warning in series.warnings)
    assert dataset.SeriesNumber == 1003 and dataset.ContributingEquipmentSequence


@pytest.mark.parametrize("name", KINDS)
def test_copy_filling_takes_nothing_of_the_parents_images(name: str) -> None:
    series = make(name, strategy=FillingStrategy.COPY)
    dataset = written(series)[0]
    assert "KVP" not in dataset and "ConvolutionKernel" not in dataset and "WindowCenter" not in dataset
    assert any("FillingStrategy" in warning for warning in series.warnings)
    assert errors(series.encode(0)) == []


@pytest.mark.parametrize("name", KINDS)
def test_names_keep_their_characters_and_marks_stay(name: str) -> None:
    datasets = ct_phantom(5, 16, 12, charset="ISO_IR 192", patient_name="Yamada^Tarou=山田^太郎")
    for dataset in datasets:
        dataset.LossyImageCompression, dataset.BurnedInAnnotation, dataset.PatientIdentityRemoved = "01", "YES", "YES"
    derived = written(make(name, parent=parent_of(datasets)))[0]
    assert derived.PatientName == "Yamada^Tarou=山田^太郎" and derived.PatientIdentityRemoved == "YES"
    assert derived.BurnedInAnnotation == "YES"
    assert derived.get("LossyImageCompression") == (None if name == "encapsulated_pdf" else "01")


@pytest.mark.parametrize("name", KINDS)
def test_the_header_is_explained(name: str) -> None:
    rows = {row.keyword: row for row in explain(make(name)).rows}
    assert rows["SOPClassUID"].source == f"{ready(name).name}" or rows["SOPClassUID"].source.endswith(
        ("image", "document")
    )
    assert rows["PatientID"].source == "patient"
    assert not {"PixelData", "FloatPixelData", "EncapsulatedDocument"} & set(rows)


@pytest.mark.parametrize("name", ["segmentation", "parametric_map"])
def test_an_image_that_does_not_fit_or_is_nowhere(name: str) -> None:
    with pytest.raises(ShapeMismatch, match=r"\(4, 16, 12\)"):
        build(PARENT, labels(1)[1:], blueprint=name)
    with pytest.raises(ShapeMismatch, match="one volume, this image has 2"):
        build(PARENT, np.stack([labels(1), labels(1)]), blueprint=name)
    assert PARENT.grid is not None
    placed = PlacedImage(labels(1)[1:3], Grid.subset(PARENT.grid, [1, 2]))
    assert len(places(written(build(PARENT, placed, blueprint=name))[0])) == 2
    datasets = ct_phantom(5, 16, 12)
    for dataset in datasets:
        del dataset.ImagePositionPatient, dataset.ImageOrientationPatient
    with pytest.raises(GeometryError, match="place in space"):
        build(datasets, labels(1), blueprint=name)


@pytest.mark.parametrize("name", ["segmentation", "parametric_map"])
def test_frames_of_a_multiframe_parent_are_named(name: str) -> None:
    slices = mr_phantom(5, 16, 12)
    parent = parent_of([enhanced(slices)])
    series = build(parent, labels(1), blueprint=name)
    dataset = written(series)[0]
    (whole,) = {str(instance.SOPInstanceUID) for instance in parent.instances}
    for place, groups in zip(places(dataset), dataset.PerFrameFunctionalGroupsSequence, strict=True):
        (source,) = groups.DerivationImageSequence[0].SourceImageSequence
        assert source.ReferencedSOPInstanceUID == whole
        assert source.ReferencedFrameNumber == parent.instances[slice_at(parent, place)].frame_number
    (source,) = dataset.SourceImageSequence
    assert "ReferencedFrameNumber" not in source and source.SpatialLocationsPreserved == "YES"
    assert new_errors(series.encode(0), slices[:1]) == []


@pytest.mark.parametrize("name", KINDS)
def test_an_object_of_a_series_of_volumes(name: str) -> None:
    parent = parent_of(fmri_phantom(3, 5, 16, 12))
    series = make(name, parent=parent)
    dataset = written(series)[0]
    if name != "encapsulated_pdf":
        assert len(dataset.SourceImageSequence) == 15
        (first, *_) = dataset.PerFrameFunctionalGroupsSequence
        assert len(first.DerivationImageSequence[0].SourceImageSequence) == 3
    assert errors(series.encode(0)) == []


def test_compressed_objects() -> None:
    picture = seg(labels(1), LIVER)
    with pytest.raises(PixelError, match="RLELossless"):
        picture.written_in("RLELossless")  # of one bit
    series = make("parametric_map").written_in("RLELossless")  # floats are never compressed
    assert series.encode(0) and series.dataset(0).file_meta.TransferSyntaxUID == ExplicitVRLittleEndian


class Liver(Pipeline):
    """A pipeline that segments."""

    header_blueprint = ready("segmentation") + segments(LIVER)
    dicom_factory = SegmentationFactory()

    def process(self, input_container: Any) -> Any:
        return input_container["parent"].voxels() > 0


class Letter(Pipeline):
    """A pipeline that reports."""

    header_blueprint = ready("encapsulated_pdf")
    dicom_factory = EncapsulatedPdfFactory()

    def process(self, input_container: Any) -> Any:
        return PDF


@pytest.mark.parametrize(("name", "modality"), [("liver", "SEG"), ("letter", "DOC")])
def test_pipelines_make_objects(name: str, modality: str) -> None:
    kinds = {
        each.pipeline_name(): NamedPipeline(each.pipeline_name(), each, "", Path(__file__), "")
        for each in (Liver, Letter)
    }
    library = replace(LIBRARY, pipelines=kinds)
    series = run_pipeline(library, name, {"parent": PARENT}, {}, Options(), BuildContext())
    assert written(series)[0].Modality == modality
    assert errors(series.encode(0)) == []


def test_codes_are_checked() -> None:
    assert snomed("Liver") == snomed("10200004") == Code("10200004", "SCT", "Liver")
    assert snomed(Code("10200004", "SCT", "liver")).value == "10200004"
    assert snomed(Code("999999999", "SCT", "Not in PS3.16")).value == "999999999"
    assert unit("mm2/s").meaning == "mm2/s" and unit("1").meaning == "no units" and unit("umol/g").value == "umol/g"
    for wrong in ("Livre", "12345", ""):
        with pytest.raises(BlueprintError, match="not a code of SNOMED"):
            snomed(wrong)
    synonym = Code("123037004", "SCT", "Anatomical Structure")
    assert snomed(synonym) is synonym  # value and scheme decide (PS3.3 8.3)


@pytest.mark.wide(quick=3)
@pytest.mark.parametrize(
    ("code", "text"),
    [
        (Code("10200004", "SCT", "Spleen"), "SCT 10200004.*'Spleen', which is that of 78961009; PS3.16.*'Liver'"),
        (Code("78961009", "SCT", "liver (organ)"), "SCT 78961009.*that of 10200004"),
        (Code("999", "SCT", "Liver"), "SCT 999.*that of 10200004; PS3.16 does not have it"),
        (Code("113076", "DCM", "Registration"), "DCM 113076.*that of"),
        (Code("10200004", "SCT", "Hepatic parenchyma as we call it"), None),
        (Code("10200004", "SCT", "LIVER (body structure)"), None),
        (Code("123037004", "SCT", "Anatomical Structure"), None),
        (Code("10200004", "99MINE", "Spleen"), None),
    ],
)
def test_a_meaning_of_another_code_is_told(code: Code, text: str | None) -> None:
    parent = parent_of(ct_phantom(3, 8, 8))
    labels = np.zeros(parent.shape, np.uint8)
    labels[1] = 1
    for field in ("type", "category"):
        blueprint = ready("segmentation") + segments(Segment(1, "x", **{"type": "Liver", field: code}))
        series = check_series(build(parent, labels, blueprint), parent, "Strict")
        warnings = [warning for warning in series.warnings if "has the meaning" in warning]
        assert re.search(text, warnings[0]) if text else not warnings
    for nothing in ("", "mm per s", "millimetres per second"):
        with pytest.raises(BlueprintError, match="not a UCUM code"):
            unit(nothing)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: segments(Segment(0, "Zero")),
        lambda: segments(Segment(1, "a"), Segment(1, "b")),
        lambda: segments(Segment(1, "a", algorithm="MAGIC")),
        lambda: segments(Segment(1, "a", "Livre")),
        lambda: segments(Segment(1, "a", color="red")),
    ],
)
def test_descriptions_are_checked_where_they_are_written(wrong: Any) -> None:
    with pytest.raises(BlueprintError) as caught:
        wrong()
    assert "\n" not in caught.value.message


def test_segments_and_units_of_a_request() -> None:
    described = [
        {"Number": 1, "Label": "Liver", "Type": "10200004", "Color": "#aa0000"},
        {"Number": 2, "Label": "Own", "Type": {"Value": "1", "Scheme": "99X", "Meaning": "Own"}, "Category": "Tissue"},
    ]
    dataset = written(build(PARENT, labels(1, 2), extra_blueprint(described=described), blueprint="segmentation"))[0]
    first, second = dataset.SegmentSequence
    assert first.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Liver" and first.RecommendedDisplayCIELabValue
    assert second.SegmentedPropertyTypeCodeSequence[0].CodingSchemeDesignator == "99X"
    with pytest.raises(DerivedSeriesError, match="Livre"):
        extra_blueprint(described=[{"Number": 1, "Label": "x", "Type": "Livre"}])


def test_every_builder_has_its_module_and_every_kind_its_factory() -> None:
    from derived_series.dicom.objects import builder_of

    for kind in ALL_KINDS:
        for row in kind.sop_classes:
            builder = builder_of(row.uid, (kind.sign,))
            assert callable(builder.build) if builder else kind.builder == ""
    assert {"segmentation", "parametric_map", "pdf"} <= set(FACTORIES)
    assert all(factory.__doc__ and factory.__doc__.strip() for factory in FACTORIES.values())


@pytest.mark.slow
def test_highdicom_is_loaded_when_it_is_needed() -> None:
    code = "import sys, derived_series.jobs.work.deriving, derived_series.__main__; print('highdicom' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(Path(derived_series.__file__).parent.parent)}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


@pytest.mark.parametrize("name", ["segmentation", "parametric_map", "legacy_enhanced_ct"])
def test_no_table_in_memory_is_left_open(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """highdicom opens one for each object, and leaves it to the garbage collector, of which Python 3.13 warns."""
    opened: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def recorded(*arguments: Any) -> sqlite3.Connection:
        opened.append(connect(*arguments))
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", recorded)
    image = labels(1) if name == "segmentation" else PARENT.voxels()
    extra = derivation("x", "Smoothing") + (segments(LIVER) if name == "segmentation" else Blueprint())
    assert build(PARENT, image, extra, blueprint=name).encode(0) and opened
    for table in opened:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            table.execute("SELECT 1")


def test_a_parametric_map_is_made_of_the_parents_own_slices() -> None:
    """They come one by one: an image that is not an array of numpy's."""
    (dataset,) = written(build(PARENT, PARENT.slices(), blueprint="parametric_map"))
    (same,) = written(build(PARENT, PARENT.voxels(), blueprint="parametric_map"))
    assert dataset.FloatPixelData == same.FloatPixelData
