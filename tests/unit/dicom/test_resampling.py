"""Images of other grids on the parent's: a ramp in mm has the value of its place wherever it is looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nibabel.affines import apply_affine
from pydicom.uid import SegmentationStorage
from scipy.spatial.transform import Rotation

import dciodvfy
from building import REPOSITORY, Parents, build, parent_of, positions, ready, volume, written
from derived_series import (
    BuildContext,
    Grid,
    NiftiFactory,
    NumpyFactory,
    ParentSeries,
    PlacedImage,
    Resampling,
    derivation,
)
from derived_series.__main__ import main
from derived_series.dicom.image.resampling import resample
from derived_series.errors import GeometryError, InvalidRequest, PixelError, ShapeMismatch
from derived_series.pipelines import Library
from derived_series.pipelines.run import Options, run_pipeline
from phantoms import ORIENTATIONS, ct_phantom, encode, mr_phantom
from phantoms_4d import fmri_phantom
from test_geometry import patient_points, tilted

#: HU a mm along x, y and z (LPS), and at the origin.
SLOPES, LEVEL = np.array([0.9, -0.7, 1.3]), 40.0
CT = str(ct_phantom(1, 2, 2)[0].SOPClassUID)


def ramp(points: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The value at LPS points in mm, (..., 3)."""
    values: np.ndarray[Any, Any] = points @ SLOPES + LEVEL
    return values


def world(affine: np.ndarray[Any, Any], shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    points: np.ndarray[Any, Any] = apply_affine(affine, index)
    return points


def points_of(parent: ParentSeries) -> np.ndarray[Any, Any]:
    """Where the parent's pixels are, told by its attributes alone, (slice, row, column, 3)."""
    return np.stack([patient_points(dataset) for dataset in parent.instances])


def uneven() -> list[Any]:
    datasets = ct_phantom(5, 9, 8)
    for dataset, z in zip(datasets, (0.0, 2.0, 5.0, 5.5, 9.0), strict=True):
        dataset.ImagePositionPatient = [-3, -4, z]
    return datasets


PARENTS = Parents(
    {
        **{name: lambda name=name: parent_of(ct_phantom(5, 9, 8, orientation=name)) for name in ORIENTATIONS},  # type: ignore[misc]
        "tilted": lambda: parent_of(tilted(17.0)),
        "uneven": lambda: parent_of(uneven()),
        "one slice": lambda: parent_of(ct_phantom(1, 9, 8)),
    }
)


def around(parent: ParentSeries, turn: Any, sizes: Any, shear: float = 0.0, margin: float = 8.0) -> nib.Nifti1Image:
    """A ramp as NIfTI whose axes are turned, sized and sheared as asked for, with the whole parent inside."""
    matrix = Rotation.from_euler("xyz", turn, degrees=True).as_matrix() * sizes
    matrix[:, 2] += shear * matrix[:, 0]
    points = points_of(parent).reshape(-1, 3) * [-1, -1, 1]
    index = points @ np.linalg.inv(matrix).T
    low = np.floor(index.min(axis=0) - margin / np.asarray(sizes))
    shape = np.ceil(index.max(axis=0) + margin / np.asarray(sizes) - low).astype(int) + 1
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = matrix, matrix @ low
    values = ramp(world(affine, tuple(shape)) * [-1, -1, 1])
    return nib.Nifti1Image(values, affine)


def on_parent(parent: ParentSeries, image: Any, **how: Any) -> Any:
    factory = NiftiFactory()
    header = factory.make_series_header(parent, ready("ct") + derivation("made", "Smoothing"))
    return factory.build(header, image, resampling=Resampling(**how))


@pytest.mark.wide(quick=6)
@pytest.mark.parametrize("name", PARENTS)
@pytest.mark.parametrize(
    ("turn", "sizes", "shear"),
    [((0, 0, 0), (3.0, 3.0, 5.0), 0.0), ((0, 0, 0), (0.4, 0.5, 0.6), 0.0), ((20, -35, 50), (1.1, 0.9, 2.2), 0.0)]
    + [((5, 90, 10), (1.0, 1.5, 2.0), 0.4)],
    ids=["coarse", "fine", "turned", "sheared"],
)  # fmt: skip
def test_a_ramp_has_the_value_of_every_place(name: str, turn: Any, sizes: Any, shear: float) -> None:
    parent = PARENTS[name]
    series = on_parent(parent, around(parent, turn, sizes, shear))
    datasets = written(series)
    assert positions(datasets) == positions(parent.instances)
    assert [d.ImagePositionPatient for d in datasets] == [d.ImagePositionPatient for d in parent.instances]
    assert np.abs(volume(series) - ramp(points_of(parent))).max() < series.env.pixels.slope / 2 + 1e-3
    (notice,) = series.warnings
    assert notice == "resampled to the parent's grid (linear)"  # all of it is inside


@given(st.tuples(*[st.floats(-180, 180)] * 3), st.sampled_from(sorted(PARENTS)))
def test_any_angle(turn: Any, name: str) -> None:
    parent = PARENTS[name]
    image = around(parent, turn, (2.1, 1.3, 0.9))
    values = NiftiFactory().arrange_on_parent(
        NiftiFactory().make_series_header(parent, ready("ct")), image, Resampling()
    )[0]
    assert np.abs(values - ramp(points_of(parent))).max() < 1e-3


@pytest.mark.parametrize("name", PARENTS)
@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int16, np.int32, np.float32, np.float16, ">i2", ">f8"])
def test_labels_stay_exact(name: str, dtype: Any) -> None:
    """Nearest takes the value of the voxel that the pixel's centre is in, and keeps the type."""
    parent = PARENTS[name]
    shape, sizes = (9, 8, 7), (4.0, 3.0, 3.5)
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", (10, 20, 30), degrees=True).as_matrix() * sizes
    affine[:3, 3] = points_of(parent).mean(axis=(0, 1, 2)) - affine[:3, :3] @ (np.array(shape) - 1) / 2
    labels = np.random.default_rng(3).integers(0, 2 if dtype is np.bool_ else 100, shape).astype(dtype)
    resampled, placement = resample(labels, affine, parent, CT, Resampling(None if dtype is np.bool_ else "Nearest"))
    index = apply_affine(np.linalg.inv(affine), points_of(parent))
    inside = np.all((index > -0.5) & (index < np.array(shape) - 0.5), axis=-1)
    nearest = np.rint(index).astype(int).clip(0, np.array(shape) - 1)
    wanted = np.where(inside, labels[tuple(np.moveaxis(nearest, -1, 0))], 0)
    assert np.array_equal(resampled, wanted.astype(resampled.dtype)) and inside.any()
    assert resampled.dtype.kind == np.dtype(dtype).kind
    assert "(nearest)" in placement.resampled
    outside = 100 * (1 - inside.mean())
    assert (f"{outside:.1f} % of its pixels are outside" in placement.resampled) == bool(outside)


def test_a_mask_is_stored_as_one() -> None:
    parent = PARENTS["axial"]
    grid = parent.require_grid()
    coarse = Grid.from_affine(grid.affine_lps @ np.diag([2.0, 2, 2, 1]), (3, 5, 4))
    mask = np.random.default_rng(4).random(coarse.shape) > 0.5
    series = built(parent, PlacedImage(mask, coarse))
    assert series.env.pixels.is_mask and set(np.unique(volume(series))) == {0, 1}
    # voxel centres of the coarse grid are every other centre of the parent's
    assert np.array_equal(volume(series)[::2, ::2, ::2], mask)


def built(parent: ParentSeries, image: Any, **how: Any) -> Any:
    factory = NumpyFactory()
    header = factory.make_series_header(parent, ready("ct") + derivation("made", "Smoothing"))
    return factory.build(header, image, resampling=Resampling(**how))


def half_outside(parent: ParentSeries) -> PlacedImage:
    """The parent's first two slices, at half their spacing, with a border of three voxels cut away."""
    affine = parent.affine_lps @ np.diag([0.5, 1, 1, 1])
    affine[:3, 3] += affine[:3, :3] @ [0, 3, 3]
    return PlacedImage(parent.voxels()[:3, 3:, 3:], Grid.from_affine(affine, (3, 6, 5)))


@pytest.mark.parametrize(
    ("how", "wanted"), [({}, None), ({"outside": -3000.5}, -3000.5), ({"interpolation": "Nearest"}, None)]
)
def test_what_is_outside_of_the_image(how: Any, wanted: float | None) -> None:
    """HU get the image's lowest value, everything else 0, unless the caller says otherwise."""
    parent = PARENTS["axial"]
    image = half_outside(parent)
    series = built(parent, image, **how)
    fill = float(image.array.min()) if wanted is None else wanted
    step = series.env.pixels.slope / 2 + 1e-3
    values = volume(series)
    assert np.abs(values[:, :3] - fill).max() <= step and np.abs(values[2:] - fill).max() <= step
    assert np.abs(values[:2, 3:, 3:] - image.array[::2]).max() <= step
    assert f"{100 * (1 - 60 / 360):.1f} % of its pixels are outside of the image and are {fill:g}" in series.warnings[0]
    assert f"{fill:g}" in series.warnings[0]


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int16, np.int64, np.float16, np.float64, np.longdouble])
def test_every_type_is_interpolated(dtype: Any) -> None:
    parent = PARENTS["axial"]
    image = half_outside(parent)
    labels = (np.arange(image.array.size).reshape(image.array.shape) % 2).astype(dtype)
    resampled, _ = resample(labels, image.grid.affine_lps, parent, CT, Resampling("Linear"))
    assert resampled.dtype.kind == "f" and np.allclose(resampled[:2, 3:, 3:], labels[::2].astype(float))


def test_other_modalities_are_0_outside() -> None:
    parent = parent_of(mr_phantom(5, 9, 8))
    factory = NumpyFactory()
    header = factory.make_series_header(parent, ready("mr"))
    values, _ = factory.arrange_on_parent(header, half_outside(parent), Resampling())
    assert np.all(values[:, :3] == 0) and np.all(values[2:] == 0)


def test_an_outside_value_that_the_type_cannot_hold() -> None:
    image = half_outside(PARENTS["axial"])
    labels = PlacedImage(np.ones(image.grid.shape, np.uint8), image.grid)
    for value in (-1, 300, 0.5):
        with pytest.raises(PixelError, match="uint8 cannot hold"):
            built(PARENTS["axial"], labels, interpolation="Nearest", outside=value)


def test_the_voxels_edges_are_inside() -> None:
    """An image of one slice covers its thickness, not a plane; half a voxel at every edge counts."""
    parent = PARENTS["axial"]
    affine = parent.affine_lps @ np.diag([5.0, 9, 8, 1])  # one voxel, the size of the whole parent
    affine[:3, 3] += parent.affine_lps[:3, :3] @ [2, 4, 3.5]
    values, placement = resample(np.full((1, 1, 1), 7.0), affine, parent, CT, Resampling())
    assert np.allclose(values, 7) and "outside" not in placement.resampled


def test_every_contributing_slice_is_referenced() -> None:
    parent = PARENTS["axial"]  # slices 2.5 mm apart
    series = on_parent(parent, around(parent, (0, 0, 0), (1.0, 1.0, 1.0)))
    for number, dataset in enumerate(written(series)):
        first, *others = dataset.SourceImageSequence
        assert first.ReferencedSOPInstanceUID == parent.instances[number].SOPInstanceUID
        assert first.SpatialLocationsPreserved == "YES"
        # voxels of 1 mm reach 1 mm, and may be made from parent slices up to 2.5 mm from there
        near = [k for k in range(5) if abs(k - number) == 1]
        assert [o.ReferencedSOPInstanceUID for o in others] == [parent.instances[k].SOPInstanceUID for k in near]
        assert {o.SpatialLocationsPreserved for o in others} == {"NO"}
        (series_item,) = dataset.ReferencedSeriesSequence
        assert len(series_item.ReferencedInstanceSequence) == len(dataset.SourceImageSequence)
    series = on_parent(parent, around(parent, (0, 0, 0), (1.0, 1.0, 5.0)))
    assert [len(dataset.SourceImageSequence) for dataset in written(series)] == [3, 4, 5, 4, 3]


def test_a_slice_outside_of_the_image_names_its_own_place_alone() -> None:
    datasets = written(built(PARENTS["axial"], half_outside(PARENTS["axial"])))
    assert [len(dataset.SourceImageSequence) for dataset in datasets] == [2, 3, 1, 1, 1]


def test_the_header_tells_that_it_was_resampled() -> None:
    parent = PARENTS["axial"]
    (first, *_) = datasets = written(on_parent(parent, around(parent, (5, 0, 0), (1.0, 1.0, 1.0))))
    assert [item.CodeMeaning for item in first.DerivationCodeSequence] == ["Smoothing", "Spatial resampling"]
    assert first.DerivationDescription == "made; resampled to the parent's grid (linear)"
    assert first.FrameOfReferenceUID == parent.pivot.FrameOfReferenceUID
    assert dciodvfy.new_errors(datasets[0], parent.instances[:1]) == []
    plain = NumpyFactory()
    header = plain.make_series_header(parent, ready("ct"))
    (only,) = plain.build(header, half_outside(parent), resampling=Resampling()).dataset(0).DerivationCodeSequence
    assert only.CodeMeaning == "Spatial resampling"


@pytest.mark.parametrize("name", PARENTS)
def test_the_parents_own_grid_stays_as_it_is(name: str) -> None:
    parent = PARENTS[name]
    image: Any = PlacedImage(parent.voxels(), parent.require_grid())
    for series in (built(parent, image), built(parent, parent.voxels())):
        assert series.warnings == () and np.array_equal(volume(series), parent.voxels())
        assert {len(dataset.SourceImageSequence) for dataset in written(series)} == {1}
    if parent.require_grid().is_regular:
        series = on_parent(parent, parent.to_nifti().as_reoriented(np.array([[2, -1], [0, 1], [1, -1]])))
        assert series.warnings == () and np.array_equal(volume(series), parent.voxels())


def test_an_image_elsewhere_is_refused() -> None:
    parent = PARENTS["axial"]
    image = around(parent, (0, 0, 0), (1.0, 1.0, 1.0))
    image.affine[:3, 3] += 500
    with pytest.raises(GeometryError, match=r"does not overlap.*reaches -\d+\.\d\.\.-\d+\.\d x.* mm apart"):
        on_parent(parent, image)


def test_images_and_parents_without_a_place_are_refused() -> None:
    with pytest.raises(ShapeMismatch):
        built(PARENTS["axial"], np.zeros((3, 3, 3)))
    datasets = mr_phantom(3, 7, 6)
    for dataset in datasets:
        del dataset.ImagePositionPatient, dataset.ImageOrientationPatient
    parent = parent_of(datasets)
    factory = NiftiFactory()
    header = factory.make_series_header(parent, ready("secondary_capture"))
    with pytest.raises(GeometryError, match="has no ImagePositionPatient"):
        factory.build(header, PARENTS["axial"].to_nifti(), resampling=Resampling())


def test_without_being_asked_for_nothing_is_resampled() -> None:
    parent = PARENTS["axial"]
    image = around(parent, (5, 0, 0), (1.0, 1.0, 1.0))
    assert not build(parent, image, factory=NiftiFactory()).env.on_parent_grid  # type: ignore[attr-defined]
    with pytest.raises(GeometryError, match="not orthogonal"):
        build(parent, around(parent, (5, 0, 0), (1.0, 1.0, 1.0), 0.4), factory=NiftiFactory())


def test_nan_spreads_no_further_than_its_neighbours() -> None:
    parent = PARENTS["axial"]
    image = half_outside(parent)
    image.array[0, 0, 0] = np.nan
    with pytest.raises(PixelError, match="NaN"):
        built(parent, image)
    factory = NumpyFactory(nan=-1000)
    header = factory.make_series_header(parent, ready("ct"))
    values = volume(factory.build(header, image, resampling=Resampling()))
    assert abs(values[0, 3, 3] + 1000) < 0.1 and np.abs(values[0, 4:, 4:] - image.array[0, 1:, 1:]).max() < 0.1


def test_segmentations_are_nearest() -> None:
    how = Resampling()
    assert how.interpolation_of(np.dtype(np.uint8), str(SegmentationStorage)) == "Nearest"
    assert how.interpolation_of(np.dtype(np.uint8), CT) == "Linear"
    assert how.interpolation_of(np.dtype(np.bool_), CT) == "Nearest"
    assert Resampling("Linear").interpolation_of(np.dtype(np.bool_), CT) == "Linear"


def test_volume_by_volume() -> None:
    """Each volume of a 4D image has its own values, and names its own volume of the parent."""
    parent = parent_of(fmri_phantom(3, 4, 9, 8))
    assert parent.volumes == 3
    image = around(parent_of(fmri_phantom(1, 4, 9, 8)), (20, 5, 0), (1.1, 1.3, 2.0))
    times = nib.Nifti1Image(np.stack([image.get_fdata() + 1000 * t for t in range(3)], axis=-1), image.affine)
    factory = NiftiFactory()
    header = factory.make_series_header(parent, ready("mr"))
    values, _ = factory.arrange_on_parent(header, times, Resampling())
    wanted = ramp(np.stack([patient_points(dataset) for dataset in parent.instances[:4]]))
    assert values.shape == parent.shape
    assert np.abs(values - [wanted + 1000 * t for t in range(3)]).max() < 1e-3
    datasets = written(factory.build(header, times, resampling=Resampling()))
    for number, dataset in enumerate(datasets):
        uids = [item.ReferencedSOPInstanceUID for item in dataset.SourceImageSequence]
        of_volume = {parent.instances[k].SOPInstanceUID for k in range(number // 4 * 4, number // 4 * 4 + 4)}
        assert uids[0] == parent.instances[number].SOPInstanceUID and set(uids) <= of_volume and len(uids) > 1
    one = written(factory.build(header, image, resampling=Resampling()))  # made from all volumes
    places = [[item.SpatialLocationsPreserved for item in dataset.SourceImageSequence] for dataset in one]
    assert [place.count("YES") for place in places] == [3] * 4


def test_colour_is_refused_elsewhere_than_on_the_parents_grid() -> None:
    parent = PARENTS["axial"]
    image = around(parent, (5, 0, 0), (1.0, 1.0, 1.0))
    rgb = [("R", "u1"), ("G", "u1"), ("B", "u1")]
    with pytest.raises(PixelError, match="cannot be resampled"):
        on_parent(parent, nib.Nifti1Image(np.zeros(image.shape, rgb), image.affine))
    factory = NiftiFactory()
    header = factory.make_series_header(parent, ready("secondary_capture"))
    on_grid = nib.Nifti1Image(np.zeros(parent.shape[::-1], rgb), parent.to_nifti().affine)
    assert factory.arrange_on_parent(header, on_grid, Resampling())[0].shape == (*parent.shape, 3)


PIPELINES = '''
"""Pipelines that return an image with a grid, and a series."""
from derived_series import NumpyFactory, PlacedImage
from derived_series.pipelines import Pipeline


class Pair(Pipeline):
    """Every second slice and row."""

    def blueprint_for(self, parent, parameters, blueprints):
        return blueprints["ct"]

    def process(self, container):
        from derived_series import Grid

        array = container["parent"].voxels()[::2, ::2]
        affine = container["parent"].affine_lps * [[2, 2, 1, 1]]
        return PlacedImage(array, Grid.from_affine(affine, array.shape))


class Finished(Pair):
    """A series of its own."""

    def process(self, container):
        return NumpyFactory().build(container.header, container["parent"].voxels())
'''


def test_pipelines(tmp_path: Path) -> None:
    (tmp_path / "pair.py").write_text(PIPELINES)
    library = Library.load([REPOSITORY / "blueprints", tmp_path])
    parent = PARENTS["axial"]
    series = run_pipeline(library, "pair", {"parent": parent}, {}, Options(resampling=Resampling()), BuildContext())
    assert np.abs(volume(series)[::2, ::2] - parent.voxels()[::2, ::2]).max() < 0.1
    assert positions(written(series)) == positions(parent.instances)
    with pytest.raises(InvalidRequest, match="builds its series itself"):
        run_pipeline(library, "finished", {"parent": parent}, {}, Options(resampling=Resampling()), BuildContext())


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parent = PARENTS["tilted"]
    (tmp_path / "parent").mkdir()
    for index, dataset in enumerate(parent.instances):
        (tmp_path / "parent" / f"{index}.dcm").write_bytes(encode(dataset))
    nib.save(around(parent, (20, 30, 0), (1.0, 1.0, 1.0)), tmp_path / "x.nii.gz")
    arguments = ["build", str(tmp_path / "parent"), str(tmp_path / "out"), "--blueprint", "ct"]
    arguments += ["--image", str(tmp_path / "x.nii.gz")]
    assert main([*arguments, "--outside", "3"]) == 2
    assert "--grid parent" in capsys.readouterr().err
    assert main([*arguments, "--grid", "parent", "--interpolation", "nearest"]) == 0
    assert "resampled to the parent's grid (nearest)" in capsys.readouterr().err
    derived = ParentSeries.from_folder(tmp_path / "out")
    assert derived.require_grid().positions == parent.require_grid().positions
    assert np.abs(derived.voxels() - ramp(points_of(parent))).max() < 0.5 * np.abs(SLOPES).sum() + 0.1
