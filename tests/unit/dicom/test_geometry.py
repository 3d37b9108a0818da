"""Grids: where every voxel is, told by the DICOM attributes and by nibabel."""

from __future__ import annotations

import copy
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from scipy.spatial.transform import Rotation

from building import build, parent_of, positions, ready, volume, written
from dciodvfy import errors
from derived_series import Blueprint, Grid, InstanceCopyElement, NiftiFactory, NumpyFactory, PlacedImage
from derived_series.dicom.factories.kinds import FACTORIES
from derived_series.dicom.image.placement import place
from derived_series.errors import GeometryError, HeaderError, ShapeMismatch
from multiframe import enhanced
from phantoms import ORIENTATIONS, ct_phantom, mr_phantom, pet_phantom


def patient_points(dataset: Any) -> np.ndarray[Any, Any]:
    """The centre of every pixel in LPS mm by PS3.3 C.7.6.2.1.1 alone, (row, column, 3)."""
    origin = np.array([float(v) for v in dataset.ImagePositionPatient])
    row, column = np.array([float(v) for v in dataset.ImageOrientationPatient]).reshape(2, 3)
    between_rows, between_columns = (float(v) for v in dataset.PixelSpacing)
    r, c = np.meshgrid(np.arange(dataset.Rows), np.arange(dataset.Columns), indexing="ij")
    points: np.ndarray[Any, Any] = (
        origin + (r * between_rows)[..., None] * column + (c * between_columns)[..., None] * row
    )
    return points


def grid_points(affine: np.ndarray[Any, Any], shape: tuple[int, int, int]) -> np.ndarray[Any, Any]:
    """Where an affine puts the voxels of a (slice, row, column) array, (slice, row, column, 3)."""
    index = np.stack(np.meshgrid(*map(np.arange, shape), np.array([1]), indexing="ij"), axis=-1)[..., 0, :]
    points: np.ndarray[Any, Any] = (index @ affine.T)[..., :3]
    return points


def tilted(degrees: float, count: int = 4) -> list[Any]:
    """A CT stack with a tilted gantry: planes turned about x, the table moves along z."""
    datasets = ct_phantom(count, 6, 5)
    angle = np.deg2rad(degrees)
    for index, dataset in enumerate(datasets):
        dataset.ImageOrientationPatient = [1, 0, 0, 0, f"{np.cos(angle):.10f}", f"{np.sin(angle):.10f}"]
        dataset.ImagePositionPatient = [0, 0, 2.5 * index]
    return datasets


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("descending", [False, True])
def test_the_affine_puts_every_voxel_where_its_instance_says(orientation: str, descending: bool) -> None:
    parent = parent_of(ct_phantom(4, 6, 5, orientation=orientation, descending=descending))
    wanted = np.stack([patient_points(dataset) for dataset in parent.instances])
    assert np.abs(grid_points(parent.affine_lps, parent.shape) - wanted).max() < 1e-6  # type: ignore[arg-type]
    ras = grid_points(parent.affine_ras, parent.shape)  # type: ignore[arg-type]
    assert np.abs(ras * [-1, -1, 1] - wanted).max() < 1e-6
    assert np.linalg.det(parent.affine_lps[:3, :3]) < 0  # (slice, row, column) is (z, y, x) of a right-handed frame


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_nibabel_sees_the_same_voxels(orientation: str) -> None:
    parent = parent_of(mr_phantom(4, 6, 5, orientation=orientation))
    image = parent.to_nifti()
    assert image.shape == parent.shape[::-1] and image.get_data_dtype() == np.float32
    voxels, data = parent.voxels(), image.get_fdata()
    for s, r, c in [(0, 0, 0), (3, 5, 4), (1, 2, 3), (2, 0, 4)]:
        lps = patient_points(parent.instances[s])[r, c]
        assert np.abs((image.affine @ [c, r, s, 1])[:3] * [-1, -1, 1] - lps).max() < 1e-4
        assert data[c, r, s] == voxels[s, r, c]


@pytest.mark.parametrize("degrees", [-20.0, 5.0, 14.0])
def test_a_tilted_gantry_is_a_regular_grid_that_is_sheared(degrees: float) -> None:
    parent = parent_of(tilted(degrees))
    grid = parent.require_grid()
    assert grid.is_regular and abs(grid.shear_degrees - abs(degrees)) < 1e-3
    assert np.isclose(grid.slice_spacing or 0, 2.5 * np.cos(np.deg2rad(degrees)))
    wanted = np.stack([patient_points(dataset) for dataset in parent.instances])
    assert np.abs(grid_points(parent.affine_lps, parent.shape) - wanted).max() < 1e-6  # type: ignore[arg-type]
    derived = written(build(parent))
    assert positions(derived) == positions(parent.instances)
    assert np.isclose(float(derived[0].SpacingBetweenSlices), grid.slice_spacing or 0)


@pytest.mark.parametrize("gaps", [(2.5, 5.0, 2.5), (2.5, 2.5, 2.6), (1.0, 2.0, 3.0)])
def test_uneven_gaps_are_kept_and_have_no_affine(gaps: tuple[float, ...]) -> None:
    datasets = ct_phantom(4, 6, 5)
    for dataset, z in zip(datasets, np.cumsum([0.0, *gaps]), strict=True):
        dataset.ImagePositionPatient = [-1, -2, f"{z:.4f}"]
    parent = parent_of(datasets)
    grid = parent.require_grid()
    assert not grid.is_regular and np.allclose(grid.gaps, gaps)
    for attempt in (lambda: parent.affine_lps, lambda: parent.affine_ras, parent.to_nifti):
        with pytest.raises(GeometryError, match=f"evenly spaced.*{gaps[0]:.3f}"):
            attempt()
    derived = written(build(parent))  # the parent's own slices are as good as any
    assert positions(derived) == positions(parent.instances)
    assert all("SpacingBetweenSlices" not in dataset for dataset in derived)
    assert np.array_equal(volume(build(parent)), parent.voxels())


def test_slices_beside_a_straight_line_are_named_as_that() -> None:
    """Their gaps along the normal are even: the steps across it are not."""
    datasets = ct_phantom(4, 6, 5)
    for index, dataset in enumerate(datasets):
        dataset.ImagePositionPatient[1] = 0.3 * index**2
    parent = parent_of(datasets)
    with pytest.raises(GeometryError, match=r"are 2\.500 mm; they lie up to 0\.600 mm beside a straight line"):
        parent.to_nifti()
    assert positions(written(build(parent))) == positions(parent.instances)


@pytest.mark.parametrize("jitter", [0.001, 0.004])
def test_rounded_positions_count_as_even(jitter: float) -> None:
    datasets = ct_phantom(5, 6, 5)
    for index, dataset in enumerate(datasets):
        dataset.ImagePositionPatient[2] += jitter * (-1) ** index
    assert parent_of(datasets).require_grid().is_regular


def test_one_slice_is_a_grid() -> None:
    parent = parent_of(ct_phantom(1, 6, 5))
    grid = parent.require_grid()
    assert grid.slice_spacing is None and grid.is_regular and grid.shear_degrees == 0
    assert np.isclose(np.linalg.norm(parent.affine_lps[:3, 0]), 1)
    (dataset,) = written(build(parent))
    assert positions([dataset]) == positions(parent.instances) and "SpacingBetweenSlices" not in dataset


ANGLES = st.tuples(*[st.floats(-180, 180)] * 3)
SIZES = st.tuples(*[st.floats(0.1, 10)] * 3)
ORIGINS = st.tuples(*[st.floats(-1000, 1000)] * 3)


@given(ANGLES, SIZES, ORIGINS)
def test_an_affine_comes_back_from_its_grid(angles: Any, sizes: Any, origin: Any) -> None:
    turn = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = turn[:, [2, 1, 0]] * sizes
    affine[:3, 3] = origin
    grid = Grid.from_affine(affine, (4, 3, 2))
    assert np.abs(grid.affine_lps - affine).max() < 1e-9
    assert grid.shape == (4, 3, 2) and np.allclose(grid.pixel_spacing, sizes[1:])
    assert np.isclose(grid.slice_spacing or 0, sizes[0]) and grid.shear_degrees < 1e-4
    assert np.allclose(grid.gaps, sizes[0])
    flipped = affine.copy()
    flipped[:3, 0] *= -1
    with pytest.raises(GeometryError, match="left-handed"):
        Grid.from_affine(flipped, (4, 3, 2))


@pytest.mark.parametrize("degrees", [0.5, 5, 30])
@pytest.mark.parametrize("axes", [(0, 1), (0, 2), (1, 2)])
def test_sheared_affines_are_refused_naming_the_angle(degrees: float, axes: tuple[int, int]) -> None:
    affine = np.eye(4)[:, [2, 1, 0, 3]]
    bent, along = axes
    angle = np.deg2rad(degrees)
    affine[:3, bent] = np.cos(angle) * affine[:3, bent] + np.sin(angle) * affine[:3, along]
    with pytest.raises(GeometryError, match=rf"not orthogonal.*{90 - degrees:.2f} degrees apart, {degrees:.2f}"):
        Grid.from_affine(affine, (2, 2, 2))


@pytest.mark.parametrize(
    ("affine", "text"),
    [(np.zeros((4, 4)), "singular"), (np.full((4, 4), np.nan), "finite"), (np.eye(3), "4x4")]
    + [(np.diag([1.0, 1.0, 0.0, 1.0]), "singular")],
)  # fmt: skip
def test_affines_that_are_not_affines_are_refused(affine: Any, text: str) -> None:
    with pytest.raises(GeometryError, match=text):
        Grid.from_affine(affine, (2, 2, 2))


PARENT = parent_of(ct_phantom(6, 6, 5))


@pytest.mark.parametrize("chosen", [(0,), (1, 2, 3), (0, 2, 5), tuple(range(6))])
def test_some_of_the_parents_slices(chosen: tuple[int, ...]) -> None:
    voxels = PARENT.voxels()[list(chosen)]
    image = PlacedImage(voxels, PARENT.require_grid().subset(chosen))
    extra = Blueprint([InstanceCopyElement("AcquisitionTime")])
    series = build(PARENT, image, extra)
    for index, dataset in zip(chosen, written(series), strict=True):
        parent_instance = PARENT.instances[index]
        assert dataset.ImagePositionPatient == parent_instance.ImagePositionPatient
        assert dataset.AcquisitionTime == parent_instance.AcquisitionTime
        (source,) = dataset.SourceImageSequence
        assert (
            source.ReferencedSOPInstanceUID == parent_instance.SOPInstanceUID
            and source.SpatialLocationsPreserved == "YES"
        )
    assert np.array_equal(volume(series), voxels)
    assert [dataset.InstanceNumber for dataset in written(series)] == list(range(1, len(chosen) + 1))


def resampled() -> PlacedImage:
    """Slices of half the distance, half a slice off the parent's."""
    affine = PARENT.affine_lps.copy()
    affine[:3, 0] /= 2
    affine[:3, 3] += affine[:3, 0] / 2
    return PlacedImage(np.arange(8 * 6 * 5, dtype=np.int16).reshape(8, 6, 5), Grid.from_affine(affine, (8, 6, 5)))


def test_a_grid_of_its_own() -> None:
    image = resampled()
    series = build(PARENT, image)
    wanted = grid_points(image.grid.affine_lps, (8, 6, 5))
    for index, dataset in enumerate(written(series)):
        assert np.abs(patient_points(dataset) - wanted[index]).max() < 1e-6
        assert dataset.FrameOfReferenceUID == PARENT.pivot.FrameOfReferenceUID
        assert float(dataset.SpacingBetweenSlices) == float(dataset.SliceThickness) == 1.25
        assert np.isclose(float(dataset.SliceLocation), float(dataset.ImagePositionPatient[2]))
        sources = dataset.SourceImageSequence
        assert {source.SpatialLocationsPreserved for source in sources} == {"NO"}
        z = float(dataset.ImagePositionPatient[2])
        near = [d.SOPInstanceUID for d in PARENT.instances if abs(float(d.ImagePositionPatient[2]) - z) < 2.5]
        assert [source.ReferencedSOPInstanceUID for source in sources] == near
        assert dataset.DerivationCodeSequence[0].CodeMeaning == "Spatial resampling"
        assert "AcquisitionTime" not in dataset


def test_a_copy_by_instance_on_a_grid_of_its_own_names_the_tag() -> None:
    extra = Blueprint([InstanceCopyElement("AcquisitionTime"), InstanceCopyElement("ContentTime")])
    with pytest.raises(HeaderError) as error:
        build(PARENT, resampled(), extra)
    assert {missing.keyword for missing in error.value.missing} == {"AcquisitionTime", "ContentTime"}
    assert "a grid of its own" in str(error.value)


def test_a_placed_image_has_the_shape_of_its_grid() -> None:
    with pytest.raises(ShapeMismatch, match=r"\(5, 6, 5\), its grid's \(6, 6, 5\)"):
        build(PARENT, PlacedImage(np.zeros((5, 6, 5)), PARENT.require_grid()))


@pytest.mark.parametrize(("off", "same"), [(0.0, True), (0.004, True), (0.1, False), (1.25, False)])
def test_how_far_a_grid_may_be_off_and_still_be_the_parents(off: float, same: bool) -> None:
    affine = PARENT.affine_lps.copy()
    affine[:3, 3] += off
    placement = place(Grid.from_affine(affine, PARENT.shape), PARENT)
    assert placement.on_parent_grid is same
    if same:
        assert placement.grid == PARENT.grid  # digit for digit the parent's


@pytest.mark.parametrize("axis", [0, 1, 2], ids=["slice", "row", "column"])
@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_a_grid_of_another_spacing_is_not_the_parents(axis: int, factor: float) -> None:
    """Its first voxel is the parent's, and its shape."""
    affine = PARENT.affine_lps.copy()
    affine[:3, axis] *= factor
    grid = Grid.from_affine(affine, PARENT.shape)
    assert grid.positions[0] == pytest.approx(PARENT.require_grid().positions[0])
    placement = place(grid, PARENT)
    assert not placement.on_parent_grid and placement.grid == grid
    datasets = written(build(PARENT, PlacedImage(PARENT.voxels(), grid)))
    assert [float(value) for value in datasets[0].PixelSpacing] == pytest.approx(grid.pixel_spacing)
    assert np.allclose(positions(datasets), grid.positions)


def test_images_far_from_the_parent_have_a_source_too() -> None:
    affine = PARENT.affine_lps.copy()
    affine[2, 3] += 500
    placement = place(Grid.from_affine(affine, PARENT.shape), PARENT)
    assert all(sources == (5,) for sources in placement.sources)


def test_without_positions_there_is_no_geometry_to_write() -> None:
    datasets = ct_phantom(3, 6, 5)
    for dataset in datasets:
        del dataset.ImagePositionPatient, dataset.ImageOrientationPatient
    parent = parent_of(datasets)
    assert parent.grid is None
    with pytest.raises(GeometryError, match="nothing tells where"):
        parent.affine_lps  # noqa: B018
    with pytest.raises(GeometryError, match="nothing tells where the image's slices are"):
        build(parent)
    series = build(parent, blueprint="secondary_capture")
    assert np.array_equal(volume(series), parent.voxels())
    header = NumpyFactory().make_series_header(parent, ready("secondary_capture"))
    assert "ImagePositionPatient" not in header.blueprint


#: In mm, by slice: a head scanned in thin slices at the base and thick ones above.
THICKNESSES: tuple[float, ...] = (5.0, 5.0, 10.0, 10.0)


def _of_two_thicknesses(phantom: Any) -> list[Dataset]:
    datasets: list[Dataset] = phantom(4, 8, 8)
    for dataset, thickness in zip(datasets, THICKNESSES, strict=True):
        dataset.SliceThickness = f"{thickness:g}"
    return datasets


@pytest.mark.parametrize("slices", [slice(None), slice(1, 3), slice(2, 4)])
@pytest.mark.parametrize("phantom", [ct_phantom, mr_phantom, pet_phantom])
def test_each_slice_has_the_thickness_of_its_own_place(phantom: Any, slices: slice) -> None:
    parent = parent_of(_of_two_thicknesses(phantom))
    image = parent.to_nifti().slicer[:, :, slices]
    thicknesses = [dataset.SliceThickness for dataset in written(build(parent, image, factory=NiftiFactory()))]
    assert thicknesses == list(THICKNESSES[slices])


def test_a_first_slice_without_a_thickness_takes_none_from_the_others() -> None:
    datasets = _of_two_thicknesses(ct_phantom)
    del datasets[0].SliceThickness
    assert [dataset.SliceThickness for dataset in written(build(datasets))] == [None, 5, 10, 10]


def test_each_frame_of_an_enhanced_parent_keeps_its_thickness() -> None:
    whole = enhanced(_of_two_thicknesses(ct_phantom))
    (measures,) = whole.SharedFunctionalGroupsSequence[0].pop("PixelMeasuresSequence").value
    for group, thickness in zip(whole.PerFrameFunctionalGroupsSequence, THICKNESSES, strict=True):
        group.PixelMeasuresSequence = [copy.deepcopy(measures)]
        group.PixelMeasuresSequence[0].SliceThickness = thickness
    assert [dataset.SliceThickness for dataset in written(build([whole]))] == list(THICKNESSES)


@pytest.mark.parametrize("slices", [slice(None), slice(1, 3), slice(2, 4)])
@pytest.mark.parametrize(
    "blueprint", ["segmentation", "label_map_segmentation", "parametric_map", "legacy_enhanced_ct"]
)
def test_each_frame_has_the_thickness_of_its_own_place(blueprint: str, slices: slice) -> None:
    parent = parent_of(_of_two_thicknesses(ct_phantom))
    dtype = np.float32 if blueprint == "parametric_map" else np.uint8
    image = nib.Nifti1Image(np.ones(parent.shape[::-1], dtype), parent.to_nifti().affine).slicer[:, :, slices]
    factory = FACTORIES[blueprint]() if blueprint in FACTORIES else NiftiFactory()
    series = build(parent, image, blueprint=blueprint, factory=factory)
    (dataset,) = written(series)
    shared: Dataset = dataset.SharedFunctionalGroupsSequence[0]
    by_height: dict[float, Any] = {}
    for group in dataset.PerFrameFunctionalGroupsSequence:
        (measures,) = (shared if "PixelMeasuresSequence" in shared else group).PixelMeasuresSequence
        by_height[float(group.PlanePositionSequence[0].ImagePositionPatient[2])] = measures.SliceThickness
    heights = [float(instance.ImagePositionPatient[2]) for instance in parent.instances]
    assert by_height == dict(zip(heights[slices], THICKNESSES[slices], strict=True))
    assert blueprint == "label_map_segmentation" or errors(series.encode(0)) == []  # dciodvfy does not know label maps
