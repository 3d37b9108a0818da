"""RT Dose, secondary captures, enhanced images: read back frame by frame against what was given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedMRImageStorage

from building import build, parent_of, positions, real, written
from dciodvfy import errors, new_errors
from derived_series import (
    Blueprint,
    BuildContext,
    CTFactory,
    DicomFactory,
    FillingStrategy,
    NiftiFactory,
    NumpyFactory,
    RtDoseFactory,
    SecondaryCaptureFactory,
    SegmentationFactory,
    StaticElement,
    derivation,
    explain,
)
from derived_series.dicom.validation import errors as validation_errors
from derived_series.dicom.validation import validate
from derived_series.errors import BlueprintError, GeometryError, HeaderError, PixelError, ShapeMismatch
from multiframe import dose
from phantoms import ct_phantom, encode, mr_phantom, pet_phantom

PHANTOMS: dict[str, Callable[..., list[Dataset]]] = {"ct": ct_phantom, "mr": mr_phantom, "pet": pet_phantom}
CT = parent_of(ct_phantom(5, 33, 34, orientation="oblique"))
DOSE = np.random.default_rng(3).gamma(2, 10, CT.shape)
PLAN = Dataset()
PLAN.ReferencedSOPClassUID, PLAN.ReferencedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.481.5", "1.2.3.4"
OF_PLAN = Blueprint([StaticElement("ReferencedRTPlanSequence", "SQ", [PLAN])])
RGB = np.random.default_rng(4).integers(0, 256, (*CT.shape, 3)).astype(np.uint8)


def elements(**values: Any) -> Blueprint:
    return Blueprint([StaticElement(name, value) for name, value in values.items()])


@pytest.mark.parametrize("bits", [16, 32])
def test_a_dose_comes_back_to_half_a_step(bits: int) -> None:
    series = build(CT, DOSE, OF_PLAN + elements(BitsAllocated=bits), blueprint="rt_dose", factory=RtDoseFactory())
    dataset = written(series)[0]
    assert (dataset.BitsAllocated, dataset.PixelRepresentation, dataset.Modality) == (bits, 0, "RTDOSE")
    assert len(str(dataset.DoseGridScaling)) <= 16
    values = dataset.pixel_array.astype(np.float64) * float(dataset.DoseGridScaling)
    assert np.abs(values - DOSE).max() <= float(dataset.DoseGridScaling) * 0.5000001
    assert dataset.FrameIncrementPointer == 0x3004000C and dataset.NumberOfFrames == 5
    grid = CT.grid
    assert grid is not None
    first = np.array(dataset.ImagePositionPatient, float)
    for offset, place in zip(dataset.GridFrameOffsetVector, grid.positions, strict=True):
        assert np.allclose(first + offset * grid.normal, place, atol=1e-4)
    assert (dataset.DoseUnits, dataset.DoseType, dataset.DoseSummationType) == ("GY", "PHYSICAL", "PLAN")
    assert not [warning for warning in series.warnings if "nothing says" not in warning]
    if bits == 16:  # dciodvfy stops at 32 bits
        assert errors(series.encode(0)) == []


def test_a_dose_of_no_plan_says_so() -> None:
    assert any("no plan is named" in warning for warning in build(CT, DOSE, blueprint="rt_dose").warnings)
    other = elements(DoseSummationType="RECORD", DoseType="EFFECTIVE", DoseUnits="RELATIVE")
    series = build(CT, DOSE, other, blueprint="rt_dose")
    assert not any("plan" in warning for warning in series.warnings)
    assert written(series)[0].DoseType == "EFFECTIVE"


def test_doses_that_cannot_be() -> None:
    with pytest.raises(PixelError, match="negative"):
        build(CT, DOSE - 20, blueprint="rt_dose")
    series = build(CT, DOSE - 20, elements(DoseType="ERROR") + OF_PLAN, blueprint="rt_dose")
    dataset = written(series)[0]
    values = dataset.pixel_array * float(dataset.DoseGridScaling)
    assert dataset.PixelRepresentation == 1 and np.allclose(values, DOSE - 20, atol=1e-6)
    zero = written(build(CT, np.zeros(CT.shape), blueprint="rt_dose"))[0]
    assert not zero.pixel_array.any() and float(zero.DoseGridScaling) > 0
    with pytest.raises(PixelError, match="NaN"):
        build(CT, np.full(CT.shape, np.nan), blueprint="rt_dose")
    with pytest.raises(BlueprintError, match="16 or 32"):
        build(CT, DOSE, elements(BitsAllocated=8), blueprint="rt_dose")
    datasets = ct_phantom(5, 33, 34)
    for index, dataset in enumerate(datasets):
        dataset.ImagePositionPatient[1] += index  # a tilted gantry
    with pytest.raises(GeometryError, match="lean"):
        build(datasets, DOSE, blueprint="rt_dose")
    with pytest.raises(GeometryError, match="evenly"):
        build(ct_phantom(6, 33, 34)[:2] + ct_phantom(6, 33, 34)[3:], DOSE, blueprint="rt_dose")


@pytest.mark.parametrize(
    ("image", "name", "bits"),
    [
        (RGB[..., 0], "Byte", 8),
        (RGB[..., 0] > 99, "Byte", 8),
        (RGB[..., 0].astype(np.uint16) * 200, "Word", 16),
        (RGB[..., 0].astype(np.float32), "Word", 16),
        (RGB, "True Color", 8),
        (RGB[1:4, :20, :10], "True Color", 8),
    ],
)
def test_a_multiframe_secondary_capture_comes_back(image: Any, name: str, bits: int) -> None:
    series = build(CT, image, blueprint="multiframe_secondary_capture", factory=SecondaryCaptureFactory())
    dataset = written(series)[0]
    assert name in dataset.SOPClassUID.name and dataset.SOPClassUID == series.sop_class_uid
    assert dataset.file_meta.MediaStorageSOPClassUID == dataset.SOPClassUID
    assert dataset.BitsAllocated == bits and np.array_equal(dataset.pixel_array, image)
    assert dataset.PageNumberVector == list(range(1, len(image) + 1))
    assert len(dataset.SourceImageSequence) == 5
    assert errors(series.encode(0)) == []


def test_a_multiframe_secondary_capture_has_no_rescale() -> None:
    for image in (CT.voxels(), DOSE):
        with pytest.raises(PixelError, match="no rescale"):
            build(CT, image, blueprint="multiframe_secondary_capture")


@pytest.mark.parametrize("image", [RGB, RGB[2:3], RGB[:, :, :33]])
def test_colour_comes_back_slice_by_slice(image: Any) -> None:
    series = build(CT, image, blueprint="secondary_capture")
    datasets = written(series)
    assert len(datasets) == len(image)
    for index, (dataset, plane) in enumerate(zip(datasets, image, strict=True)):
        assert (dataset.SamplesPerPixel, dataset.PlanarConfiguration) == (3, 0)
        assert dataset.PhotometricInterpretation == "RGB" and "WindowCenter" not in dataset
        assert np.array_equal(dataset.pixel_array, plane)
        assert series.encode(index) == encode(series.dataset(index))
        assert len(dataset.SourceImageSequence) == (1 if image is RGB else 5)
    assert errors(series.encode(0)) == []


@pytest.mark.parametrize("syntax", ["RLELossless", "JPEG2000Lossless", "JPEGLSLossless"])
def test_colour_is_compressed_without_loss(syntax: str) -> None:
    series = build(CT, RGB, blueprint="secondary_capture").written_in(syntax)
    assert np.array_equal(written(series)[3].pixel_array, RGB[3])


def test_one_picture_in_colour() -> None:
    (dataset,) = written(build(CT, RGB[0], blueprint="secondary_capture"))
    assert np.array_equal(dataset.pixel_array, RGB[0])


def test_colour_of_a_nifti_file() -> None:
    rgb = np.zeros(CT.shape, [("R", "u1"), ("G", "u1"), ("B", "u1")])
    for index, name in enumerate("RGB"):
        rgb[name] = RGB[..., index]
    image = nib.Nifti1Image(rgb.transpose(2, 1, 0), CT.affine_ras[:, [2, 1, 0, 3]])
    image = nib.Nifti1Image.from_bytes(image.as_reoriented(np.array([[2, -1], [0, 1], [1, -1]])).to_bytes())
    for factory in (NiftiFactory(), SecondaryCaptureFactory()):
        datasets = written(build(CT, image, blueprint="secondary_capture", factory=factory))
        assert np.array_equal([dataset.pixel_array for dataset in datasets], RGB)
    with pytest.raises(ShapeMismatch, match="in colour"):
        build(CT, image, blueprint="ct", factory=NiftiFactory())


def test_colour_where_there_is_none() -> None:
    for name in ("ct", "parametric_map"):
        with pytest.raises(ShapeMismatch, match="in colour") as caught:
            build(CT, RGB, blueprint=name)
        assert caught.value.remedy and "secondary_capture" in caught.value.remedy
    for dtype in (np.float32, np.uint16):
        with pytest.raises(PixelError, match="uint8"):
            build(CT, RGB.astype(dtype), blueprint="secondary_capture")


@pytest.mark.parametrize("factory", [NiftiFactory(), SecondaryCaptureFactory()])
@pytest.mark.parametrize("blueprint", ["secondary_capture", "segmentation", "overlay"])
def test_colour_of_a_nifti_file_that_no_image_has(factory: DicomFactory, blueprint: str) -> None:
    """With an opacity, or in several volumes."""
    opaque = np.zeros(CT.shape[::-1], [(name, "u1") for name in "RGBA"])
    volumes = np.zeros((*CT.shape[::-1], 2), [(name, "u1") for name in "RGB"])
    factory = factory if blueprint == "secondary_capture" else NiftiFactory()
    for image, words in ((opaque, "in colour, RGBA:"), (volumes, "in colour, RGB in 2 volumes")):
        with pytest.raises(PixelError, match=words) as caught:
            build(CT, nib.Nifti1Image(image, CT.to_nifti().affine), blueprint=blueprint, factory=factory)
        assert caught.value.remedy and "RGB24" in caught.value.remedy


def test_several_values_a_voxel_are_not_volumes() -> None:
    """RGBA of the parent's size, (slice, row, column, sample), is no series of volumes of 4 columns."""
    for image in (np.zeros((*CT.shape, 4), np.uint8), np.zeros((*CT.shape, 2)), np.zeros((*CT.shape, 1))):
        with pytest.raises(ShapeMismatch, match=f"{image.shape[-1]} values a voxel") as caught:
            build(CT, image, blueprint="secondary_capture")
        assert caught.value.remedy and "time is the first axis" in caught.value.remedy
    one = parent_of(ct_phantom(1, 6, 5))
    with pytest.raises(ShapeMismatch, match="4 values a voxel"):
        build(one, np.zeros((6, 5, 4), np.uint8), blueprint="secondary_capture")
    assert len(build(CT, np.zeros((2, *CT.shape)), blueprint="secondary_capture")) == 2 * len(CT)


def test_three_columns_are_not_colour() -> None:
    parent = parent_of(ct_phantom(4, 6, 3))
    series = build(parent, parent.voxels().astype(np.int16), blueprint="secondary_capture")
    assert len(series) == 4 and written(series)[0].SamplesPerPixel == 1


def frames(dataset: Dataset) -> list[Dataset]:
    """Each frame as a classic image: what its functional groups say."""
    datasets = []
    shared = dataset.SharedFunctionalGroupsSequence[0]
    for index, groups_of_frame in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        frame = Dataset()
        for group in (*shared, *groups_of_frame):
            for item in group.value:
                frame.update(item)
        for name in ("Rows", "Columns", "BitsAllocated", "PixelRepresentation"):
            setattr(frame, name, dataset[name].value)
        size = dataset.Rows * dataset.Columns * 2
        frame.PixelData = dataset.PixelData[index * size : (index + 1) * size]
        frame.source = groups_of_frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        frame.converted = groups_of_frame.ConversionSourceAttributesSequence[0].ReferencedSOPInstanceUID
        datasets.append(frame)
    return datasets


@pytest.mark.wide(quick=3)
@pytest.mark.parametrize("scale", [1, 1.37])
@pytest.mark.parametrize("orientation", ["axial", "oblique"])
@pytest.mark.parametrize("name", PHANTOMS)
def test_an_enhanced_image_has_the_values_and_places_of_the_classic_one(
    name: str, orientation: str, scale: float
) -> None:
    parent = parent_of(PHANTOMS[name](5, 16, 12, orientation=orientation))
    image = parent.voxels() * np.float32(scale)
    context = BuildContext(uid_seed="one")
    classic = build(parent, image, blueprint=name)
    series = build(parent, image, blueprint=f"legacy_enhanced_{name}", context=context)
    dataset = written(series)[0]
    assert dataset.SOPClassUID.name.startswith("Legacy Converted Enhanced") and dataset.NumberOfFrames == 5
    assert (dataset.ImageType[0], dataset.PatientID, dataset.SOPInstanceUID) == (
        "DERIVED",
        "PHANTOM-1",
        context.uid("instance", 0),
    )
    by_place = {tuple(place): plane for place, plane in zip(positions(written(classic)), written(classic), strict=True)}
    there = {instance.SOPInstanceUID: place for instance, place in zip(parent.instances, by_place, strict=True)}
    for frame in frames(dataset):
        place = tuple(float(value) for value in frame.ImagePositionPatient)
        plane = by_place.pop(place)
        assert np.array_equal(real(frame), real(plane))
        assert there[frame.source] == place and frame.converted == frame.source
        assert frame.ImageOrientationPatient == plane.ImageOrientationPatient
        assert frame.PixelSpacing == plane.PixelSpacing
    assert not by_place
    known = {str(instance.SOPInstanceUID) for instance in parent.instances}
    refs = [e.value for e in dataset.iterall() if e.keyword == "ReferencedSOPInstanceUID"]
    assert {str(value) for value in refs} == known
    assert errors(series.encode(0)) == []


def test_the_enhanced_images_blueprint_counts() -> None:
    extra = elements(SeriesDescription="Mine", BodyPartExamined="HEAD", PatientName="Other")
    series = build(CT, extra=extra, blueprint="legacy_enhanced_ct", strategy=FillingStrategy.COPY, factory=CTFactory())
    dataset = written(series)[0]
    assert dataset.SeriesDescription == "Mine" and dataset.PatientName == "Phantom^Head"
    assert any("PatientName" in warning for warning in series.warnings)
    rows = {row.keyword: row for row in explain(series).rows}
    assert rows["SeriesDescription"].value == "Mine" and rows["NumberOfFrames"].source == "rules"
    assert new_errors(series.encode(0), CT.instances[:1]) == []


def test_odd_patients_and_no_thickness_draw_no_warning() -> None:
    datasets = ct_phantom(4, 9, 7, patient_name="JOHN_DOE")
    for dataset in datasets:
        dataset.SliceThickness = None
    series = build(datasets, extra=derivation("x", "Smoothing"), blueprint="legacy_enhanced_ct")
    dataset = written(series)[0]
    assert series.warnings == () and dataset.PatientName == "JOHN_DOE"
    assert frames(dataset)[0].SliceThickness == 2.5
    assert new_errors(series.encode(0), datasets) == []


def test_a_dose_as_parent_brings_its_plan() -> None:
    slices = ct_phantom(4, 9, 7)
    parent_dose = dose(slices, [0, 2.5, 5, 7.5])
    parent_dose.ReferencedRTPlanSequence, parent_dose.DoseSummationType = [PLAN], "FRACTION"
    parent = parent_of([parent_dose])
    series = build(parent, parent.voxels() * 2, derivation("x2", "PixelByPixelMultiplication"), blueprint="rt_dose")
    dataset = written(series)[0]
    assert series.warnings == () and dataset.ReferencedRTPlanSequence == [PLAN]
    assert dataset.DoseSummationType == "FRACTION" and dataset.SourceImageSequence[0].ReferencedSOPInstanceUID
    values = dataset.pixel_array * float(dataset.DoseGridScaling)
    assert np.allclose(values, parent.voxels() * 2, rtol=1e-6)


def test_the_same_enhanced_image_twice() -> None:
    context = BuildContext(uid_seed="one")
    once, again = (build(CT, blueprint="legacy_enhanced_ct", context=context).encode(0) for _ in range(2))
    assert once == again


def test_other_enhanced_classes_are_refused() -> None:
    with pytest.raises(BlueprintError, match="cannot be an Enhanced MR") as caught:
        build(CT, extra=elements(SOPClassUID=EnhancedMRImageStorage), blueprint="mr")
    assert caught.value.remedy and "legacy_enhanced_mr" in caught.value.remedy


def test_factories_and_blueprints_of_different_kinds() -> None:
    for factory, name in ((CTFactory(), "mr"), (RtDoseFactory(), "ct"), (SegmentationFactory(), "rt_dose")):
        with pytest.raises(HeaderError, match="of different kinds"):
            build(CT, blueprint=name, factory=factory)
    assert len(build(CT, blueprint="ct", factory=CTFactory())) == len(build(CT, blueprint="ct", factory=NumpyFactory()))


@pytest.mark.parametrize("shape", [(1, 16, 12), (1, 16, 12, 3)])
def test_a_multiframe_secondary_capture_of_one_page(shape: tuple[int, ...]) -> None:
    """FrameIncrementPointer is there for several frames (PS3.3 C.8.6.3, which overrides the Multi-frame module)."""
    parent = parent_of(ct_phantom(1, 16, 12))
    series = build(parent, np.ones(shape, "u1"), blueprint="multiframe_secondary_capture")
    (dataset,) = written(series)
    assert dataset.NumberOfFrames == 1 and "FrameIncrementPointer" not in dataset
    assert validation_errors(validate(series, parent)) == ()
    assert new_errors(series.encode(0), map(encode, parent.instances)) == []
    several = build(CT, np.ones(CT.shape, "u1"), blueprint="multiframe_secondary_capture")
    del several.datasets[0].FrameIncrementPointer  # type: ignore[attr-defined]
    (missing,) = validation_errors(validate(several, CT))
    assert "FrameIncrementPointer" in str(missing)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_a_label_map_with_values_that_are_not_labels_is_refused(dtype: str, value: float) -> None:
    labels = np.ones(CT.shape, dtype)
    labels[1, 2, 3] = value
    with pytest.raises(PixelError, match="made from a label map"):
        build(CT, labels, blueprint="segmentation", factory=SegmentationFactory())
