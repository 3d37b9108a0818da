"""Images of projection and ultrasound: each stays what its parent image is, in class, units, view and time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UltrasoundImageStorage

from building import build, parent_of, ready, written
from dciodvfy import new_errors
from derived_series import (
    Blueprint,
    DiscardElement,
    FillingStrategy,
    NiftiFactory,
    NumpyFactory,
    ParentSeries,
    StaticElement,
    common_blueprint,
    explain,
)
from derived_series.dicom.factories.kinds import FACTORIES
from derived_series.dicom.preview import picture
from derived_series.dicom.validation import errors, validate
from derived_series.errors import DerivedSeriesError, GeometryError, HeaderError, PixelError, ShapeMismatch
from package_files import package_series
from parents_of_kinds import PROJECTION, phantom_for
from phantoms import ct_phantom, encode, uid
from phantoms_projection import VIEWS, angiogram, digital_x_ray, mammograms, radiograph, ultrasound

PARENTS: dict[str, tuple[str, Callable[[], list[Dataset]]]] = {
    "CR": ("cr", lambda: radiograph(images=2)),
    "CR inverted": ("cr", lambda: radiograph(inverted=True)),
    "DX for presentation": ("dx", digital_x_ray),
    "DX inverted": ("dx", lambda: digital_x_ray(inverted=True)),
    "DX for processing": ("dx", lambda: digital_x_ray(processing=True, images=2)),
    "MG four views": ("mg", mammograms),
    "MG for processing": ("mg", lambda: mammograms(processing=True)),
    "US RGB": ("us", ultrasound),
    "US grey": ("us", lambda: ultrasound(colour=False, images=2)),
    "US RGB multi-frame": ("us", lambda: ultrasound(frames=4)),
    "US two multi-frame": ("us", lambda: ultrasound(frames=3, colour=False, images=2)),
    "XA": ("xa", angiogram),
    "XA 8 bits": ("xa", lambda: angiogram(bits=8)),
    "XA uneven times": ("xa", lambda: angiogram(vector=True)),
    "XA one frame": ("xa", lambda: angiogram(frames=1)),
    "RF": ("xa", lambda: angiogram(fluoroscopy=True)),
}  # fmt: skip
#: The parent's, digit for digit, in each of its images.
KEPT = (
    *("SOPClassUID", "Modality", "PresentationIntentType", "PresentationLUTShape", "PhotometricInterpretation"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "RescaleSlope", "RescaleIntercept"),
    *("PixelIntensityRelationship", "PixelIntensityRelationshipSign", "ImagerPixelSpacing", "DetectorType"),
    *("ImageLaterality", "ViewPosition", "ViewCodeSequence", "AnatomicRegionSequence", "PatientOrientation"),
    *("PositionerType", "PositionerPrimaryAngle", "PositionerSecondaryAngle", "BodyPartThickness", "OrganExposed"),
    *("BreastImplantPresent", "PartialView", "BurnedInAnnotation", "LossyImageCompression", "WindowCenter"),
    *("WindowWidth", "NumberOfFrames", "FrameIncrementPointer", "FrameTime", "FrameTimeVector", "CineRate"),
    *("RecommendedDisplayFrameRate", "StartTrim", "StopTrim", "HeartRate", "MaskSubtractionSequence"),
    *("RecommendedViewingMode", "SequenceOfUltrasoundRegions", "UltrasoundColorDataPresent", "RadiationSetting"),
    *("FieldOfViewOrigin", "FieldOfViewRotation", "PositionerMotion", "BodyPartExamined", "PlateType"),
)
#: Of an image in space, or of the dose of the parent's exposure.
NEVER = ("ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID", "SliceThickness", "Exposure")


def values_of(parent: ParentSeries) -> npt.NDArray[Any]:
    return parent.stored() if parent.pivot.SamplesPerPixel == 3 else parent.voxels()


def errors_of(series: Any, parent: ParentSeries) -> list[str]:
    return [str(finding) for finding in errors(validate(series, parent))]


@pytest.mark.wide(quick=8)
@pytest.mark.parametrize("strategy", FillingStrategy)
@pytest.mark.parametrize("name", PARENTS)
def test_each_image_stays_what_its_parent_image_is(name: str, strategy: FillingStrategy) -> None:
    blueprint, phantom = PARENTS[name]
    datasets = phantom()
    parent = parent_of(datasets)
    image = values_of(parent)
    series = build(parent, image, blueprint=blueprint, strategy=strategy, factory=FACTORIES[blueprint]())
    derived = written(series)
    assert len(derived) == len(datasets) and errors_of(series, parent) == []
    for before, after in zip(datasets, derived, strict=True):
        assert np.array_equal(after.pixel_array, before.pixel_array)
        for keyword in KEPT:
            own_window = keyword in ("WindowCenter", "WindowWidth") and "PresentationIntentType" not in before
            assert after.get(keyword) == before.get(keyword) or (own_window and keyword not in before), keyword
        assert not [keyword for keyword in NEVER if keyword in after]
        (source,) = after.SourceImageSequence
        assert source.ReferencedSOPInstanceUID == before.SOPInstanceUID and "ReferencedFrameNumber" not in source
        assert source.SpatialLocationsPreserved == "YES"
        assert after.SOPInstanceUID != before.SOPInstanceUID and list(after.ImageType[:2]) == ["DERIVED", "SECONDARY"]
        assert list(after.ImageType[2:]) == list(before.ImageType[2:])
        assert new_errors(after, [before]) == []
    assert len({d.InstanceNumber for d in derived}) == len(derived)
    assert picture(series) is not None
    again = ParentSeries.from_datasets(derived)  # a derived series may be a parent itself
    assert np.array_equal(values_of(again), image)


def test_each_of_four_views_is_made_from_its_own_image() -> None:
    """In the order of the series, whatever the order of arrival."""
    parents = mammograms()
    parent = parent_of(parents[::-1])
    image = parent.voxels()
    for index in range(4):
        image[index] = np.minimum(image[index] + 10 * index, 4095)
    for index, dataset in enumerate(written(build(parent, image, blueprint="mg"))):
        side, view, code, _ = VIEWS[index]
        assert (dataset.ImageLaterality, dataset.ViewPosition) == (side, view)
        assert dataset.ViewCodeSequence[0].CodeValue == code
        assert dataset.SourceImageSequence[0].ReferencedSOPInstanceUID == parents[index].SOPInstanceUID
        assert np.array_equal(dataset.pixel_array, image[index])


# ---- values


def test_fractions_are_rounded_to_the_parents_units() -> None:
    parent = parent_of(digital_x_ray(inverted=True))
    image = parent.voxels() * 0.9 + 0.3
    (dataset,) = written(build(parent, image, blueprint="dx"))
    assert np.array_equal(dataset.pixel_array, np.rint(image[0]))
    assert (dataset.PhotometricInterpretation, dataset.PresentationLUTShape) == ("MONOCHROME1", "INVERSE")
    assert (dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType) == (1, 0, "US")


def test_a_parents_rescale_is_the_images() -> None:
    parents = radiograph()
    parents[0].RescaleSlope, parents[0].RescaleIntercept, parents[0].RescaleType = 2, -100, "US"
    parent = parent_of(parents)
    (dataset,) = written(build(parent, blueprint="cr", image=parent.voxels()))
    assert (dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType) == (2, -100, "US")
    assert np.array_equal(dataset.pixel_array, parents[0].pixel_array)


def test_more_bits_than_the_parents_are_stored_with_a_warning() -> None:
    parent = parent_of(digital_x_ray())
    series = build(parent, parent.voxels() * 4, blueprint="dx")
    (dataset,) = written(series)
    assert (dataset.BitsStored, dataset.HighBit) == (16, 15)
    assert any("12 bits" in warning and "16 bits are stored" in warning for warning in series.warnings)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v - 5000, "no negative ones"),
        (lambda v: v / v.max(), "from 0 to 1 with fractions"),
        (lambda v: v * 100, "has 16 bits"),
        (lambda v: np.where(v > 100, np.nan, v), "NaN or Inf"),
    ],
)
def test_values_that_are_not_the_parents_units_are_refused(change: Any, message: str) -> None:
    parent = parent_of(digital_x_ray())
    with pytest.raises(PixelError, match=message):
        build(parent, change(parent.voxels()), blueprint="dx")


def test_nan_is_replaced_when_asked_for() -> None:
    parent = parent_of(digital_x_ray())
    image = parent.voxels()
    image[0, 2, 3] = np.nan
    (dataset,) = written(build(parent, image, blueprint="dx", nan=7))
    assert dataset.pixel_array[2, 3] == 7


def test_the_voi_lut_is_kept_where_the_values_are_like_the_parents() -> None:
    parents = digital_x_ray()
    item = Dataset()
    item.LUTDescriptor, item.LUTData = [4, 0, 16], [0, 1, 2, 3]
    item["LUTDescriptor"].VR, item["LUTData"].VR = "US", "US"
    parents[0].VOILUTSequence = [item]
    del parents[0].WindowCenter, parents[0].WindowWidth
    parent = parent_of(parents)
    (alike,) = written(build(parent, parent.voxels(), blueprint="dx"))
    assert alike.VOILUTSequence[0].LUTDescriptor == [4, 0, 16] and "WindowCenter" not in alike
    (other,) = written(build(parent, 4095 - parent.voxels(), blueprint="dx"))
    assert "VOILUTSequence" not in other and other.WindowWidth > 0


def test_values_behind_a_modality_lut_are_stored_without_it() -> None:
    parents = angiogram(bits=8)
    lut = Dataset()
    lut.LUTDescriptor, lut.ModalityLUTType = [256, 0, 16], "US"
    lut.LUTData = [2 * value for value in range(256)]
    lut["LUTDescriptor"].VR, lut["LUTData"].VR = "US", "US"
    parents[0].ModalityLUTSequence, parents[0].PixelIntensityRelationship = [lut], "LOG"
    parent = parent_of(parents)
    series = build(parent, parent.voxels(), blueprint="xa")
    (dataset,) = written(series)
    assert np.array_equal(dataset.pixel_array, 2 * parents[0].pixel_array.astype(int))
    assert "ModalityLUTSequence" not in dataset and dataset.PixelIntensityRelationship == "LIN"
    assert any("modality LUT" in warning for warning in series.warnings)


# ---- frames and time


def test_a_frame_of_several_leaves_out_the_times() -> None:
    parent = parent_of(ultrasound(frames=4))
    series = build(parent, parent.stored()[:1], blueprint="us")
    (dataset,) = written(series)
    assert dataset.SOPClassUID == UltrasoundImageStorage and "NumberOfFrames" not in dataset
    for keyword in ("FrameTime", "FrameIncrementPointer", "CineRate", "StopTrim", "RecommendedDisplayFrameRate"):
        assert keyword not in dataset
        assert any(keyword in warning and "1 frame, that instance 4" in warning for warning in series.warnings)
    assert errors_of(series, parent) == [] and new_errors(dataset, ultrasound(frames=4)) == []
    (dataset,) = written(build(parent_of(angiogram()), parent_of(angiogram()).voxels()[:1], blueprint="xa"))
    assert "NumberOfFrames" not in dataset and "FrameTime" not in dataset and new_errors(dataset, angiogram()) == []


def test_another_number_of_frames_needs_a_time_of_its_own() -> None:
    parent = parent_of(ultrasound(frames=4))
    with pytest.raises(HeaderError, match="FrameTime.*3 frames.*instance 4"):
        build(parent, parent.stored()[:3], blueprint="us")
    timed = Blueprint([StaticElement("FrameTime", "DS", 80)])
    (dataset,) = written(build(parent, parent.stored()[:3], timed, blueprint="us"))
    assert (dataset.NumberOfFrames, dataset.FrameTime, dataset.FrameIncrementPointer) == (3, 80, 0x00181063)
    assert "StopTrim" not in dataset


def test_frames_that_are_subtracted_have_no_mask_to_be_subtracted() -> None:
    parent = parent_of(angiogram())
    image = parent.voxels()
    series = build(parent, image - image[0] + 1000, blueprint="xa")
    (dataset,) = written(series)
    assert "MaskSubtractionSequence" not in dataset and "RecommendedViewingMode" not in dataset
    assert dataset.FrameTime == 66 and any("MaskSubtractionSequence" in warning for warning in series.warnings)
    (dataset,) = written(build(parent, image * 0.95, blueprint="xa"))
    assert dataset.MaskSubtractionSequence[0].MaskFrameNumbers == 1 and dataset.RecommendedViewingMode == "SUB"


def test_other_rows_and_columns_leave_out_what_is_in_the_parents() -> None:
    parent = parent_of(ultrasound(frames=3))
    series = build(parent, parent.stored().repeat(2, axis=1), blueprint="us")
    (dataset,) = written(series)
    assert dataset.Rows == 32 and "SequenceOfUltrasoundRegions" not in dataset and dataset.FrameTime == 40
    assert any("SequenceOfUltrasoundRegions" in warning for warning in series.warnings)
    with pytest.raises(HeaderError, match="ImagerPixelSpacing.*other rows and columns"):
        build(parent_of(digital_x_ray()), np.ones((1, 8, 6), np.uint16), blueprint="dx")


# ---- what is refused


def rgb(shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    return np.full((*shape, 3), 9, np.uint8)


@pytest.mark.parametrize(
    ("blueprint", "image", "kind", "message"),
    [
        ("dx", np.ones((2, 8, 8), np.uint8), ShapeMismatch, "2 frames.*its own parent"),
        ("mg", np.ones((2, 8, 8), np.uint8), ShapeMismatch, "2 frames, the parent series 3"),
        ("mg", np.ones((3, 16, 8), np.uint8), ShapeMismatch, "16 rows and 8 columns"),
        ("cr", rgb((3, 8, 8)), ShapeMismatch, "in colour"),
        ("us", np.ones((3, 8, 8), np.uint16) * 300, PixelError, "8 bits"),
    ],
)
def test_what_is_not_made_from_each_parent_image_is_refused(
    blueprint: str, image: Any, kind: type[DerivedSeriesError], message: str
) -> None:
    slices = 1 if blueprint == "dx" else 3
    with pytest.raises(kind, match=message):
        build(parent_of(phantom_for(blueprint, slices)), image, blueprint=blueprint)


def test_an_image_in_space_is_refused() -> None:
    image = nib.Nifti1Image(np.ones((12, 16, 1), np.uint8), np.eye(4))
    with pytest.raises(GeometryError, match="a radiograph has none"):
        build(parent_of(digital_x_ray()), image, blueprint="dx", factory=NiftiFactory())


@pytest.mark.parametrize("blueprint", PROJECTION)
def test_a_parent_of_another_kind_is_refused_with_the_kind_that_it_is(blueprint: str) -> None:
    with pytest.raises(HeaderError, match="the parent is CT.*the parent is of CT Image Storage") as caught:
        build(ct_phantom(2, 8, 8), blueprint=blueprint)
    assert "blueprint ct" in str(caught.value.remedy)
    other = "us" if blueprint == "dx" else "dx"
    with pytest.raises(HeaderError) as caught:
        build(parent_of(phantom_for(other)), np.ones((3, 8, 8), np.uint8), blueprint=blueprint)
    assert f"blueprint {other}" in str(caught.value.remedy)


@pytest.mark.parametrize("blueprint", ["ct", "mr", "pet"])
def test_a_projection_is_not_a_volume(blueprint: str) -> None:
    with pytest.raises((GeometryError, HeaderError), match="DX") as caught:
        build(parent_of(digital_x_ray()), np.ones((1, 16, 12), np.uint8), blueprint=blueprint)
    assert "blueprint dx" in str(caught.value.remedy)


def test_a_wrong_modality_of_the_parent_is_kept_with_a_warning() -> None:
    parents = radiograph()
    parents[0].Modality = "DX"
    parent = parent_of(parents)
    series = build(parent, parent.voxels(), blueprint="cr")
    assert written(series)[0].Modality == "DX" and errors_of(series, parent) == []
    assert any("Modality" in str(finding) for finding in validate(series, parent))


def test_a_blueprint_that_names_no_class_makes_the_parents() -> None:
    parents = mammograms()
    parent = parent_of(parents)
    series = build(parent, parent.voxels(), blueprint=common_blueprint)
    assert errors_of(series, parent) == [] and {d.SOPClassUID for d in written(series)} == {parents[0].SOPClassUID}


def test_each_instance_names_its_sources_once() -> None:
    """Whole instances, whatever the number of their frames; of another input those that its frames come from."""
    parent, other = parent_of(ultrasound(frames=3, colour=False, images=2)), parent_of(ct_phantom(2, 8, 8))
    assert parent.shape == (6, 16, 12)
    factory = NumpyFactory()
    header = factory.make_series_header(parent, ready("us"))
    header = replace(header, env=replace(header.env, inputs={"us": parent, "ct": other}))
    datasets = written(factory.build(header, parent.voxels()))
    for index, dataset in enumerate(datasets):
        parent_uid, *others = [item.ReferencedSOPInstanceUID for item in dataset.SourceImageSequence]
        assert parent_uid == uid("PHANTOM-1", "1", "us", index)
        assert others == [instance.SOPInstanceUID for instance in other.instances]
        assert [len(item.ReferencedInstanceSequence) for item in dataset.ReferencedSeriesSequence] == [1, 2]
        assert not any("ReferencedFrameNumber" in item for item in dataset.SourceImageSequence)


def test_an_explanation_tells_what_differs_from_image_to_image() -> None:
    parent = parent_of(mammograms())
    rows = {row.keyword: row for row in explain(build(parent, parent.voxels(), blueprint="mg")).rows}
    assert rows["ViewPosition"].varies and rows["ImageLaterality"].varies and rows["SOPInstanceUID"].varies
    assert not rows["Modality"].varies and not rows["DetectorType"].varies
    assert rows["ViewPosition"].source == "projection" and rows["Rows"].source == "rules"


# ---- real files


@pytest.mark.parametrize(
    ("name", "blueprint"), [("radiograph", "cr"), ("ultrasound palette", "us"), ("ultrasound 30 frames", "us")]
)
def test_real_files_stay_what_they_are(name: str, blueprint: str) -> None:
    files = package_series(name)
    parent = ParentSeries.from_files(files)
    image = parent.voxels() if blueprint == "cr" else parent.stored()  # whose rescale is 0.684 and 200
    series = build(parent, image, blueprint=blueprint)
    (dataset,) = written(series)
    (source,) = [path.read_bytes() for path in files]
    assert new_errors(encode(dataset), [source]) == [] and errors_of(series, parent) == []
    assert dataset.SOPClassUID == parent.instances[0].SOPClassUID
    assert np.array_equal(dataset.pixel_array.reshape(image.shape), parent.stored())
    assert dataset.get("RescaleSlope") == parent.pivot.get("RescaleSlope")


# ---- what of the parent's pixels holds for the image's


def padded(limit: int | None = None) -> list[Dataset]:
    """A radiograph whose first two columns are padding."""
    (dataset,) = digital_x_ray()
    pixels = dataset.pixel_array.copy()
    pixels[:, 0], pixels[:, 1] = 4095, 4095 if limit is None else limit
    dataset.PixelData = pixels.tobytes()
    dataset.add_new("PixelPaddingValue", "US", 4095)
    if limit is not None:
        dataset.add_new("PixelPaddingRangeLimit", "US", limit)
    return [dataset]


@pytest.mark.parametrize("limit", [None, 4090])
def test_the_padding_value_is_kept_where_padding_is_padding(limit: int | None) -> None:
    parent = parent_of(padded(limit))
    image = parent.voxels()
    image[:, :, 2:] *= 0.9
    series = build(parent, image, blueprint="dx")
    (dataset,) = written(series)
    assert (dataset.PixelPaddingValue, dataset.get("PixelPaddingRangeLimit")) == (4095, limit)
    assert not any("PixelPadding" in warning for warning in series.warnings)
    assert errors_of(series, parent) == [] and new_errors(dataset, padded(limit)) == []


def test_the_padding_value_is_in_the_vr_of_the_pixels() -> None:
    """Some writers give that of signed pixels as an unsigned number."""
    (source,) = digital_x_ray()
    pixels = source.pixel_array.astype("<i2")
    pixels[:, 0] = -32768
    source.PixelData = pixels.tobytes()
    source.PixelRepresentation, source.BitsStored, source.HighBit = 1, 16, 15
    source.add_new("PixelPaddingValue", "US", 32768)
    (dataset,) = written(build([source], blueprint="dx"))
    assert (dataset.PixelPaddingValue, dataset["PixelPaddingValue"].VR) == (-32768, "SS")
    assert np.array_equal(dataset.pixel_array, pixels)


def _as_they_are(image: Any) -> Any:
    return image


def _with_a_bright_pixel(image: Any) -> Any:
    image[0, 5, 5] = 4095
    return image


@pytest.mark.parametrize(
    ("change", "values", "reason"),
    [
        ({}, lambda image: image * 0.9, "the image has no padding"),
        ({}, _with_a_bright_pixel, "1 pixels of the image have such a value where the parent has none"),
        ({"RescaleSlope": 2}, _as_they_are, "not in the parent's stored units"),
        ({"PixelPaddingValue": None}, _as_they_are, "cannot be compared"),
    ],
)
def test_the_padding_value_is_left_out_where_it_does_not_hold(change: Any, values: Any, reason: str) -> None:
    parents = padded(limit=4094)
    for keyword, value in change.items():
        setattr(parents[0], keyword, value)
    parent = parent_of(parents)
    series = build(parent, values(parent.voxels()), blueprint="dx")
    (dataset,) = written(series)
    assert "PixelPaddingValue" not in dataset and "PixelPaddingRangeLimit" not in dataset
    (warning,) = (each for each in series.warnings if "PixelPaddingValue" in each)
    assert reason in warning and str(parents[0].SOPInstanceUID) in warning


def with_overlay(dataset: Dataset, group: int = 0x6000, frames: int | None = None) -> Dataset:
    """With an ROI drawn over it: every third pixel."""
    size = dataset.Rows * dataset.Columns * (frames or 1)
    bits = np.packbits(np.arange(size) % 3 == 0, bitorder="little").tobytes()
    for element, vr, value in (
        (0x0010, "US", dataset.Rows),
        (0x0011, "US", dataset.Columns),
        (0x0040, "CS", "R"),
        (0x0050, "SS", [1, 1]),
        (0x0100, "US", 1),
        (0x0102, "US", 0),
        (0x1301, "IS", 64),
        (0x1302, "DS", "17.5"),
        (0x1500, "LO", "Lesion"),
        (0x3000, "OW", bits + b"\0" * (len(bits) % 2)),
        *([(0x0015, "IS", frames)] if frames else []),
    ):
        dataset.add_new((group, element), vr, value)
    return dataset


def overlay_of(dataset: Dataset, group: int = 0x6000) -> dict[int, Any]:
    return {int(element.tag) & 0xFFFF: element.value for element in dataset if element.tag.group == group}


@pytest.mark.parametrize("strategy", FillingStrategy)
def test_overlays_are_kept_on_the_parents_rows_and_columns(strategy: FillingStrategy) -> None:
    (source,) = digital_x_ray()
    with_overlay(with_overlay(source), 0x6004)
    parent = parent_of([source])
    series = build(parent, parent.voxels() * 0.9, blueprint="dx", strategy=strategy)
    (dataset,) = written(series)
    expected = overlay_of(source)
    del expected[0x1302]  # the mean of the parent's values
    assert overlay_of(dataset) == overlay_of(dataset, 0x6004) == expected
    assert np.array_equal(dataset.overlay_array(0x6000), source.overlay_array(0x6000))
    assert sum("of the parent's values" in warning for warning in series.warnings) == 2
    assert errors_of(series, parent) == [] and new_errors(dataset, [source]) == []


@pytest.mark.parametrize(
    ("source", "image", "reason"),
    [
        (
            with_overlay(ultrasound(frames=3, colour=False)[0]),
            lambda v: v.repeat(2, axis=1),
            "the image's rows and columns are others",
        ),
        (with_overlay(ultrasound(frames=3)[0], frames=3), lambda v: v[:1], "the image has 1 frame, that instance 3"),
        (with_overlay(angiogram(bits=10)[0], frames=5), lambda v: v, "in unused bits of the parent's pixels"),
    ],
    ids=["rows", "frames", "bits"],
)
def test_overlays_that_do_not_lie_on_the_image_are_left_out(source: Dataset, image: Any, reason: str) -> None:
    if "bits" in reason:
        source[0x60000100].value = 16
        del source[0x60003000]
    parent = parent_of([source])
    series = build(parent, image(values_of(parent)), blueprint="us" if source.Modality == "US" else "xa")
    (dataset,) = written(series)
    assert overlay_of(dataset) == {}
    assert any(warning.startswith("the overlay plane 6000 ") and reason in warning for warning in series.warnings)


def test_a_colour_profile_is_kept_with_the_colours() -> None:
    (source,) = ultrasound()
    source.ICCProfile, source.ColorSpace = b"profile!", "SRGB"
    parent = parent_of([source])
    (dataset,) = written(build(parent, parent.stored().repeat(2, axis=1), blueprint="us"))
    assert (dataset.ICCProfile, dataset.ColorSpace) == (b"profile!", "SRGB")
    series = build(parent, parent.stored()[..., 0], blueprint="us")
    assert not {"ICCProfile", "ColorSpace"} & {element.keyword for element in written(series)[0]}
    assert any("ICCProfile" in warning and "the image is grey" in warning for warning in series.warnings)


def test_what_the_blueprint_says_of_them_stands() -> None:
    (source,) = ultrasound()
    source.ICCProfile, source.ColorSpace = b"profile!", "SRGB"
    with_overlay(source)
    parent = parent_of([source])
    without = Blueprint([DiscardElement("ICCProfile"), DiscardElement(0x60003000)])
    (dataset,) = written(build(parent, parent.stored(), without, blueprint="us"))
    assert "ICCProfile" not in dataset and overlay_of(dataset) == {} and dataset.ColorSpace == "SRGB"
