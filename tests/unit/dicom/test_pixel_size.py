"""How large the pixels of a picture are: the parent's on its grid, its own or nobody's elsewhere."""

from __future__ import annotations

from typing import Any

import nibabel as nib
import numpy as np
import pytest
from pydicom.dataset import Dataset

from building import build, written
from dciodvfy import new_errors
from derived_series import FillingStrategy, NiftiFactory, PlacedImage, SecondaryCaptureFactory, common_blueprint
from derived_series.dicom.preview import picture
from derived_series.dicom.validation import errors, validate
from phantoms import ct_phantom, encode

SIZES = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing", "PixelAspectRatio")
BOTH = [FillingStrategy.DISCARD, FillingStrategy.COPY]


def radiograph(*changes: tuple[str, Any], slices: int = 1) -> list[Dataset]:
    """Projections of 16 x 12 pixels without a place in space."""
    datasets = ct_phantom(slices, 16, 12)
    for dataset in datasets:
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1"  # type: ignore[assignment]
        dataset.Modality = "CR"
        for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceLocation"):
            if keyword in dataset:
                del dataset[keyword]
        for keyword, value in changes:
            setattr(dataset, keyword, value)
    return datasets


def sizes(dataset: Dataset) -> dict[str, list[float]]:
    return {keyword: [float(v) for v in dataset[keyword].value] for keyword in SIZES if keyword in dataset}


def pictures(shape: tuple[int, ...]) -> list[np.ndarray[Any, Any]]:
    """Grey and RGB."""
    return [np.zeros(shape, "u1"), np.zeros((*shape, 3), "u1")]


@pytest.mark.wide(quick=4)
@pytest.mark.parametrize("blueprint", ["secondary_capture", "multiframe_secondary_capture"])
@pytest.mark.parametrize("strategy", BOTH)
@pytest.mark.parametrize(
    ("keyword", "value"),
    [("PixelSpacing", [0.4, 0.8]), ("ImagerPixelSpacing", [0.2, 0.1]), ("NominalScannedPixelSpacing", [1, 2]),
     ("PixelAspectRatio", [2, 1])],
)  # fmt: skip
def test_that_of_the_parent_is_kept_on_its_grid(
    blueprint: str, strategy: FillingStrategy, keyword: str, value: list[float]
) -> None:
    parent = radiograph((keyword, value), slices=2)
    for image in pictures((2, 16, 12)):
        series = build(parent, image, blueprint=blueprint, strategy=strategy)
        for dataset in written(series):
            assert sizes(dataset) == {keyword: value}
        assert picture(series)["Aspect"] == value[0] / value[1]  # type: ignore[index]
        assert new_errors(series.encode(0), [encode(dataset) for dataset in parent]) == []


@pytest.mark.parametrize("blueprint", ["secondary_capture", "multiframe_secondary_capture"])
@pytest.mark.parametrize("strategy", BOTH)
def test_a_slice_of_a_volume_has_its_spacing(blueprint: str, strategy: FillingStrategy) -> None:
    for image in pictures((3, 16, 12)):
        for dataset in written(build(ct_phantom(3, 16, 12), image, blueprint=blueprint, strategy=strategy)):
            assert sizes(dataset) == {"PixelSpacing": [0.8, 0.7]}


def test_each_picture_has_that_of_its_own_parent() -> None:
    parent = radiograph(slices=2)
    parent[0].ImagerPixelSpacing, parent[1].ImagerPixelSpacing = [0.1, 0.2], [0.3, 0.4]
    by_number = {d.InstanceNumber: [float(v) for v in d.ImagerPixelSpacing] for d in parent}
    datasets = written(build(parent, np.zeros((2, 16, 12), "u1"), blueprint="secondary_capture"))
    assert [sizes(dataset)["ImagerPixelSpacing"] for dataset in datasets] == [by_number[n] for n in sorted(by_number)]
    (pages,) = written(build(parent, np.zeros((2, 16, 12), "u1"), blueprint="multiframe_secondary_capture"))
    assert sizes(pages) == {}


def test_an_aspect_ratio_beside_a_spacing_is_left_out() -> None:
    """It is of type 1C, for images without a spacing."""
    parent = radiograph(("ImagerPixelSpacing", [0.2, 0.1]), ("PixelAspectRatio", [2, 1]))
    (dataset,) = written(build(parent, np.zeros((1, 16, 12), "u1"), blueprint="secondary_capture"))
    assert sizes(dataset) == {"ImagerPixelSpacing": [0.2, 0.1]}
    parent = radiograph(("ImagerPixelSpacing", None), ("PixelSpacing", None), ("PixelAspectRatio", [2, 1]))
    (dataset,) = written(build(parent, np.zeros((1, 16, 12), "u1"), blueprint="secondary_capture"))
    assert sizes(dataset) == {"PixelAspectRatio": [2, 1]}


@pytest.mark.wide(quick=4)
@pytest.mark.parametrize("strategy", BOTH)
@pytest.mark.parametrize("blueprint", ["secondary_capture", "multiframe_secondary_capture"])
@pytest.mark.parametrize("shape", [(1, 32, 24), (1, 8, 6), (3, 16, 12)])
def test_a_picture_of_another_shape_has_none(shape: tuple[int, ...], blueprint: str, strategy: FillingStrategy) -> None:
    region = Dataset()
    region.RegionLocationMinX0 = 0
    region.add_new(0x00091001, "LO", "private")
    projection = radiograph(
        *((keyword, [1, 2]) for keyword in SIZES), ("PixelSpacingCalibrationType", "GEOMETRY"),
        ("PixelSpacingCalibrationDescription", "x"), ("SequenceOfUltrasoundRegions", [region]),
        ("FrameNumbersOfInterest", [1]), ("ShutterShape", "RECTANGULAR"), ("PatientOrientation", ["P", "F"]),
    )  # fmt: skip
    for parent in (projection, ct_phantom(2, 16, 12)):
        for image in pictures(shape):
            series = build(parent, image, blueprint=blueprint, strategy=strategy)
            for dataset in written(series):
                assert sizes(dataset) == {} and "PixelSpacingCalibrationType" not in dataset
                assert "SequenceOfUltrasoundRegions" not in dataset and "FrameNumbersOfInterest" not in dataset
                assert "ShutterShape" not in dataset and dataset["PatientOrientation"].is_empty
                assert "ImagePositionPatient" not in dataset and "FrameOfReferenceUID" not in dataset
            assert errors(validate(series, series.header.parent)) == ()  # type: ignore[union-attr]


@pytest.mark.parametrize("strategy", BOTH)
@pytest.mark.parametrize("blueprint", ["secondary_capture", "multiframe_secondary_capture"])
def test_a_picture_on_a_grid_of_its_own_has_its_spacing(blueprint: str, strategy: FillingStrategy) -> None:
    affine = np.array([[-0.35, 0, 0, -1], [0, -0.4, 0, 18], [0, 0, 1, 30], [0, 0, 0, 1]])  # within the CT
    image = nib.Nifti1Image(np.zeros((24, 32, 1), np.uint8), affine)
    for parent in (radiograph(("PixelSpacing", [0.8, 0.7])), ct_phantom(2, 16, 12)):
        for factory in (NiftiFactory(), SecondaryCaptureFactory()):
            (dataset, *_) = written(build(parent, image, blueprint=blueprint, strategy=strategy, factory=factory))
            assert dataset.Rows == 32 and sizes(dataset) == {"PixelSpacing": [0.4, 0.35]}


def test_what_is_true_of_the_parents_rows_and_columns_is_copied_on_its_grid_alone() -> None:
    region = Dataset()
    region.RegionLocationMinX0 = 3
    parent = radiograph(
        ("SequenceOfUltrasoundRegions", [region]), ("FrameNumbersOfInterest", [2]), ("ShutterShape", "RECTANGULAR"),
        ("FloatPixelPaddingValue", -1.0), ("PixelSpacing", [1, 2]), ("PixelSpacingCalibrationType", "FIDUCIAL"),
    )  # fmt: skip
    image = np.zeros((1, 16, 12), "u1")
    (dataset,) = written(build(parent, image, blueprint="secondary_capture", strategy=FillingStrategy.COPY))
    assert dataset.SequenceOfUltrasoundRegions[0].RegionLocationMinX0 == 3 and dataset.ShutterShape == "RECTANGULAR"
    assert dataset.PixelSpacingCalibrationType == "FIDUCIAL"
    assert "FrameNumbersOfInterest" not in dataset and "FloatPixelPaddingValue" not in dataset


def test_a_known_patient_orientation_is_kept() -> None:
    parent = radiograph(("PatientOrientation", ["L", "F"]), slices=2)
    for name in ("secondary_capture", "multiframe_secondary_capture"):
        for dataset in written(build(parent, np.zeros((2, 16, 12), "u1"), blueprint=name)):
            assert list(dataset.PatientOrientation) == ["L", "F"]
    del parent[0].PatientOrientation
    datasets = written(build(parent, np.zeros((2, 16, 12), "u1"), blueprint="secondary_capture"))
    assert sorted(list(dataset.PatientOrientation or []) for dataset in datasets) == [[], ["L", "F"]]


def test_a_picture_that_is_placed_keeps_its_own_place_and_size() -> None:
    parent = ct_phantom(4, 16, 12)
    whole = build(parent, blueprint="secondary_capture").header.parent  # type: ignore[union-attr]
    image = PlacedImage(np.zeros((2, 16, 12), "u1"), whole.require_grid().subset([1, 3]))
    datasets = written(build(parent, image, blueprint="secondary_capture", strategy=FillingStrategy.COPY))
    assert [sizes(dataset) for dataset in datasets] == [{"PixelSpacing": [0.8, 0.7]}] * 2
    assert all("ImagePositionPatient" in dataset for dataset in datasets)


def test_an_image_of_the_parents_own_class_keeps_the_size_of_its_pixels() -> None:

    parent = radiograph(("PixelAspectRatio", [3, 1]))
    (dataset,) = written(build(parent, np.zeros((1, 16, 12), "u1"), blueprint=common_blueprint))
    assert dataset.SOPClassUID == parent[0].SOPClassUID and sizes(dataset) == {"PixelAspectRatio": [3, 1]}
