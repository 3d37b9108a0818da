"""4D parents and images: which instance is of which volume, and what a series of several volumes says of itself."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from pydicom.dataset import Dataset

from building import build, parent_of, positions, ready, volume, written
from derived_series import (
    Blueprint,
    BuildContext,
    FillingStrategy,
    InstanceCopyElement,
    NiftiFactory,
    NumpyFactory,
    ParentSeries,
    explain,
)
from derived_series.dicom.grid import Grid
from derived_series.dicom.image.placement import PlacedImage
from derived_series.dicom.image.resampling import Resampling
from derived_series.dicom.source.slices import VolumeSlices, by_slice
from derived_series.errors import GeometryError, HeaderError, ShapeMismatch
from multiframe import enhanced
from phantoms import ct_phantom, encode, mr_phantom
from phantoms_4d import dti_phantom, dynamic_pet_phantom, fmri_phantom


def shuffled(datasets: list[Dataset]) -> list[Dataset]:
    copied = list(datasets)
    random.Random(4).shuffle(copied)
    return copied


def uids(datasets: Any) -> list[str]:
    return [str(dataset.SOPInstanceUID) for dataset in datasets]


@pytest.mark.parametrize(
    ("phantom", "key", "step"),
    [
        (fmri_phantom, "AcquisitionTime", 2.0),
        (dti_phantom, "DiffusionBValue and DiffusionGradientOrientation", None),
        (dynamic_pet_phantom, "FrameReferenceTime", 10.0),
    ],
)
def test_shuffled_instances_find_their_volumes(phantom: Any, key: str, step: float | None) -> None:
    """Those of a diffusion MR stay in the order of acquisition, which is that of a bvec file."""
    datasets = phantom()
    parent = parent_of(shuffled(datasets))
    assert uids(parent.instances) == uids(datasets)
    assert parent.volume_key == key and parent.time_step == step
    assert parent.shape == (parent.volumes, parent.slices_per_volume, 8, 6) and parent.volumes > 1
    assert parent.require_grid().shape == parent.shape[1:]
    wanted = np.stack([volume_of.pixel_array for volume_of in datasets]).reshape(parent.shape)
    assert np.array_equal(parent.stored(), wanted)
    assert parent.voxels().shape == parent.shape


def numbered(keyword: str, values: list[Any]) -> Callable[[list[Dataset]], None]:
    def change(datasets: list[Dataset]) -> None:
        for index, dataset in enumerate(datasets):
            setattr(dataset, keyword, values[index // 5])

    return change


def same_times(datasets: list[Dataset]) -> None:
    for dataset in datasets:
        dataset.AcquisitionTime = "103000"


@pytest.mark.wide(quick=3)
@pytest.mark.parametrize(
    ("change", "key"),
    [
        (numbered("TemporalPositionIdentifier", [1, 2, 3, 4]), "TemporalPositionIdentifier"),
        (numbered("EchoTime", [5, 10, 15, 20]), "EchoTime"),
        (numbered("EchoNumbers", [1, 2, 3, 4]), "EchoNumbers"),
        (numbered("FlipAngle", [2, 5, 10, 15]), "FlipAngle"),
        (numbered("TriggerTime", [0, 40, 80, 120]), "TriggerTime"),
        (numbered("AcquisitionDateTime", ["20240312103000", "20240312103001", "20240312103002", "20240313"]),)
        + ("AcquisitionDateTime",),
        (numbered("ContentTime", ["103000", "103001", "103002.5", "103003"]), "ContentTime"),
        (numbered("AcquisitionNumber", [1, 2, 3, 4]), "AcquisitionNumber"),
        (lambda datasets: None, "InstanceNumber"),
    ],
)
def test_the_first_key_that_fits_is_taken(change: Any, key: str) -> None:
    datasets = fmri_phantom()
    same_times(datasets)
    change(datasets)
    parent = parent_of(shuffled(datasets))
    assert uids(parent.instances) == uids(datasets) and parent.volume_key == key
    series = build(parent)
    warnings = [warning for warning in series.warnings if warning.startswith("4D: 4 volumes by " + key)]
    assert (
        warnings[0] in str(explain(series))
        and len(warnings) == 1
        and ("last resort" in warnings[0]) == (key == "InstanceNumber")
    )


@pytest.mark.parametrize(("times", "key"), [((1, 2, 3), "TemporalPositionIdentifier"), ((), "InstanceNumber")])
def test_frames_of_one_instance(times: tuple[int, ...], key: str) -> None:
    """An enhanced object of three volumes, the slices of one position after the other; a mean refers to frames."""
    datasets = fmri_phantom(3)
    same_times(datasets)
    by_position = [datasets[time * 5 + k] for k in range(5) for time in range(3)]
    parent = parent_of([enhanced(by_position, times=list(times) * 5)])
    assert parent.shape == (3, 5, 8, 6) and parent.volume_key == key
    assert np.array_equal(parent.voxels(), parent_of(datasets).voxels())
    derived = written(build(parent))
    assert [d.SourceImageSequence[0].ReferencedFrameNumber for d in derived[4:6]] == [13, 2]
    mean = written(build(parent, parent.voxels().mean(axis=0)))
    sources = mean[1].SourceImageSequence
    assert [source.ReferencedFrameNumber for source in sources] == [4, 5, 6]
    assert {source.SpatialLocationsPreserved for source in sources} == {"YES"}


def test_a_key_that_positions_do_not_agree_in_is_passed_over() -> None:
    datasets = fmri_phantom()
    numbered("TemporalPositionIdentifier", [1, 2, 3, 4])(datasets)
    datasets[7].TemporalPositionIdentifier = 9
    assert parent_of(shuffled(datasets)).volume_key == "AcquisitionTime"


def test_acquisition_over_midnight() -> None:
    datasets = fmri_phantom(2)
    for index, dataset in enumerate(datasets):
        dataset.AcquisitionDate, dataset.AcquisitionTime = (
            ("20240312", "235959.5") if index < 5 else ("20240313", "000001.5")
        )
    parent = parent_of(shuffled(datasets))
    assert uids(parent.instances) == uids(datasets) and parent.time_step == 2.0


def test_volumes_that_nothing_tells_apart_are_refused() -> None:
    datasets = fmri_phantom()
    same_times(datasets)
    for dataset, number in zip(datasets, random.Random(1).sample(range(20), 20), strict=True):
        dataset.InstanceNumber = number
    with pytest.raises(GeometryError, match="4 instances at each of the 5 positions.*TemporalPositionIdentifier.*Inst"):
        parent_of(datasets)


def test_positions_with_different_numbers_of_instances_are_refused() -> None:
    with pytest.raises(GeometryError, match=r"4 instances at 4 positions, 3 instances at 1 positions.* 3 at \["):
        parent_of(fmri_phantom()[:-1])
    moved = fmri_phantom()
    moved[0].ImagePositionPatient = [moved[0].ImagePositionPatient[0] + 3, *moved[0].ImagePositionPatient[1:]]
    with pytest.raises(GeometryError, match="3.000 mm apart in their plane"):
        parent_of(moved)


def test_4d_in_4d_out() -> None:
    datasets = fmri_phantom()
    parent = parent_of(shuffled(datasets))
    image = parent.voxels()
    derived = written(build(parent, image + 7))
    assert np.array_equal(np.stack([d.pixel_array for d in derived]).reshape(image.shape), image + 7)
    assert positions(derived) == positions(datasets)
    assert [d.InstanceNumber for d in derived] == list(range(1, 21))
    assert [d.TemporalPositionIdentifier for d in derived] == [t for t in (1, 2, 3, 4) for _ in range(5)]
    assert {(d.NumberOfTemporalPositions, d.TemporalResolution) for d in derived} == {(4, 2000)}
    assert [d.AcquisitionTime for d in derived] == [d.AcquisitionTime for d in datasets]
    assert len({d.WindowCenter for d in derived}) == 1
    for before, after in zip(datasets, derived, strict=True):
        (source,) = after.SourceImageSequence
        assert source.ReferencedSOPInstanceUID == before.SOPInstanceUID and source.SpatialLocationsPreserved == "YES"
    again = ParentSeries.from_datasets(shuffled(derived))
    assert again.volume_key == "TemporalPositionIdentifier" and np.array_equal(again.voxels(), image + 7)
    assert again.time_step == 2.0


def test_bytes_are_those_of_the_datasets() -> None:
    series = build(parent_of(fmri_phantom(2, 2)), context=BuildContext(uid_seed="4D"))
    assert [series.encode(k) for k in range(len(series))] == [encode(dataset) for dataset in series]


@pytest.mark.parametrize("strategy", FillingStrategy)
def test_a_mean_over_the_volumes(strategy: FillingStrategy) -> None:
    """A slice comes from all volumes there; what differs between them is left out, and there is one volume."""
    datasets = fmri_phantom()
    numbered("TemporalPositionIdentifier", [1, 2, 3, 4])(datasets)
    for dataset in datasets:
        dataset.NumberOfTemporalPositions, dataset.TemporalResolution = 4, 2000
    parent = parent_of(datasets)
    derived = written(build(parent, parent.voxels().mean(axis=0), strategy=strategy))
    assert len(derived) == 5 and positions(derived) == positions(datasets[:5])
    for index, dataset in enumerate(derived):
        sources = [item.ReferencedSOPInstanceUID for item in dataset.SourceImageSequence]
        assert sources == uids(datasets[index::5])
        assert {item.SpatialLocationsPreserved for item in dataset.SourceImageSequence} == {"YES"}
        assert not {"TemporalPositionIdentifier", "NumberOfTemporalPositions", "TemporalResolution"} & {
            element.keyword for element in dataset
        }
        assert "AcquisitionTime" not in dataset and dataset.EchoTime == datasets[0].EchoTime


def test_what_differs_between_volumes_cannot_be_copied_by_instance() -> None:
    parent = parent_of(fmri_phantom())
    mean = parent.voxels().mean(axis=0)
    with pytest.raises(HeaderError, match=r"AcquisitionTime.*differs between the parent's 4 volumes"):
        build(parent, mean, Blueprint([InstanceCopyElement("AcquisitionTime")]))
    optional = written(build(parent, mean, Blueprint([InstanceCopyElement("AcquisitionTime", Optional=True)])))
    assert all("AcquisitionTime" not in dataset for dataset in optional)
    same = written(build(parent, mean, Blueprint([InstanceCopyElement("SliceLocation", Optional=True)])))
    assert len(same) == 5


def test_another_number_of_volumes() -> None:
    """Components of a decomposition: from all volumes of the parent."""
    parent = parent_of(fmri_phantom())
    derived = written(build(parent, parent.voxels()[:2]))
    assert [d.TemporalPositionIdentifier for d in derived] == [1] * 5 + [2] * 5
    assert {len(d.SourceImageSequence) for d in derived} == {4}
    assert "TemporalResolution" not in derived[0]


def test_4d_over_a_3d_parent() -> None:
    datasets = mr_phantom(3, 8, 6)
    parent = parent_of(datasets)
    image = np.stack([parent.voxels() + t for t in range(4)])
    derived = written(build(parent, image))
    assert np.array_equal(np.stack([d.pixel_array for d in derived]).reshape(image.shape), image)
    assert [d.SourceImageSequence[0].ReferencedSOPInstanceUID for d in derived] == uids(datasets) * 4
    assert {d.NumberOfTemporalPositions for d in derived} == {4}
    assert len(written(build(parent, image[:1]))) == 3
    with pytest.raises(ShapeMismatch, match=r"\(times, slices, rows, columns\) is \(4, 3, 8, 5\).*\(3, 8, 6\)"):
        build(parent, image[..., 1:])
    with pytest.raises(ShapeMismatch, match="this one has the shape"):
        build(parent, image[np.newaxis])


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int16, np.float64])
def test_values_of_any_type(dtype: Any) -> None:
    parent = parent_of(ct_phantom(3, 8, 6))
    image = np.random.default_rng(3).normal(scale=50, size=(2, 3, 8, 6)).clip(0).astype(dtype)
    values = volume(build(parent, image)).reshape(image.shape)
    assert np.abs(values - image).max() <= (0.01 if dtype is np.float64 else 0)


def test_dynamic_pet() -> None:
    datasets = dynamic_pet_phantom()
    parent = parent_of(shuffled(datasets))
    derived = written(build(parent))
    assert [d.ImageIndex for d in derived] == list(range(1, 13))
    assert {(d.NumberOfSlices, d.NumberOfTimeSlices, *d.SeriesType) for d in derived} == {(4, 3, "DYNAMIC", "IMAGE")}
    for keyword in ("FrameReferenceTime", "ActualFrameDuration", "DecayFactor"):
        assert [d[keyword].value for d in derived] == [d[keyword].value for d in datasets]
    assert {d.RescaleSlope for d in derived} == {derived[0].RescaleSlope}
    assert "TemporalPositionIdentifier" not in derived[0]
    assert np.allclose(parent_of(derived).voxels(), parent.voxels(), atol=float(derived[0].RescaleSlope))


def test_frames_of_uneven_length_have_no_time_step() -> None:
    parent = parent_of(dynamic_pet_phantom((10000, 30000, 60000)))
    assert parent.volumes == 3 and parent.time_step is None and parent.to_nifti().header["pixdim"][4] == 0


def test_a_gated_pet_stays_one_while_it_has_its_time_slots() -> None:
    datasets = dynamic_pet_phantom()
    for index, dataset in enumerate(datasets):
        dataset.SeriesType, dataset.NumberOfRRIntervals, dataset.NumberOfTimeSlots = ["GATED", "IMAGE"], 1, 3
        dataset.TriggerTime, dataset.FrameReferenceTime, dataset.NumberOfTimeSlices = 300 * (index // 4), 5000, None
    parent = parent_of(shuffled(datasets))
    assert parent.volume_key == "TriggerTime" and parent.time_step == 0.3
    (kind,) = {(*d.SeriesType, d.NumberOfTimeSlots) for d in written(build(parent))}
    assert kind == ("GATED", "IMAGE", 3)
    (mean, *_) = written(build(parent, parent.voxels().mean(axis=0)))
    assert mean.SeriesType == ["STATIC", "IMAGE"] and "NumberOfTimeSlots" not in mean


@pytest.mark.parametrize("strategy", FillingStrategy)
def test_a_static_pet_of_a_dynamic_one(strategy: FillingStrategy) -> None:
    """The time of a sum is the mean of the frames' times, weighted by their durations."""
    parent = parent_of(dynamic_pet_phantom((10000, 30000)))
    assert parent.volumes == 2
    derived = written(build(parent, parent.voxels().mean(axis=0), strategy=strategy))
    assert {(d.NumberOfSlices, *d.SeriesType) for d in derived} == {(4, "STATIC", "IMAGE")}
    assert [d.ImageIndex for d in derived] == [1, 2, 3, 4]
    assert {float(d.FrameReferenceTime) for d in derived} == {(5000 * 1 + 25000 * 3) / 4}
    assert all("NumberOfTimeSlices" not in d and not d.get("ActualFrameDuration") for d in derived)


@pytest.mark.parametrize("turn", [[[0, 1], [1, 1], [2, 1]], [[1, -1], [2, 1], [0, -1]], [[2, 1], [0, -1], [1, 1]]])
def test_nifti_value_by_value(turn: list[list[int]]) -> None:
    datasets = fmri_phantom(tr=2.5)
    parent = parent_of(shuffled(datasets))
    image = parent.to_nifti()
    assert image.shape == (6, 8, 5, 4) and image.header.get_zooms()[3] == 2.5
    assert image.header.get_xyzt_units() == ("mm", "sec")
    derived = written(build(parent, image.as_reoriented(turn), factory=NiftiFactory()))
    assert np.array_equal(np.stack([d.pixel_array for d in derived]).reshape(parent.shape), parent.voxels())
    assert positions(derived) == positions(datasets)
    assert [d.SourceImageSequence[0].ReferencedSOPInstanceUID for d in derived] == uids(datasets)
    assert {d.TemporalResolution for d in derived} == {2500}


def test_nifti_axes_and_time_steps(tmp_path: Path) -> None:
    parent = parent_of(mr_phantom(3, 8, 6))
    values = np.stack([parent.voxels() + t for t in range(2)]).T
    affine = parent.to_nifti().affine
    plain = nib.Nifti1Image(values, affine)  # says 1 of no unit
    assert "TemporalResolution" not in written(build(parent, plain, factory=NiftiFactory()))[0]
    plain.header.set_xyzt_units("mm", "msec")
    plain.header["pixdim"][4] = 1500
    assert written(build(parent, plain, factory=NiftiFactory()))[0].TemporalResolution == 1500
    deep = nib.Nifti1Image(values[..., np.newaxis, np.newaxis], affine)
    assert len(written(build(parent, deep, factory=NiftiFactory()))) == 6
    with pytest.raises(
        ShapeMismatch, match=r"\(6, 8, 3, 1, 2\), several numbers a voxel"
    ):  # a fifth axis is not a time
        build(parent, nib.Nifti1Image(values[:, :, :, np.newaxis], affine), factory=NiftiFactory())
    with pytest.raises(ShapeMismatch, match=r"\(6, 8, 3, 2, 2\)"):
        build(parent, nib.Nifti1Image(np.stack([values, values], axis=4), affine), factory=NiftiFactory())


def test_4d_on_another_grid() -> None:
    """What is one value for each volume is kept; each volume comes from its own."""
    datasets = dynamic_pet_phantom()
    parent = parent_of(datasets)
    grid = parent.require_grid()
    other = Grid.from_affine(grid.affine_lps @ np.diag([1, 2, 2, 1]), (4, 4, 3))
    image = np.arange(3 * 4 * 4 * 3).reshape(3, 4, 4, 3)
    derived = written(build(parent, PlacedImage(image, other)))
    assert positions(derived) == [list(p) for p in other.positions] * 3
    assert [float(d.FrameReferenceTime) for d in derived] == [5000] * 4 + [15000] * 4 + [25000] * 4
    firsts = {d.SourceImageSequence[0].ReferencedSOPInstanceUID for d in derived[4:8]}
    assert firsts <= set(uids(datasets[4:8]))
    factory = NumpyFactory()
    header = factory.make_series_header(parent, ready("pet"))
    series = factory.build(header, PlacedImage(image, other), resampling=Resampling("Nearest"))
    values = volume(series).reshape(3, 4, 8, 6)
    assert np.array_equal(values[:, :, ::2, ::2], image)
    assert len(series.env.sources[5]) >= 1 and all(4 <= k < 8 for k in series.env.sources[5])  # type: ignore[attr-defined]


def test_a_mapped_file_is_not_copied(tmp_path: Path) -> None:
    parent = parent_of(mr_phantom(3, 8, 6))
    np.save(tmp_path / "image.npy", np.ones((2, 3, 8, 6), np.int16))
    mapped = NumpyFactory.read(tmp_path / "image.npy")
    held = build(parent, mapped).env.pixels.image  # type: ignore[attr-defined]
    assert isinstance(held, VolumeSlices) and np.shares_memory(held.array, mapped)
    turned = mapped.T.copy().T[:, ::-1]
    assert np.shares_memory(by_slice(turned, 2)[4], turned)


def test_slices_of_a_4d_parent_come_one_by_one() -> None:
    parent = parent_of(fmri_phantom())
    assert np.array_equal(volume(build(parent, parent.slices())).reshape(parent.shape), parent.voxels())


def test_a_b0_that_says_nothing_of_diffusion_is_sorted_by_b() -> None:
    datasets = dti_phantom()
    whole = parent_of(shuffled(datasets))
    for dataset in datasets:
        if dataset.DiffusionBValue == 0:
            del dataset.DiffusionBValue
        dataset.InstanceNumber = 1  # nothing else tells the volumes apart
    parent = parent_of(shuffled(datasets))
    assert parent.volume_key == "DiffusionBValue and DiffusionGradientOrientation"
    by_b = [d.get("DiffusionBValue", 0) for d in parent.instances[:: parent.slices_per_volume]]
    assert by_b == sorted(by_b) and sum("DiffusionBValue" not in d for d in parent.instances) == whole.slices_per_volume


def test_two_b0_that_say_nothing_of_diffusion_are_not_told_apart_by_it() -> None:
    datasets = dti_phantom(gradients=((0, None), (0, None), (1000, (1, 0, 0))))
    for dataset in datasets:
        if dataset.DiffusionBValue == 0:
            del dataset.DiffusionBValue
    assert parent_of(shuffled(datasets)).volume_key == "InstanceNumber"
