"""NIfTI in, DICOM out: the world position and the value of every voxel, told by nibabel and by the DICOM attributes."""

from __future__ import annotations

import gzip
from itertools import permutations, product
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from scipy.spatial.transform import Rotation

from building import build, parent_of, positions, turned_parents, volume, written
from derived_series import NiftiFactory, ParentSeries, ct_image_blueprint, volume_blueprint
from derived_series.errors import GeometryError, InvalidImage, PixelError, ShapeMismatch
from phantoms import ORIENTATIONS, ct_phantom, mr_phantom
from test_geometry import patient_points, tilted

PARENTS = turned_parents(5, 7, 6, ORIENTATIONS)
ALL_48 = ["".join(axes) for order in permutations(("RL", "AP", "SI")) for axes in product(*order)]


def turned(image: Any, axes: str) -> Any:
    """The same image in memory with its axes in another order and sign."""
    return image.as_reoriented(ornt_transform(io_orientation(image.affine), axcodes2ornt(tuple(axes))))


def assert_same_world(image: Any, datasets: list[Any], step: float = 0.0, mm: float = 1e-3) -> None:
    """Every voxel of the files is a voxel of the NIfTI image: at its place, with its value."""
    inverse = np.linalg.inv(image.affine)
    data = image.get_fdata()
    volumes = volume_of(datasets)
    for number, dataset in enumerate(datasets):
        ras = patient_points(dataset) * [-1, -1, 1]
        index = np.c_[ras.reshape(-1, 3), np.ones(ras.shape[0] * ras.shape[1])] @ inverse.T
        nearest = np.rint(index[:, :3]).astype(int)
        off = (index[:, :3] - nearest) @ image.affine[:3, :3].T
        assert np.abs(off).max() < mm
        assert nearest.min() >= 0 and np.all(nearest.max(axis=0) < data.shape[:3])
        values = data[tuple(nearest.T)].reshape(volumes.shape[1:])
        assert np.abs(values - volumes[number]).max() <= step
    assert volumes.size == data.size


def volume_of(datasets: list[Any]) -> np.ndarray[Any, Any]:
    from building import real

    return np.stack([real(dataset) for dataset in datasets])


def step_of(datasets: list[Any]) -> float:
    return float(str(datasets[0].get("RescaleSlope", "1"))) / 2 * (1 + 1e-6)


@pytest.mark.wide(quick=6)
@pytest.mark.parametrize("axes", ALL_48)
def test_round_trip_on_the_parents_grid(axes: str, tmp_path: Path) -> None:
    """Every slice finds its parent slice, from files of both kinds, packed or not."""
    assert len(set(ALL_48)) == 48
    kinds = product((nib.Nifti1Image, nib.Nifti2Image), ("x.nii", "x.nii.gz"))
    for (name, parent), (kind, file) in zip(PARENTS.items(), kinds, strict=True):
        turned_image = turned(parent.to_nifti(), axes)
        assert nib.aff2axcodes(turned_image.affine) == tuple(axes) or name == "oblique"
        nib.save(kind(turned_image.dataobj, turned_image.affine), tmp_path / file)  # type: ignore[no-untyped-call]
        image = NiftiFactory.read(tmp_path / file)
        series = build(parent, image, factory=NiftiFactory())
        datasets = written(series)
        assert positions(datasets) == positions(parent.instances)
        assert np.array_equal(volume(series), parent.voxels())
        for dataset, instance in zip(datasets, parent.instances, strict=True):
            assert dataset.SourceImageSequence[0].ReferencedSOPInstanceUID == instance.SOPInstanceUID
        assert_same_world(image, datasets)


def another_grid(parent: ParentSeries, scale: float = 0.6) -> Any:
    """Other voxel sizes, shape and origin, along the parent's axes."""
    affine = parent.to_nifti().affine.copy()
    affine[:3, :3] = affine[:3, :3] * [0.7, 1.3, scale]
    affine[:3, 3] += [0.33, -0.44, 0.55]
    data = np.random.default_rng(5).integers(-500, 900, (5, 4, 3)).astype(np.int16)
    return nib.Nifti1Image(data, affine)


@pytest.mark.wide(quick=6)
@pytest.mark.parametrize("axes", ALL_48)
def test_round_trip_on_another_grid(axes: str) -> None:
    for parent in PARENTS.values():
        image = turned(another_grid(parent), axes)
        datasets = written(build(parent, image, factory=NiftiFactory()))
        assert_same_world(image, datasets)
        assert {dataset.SourceImageSequence[0].SpatialLocationsPreserved for dataset in datasets} == {"NO"}
        # as near to the parent's axes as the image's own allow
        for dataset in datasets:
            ours, theirs = (np.array(d.ImageOrientationPatient, float) for d in (dataset, parent.pivot))
            assert np.allclose(ours, theirs, atol=1e-6)


@given(st.tuples(*[st.floats(-180, 180)] * 3), st.sampled_from(ALL_48), st.sampled_from(sorted(PARENTS)))
def test_oblique_images_and_oblique_parents(angles: Any, axes: str, name: str) -> None:
    """Whatever the angle between the image and the parent, each voxel stays where it is."""
    parent = PARENTS[name]
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() * [1.1, 0.9, 2.2]
    affine[:3, 3] = parent.to_nifti().affine[:3] @ [3, 3, 2, 1] - affine[:3, :3] @ [
        2,
        1.5,
        1,
    ]  # about the parent's middle
    data = np.arange(60, dtype=np.int16).reshape(5, 4, 3)
    image = turned(nib.Nifti1Image(data, affine), axes)
    assert_same_world(image, written(build(parent, image, factory=NiftiFactory())))


@pytest.mark.wide(quick=8)
@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.uint16, np.int32, np.float32, np.float64, np.int64])
@pytest.mark.parametrize("scaling", [None, (1.0, 0.0), (1.0, -1024.0), (0.01, 5.0), (-2.5, 0.0)])
def test_types_and_scaling(dtype: Any, scaling: tuple[float, float] | None, tmp_path: Path) -> None:
    """Stored values and scaling written byte by byte, read by nibabel for comparison."""
    parent = PARENTS["axial"]
    raw = (np.arange(210) - (20 if np.dtype(dtype).kind != "u" else 0)).reshape(6, 7, 5).astype(dtype)
    kind = nib.Nifti2Image if dtype is np.int64 else nib.Nifti1Image
    header = kind.header_class()
    header.set_data_dtype(dtype)
    header.set_data_shape(raw.shape)
    header.set_sform(parent.to_nifti().affine, 1)
    slope, inter = scaling or (np.nan, np.nan)
    header["scl_slope"], header["scl_inter"] = slope, inter
    offset = 544 if dtype is np.int64 else 352
    header["magic"] = header["magic"]
    header.set_data_offset(offset)
    content = header.binaryblock + b"\0" * (offset - len(header.binaryblock)) + raw.tobytes(order="F")
    (tmp_path / "raw.nii").write_bytes(content)
    (tmp_path / "raw.nii.gz").write_bytes(gzip.compress(content))
    wanted = nib.load(tmp_path / "raw.nii").get_fdata()  # type: ignore[attr-defined]
    if scaling is not None:
        assert np.allclose(wanted, raw * np.float64(np.float32(slope)) + np.float64(np.float32(inter)))
    for file in ("raw.nii", "raw.nii.gz"):
        datasets = written(build(parent, NiftiFactory.read(tmp_path / file), factory=NiftiFactory()))
        values = volume_of(datasets)
        step = 0 if scaling in (None, (1.0, 0.0), (1.0, -1024.0)) else step_of(datasets)
        assert np.abs(values - wanted.transpose(2, 1, 0)).max() <= step


def test_only_a_qform() -> None:
    parent = PARENTS["oblique"]
    image = parent.to_nifti()
    bare = nib.Nifti1Image(image.get_fdata(dtype=np.float32), None)
    bare.set_qform(image.affine, 1)
    bare.set_sform(None, 0)
    again = nib.Nifti1Image.from_bytes(bare.to_bytes())
    datasets = written(build(parent, again, factory=NiftiFactory()))
    assert positions(datasets) == positions(parent.instances)


def test_a_subset_of_slices_finds_its_parents() -> None:
    for parent in PARENTS.values():
        image = turned(parent.to_nifti().slicer[:, :, 1:4], "ASL")
        datasets = written(build(parent, image, factory=NiftiFactory()))
        assert positions(datasets) == positions(parent.instances[1:4])
        assert {d.SourceImageSequence[0].SpatialLocationsPreserved for d in datasets} == {"YES"}


def test_a_parent_of_one_slice() -> None:
    parent = parent_of(ct_phantom(1, 7, 6, orientation="oblique"))
    datasets = written(build(parent, turned(parent.to_nifti(), "PIL"), factory=NiftiFactory()))
    assert positions(datasets) == positions(parent.instances)
    assert np.array_equal(volume_of(datasets), parent.voxels())


@pytest.mark.parametrize("degrees", [3.0, 14.0, -20.0])
def test_sheared_images_are_refused_naming_the_angle(degrees: float) -> None:
    """Except on the very grid of a parent whose gantry is tilted."""
    parent = parent_of(tilted(degrees))
    image = parent.to_nifti()
    series = build(parent, image, factory=NiftiFactory())
    assert positions(written(series)) == positions(parent.instances)
    assert np.array_equal(volume(series), parent.voxels())
    elsewhere = PARENTS["axial"]
    with pytest.raises(GeometryError, match=rf"not orthogonal.* {abs(degrees):.2f} from a right angle"):
        build(elsewhere, image, factory=NiftiFactory())


def test_an_image_that_does_not_say_where_it_is() -> None:
    """nibabel's affine is a guess then."""
    parent = PARENTS["axial"]
    for kind in (nib.Nifti1Image, nib.Nifti2Image):
        bare = kind(np.zeros((6, 7, 5), np.int16), None)  # type: ignore[no-untyped-call]
        guessed = kind.from_bytes(bare.to_bytes())
        assert guessed.affine is not None
        for image in (bare, guessed):
            with pytest.raises(GeometryError, match="neither sform nor qform|no usable affine"):
                build(parent, image, factory=NiftiFactory())


def test_a_file_of_analyze_does_not_say_where_it_is(tmp_path: Path) -> None:
    """One that was given an affine does, as long as it was not read from its file."""
    parent = PARENTS["axial"]
    placed = nib.AnalyzeImage(parent.voxels().T.astype(np.int16), parent.to_nifti().affine)
    assert positions(written(build(parent, placed, factory=NiftiFactory()))) == positions(parent.instances)
    nib.save(placed, tmp_path / "x.img")
    (tmp_path / "x.mat").unlink(missing_ok=True)
    with pytest.raises(GeometryError, match="the image is of the format Analyze 7.5: nothing tells where it is"):
        build(parent, nib.AnalyzeImage.from_filename(tmp_path / "x.img"), factory=NiftiFactory())


@pytest.mark.parametrize("broken", ["singular", "nan", "none"])
def test_affines_that_are_not_affines(broken: str) -> None:
    parent = PARENTS["axial"]
    image = parent.to_nifti()
    if broken == "singular":
        image.affine[:, 1] = 0
    elif broken == "nan":
        image.affine[0, 0] = np.nan
    else:
        image = nib.spatialimages.SpatialImage(image.get_fdata(), None)
    with pytest.raises(GeometryError, match="singular|no usable affine"):
        build(parent, image, factory=NiftiFactory())


def test_other_shapes_and_kinds() -> None:
    parent = PARENTS["axial"]
    affine = parent.to_nifti().affine
    series = build(parent, nib.Nifti1Image(np.ones((6, 7, 5, 1, 1), np.int16), affine), factory=NiftiFactory())
    assert len(series) == 5
    for shape in ((6, 7, 5, 2, 2), (6, 7), (6,)):
        with pytest.raises(ShapeMismatch, match="is made from 3D"):
            build(parent, nib.Nifti1Image(np.ones(shape, np.int16), affine), factory=NiftiFactory())
    rgba = [(sample, "u1") for sample in "RGBA"]
    for dtype, words in ((np.complex64, "has no pixel encoding"), (rgba, "in colour, RGBA")):
        with pytest.raises(PixelError, match=words):
            build(parent, nib.Nifti1Image(np.zeros((6, 7, 5), dtype), affine), factory=NiftiFactory())
    with pytest.raises(InvalidImage, match="not from ndarray"):
        build(parent, parent.voxels(), factory=NiftiFactory())
    nan = np.full((6, 7, 5), np.nan, np.float32)
    with pytest.raises(PixelError, match="NaN or Inf"):
        build(parent, nib.Nifti1Image(nan, affine), factory=NiftiFactory())
    assert np.all(volume(build(parent, nib.Nifti1Image(nan, affine), factory=NiftiFactory(nan=3))) == 3)


def test_files_that_are_not_nifti(tmp_path: Path) -> None:
    whole = mr_bytes()
    bad = {
        "text.nii": b"not a nifti file",
        "empty.nii": b"",
        "empty.nii.gz": b"",
        "cut.nii": whole[: len(whole) // 2],
        "cut.nii.gz": gzip.compress(whole)[:-400],
        "flipped.nii.gz": gzip.compress(whole)[:30] + b"\xff" * 300,
        "image.txt": whole,
        "packed_twice.nii.gz": gzip.compress(gzip.compress(whole)),
    }
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InvalidImage, match="NIfTI"):
            build(PARENTS["axial"], NiftiFactory.read(tmp_path / name), factory=NiftiFactory())
    with pytest.raises(InvalidImage):
        NiftiFactory.read(tmp_path / "missing.nii")


def mr_bytes() -> bytes:
    image = nib.Nifti1Image(np.random.default_rng(1).normal(size=(6, 7, 5)), PARENTS["axial"].to_nifti().affine)
    content: bytes = image.to_bytes()
    return content


def test_a_parent_without_geometry_takes_nifti_as_an_axial_stack() -> None:
    datasets = mr_phantom(5, 7, 6)
    for dataset in datasets:
        del dataset.ImagePositionPatient, dataset.ImageOrientationPatient
    parent = parent_of(datasets)
    image = PARENTS["axial"].to_nifti()
    series = build(parent, image, blueprint="secondary_capture", factory=NiftiFactory())
    assert np.array_equal(volume(series), image.get_fdata().transpose(2, 1, 0))
    assert "ImagePositionPatient" not in written(series)[0]


@pytest.mark.parametrize(("unit", "factor"), [("meter", 0.001), ("micron", 1000.0), ("mm", 1.0), ("unknown", 1.0)])
def test_the_unit_of_the_header_counts(unit: str, factor: float) -> None:
    parent = ParentSeries.from_datasets(ct_phantom(slices=3, rows=8, columns=8))
    image = parent.to_nifti()
    affine = image.affine.copy()
    affine[:3] *= factor
    other = nib.Nifti1Image(np.asanyarray(image.dataobj), affine)
    other.header.set_xyzt_units(xyz=unit)
    factory = NiftiFactory()
    series = factory.build(factory.make_series_header(parent, volume_blueprint + ct_image_blueprint), other)
    assert series.env.on_parent_grid  # type: ignore[attr-defined]


def test_a_damaged_compressed_file_is_refused(tmp_path: Path) -> None:
    parent = ParentSeries.from_datasets(ct_phantom(slices=3, rows=8, columns=8))
    path = tmp_path / "image.nii.gz"
    nib.save(parent.to_nifti(), path)
    content = bytearray(path.read_bytes())
    content[-5] ^= 1  # in the checksum: the voxels themselves can all be read
    path.write_bytes(content)
    with pytest.raises(InvalidImage):
        NiftiFactory.read(path)
