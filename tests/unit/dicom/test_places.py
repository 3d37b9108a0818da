"""Where an image is, against where its parent is: refused beside it, told in part or off its planes, else silent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from pydicom.dataset import Dataset

from building import LIBRARY, build, parent_of, positions, ready, stored, volume, written
from derived_series import (
    BuildContext,
    Grid,
    NiftiFactory,
    NumpyFactory,
    ParentSeries,
    PlacedImage,
    Segment,
    segments,
)
from derived_series.__main__ import main
from derived_series.dicom.image.resampling import Resampling
from derived_series.dicom.series.finished import from_user_datasets
from derived_series.errors import DerivedSeriesError, GeometryError, InvalidRequest, ShapeMismatch
from derived_series.jobs.requests.derive import DeriveRequest
from derived_series.pipelines.run import Options, run_blueprint
from phantoms import ct_phantom, encode, mr_phantom
from shared_data import needs_series, series_folder

PARENT = parent_of(mr_phantom(6, 16, 12, orientation="axial"))
WHOLE = PARENT.to_nifti()


def warnings_of(series: Any) -> list[str]:
    """The warnings about places: all that speak of mm."""
    return [warning for warning in series.warnings if " mm" in warning]


def moved(affine: Any, *ras: float, of: Any = WHOLE) -> Any:
    """The values of an image under another affine, shifted."""
    there = np.array(affine, dtype=np.float64)
    there[:3, 3] += ras if ras else 0
    return nib.Nifti1Image(np.asarray(of.dataobj, dtype=np.int16), there)


def place(image: Any, parent: ParentSeries = PARENT) -> Any:
    return build(parent, image, factory=NiftiFactory())


@pytest.mark.parametrize(
    ("image", "cause"),
    [
        (moved(np.eye(4)), r"np\.eye\(4\)"),
        (moved(np.diag([-1.0, -1, 1, 1]) @ WHOLE.affine), "a NIfTI affine is RAS"),
        (moved(WHOLE.affine, 1000, 0, 0), "this is the series"),
        (moved(np.diag([1000.0, 1000, 1000, 1]) @ WHOLE.affine), "metres"),
        (moved(np.diag([0.001, 0.001, 0.001, 1]) @ WHOLE.affine), "metres"),
    ],
    ids=["identity", "lps", "a metre away", "kilometres", "metres"],
)
def test_an_image_beside_the_parent_is_refused(image: Any, cause: str) -> None:
    pattern = rf"does not overlap the parent series: in mm .* reaches .*\.\..* x .*they are \d+\.\d mm apart.*{cause}"
    with pytest.raises(GeometryError, match=pattern):
        place(image)


@pytest.mark.parametrize("ras", [(300, 0, 0), (0, 0, 400), (500, 500, 0)])
def test_millimetres_are_not_blamed_where_the_size_is_right(ras: tuple[float, float, float]) -> None:
    """A thousandth of any image lies at the origin, where most series are."""
    around = mr_phantom(6, 16, 12, orientation="axial")
    grid = PARENT.grid
    assert grid is not None
    middle = grid.affine_lps @ [2.5, 7.5, 5.5, 1]
    for dataset in around:
        dataset.ImagePositionPatient = [
            float(v) - m for v, m in zip(dataset.ImagePositionPatient, middle, strict=False)
        ]
    parent = parent_of(around)
    whole = parent.to_nifti()
    with pytest.raises(GeometryError, match="this is the series that it was made from"):
        place(moved(whole.affine, *ras), parent)


def test_the_distance_is_that_of_the_boxes() -> None:
    """Along the rows, and over a corner."""
    width = 12 * float(PARENT.pivot.PixelSpacing[1])
    with pytest.raises(GeometryError, match="they are 40.0 mm apart"):
        place(moved(WHOLE.affine, width + 40, 0, 0))
    height = 16 * float(PARENT.pivot.PixelSpacing[0])
    with pytest.raises(GeometryError, match="they are 50.0 mm apart"):
        place(moved(WHOLE.affine, width + 30, height + 40, 0))


@pytest.mark.parametrize("blueprint", ["mr", "segmentation", "rt_dose", "legacy_enhanced_mr"])
def test_finished_datasets_beside_the_parent_are_refused(blueprint: str) -> None:
    """Unless they are in a frame of reference of their own."""
    away = mr_phantom(6, 16, 12, orientation="axial")
    for dataset in away:
        dataset.ImagePositionPatient = [float(value) + 500 for value in dataset.ImagePositionPatient]
    values = None if blueprint.endswith("mr") else (PARENT.voxels() > 300).astype(np.uint8)
    datasets = list(build(away, values, blueprint=blueprint))
    with pytest.raises(GeometryError, match=r"does not overlap the parent series.*\d mm apart"):
        from_user_datasets(datasets, PARENT, BuildContext())
    from_user_datasets(list(build(PARENT, values, blueprint=blueprint)), PARENT, BuildContext())
    for dataset in datasets:
        dataset.FrameOfReferenceUID = "1.2.3"
    from_user_datasets(datasets, PARENT, BuildContext())


def test_a_finished_dose_may_say_the_z_of_its_frames() -> None:
    """In place of their offsets from the first one (PS3.3 C.8.8.3.2): it lies where the parent does."""
    (dose,) = build(PARENT, PARENT.voxels(), blueprint="rt_dose")
    first = float(dose.ImagePositionPatient[2])
    assert dose.ImageOrientationPatient == [1, 0, 0, 0, 1, 0] and first > 20
    dose.GridFrameOffsetVector = [first + float(offset) for offset in dose.GridFrameOffsetVector]
    assert not from_user_datasets([dose], PARENT, BuildContext()).warnings


def structures(*names: str) -> Dataset:
    """An RT structure set of user code: a box under each name."""
    labels = np.zeros(PARENT.shape, np.uint8)
    for number in range(len(names)):
        labels[2:4, 4 * number + 2 : 4 * number + 5, 3:9] = number + 1
    described = segments(*(Segment(number, name, "Liver") for number, name in enumerate(names, 1)))
    (dataset,) = build(PARENT, labels, described, blueprint="rt_structure_set")
    return dataset


def move_contours(dataset: Dataset, millimetres: float, *names: str) -> None:
    """Along x, LPS."""
    numbers = [roi.ROINumber for roi in dataset.StructureSetROISequence if roi.ROIName in names]
    for drawn in dataset.ROIContourSequence:
        if drawn.ReferencedROINumber in numbers:
            for contour in drawn.ContourSequence:
                points = np.array(contour.ContourData, float).reshape(-1, 3) + [millimetres, 0, 0]
                contour.ContourData = [f"{value:.4f}" for value in points.ravel()]


def test_contours_of_user_code_beside_the_parent_are_refused() -> None:
    """Unless they are in a frame of reference of their own, which each structure names."""
    dataset = structures("Liver", "Spleen")
    assert warnings_of(from_user_datasets([dataset], PARENT, BuildContext())) == []
    move_contours(dataset, 500, "Liver")
    move_contours(dataset, -700, "Spleen")  # what encloses both encloses the parent
    pattern = r"nearest structure, Liver, does not overlap the parent series: in mm .*they are 49\d\.\d mm apart"
    with pytest.raises(GeometryError, match=pattern):
        from_user_datasets([dataset], PARENT, BuildContext())
    for roi in dataset.StructureSetROISequence:
        roi.ReferencedFrameOfReferenceUID = "1.2.3"
    from_user_datasets([dataset], PARENT, BuildContext())


def test_one_structure_of_several_beside_the_parent_is_told() -> None:
    dataset = structures("Liver", "Spleen")
    move_contours(dataset, 500, "Spleen")
    (warning,) = (w for w in from_user_datasets([dataset], PARENT, BuildContext()).warnings if "contours" in w)
    assert warning == "all contours of the structure Spleen lie beside the parent series"


def test_arrays_with_a_grid_are_held_to_it_too() -> None:
    affine = PARENT.affine_lps.copy()
    affine[:3, 3] += 500
    with pytest.raises(GeometryError, match="does not overlap the parent series"):
        build(PARENT, PlacedImage(PARENT.voxels(), Grid.from_affine(affine, PARENT.shape)))


def test_a_part_that_reaches_beyond_the_parent_is_told() -> None:
    spacing = float(PARENT.pivot.PixelSpacing[1])
    image = moved(WHOLE.slicer[:, :, 1:-1].affine, -6 * spacing, 0, 0, of=WHOLE.slicer[:, :, 1:-1])
    (warning,) = warnings_of(place(image))
    assert f"reaches {6 * spacing:.1f} mm beyond it" in warning and "covers 33 %" in warning


def test_the_parents_shape_off_its_planes_is_told() -> None:
    (warning,) = warnings_of(place(moved(WHOLE.affine, 0, 0, 0.25)))
    assert "shape of the parent series" in warning and "up to 0.25 mm off" in warning


def test_axes_that_do_not_match_the_affine_are_told() -> None:
    """(row, column, slice) under the affine of (column, row, slice)."""
    transposed = nib.Nifti1Image(np.asarray(WHOLE.dataobj, dtype=np.int16).transpose(1, 0, 2), WHOLE.affine)
    (warning,) = warnings_of(place(transposed))
    assert "mm beyond it" in warning


def test_what_is_in_its_place_draws_no_warning() -> None:
    fine = WHOLE.affine @ np.diag([0.5, 0.5, 1, 1])
    fine[:3, 3] = WHOLE.affine[:3] @ [-0.25, -0.25, 0, 1]
    for image in (
        WHOLE,
        WHOLE.slicer[2:-2, 3:-1, 1:-1],
        nib.Nifti1Image(np.pad(WHOLE.get_fdata(), 4), WHOLE.affine @ nib.affines.from_matvec(np.eye(3), [-4] * 3)),
        nib.Nifti1Image(np.ones((24, 32, 6), np.int16), fine),
    ):
        series = place(image)
        assert warnings_of(series) == []
        assert written(series)[0].FrameOfReferenceUID == PARENT.pivot.FrameOfReferenceUID


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_ten_per_cent_larger_is_another_grid(axis: int) -> None:
    scale = np.ones(4)
    scale[axis] = 1.1
    series = place(moved(WHOLE.affine @ np.diag(scale)))
    first = written(series)[0]
    sizes = [float(first.PixelSpacing[1]), float(first.PixelSpacing[0]), float(first.SpacingBetweenSlices)]
    assert not series.env.on_parent_grid
    assert np.allclose(sizes, np.array(WHOLE.header.get_zooms()[:3]) * scale[:3], atol=1e-4)


def test_an_even_image_over_uneven_planes_is_told() -> None:
    datasets = mr_phantom(6, 16, 12, orientation="axial")
    for index, dataset in enumerate(sorted(datasets, key=lambda d: float(d.ImagePositionPatient[2]))):
        dataset.ImagePositionPatient[2] = float(dataset.ImagePositionPatient[2]) + (0.4 if index in (2, 4) else 0)
    parent = parent_of(datasets)
    (warning,) = warnings_of(place(moved(WHOLE.affine), parent))
    assert "up to 0.40 mm off" in warning and "1.10 to 1.90 mm apart" in warning


@needs_series("mr_ax_obl_ge_uneven_s16")
def test_an_even_image_over_real_uneven_planes_is_told() -> None:
    parent = ParentSeries.from_folder(series_folder("mr_ax_obl_ge_uneven_s16"))
    grid = parent.require_grid()
    affine = np.eye(4)
    affine[:3, 0] = np.subtract(grid.positions[-1], grid.positions[0]) / (len(grid.positions) - 1)
    affine[:3, 1] = np.array(grid.column_cosines) * grid.pixel_spacing[0]
    affine[:3, 2] = np.array(grid.row_cosines) * grid.pixel_spacing[1]
    affine[:3, 3] = grid.positions[0]
    ras = np.diag([-1.0, -1, 1, 1]) @ affine
    (warning,) = warnings_of(place(nib.Nifti1Image(parent.voxels().T.astype(np.int16), ras[:, [2, 1, 0, 3]]), parent))
    assert "up to 0.09 mm off" in warning and "6.96 to 7.07 mm apart" in warning


def in_template(code: int, affine: Any = WHOLE.affine) -> Any:
    image = nib.Nifti1Image(np.asarray(WHOLE.dataobj, dtype=np.int16), affine)
    image.set_sform(affine, code)
    image.set_qform(affine, code)
    return image


@pytest.mark.parametrize(("code", "name"), [(3, "Talairach"), (4, "MNI 152"), (5, "another template")])
def test_the_space_of_a_template_is_not_the_patients(code: int, name: str) -> None:
    """Wherever it is: over the parent's own voxels and far from them, on its own grid and resampled."""
    far = np.diag([-2.0, 2, 2, 1])
    far[:3, 3] = 90, -126, -72
    factory = NiftiFactory()
    header = factory.make_series_header(PARENT, ready("mr"))
    for image in (in_template(code), in_template(code, far)):
        for how in (None, Resampling()):
            with pytest.raises(GeometryError, match=rf"{name}.*sform_code {code}.*frame of reference of its own"):
                factory.build(header, image, resampling=how)
    only_qform = nib.Nifti1Image(np.asarray(WHOLE.dataobj, dtype=np.int16), None)
    only_qform.set_qform(WHOLE.affine, code)
    with pytest.raises(GeometryError, match=rf"{name}.*qform_code {code}"):
        place(only_qform)


def test_a_frame_of_reference_of_its_own() -> None:
    """Its positions stand, nothing is said to be at the parent's place, and all of the parent are its sources."""
    factory = NiftiFactory()
    header = factory.make_series_header(PARENT, ready("mr"))
    series = factory.build(header, in_template(4), frame_of_reference="New")
    datasets = written(series)
    (uid,) = {str(dataset.FrameOfReferenceUID) for dataset in datasets}
    assert uid != PARENT.pivot.FrameOfReferenceUID and not datasets[0].PositionReferenceIndicator
    assert np.allclose(positions(datasets), positions(PARENT.instances), atol=1e-4)
    assert np.array_equal(volume(series), PARENT.voxels())
    assert {len(dataset.SourceImageSequence) for dataset in datasets} == {len(PARENT)}
    assert {item.SpatialLocationsPreserved for d in datasets for item in d.SourceImageSequence} == {"NO"}
    again = factory.build(header, in_template(4), frame_of_reference="New")
    assert written(again)[0].FrameOfReferenceUID != uid
    with pytest.raises(GeometryError, match="not both"):
        factory.build(header, in_template(4), resampling=Resampling(), frame_of_reference="New")


@pytest.mark.parametrize("blueprint", ["segmentation", "parametric_map", "legacy_enhanced_mr"])
def test_multi_frame_objects_in_a_frame_of_reference_of_their_own(blueprint: str, tmp_path: Path) -> None:
    image = in_template(4)
    labels = nib.Nifti1Image((np.asarray(image.dataobj) > 100).astype(np.uint8), None, image.header)
    nib.save(labels if blueprint == "segmentation" else image, tmp_path / "image.nii.gz")
    request = DeriveRequest.of({"Blueprint": blueprint, "Factory": "nifti", "FrameOfReference": "New"})
    options = Options(frame_of_reference=request.frame_of_reference)
    series = run_blueprint(LIBRARY, blueprint, "nifti", PARENT, tmp_path / "image.nii.gz", options, BuildContext())
    (dataset,) = written(series)
    assert dataset.FrameOfReferenceUID != PARENT.pivot.FrameOfReferenceUID


def test_the_request_and_the_command_ask_for_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert DeriveRequest.of({"Pipeline": "p"}).frame_of_reference == "Parent"
    with pytest.raises(InvalidRequest, match="FrameOfReference"):
        DeriveRequest.of({"Pipeline": "p", "Grid": "Parent", "FrameOfReference": "New"})
    parent, out = tmp_path / "parent", tmp_path / "out"
    parent.mkdir()
    for index, dataset in enumerate(mr_phantom(6, 16, 12, orientation="axial")):
        (parent / f"{index}.dcm").write_bytes(encode(dataset))
    nib.save(in_template(4), tmp_path / "mni.nii.gz")
    command = ["build", str(parent), str(out), "--blueprint", "mr", "--image", str(tmp_path / "mni.nii.gz")]
    assert main(command) == 2 and "MNI 152" in capsys.readouterr().err
    assert main([*command, "--frame-of-reference", "new"]) == 0
    first = ParentSeries.from_folder(out).pivot
    assert first.FrameOfReferenceUID != PARENT.pivot.FrameOfReferenceUID


def test_sform_and_qform_that_disagree_are_told() -> None:
    image = moved(WHOLE.affine)
    image.set_sform(WHOLE.affine, 1)
    other = WHOLE.affine.copy()
    other[:3, 3] += [3, 0, 4]
    image.set_qform(other, 1)
    series = place(image)
    (warning,) = warnings_of(series)
    assert "up to 5.00 mm apart" in warning and "sform was taken" in warning
    assert positions(written(series)) == positions(PARENT.instances)
    image.set_qform(WHOLE.affine, 1)
    assert warnings_of(place(nib.Nifti1Image.from_bytes(image.to_bytes()))) == []
    image.set_qform(WHOLE.affine, 4)
    assert any("qform_code" in warning and "MNI 152" in warning for warning in place(image).warnings)


def test_vectors_are_not_volumes() -> None:
    values = np.ones((12, 16, 6, 1, 3), np.float32)
    with pytest.raises(ShapeMismatch, match="several numbers a voxel.*fifth dimension"):
        place(nib.Nifti1Image(values, WHOLE.affine))
    for intent in (1005, 1006, 1007, 2006):
        field = nib.Nifti1Image(values[:, :, :, 0], WHOLE.affine)
        field.header["intent_code"] = intent
        with pytest.raises(ShapeMismatch, match=f"several numbers a voxel.*intent code is {intent}"):
            place(field)
    assert len(place(nib.Nifti1Image(values[:, :, :, 0], WHOLE.affine))) == 18  # three points in time


@pytest.mark.parametrize(("code", "unit"), [(32, "Hz"), (40, "ppm"), (48, "rad/s")])
def test_spectra_are_not_volumes(code: int, unit: str) -> None:
    """The fourth axis is time only where xyzt_units says so, or nothing."""
    image = nib.Nifti1Image(np.ones((12, 16, 6, 3), np.float32), WHOLE.affine)
    image.header["xyzt_units"] = 2 | code
    with pytest.raises(ShapeMismatch, match=f"spectra .its fourth axis is in {unit}, not in seconds"):
        place(image)
    single = nib.Nifti1Image(np.ones((12, 16, 6, 1), np.float32), WHOLE.affine)
    single.header["xyzt_units"] = 2 | code
    assert len(place(single)) == 6


def test_two_axes_are_the_one_slice_of_a_parent_that_has_one() -> None:
    parent = parent_of(ct_phantom(1, 7, 6))
    whole = parent.to_nifti()
    flat = nib.Nifti1Image(np.asarray(whole.dataobj, dtype=np.int16)[:, :, 0], whole.affine)
    series = place(nib.Nifti1Image.from_bytes(flat.to_bytes()), parent)
    assert positions(written(series)) == positions(parent.instances)
    assert np.array_equal(volume(series), parent.voxels())
    with pytest.raises(ShapeMismatch, match=r"\(12, 16\), one slice, but the parent series has 6"):
        place(nib.Nifti1Image(np.ones((12, 16), np.int16), WHOLE.affine))


def test_a_file_without_a_place_over_a_parent_without_one() -> None:
    datasets = mr_phantom(5, 7, 6)
    for dataset in datasets:
        del dataset.ImagePositionPatient, dataset.ImageOrientationPatient
    parent = parent_of(datasets)
    bare = nib.Nifti1Image(parent.voxels().T, None)
    series = build(
        parent, nib.Nifti1Image.from_bytes(bare.to_bytes()), blueprint="secondary_capture", factory=NiftiFactory()
    )
    assert np.array_equal(volume(series), parent.voxels())
    assert any("neither" not in w and "taken as column, row and slice" in w for w in series.warnings)
    assert len(stored(written(series)[0])) == 7
    with pytest.raises(DerivedSeriesError):  # the parent has a place: where in it is the image?
        place(nib.Nifti1Image(WHOLE.get_fdata(), None))


def test_numpy_arrays_have_no_template() -> None:
    factory = NumpyFactory()
    header = factory.make_series_header(PARENT, ready("mr"))
    assert factory.build(header, PARENT.voxels()).warnings == build(PARENT).warnings
