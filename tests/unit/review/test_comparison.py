"""How two series differ: figures that numpy gives for the whole arrays, and geometry that is said."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from building import build, parent_of, written
from derived_series import ParentSeries, Segment, segments
from derived_series.dicom.factories.kinds import FACTORIES
from derived_series.dicom.series.interface import Series
from derived_series.jobs.bulk.agreement import agree
from derived_series.jobs.requests.bulk import AgreementLimits
from derived_series.review.comparison import compare_images, compare_segmentations
from phantoms import ct_phantom

PARENT = parent_of(ct_phantom(4, 16, 12))


def read(series: Series) -> ParentSeries:
    return parent_of(written(series))


def smoothed(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.asarray((values + np.roll(values, 1, axis=1)) / 2)


def test_the_figures_of_images_are_those_of_the_whole_arrays() -> None:
    values = PARENT.voxels()
    other = smoothed(values)
    other[2, 5, 7] += 900
    one, two = read(build(PARENT, values)), read(build(PARENT, other))
    figures = compare_images(one, two)
    first, second = one.voxels().astype(float), two.voxels().astype(float)
    assert figures["Correlation"] == pytest.approx(np.corrcoef(first.ravel(), second.ravel())[0, 1], abs=1e-9)
    assert figures["LargestDifference"] == np.abs(first - second).max()
    assert figures["At"] == list(np.unravel_index(np.abs(first - second).argmax(), first.shape))
    assert figures["Geometry"] == ""


def test_the_same_series_twice_and_its_opposite() -> None:
    one = read(build(PARENT))
    assert compare_images(one, one)["LargestDifference"] == 0
    assert compare_images(one, one)["Correlation"] == pytest.approx(1.0, abs=1e-12)
    assert compare_images(one, read(build(PARENT, -PARENT.voxels())))["Correlation"] == pytest.approx(-1.0, abs=1e-6)


@pytest.mark.parametrize("spoil", [lambda values: values * 2, lambda values: values + 1024])
def test_a_wrong_scale_or_offset_does_not_agree_by_default(spoil: Any) -> None:
    values = PARENT.voxels()
    one, two = read(build(PARENT, values)), read(build(PARENT, spoil(values.astype(np.float64))))
    figures = compare_images(one, two)
    first, second = one.voxels().astype(float), two.voxels().astype(float)
    relative = np.sqrt(((first - second) ** 2).mean()) / first.std()
    assert figures["RelativeDifference"] == pytest.approx(relative, rel=1e-9)
    assert figures["Correlation"] > 0.999
    assert not agree({"result": figures}, AgreementLimits())
    assert agree({"result": compare_images(one, one)}, AgreementLimits())


def test_series_of_another_frame_of_reference_are_not_at_the_same_place() -> None:
    words = "their frames of reference (FrameOfReferenceUID) are not the same"
    moved = ct_phantom(4, 16, 12)
    for dataset in moved:
        dataset.FrameOfReferenceUID = "1.2.3.4"
    figures = compare_images(PARENT, parent_of(moved))
    assert figures["Geometry"] == words and not agree({"result": figures}, AgreementLimits())
    labels, _ = two_labels()
    other = compare_segmentations(segmentation(labels), segmentation(labels, parent=parent_of(moved)))
    assert other["Geometry"] == words and other["Dice"] == {}


def test_one_value_alone_has_no_correlation() -> None:
    flat = read(build(PARENT, np.full(PARENT.shape, 7, np.int16)))
    assert compare_images(flat, flat)["Correlation"] is None and compare_images(flat, flat)["LargestDifference"] == 0


def test_images_that_lie_elsewhere_are_said_to_and_get_no_figures() -> None:
    one = read(build(PARENT))
    moved = ct_phantom(4, 16, 12)
    for dataset in moved:
        dataset.ImagePositionPatient = [float(dataset.ImagePositionPatient[0]) + 3, *dataset.ImagePositionPatient[1:]]
    cases = {
        "4 x 16 x 12 and 3 x 16 x 12 voxels": ct_phantom(3, 16, 12),
        "their slices are up to 3.00 mm apart": moved,
        "their pixels are 0.800 x 0.700 and 0.900 x 0.700 mm apart": ct_phantom(4, 16, 12, pixel_spacing=(0.9, 0.7)),
        "their slices have other directions": ct_phantom(4, 16, 12, orientation="coronal"),
    }
    for words, datasets in cases.items():
        figures = compare_images(one, parent_of(datasets))
        assert figures["Geometry"] == words and figures["Correlation"] is None


def segmentation(labels: npt.NDArray[Any], kind: str = "segmentation", parent: ParentSeries = PARENT) -> Any:
    described = segments(Segment(1, "Bone", "Bone"), Segment(2, "Liver", "Liver"))
    factory = FACTORIES["segmentation"]()
    (dataset,) = written(build(parent, labels, described, blueprint=kind, factory=factory))
    return dataset


def two_labels() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    one = np.zeros(PARENT.shape, np.uint8)
    one[1:4, 2:8, 2:8], one[2, 10:12] = 1, 2
    other = np.zeros(PARENT.shape, np.uint8)
    other[1, 3:9, 2:8], other[2, 10:12] = 1, 2  # nothing of label 1 in slice 2, nothing at all in slice 3
    return one, other


BINARY, LABEL_MAP = "segmentation", "label_map_segmentation"


@pytest.mark.parametrize("kinds", [(BINARY, BINARY), (LABEL_MAP, LABEL_MAP), (BINARY, LABEL_MAP)])
def test_dice_by_label_is_that_of_the_arrays_also_where_planes_are_left_out(kinds: tuple[str, str]) -> None:
    one, other = two_labels()
    figures = compare_segmentations(segmentation(one, kinds[0]), segmentation(other, kinds[1]))
    for label in (1, 2):
        a, b = one == label, other == label
        assert figures["Dice"][str(label)] == 2 * (a & b).sum() / (a.sum() + b.sum())
        assert figures["Voxels"][str(label)] == [a.sum(), b.sum()]
    assert figures["Geometry"] == "" and figures["Dice"]["1"] < 1 == figures["Dice"]["2"]


def test_segmentations_of_another_grid_are_said_to_be() -> None:
    one, _ = two_labels()
    wide = parent_of(ct_phantom(4, 16, 12, pixel_spacing=(0.8, 0.9)))
    small = parent_of(ct_phantom(4, 16, 11))
    moved = ct_phantom(4, 16, 12)
    for dataset in moved:
        dataset.ImagePositionPatient = [float(dataset.ImagePositionPatient[0]) + 3, *dataset.ImagePositionPatient[1:]]
    for parent, words in (
        (wide, "their pixels are"),
        (small, "(16, 12) and (16, 11) rows and columns"),
        (parent_of(moved), "their slices are up to 3.00 mm apart"),
    ):
        figures = compare_segmentations(segmentation(one), segmentation(one[:, :, : parent.shape[2]], parent=parent))
        assert words in figures["Geometry"] and figures["Dice"] == {}
