"""What a pipeline's code gets and gives in other libraries' words: SimpleITK, DICOM files, gradients, label arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from highdicom import UID
from highdicom.seg import Segmentation, SegmentDescription
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from building import build, parent_of, volume, written
from derived_series import ParentSeries, Segment, SegmentationFactory, segments
from derived_series.dicom.objects.stored_label_map import label_map
from derived_series.errors import GeometryError, InvalidParent, ShapeMismatch
from derived_series.pipelines import SegmentationGrinder
from multiframe import enhanced, mosaic
from phantoms import ct_phantom, encode, mr_phantom
from phantoms_4d import dti_phantom, fmri_phantom
from shared_data import needs_series, series_folder

ORIENTATIONS = ("axial", "sagittal", "coronal", "oblique")


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("descending", [False, True])
def test_a_sitk_image_has_each_voxel_where_the_parent_has_it(orientation: str, descending: bool) -> None:
    parent = parent_of(mr_phantom(4, 6, 5, orientation=orientation, descending=descending))
    image = parent.to_sitk()
    voxels, affine = parent.voxels(), parent.affine_lps
    for index in ((0, 0, 0), (3, 5, 4), (1, 2, 3)):  # slice, row, column
        at = image.TransformIndexToPhysicalPoint(index[::-1])
        assert np.allclose(at, (affine @ [*index, 1])[:3], atol=1e-4)
        assert image[index[::-1]] == voxels[index]


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_sitk_image_that_is_returned_is_the_series_it_was(orientation: str) -> None:
    parent = parent_of(mr_phantom(4, 6, 5, orientation=orientation))
    image = sitk.Cast(parent.to_sitk(), sitk.sitkInt16)
    for returned in (image, sitk.Flip(image, [False, False, True])):  # its slices go against the normal: left-handed
        series = build(parent, returned)
        assert np.array_equal(volume(series), parent.voxels())
        assert [d.ImagePositionPatient for d in written(series)] == [d.ImagePositionPatient for d in parent.instances]
        assert series.env.on_parent_grid  # type: ignore[attr-defined]


def test_a_sitk_image_on_a_grid_of_its_own_and_one_of_several_volumes() -> None:
    parent = parent_of(ct_phantom(4, 6, 5))
    part = sitk.Cast(parent.to_sitk(), sitk.sitkInt16)[1:4, 2:5, 1:3]
    series = build(parent, part)
    assert np.array_equal(volume(series), parent.voxels()[1:3, 2:5, 1:4])
    times = parent_of(fmri_phantom())
    image = times.to_sitk()
    assert image.GetDimension() == 4 and image.GetSpacing()[3] == pytest.approx(2.0)
    assert np.array_equal(volume(build(times, image)), times.voxels().reshape(-1, *times.shape[-2:]))


def test_sitk_images_without_a_place_and_parents_that_itk_cannot_hold_are_refused() -> None:
    parent = parent_of(ct_phantom(4, 6, 5))
    with pytest.raises(ShapeMismatch, match="of 2 dimensions and 1 components"):
        build(parent, sitk.GetImageFromArray(np.zeros((6, 5), np.int16)))
    tilted = ct_phantom(4, 6, 5)
    for index, dataset in enumerate(tilted):
        dataset.ImagePositionPatient[1] += index
    with pytest.raises(GeometryError, match="sheared by .* degrees"):
        parent_of(tilted).to_sitk()


@pytest.mark.parametrize(
    "datasets",
    [ct_phantom(4, 6, 5), [enhanced(mr_phantom(4, 8, 6))], [mosaic(mr_phantom(4, 8, 6), number=k) for k in (1, 2)]],
    ids=["classic", "enhanced", "mosaic"],
)
@pytest.mark.parametrize("in_files", [False, True])
def test_the_stored_instances_are_saved_whole(datasets: list[Dataset], in_files: bool, tmp_path: Path) -> None:
    contents = [encode(dataset) for dataset in datasets]
    parent = ParentSeries.from_bytes(contents)
    if in_files:
        stored = [tmp_path / f"{index}.dcm" for index in range(len(contents))]
        for path, data in zip(stored, contents, strict=True):
            path.write_bytes(data)
        parent = ParentSeries.from_files(stored)
    saved = parent.detached().save_dicom(tmp_path / "out")
    assert sorted(path.read_bytes() for path in saved) == sorted(contents)
    assert np.array_equal(ParentSeries.from_folder(tmp_path / "out").voxels(), parent.voxels())


def test_files_of_compressed_and_bare_instances_can_be_read(tmp_path: Path) -> None:
    bare = ct_phantom(2, 6, 5)
    parts = [encode(dataset)[132:] for dataset in bare]
    parts = [part[part.index(b"\x08\x00\x05\x00") :] for part in parts]  # without file meta information
    saved = ParentSeries.from_bytes(parts).save_dicom(tmp_path)
    assert [dcmread(path, force=True).SOPInstanceUID for path in saved]


def test_gradients_are_those_of_the_volumes_in_their_order() -> None:
    parent = parent_of(dti_phantom())
    gradients = parent.gradients()
    assert gradients.b_values.tolist() == [0, 1000, 1000, 500]
    assert gradients.directions.tolist() == [[0, 0, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0]]
    affine = parent.to_nifti().affine
    # columns go to the left and rows to the back in LPS: the axes of the array, whatever RAS calls them
    assert np.allclose(gradients.along_axes(affine), gradients.directions)
    assert np.allclose(
        gradients.fsl(affine).T, gradients.directions * [-1 if np.linalg.det(affine[:3, :3]) > 0 else 1, 1, 1]
    )


def test_gradients_are_turned_with_the_axes_of_an_oblique_image() -> None:
    datasets = dti_phantom()
    turned = mr_phantom(3, 8, 6, orientation="sagittal")
    for index, dataset in enumerate(datasets):
        dataset.ImagePositionPatient = turned[index % 3].ImagePositionPatient
        dataset.ImageOrientationPatient = turned[index % 3].ImageOrientationPatient
    parent = parent_of(datasets)
    row, column = np.array(parent.pivot.ImageOrientationPatient, float).reshape(2, 3)
    gradients = parent.gradients()
    along = gradients.along_axes(parent.to_nifti().affine)
    for direction, turned_direction in zip(gradients.directions, along, strict=True):
        wanted = [direction @ row, direction @ column, direction @ np.cross(row, column)]
        assert np.allclose(turned_direction, wanted, atol=1e-6)


def _of_vendor(vendor: str) -> list[Dataset]:
    datasets = dti_phantom()
    for dataset in datasets:
        b_value = float(dataset.DiffusionBValue)
        direction = [float(v) for v in dataset.get("DiffusionGradientOrientation") or (0, 0, 0)]
        dataset.TemporalPositionIdentifier = dataset.InstanceNumber // 3 + (dataset.InstanceNumber % 3 > 0)
        for keyword in ("DiffusionBValue", "DiffusionGradientOrientation"):
            if keyword in dataset:
                del dataset[keyword]
        if vendor == "Siemens":
            block = dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True)
            block.add_new(0x0C, "IS", int(b_value))
            if b_value:
                block.add_new(0x0E, "FD", direction)
        elif vendor == "Philips":
            dataset.private_block(0x2001, "Philips Imaging DD 001", create=True).add_new(0x03, "FL", b_value)
            block = dataset.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
            for offset, value in zip((0xB0, 0xB1, 0xB2), direction, strict=True):
                block.add_new(offset, "FL", value)
        elif vendor == "GE":
            dataset.private_block(0x0043, "GEMS_PARM_01", create=True).add_new(0x39, "IS", [int(b_value), 0, 0, 0])
    return datasets


@pytest.mark.parametrize("vendor", ["Siemens", "Philips"])
def test_gradients_of_private_tags(vendor: str) -> None:
    gradients = parent_of(_of_vendor(vendor)).gradients()
    assert gradients.b_values.tolist() == [0, 1000, 1000, 500]
    assert gradients.directions.tolist() == [[0, 0, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0]]


def test_gradients_that_are_not_known_are_refused() -> None:
    with pytest.raises(InvalidParent, match="private ones of GE"):
        parent_of(_of_vendor("GE")).gradients()
    with pytest.raises(InvalidParent, match="has no b-values"):
        parent_of(fmri_phantom()).gradients()
    wrong = dti_phantom(((0, None), (1000, (0, 0, 3))))
    with pytest.raises(InvalidParent, match=r"of volume 1 is \[0.0, 0.0, 3.0\]"):
        parent_of(wrong).gradients()


@needs_series("mr_dti_toshiba_4d_12sl")
def test_gradients_of_a_real_series() -> None:
    parent = ParentSeries.from_folder(series_folder("mr_dti_toshiba_4d_12sl"))
    gradients = parent.gradients()
    assert len(gradients.b_values) == parent.volumes and gradients.b_values[0] == 0 and gradients.b_values.max() > 100
    lengths = np.linalg.norm(gradients.directions[gradients.b_values > 0], axis=1)
    assert np.allclose(lengths[lengths > 0], 1)


CT = parent_of(ct_phantom(5, 6, 4))


@pytest.mark.parametrize(("kind", "second"), [("BINARY", 2), ("FRACTIONAL", 2), ("LABELMAP", 7)])
@pytest.mark.parametrize("descending", [False, True])
def test_a_stored_segmentation_is_an_array_of_labels(kind: str, second: int, descending: bool) -> None:
    parent = parent_of(ct_phantom(5, 6, 4, descending=descending))
    labels = np.zeros((5, 6, 4), np.uint8)
    labels[1:3, 1:4, 1:3], labels[2:4, 4:6, 0:2] = 1, second
    series = ParentSeries.from_objects([_segmentation(parent, labels, kind, second)])
    label_map = SegmentationGrinder()(series)
    assert np.array_equal(label_map.on(parent), labels)
    assert label_map.labels == {1: "One", second: "Other"}
    assert series.grid is None and len(series) == 1


@pytest.mark.parametrize("orientation", ["axial", "oblique"])
def test_slices_without_a_frame_between_others_are_there(orientation: str) -> None:
    parent = parent_of(ct_phantom(6, 6, 4, orientation=orientation))
    labels = np.zeros((6, 6, 4), np.uint8)
    labels[0, 1:4, 1:3], labels[1, :2, :2], labels[4, 4:6, 0:2] = 1, 2, 2
    label_map = SegmentationGrinder()(ParentSeries.from_objects([_segmentation(parent, labels, "BINARY", 2)]))
    assert label_map.array.shape == (5, 6, 4) and np.array_equal(label_map.array, labels[:5])
    assert np.array_equal(label_map.on(parent), labels)


def test_slices_that_the_parent_lacks_are_empty() -> None:
    parent = parent_of([dataset for index, dataset in enumerate(ct_phantom(9, 6, 4)) if index not in (2, 3, 7)])
    labels = np.zeros((6, 6, 4), np.uint8)
    labels[:, 1:4, 1:3] = 1
    label_map = SegmentationGrinder()(ParentSeries.from_objects([_segmentation(parent, labels, "BINARY", 2)]))
    assert [bool(each.any()) for each in label_map.array] == [True, True, False, False, True, True, True, False, True]
    assert int(label_map.array.sum()) == labels.sum()


def test_segments_that_share_voxels_are_not_a_label_map() -> None:
    masks = np.zeros((5, 6, 4, 2), np.uint8)
    masks[1:3, 1:4, 1:3, 0], masks[2:4, 3:6, 0:2, 1] = 1, 1
    parts = [
        SegmentDescription(number, f"Part {number}", codes.SCT.Tissue, codes.SCT.Tissue, "MANUAL") for number in (1, 2)
    ]
    ids = (UID("2.25.1"), 1, UID("2.25.2"), 1, "maker", "model", "1", "serial")
    shared = encode(Segmentation(list(CT.instances), masks, "BINARY", parts, *ids))
    with pytest.raises(InvalidParent, match="share voxels") as caught:
        SegmentationGrinder()(ParentSeries.from_objects([shared]))
    assert "StructuresInput" in str(caught.value.remedy)
    parts_of_one = encode(Segmentation(list(CT.instances), masks * np.float32(0.8), "FRACTIONAL", parts, *ids))
    labels = SegmentationGrinder()(ParentSeries.from_objects([parts_of_one])).on(CT)
    assert np.array_equal(labels, np.where(masks[..., 0], 1, np.where(masks[..., 1], 2, 0)))


def _segmentation(parent: ParentSeries, labels: Any, kind: str, second: int) -> bytes:
    if kind == "BINARY":
        described = segments(Segment(1, "One"), Segment(second, "Other"))
        return build(parent, labels, described, blueprint="segmentation", factory=SegmentationFactory()).encode(0)
    parts = [
        SegmentDescription(number, label, codes.SCT.Tissue, codes.SCT.Tissue, "MANUAL")
        for number, label in ((1, "One"), (second, "Other"))
    ]
    array = labels if kind == "LABELMAP" else np.stack([labels == 1, labels == 2], axis=-1).astype(np.float32) * 0.8
    segmentation = Segmentation(
        list(parent.instances), array, kind, parts, UID("2.25.1"), 1, UID("2.25.2"), 1, "maker", "model", "1", "serial"
    )
    return encode(segmentation)


def test_what_is_not_a_single_segmentation_is_refused() -> None:
    with pytest.raises(InvalidParent, match="holds 5 segmentations"):
        SegmentationGrinder()(CT)
    with pytest.raises(InvalidParent, match="is not a segmentation"):
        label_map(CT.pivot)
