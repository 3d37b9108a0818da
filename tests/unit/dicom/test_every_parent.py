"""Parents as hospitals have them: each gives a series with its values and positions, or is refused with the reason."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEGLSLossless,
    MRImageStorage,
)

from building import build, parent_of, positions, volume, written
from dciodvfy import new_errors
from derived_series import NiftiFactory, ParentSeries, derivation
from derived_series.errors import DerivedSeriesError, GeometryError, InvalidParent
from phantoms import compressed, ct_phantom, encode, mr_phantom, pet_phantom, uid

DONE = derivation("nothing", "PixelByPixelMean")
Make = Callable[[], list[Dataset]]


def _numbered_alike() -> list[Dataset]:
    datasets = ct_phantom(5, 8, 6)
    for dataset in datasets:
        dataset.InstanceNumber = 1
    return datasets


def _prone() -> list[Dataset]:
    """Turned by half a turn about the long axis: rows and columns run the other way."""
    datasets = ct_phantom(5, 8, 6)
    for dataset in datasets:
        dataset.PatientPosition = "HFP"
        dataset.ImageOrientationPatient = [-1, 0, 0, 0, -1, 0]
    return datasets


def _decubitus() -> list[Dataset]:
    datasets = mr_phantom(5, 8, 6, orientation="axial")
    for dataset in datasets:
        dataset.PatientPosition = "HFDR"
        dataset.ImageOrientationPatient = [0, 1, 0, -1, 0, 0]
    return datasets


def _tilted() -> list[Dataset]:
    """A gantry's tilt: the slices are turned about x, and the table moves along z."""
    datasets = ct_phantom(5, 8, 6)
    angle = np.deg2rad(15)
    for index, dataset in enumerate(datasets):
        dataset.GantryDetectorTilt = 15
        dataset.ImageOrientationPatient = [1, 0, 0, 0, round(float(np.cos(angle)), 9), round(float(np.sin(angle)), 9)]
        dataset.ImagePositionPatient = [-10, -20, 3 * index]
    return datasets


def _uneven() -> list[Dataset]:
    datasets = ct_phantom(6, 8, 6)
    for dataset, height in zip(datasets, (0, 2.5, 5, 10, 10.5, 18), strict=True):
        dataset.ImagePositionPatient = [-10, -20, height]
    return datasets


def _with_a_gap() -> list[Dataset]:
    datasets = ct_phantom(6, 8, 6)
    del datasets[3]
    return datasets


PARENTS: dict[str, Make] = {
    "oblique": lambda: mr_phantom(5, 8, 6, orientation="oblique"),
    "sagittal": lambda: mr_phantom(5, 8, 6, orientation="sagittal"),
    "coronal": lambda: ct_phantom(5, 8, 6, orientation="coronal"),
    "descending": lambda: ct_phantom(5, 8, 6, descending=True),
    "descending sagittal": lambda: mr_phantom(5, 8, 6, orientation="sagittal", descending=True),
    "shuffled numbers": lambda: pet_phantom(5, 8, 6, shuffled_numbers=True),
    "numbered alike": _numbered_alike,
    "prone": _prone,
    "decubitus": _decubitus,
    "tilted": _tilted,
    "uneven": _uneven,
    "a slice missing": _with_a_gap,
}
IRREGULAR = ("uneven", "a slice missing")


@pytest.mark.wide(quick=4)
@pytest.mark.parametrize("name", PARENTS)
def test_the_derived_series_is_where_its_parent_is(name: str) -> None:
    slices = PARENTS[name]()
    random.Random(7).shuffle(slices)
    parent = parent_of(slices)
    by_uid = {dataset.SOPInstanceUID: dataset for dataset in slices}
    series = build(parent, extra=DONE)
    datasets = written(series)
    heights = []
    for dataset, plane in zip(datasets, volume(series), strict=True):
        source = by_uid[dataset.SourceImageSequence[0].ReferencedSOPInstanceUID]
        assert dataset.ImagePositionPatient == source.ImagePositionPatient
        assert dataset.ImageOrientationPatient == source.ImageOrientationPatient
        slope = float(source.get("RescaleSlope", 1))
        wanted = source.pixel_array * slope + float(source.get("RescaleIntercept", 0))
        assert np.abs(plane - wanted).max() <= float(dataset.get("RescaleSlope", 1)) / 2
        row, column = np.split(np.array(source.ImageOrientationPatient, float), 2)
        heights.append(float(np.cross(row, column) @ np.array(source.ImagePositionPatient, float)))
    assert heights == sorted(heights)
    numbers = [int(by_uid[d.SourceImageSequence[0].ReferencedSOPInstanceUID].InstanceNumber) for d in datasets]
    ascending = list(range(1, len(slices) + 1))
    falls = np.corrcoef(numbers, ascending)[0, 1] < 0 if len(set(numbers)) > 1 else False  # the parent's direction
    assert [d.InstanceNumber for d in datasets] == (ascending[::-1] if falls else ascending)
    assert new_errors(series.encode(1), slices) == []


@pytest.mark.parametrize("name", IRREGULAR)
def test_uneven_gaps_are_named_where_an_even_volume_is_needed(name: str) -> None:
    parent = parent_of(PARENTS[name]())
    gaps = {"uneven": "0.500, 2.500, 5.000, 7.500", "a slice missing": "2.500, 5.000"}
    with pytest.raises(GeometryError, match=f"the gaps between the {len(parent)} slices are {gaps[name]} mm"):
        parent.to_nifti()
    assert "SpacingBetweenSlices" not in written(build(parent, extra=DONE))[0]


def test_a_straight_image_of_a_tilted_parent_has_its_own_positions() -> None:
    parent = parent_of(_tilted())
    assert parent.require_grid().shear_degrees == pytest.approx(15)
    sheared = build(parent, parent.to_nifti(), DONE, factory=NiftiFactory())
    assert positions(written(sheared)) == positions(parent.instances)
    affine = np.array([[-0.7, 0, 0, 10], [0, -0.8, 0, 20], [0, 0, 3, 0], [0, 0, 0, 1.0]])
    straight = build(parent, nib.Nifti1Image(np.ones((6, 8, 5), np.float32), affine), DONE, factory=NiftiFactory())
    datasets = written(straight)
    assert [float(dataset.ImagePositionPatient[2]) for dataset in datasets] == [0, 3, 6, 9, 12]
    assert list(datasets[0].ImageOrientationPatient) == [1, 0, 0, 0, 1, 0]
    assert {item.SpatialLocationsPreserved for d in datasets for item in d.SourceImageSequence} == {"NO"}


def test_without_a_frame_of_reference_one_is_made_for_all_that_is_derived() -> None:
    slices = ct_phantom(4, 4, 4)
    for dataset in slices:
        del dataset.FrameOfReferenceUID
    parent = parent_of(slices)
    assert parent.warnings == ()
    uids = {dataset.FrameOfReferenceUID for _ in range(2) for dataset in written(build(parent, extra=DONE))}
    assert len(uids) == 1


def test_a_frame_of_reference_for_each_slice_is_none() -> None:
    slices = ct_phantom(4, 4, 4)
    for index, dataset in enumerate(slices):
        dataset.FrameOfReferenceUID = uid("frame", index)
    series = build(parent_of(slices), extra=DONE)
    (warning,) = series.warnings
    assert "FrameOfReferenceUID (0020,0052) is not kept" in warning and "4 instances have 4 different" in warning
    (new_uid,) = {dataset.FrameOfReferenceUID for dataset in written(series)}
    assert new_uid not in {dataset.FrameOfReferenceUID for dataset in slices}
    del slices[0].FrameOfReferenceUID
    for dataset in slices[1:]:
        dataset.FrameOfReferenceUID = uid("frame")
    assert "none in 1 of them" in parent_of(slices).warnings[0]


def test_two_frames_of_reference_are_refused() -> None:
    slices = ct_phantom(6, 4, 4)
    for dataset in slices[4:]:
        dataset.FrameOfReferenceUID = uid("moved")
    with pytest.raises(GeometryError, match=r"2 frames of reference \(FrameOfReferenceUID\): 4 x .*; .*|2 x"):
        parent_of(slices)


def test_a_parent_without_any_identity_is_refused() -> None:
    slices = ct_phantom(3, 4, 4)
    for dataset in slices:
        dataset.PatientID = dataset.PatientName = ""
    assert written(build(parent_of(slices), extra=DONE))[0].PatientID == ""  # type 2: may be empty
    for dataset in slices:
        del dataset.PatientID, dataset.PatientName, dataset.StudyInstanceUID
    with pytest.raises(InvalidParent, match="whose the images are: they have no PatientID, PatientName and Study"):
        ParentSeries.from_datasets(slices)


def test_file_meta_of_another_instance_gives_way_to_the_dataset() -> None:
    slices = ct_phantom(3, 4, 4)
    wanted = parent_of(slices).voxels()
    slices[0].file_meta.MediaStorageSOPInstanceUID = UID("2.25.1")
    slices[2].file_meta.MediaStorageSOPClassUID = MRImageStorage
    parent = ParentSeries.from_datasets(slices)
    (warning,) = parent.warnings
    assert warning.startswith("the file meta information of 2 of the parent's 3 instances is of another instance")
    series = build(parent, extra=DONE)
    assert series.warnings == (warning,)
    datasets = written(series)
    assert {dataset.SOPClassUID for dataset in datasets} == {CTImageStorage}
    assert [d.SourceImageSequence[0].ReferencedSOPInstanceUID for d in datasets] == [d.SOPInstanceUID for d in slices]
    assert np.array_equal(parent.voxels(), wanted)


def test_a_transfer_syntax_that_the_pixels_are_not_in(tmp_path: Path) -> None:
    """Decompressed by a program that forgot to say so: the pixels are plain, and read as such."""
    slices = ct_phantom(3, 16, 16)
    wanted = parent_of(slices).voxels()
    for index, dataset in enumerate(slices):
        content = encode(dataset).replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0")  # RLE Lossless
        (tmp_path / f"{index}.dcm").write_bytes(content)
    for parent in (ParentSeries.from_folder(tmp_path), ParentSeries.from_files(sorted(tmp_path.iterdir()))):
        assert np.array_equal(parent.voxels(), wanted)
        (warning,) = parent.warnings
        assert "3 of the parent's 3 instances" in warning and "RLE Lossless" in warning


def test_compressed_pixels_that_are_said_to_be_plain_are_refused() -> None:
    packed = compressed(ct_phantom(2, 32, 32), JPEGLSLossless)
    for dataset in packed:
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    with pytest.raises(DerivedSeriesError, match="bytes of pixels|compressed"):
        ParentSeries.from_datasets(packed).voxels()


def _bare(dataset: Dataset) -> bytes:
    """The dataset alone: no preamble, no file meta information."""
    content = encode(dataset)
    length = int.from_bytes(content[140:144], "little")
    return content[144 + length :]


def test_files_without_meta_information_are_read(tmp_path: Path) -> None:
    slices = ct_phantom(3, 16, 16)
    wanted = parent_of(slices)
    bare = [_bare(dataset) for dataset in slices]
    for index, content in enumerate(bare):
        (tmp_path / f"{index}.dcm").write_bytes(content)
    for parent in (
        ParentSeries.from_bytes(bare),
        ParentSeries.from_folder(tmp_path),
        ParentSeries.from_files(sorted(tmp_path.iterdir())),
    ):
        assert np.array_equal(parent.voxels(), wanted.voxels()) and parent.grid == wanted.grid
        assert np.array_equal(volume(build(parent, extra=DONE)), wanted.voxels())


def test_colours_of_a_palette_are_not_values() -> None:
    slices = ct_phantom(2, 8, 8)
    for dataset in slices:
        dataset.PhotometricInterpretation = "PALETTE COLOR"
    parent = parent_of(slices)
    assert parent.stored().shape == (2, 8, 8)
    with pytest.raises(InvalidParent, match=r"is in colour \(palette\)"):
        parent.voxels()


def test_deflated_files_are_read_whole(tmp_path: Path) -> None:
    slices = compressed(ct_phantom(2, 128, 128), DeflatedExplicitVRLittleEndian)
    for index, dataset in enumerate(slices):
        (tmp_path / f"{index}.dcm").write_bytes(encode(dataset))
    parent = ParentSeries.from_files(sorted(tmp_path.iterdir()))
    assert np.array_equal(parent.voxels(), parent_of(slices).voxels())


def test_a_series_of_two_encodings() -> None:
    """Some slices compressed, some not: each is read in its own way."""
    slices = ct_phantom(4, 32, 32)
    for order in (slice(None), slice(None, None, -1)):
        mixed = [*compressed(slices[:2], JPEGLSLossless), *slices[2:]][order]
        assert np.array_equal(parent_of(mixed).voxels(), parent_of(slices).voxels())


@pytest.mark.parametrize("content", [b"", b"no DICOM at all", bytes(300), b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100"])
def test_files_that_are_not_instances_are_refused(content: bytes) -> None:
    with pytest.raises(InvalidParent, match="instance 0 cannot be read as DICOM|nothing tells whose"):
        ParentSeries.from_bytes([content])
