"""RT structure sets: what their contours enclose is the label map, by our rule and by independent readers."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from scipy import ndimage

from building import LIBRARY, Parents, build, parent_of, ready, written
from dciodvfy import errors, new_errors
from derived_series import (
    BuildContext,
    Grid,
    ParentSeries,
    PlacedImage,
    Resampling,
    Segment,
    interpreted_types,
    segments,
)
from derived_series.dicom.objects.contours import mask_of
from derived_series.errors import BlueprintError, GeometryError, HeaderError, PixelError, ShapeMismatch
from derived_series.jobs.remedies import WORDS
from derived_series.pipelines.gate import check_series
from derived_series.pipelines.run import Options, extra_blueprint, run_blueprint
from multiframe import enhanced
from phantoms import ct_phantom, encode
from phantoms_4d import fmri_phantom
from readers import reader
from shared_data import needs_series, series_datasets, series_folder

LIVER = Segment(1, "Liver", "Liver", color="#b5651d")
ORIENTATIONS = ("axial", "sagittal", "oblique")
DCMRTSTRUCT2NII = "import sys; from dcmrtstruct2nii import dcmrtstruct2nii; dcmrtstruct2nii(*sys.argv[1:])"


def shapes(parent: ParentSeries, seed: int = 1) -> npt.NDArray[np.uint8]:
    """A thick shell with an island (1), a sponge (2) and single pixels in two corners (3)."""
    shape = parent.shape[-3:]
    _, y, x = np.indices(shape)
    away = np.hypot(y - shape[1] * 0.5, x - shape[2] * 0.35)
    sponge = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), (1, 1.5, 1.5)) > -0.02
    label_map = np.zeros(shape, np.uint8)
    label_map[away < shape[1] * 0.3] = 1
    label_map[(away < shape[1] * 0.2) & (away >= shape[1] * 0.12)] = 0
    label_map[sponge & (x > max(shape[2] * 0.7, shape[2] - 40)) & (y < 100)] = 2
    label_map[:, :3] = 0
    label_map[:, 0, 0] = label_map[:, -1, -1] = 3
    return label_map


def rt(parent: ParentSeries, image: Any, *described: Segment, **more: Any) -> Any:
    return build(parent, image, segments(*described), blueprint="rt_structure_set", **more)


def enclosed(dataset: Dataset, parent: ParentSeries) -> dict[int, npt.NDArray[np.bool_]]:
    """The mask of each ROI: the pixels whose centres are within an odd number of contours of the named image."""
    grid = parent.require_grid()
    images = {
        (str(d.SOPInstanceUID), getattr(d, "frame_number", None)): index for index, d in enumerate(parent.instances)
    }
    volumes = {}
    for roi in dataset.ROIContourSequence:
        mask = np.zeros(parent.shape[-3:], bool)
        by_slice: dict[int, list[npt.NDArray[np.float64]]] = {}
        for contour in roi.get("ContourSequence") or ():
            (image,) = contour.ContourImageSequence
            index = images[image.ReferencedSOPInstanceUID, image.get("ReferencedFrameNumber")]
            points = np.array(contour.ContourData, float).reshape(-1, 3) - grid.positions[index]
            assert contour.ContourGeometricType == "CLOSED_PLANAR" and contour.NumberOfContourPoints == len(points)
            assert np.abs(points @ grid.normal).max() < 1e-3  # on the plane of the image
            across, down = points @ grid.row_cosines / grid.pixel_spacing[1], points @ grid.column_cosines
            by_slice.setdefault(index, []).append(np.stack([across, down / grid.pixel_spacing[0]], axis=1))
        for index, contours in by_slice.items():
            mask[index] = mask_of(contours, mask.shape[1:])  # type: ignore[arg-type]
        volumes[int(roi.ReferencedROINumber)] = mask
    return volumes


def tilted() -> ParentSeries:
    """Axial slices of a tilted gantry: their normal is not the way from one to the next."""
    datasets = ct_phantom(6, 40, 40)
    for index, dataset in enumerate(datasets):
        x, y, z = dataset.ImagePositionPatient
        dataset.ImagePositionPatient = [x, float(y) + 0.9 * index, z]
    return parent_of(datasets)


PARENTS = Parents(
    {
        **{name: lambda name=name: parent_of(ct_phantom(6, 40, 44, orientation=name)) for name in ORIENTATIONS},  # type: ignore[misc]
        "tilted": tilted,
        "uneven": lambda: parent_of([d for i, d in enumerate(ct_phantom(8, 40, 44)) if i not in (2, 3)]),
        "enhanced": lambda: ParentSeries.from_datasets([enhanced(ct_phantom(6, 40, 44))]),
    }
)


@pytest.mark.wide(quick=3)
@pytest.mark.parametrize("name", PARENTS)
def test_the_label_map_comes_back_exactly(name: str) -> None:
    parent = PARENTS[name]
    image = shapes(parent)
    series = rt(parent, image, LIVER, Segment(2, "Sponge"), Segment(3, "Dots"))
    assert len(series) == 1 and series.warnings == ()
    (dataset,) = written(series)
    for number, mask in enclosed(dataset, parent).items():
        assert np.array_equal(mask, image == number), number
    assert errors(series.encode(0)) == []
    assert check_series(series, parent, "Strict").warnings == ()


def test_structures_are_described() -> None:
    parent = PARENTS["axial"]
    cyst = Segment(3, "Cyst", "Cyst", algorithm="MANUAL", description="a cyst of the liver")
    image = np.where(shapes(parent) == 1, 3, 0)
    image[:, 0, 0] = 1
    series = build(parent, image, segments(LIVER, cyst) + interpreted_types({3: "GTV"}), blueprint="rt_structure_set")
    (dataset,) = written(series)
    assert "SegmentSequence" not in dataset and "Rows" not in dataset and "ImageType" not in dataset
    assert (dataset.Modality, dataset.StructureSetDate) == ("RTSTRUCT", dataset.SeriesDate)
    first, second = dataset.StructureSetROISequence
    assert (first.ROINumber, first.ROIName, first.ROIGenerationAlgorithm) == (1, "Liver", "AUTOMATIC")
    assert (second.ROINumber, second.ROIDescription, second.ROIGenerationAlgorithm) == (
        3,
        "a cyst of the liver",
        "MANUAL",
    )
    assert first.ReferencedFrameOfReferenceUID == parent.pivot.FrameOfReferenceUID
    colours = [list(item.ROIDisplayColor) for item in dataset.ROIContourSequence]
    assert colours[0] == [0xB5, 0x65, 0x1D] and colours[1] != colours[0]
    observed = {item.ReferencedROINumber: item for item in dataset.RTROIObservationsSequence}
    assert (observed[1].RTROIInterpretedType, observed[3].RTROIInterpretedType) == ("", "GTV")
    assert observed[1].RTROIIdentificationCodeSequence[0].CodeValue == "10200004"
    with pytest.raises(BlueprintError, match="'TUMOUR' is not an RT ROI interpreted type"):
        interpreted_types({1: "TUMOUR"})


@pytest.mark.parametrize("name", ["oblique", "enhanced"])
def test_references_name_the_images(name: str) -> None:
    parent = PARENTS[name]
    (dataset,) = written(rt(parent, shapes(parent) == 1))
    (frame,) = dataset.ReferencedFrameOfReferenceSequence
    (study,) = frame.RTReferencedStudySequence
    (series,) = study.RTReferencedSeriesSequence
    assert (study.ReferencedSOPInstanceUID, series.SeriesInstanceUID) == (
        parent.study_instance_uid,
        parent.series_instance_uid,
    )
    assert {item.ReferencedSOPInstanceUID for item in series.ContourImageSequence} == {
        str(instance.SOPInstanceUID) for instance in parent.instances
    }
    (item,) = dataset.ROIContourSequence
    planes = item.SourcePixelPlanesCharacteristicsSequence[0]
    assert (planes.NumberOfFrames, planes.Rows, planes.Columns) == parent.shape
    assert [contour.ContourNumber for contour in item.ContourSequence] == list(range(1, len(item.ContourSequence) + 1))


@pytest.mark.slow
def test_a_contour_longer_than_explicit_vr_allows_is_written_in_implicit_vr() -> None:
    parent = parent_of(ct_phantom(1, 256, 256))
    image = np.zeros(parent.shape, np.uint8)
    image[:, 2:-2, 2:-2] = 1
    image[:, 4:-4:2, 4:-4:2] = 0
    series = rt(parent, image)
    (dataset,) = written(series)
    assert dataset.file_meta.TransferSyntaxUID == ImplicitVRLittleEndian
    (contour,) = dataset.ROIContourSequence[0].ContourSequence
    assert contour["ContourData"].VR == "DS" and sum(len(str(v)) + 1 for v in contour.ContourData) > 0xFFFE
    assert np.array_equal(enclosed(dataset, parent)[1], image == 1)
    assert written(rt(parent, image > 1))[0].file_meta.TransferSyntaxUID == ExplicitVRLittleEndian


def test_what_is_not_there_or_not_described_is_told() -> None:
    parent = PARENTS["axial"]
    series = rt(parent, np.where(shapes(parent) == 1, 7, 0), LIVER)
    assert series.warnings == (
        "structure 1 (Liver) has no voxel",
        "label 7 is not described: it is called 'Segment 7' (describe it by segments(...) in the blueprint)",
    )
    (dataset,) = written(series)
    assert [item.ROINumber for item in dataset.StructureSetROISequence] == [1, 7]
    assert ["ContourSequence" in item for item in dataset.ROIContourSequence] == [False, True]
    empty = rt(parent, np.zeros(parent.shape, bool))
    assert empty.warnings == ("the label map is empty, and no structure is described",)
    assert errors(empty.encode(0)) == []
    extra = segments(LIVER) + interpreted_types({9: "ORGAN"})
    series = build(parent, shapes(parent) == 1, extra, blueprint="rt_structure_set")
    assert series.warnings == ("RTROIObservationsSequence names ROIs that there are not: 9",)


def test_what_cannot_be_contours_is_refused() -> None:
    parent = PARENTS["axial"]
    grid = parent.require_grid()
    half = Grid(grid.row_cosines, grid.column_cosines, (1.6, 1.4), grid.positions, 20, 22)
    with pytest.raises(GeometryError, match="on the parent's slices") as refused:
        rt(parent, PlacedImage(np.ones(half.shape, bool), half))
    assert '"Grid": "Parent"' in str(refused.value.remedy_in(WORDS))
    with pytest.raises(PixelError, match="not whole numbers"):
        rt(parent, np.full(parent.shape, 0.5))
    with pytest.raises(ShapeMismatch, match="made from one volume"):
        rt(parent_of(fmri_phantom()), np.ones((4, 5, 8, 6), bool))
    pictures = ct_phantom(2, 8, 8)
    for dataset in pictures:
        del dataset.ImagePositionPatient
    with pytest.raises((GeometryError, HeaderError)):
        rt(parent_of(pictures), np.ones((2, 8, 8), bool))


def test_an_image_of_another_grid_is_brought_to_the_parents() -> None:
    parent = PARENTS["axial"]
    grid = parent.require_grid()
    half = Grid(grid.row_cosines, grid.column_cosines, (1.6, 1.4), grid.positions, 20, 22)
    image = np.zeros(half.shape, np.uint8)
    image[:, 5:15, 5:15] = 5
    maker = LIBRARY.factory("rt_structure_set")()
    header = maker.make_series_header(parent, ready("rt_structure_set"))
    (dataset,) = written(maker.build(header, PlacedImage(image, half), resampling=Resampling()))
    assert [item.ROINumber for item in dataset.StructureSetROISequence] == [5]  # labels have nothing between them
    assert enclosed(dataset, parent)[5][2].sum() == 400


def test_the_segments_of_a_request_are_structures(tmp_path: Path) -> None:
    observed = {"RTROIObservationsSequence": [{"ReferencedROINumber": 1, "RTROIInterpretedType": "CTV"}]}
    extra = extra_blueprint(observed, described=[{"Number": 1, "Label": "Liver", "Color": "#00ff00"}])
    parent = PARENTS["axial"]
    np.save(tmp_path / "mask.npy", shapes(parent) == 1)
    name = "rt_structure_set"
    series = run_blueprint(LIBRARY, name, name, parent, tmp_path / "mask.npy", Options(extra=extra), BuildContext())
    (dataset,) = written(series)
    assert dataset.StructureSetROISequence[0].ROIName == "Liver"
    assert dataset.ROIContourSequence[0].ROIDisplayColor == [0, 255, 0]
    assert dataset.RTROIObservationsSequence[0].RTROIInterpretedType == "CTV"


def read_by(program: str, folder: Path, parent: ParentSeries, dataset: bytes) -> dict[str, npt.NDArray[np.bool_]]:
    """The masks, on the parent's grid, that another program draws, by name of the structure."""
    images, file, out = folder / "images", folder / "rt.dcm", folder / "out"
    images.mkdir()
    for index, instance in enumerate(parent.instances):
        (images / f"{index:04}.dcm").write_bytes(encode(instance))
    file.write_bytes(dataset)
    if program == "plastimatch":
        command = [reader(program), "convert", "--input", file, "--referenced-ct", images]
        command += ["--output-prefix", out, "--prefix-format", "nii"]
    else:
        command = [reader("python"), "-c", DCMRTSTRUCT2NII, file, images, out]
    subprocess.run(list(map(str, command)), check=True, capture_output=True, timeout=300)
    masks = {}
    for path in out.glob("*.nii*"):
        image = nib.load(path)
        voxels = np.argwhere(np.asarray(image.dataobj) > 0)  # type: ignore[attr-defined]
        to_parent = np.linalg.inv(parent.affine_ras) @ image.affine  # type: ignore[attr-defined]
        places = np.rint(voxels @ to_parent[:3, :3].T + to_parent[:3, 3]).astype(int)
        mask = np.zeros(parent.shape, bool)
        mask[tuple(places.T)] = True
        masks[path.name.split(".")[0].removeprefix("mask_")] = mask
    return masks


def agree(program: str, folder: Path, parent: ParentSeries) -> None:
    image = shapes(parent)
    series = rt(parent, image, Segment(1, "Shell"), Segment(2, "Sponge"))
    masks = read_by(program, folder, parent, series.encode(0))
    holes = ndimage.binary_fill_holes(image[1] == 1) & (image[1] == 0)
    assert holes.any()
    for number, name in ((1, "Shell"), (2, "Sponge")):
        there, read = image == number, masks[name]
        assert there.sum() > 5000 or parent.shape[0] < 6
        assert 2 * (there & read).sum() / (there.sum() + read.sum()) >= 0.99
    assert not (masks["Shell"][1] & holes).any()


@pytest.mark.readers
@pytest.mark.parametrize("program", ["plastimatch", "dcmrtstruct2nii"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_other_programs_read_the_same(orientation: str, program: str, tmp_path: Path) -> None:
    agree(program, tmp_path, parent_of(ct_phantom(8, 96, 90, orientation=orientation)))


@pytest.mark.slow
@pytest.mark.readers
@pytest.mark.parametrize("program", ["plastimatch", "dcmrtstruct2nii"])
@pytest.mark.parametrize("name", ["ct_axial_head_philips", "mr_sag_mprage_siemens", "mr_hitachi_obl39_iso2022"])
@needs_series("ct_axial_head_philips", "mr_sag_mprage_siemens", "mr_hitachi_obl39_iso2022")
def test_other_programs_read_the_same_beside_real_series(name: str, program: str, tmp_path: Path) -> None:
    agree(program, tmp_path, ParentSeries.from_folder(series_folder(name)))


@pytest.mark.parametrize("name", ["ct_tilt_siemens_4sl_utf8", "mr_hitachi_obl39_iso2022", "mr_sag_mprage_siemens"])
@needs_series("ct_tilt_siemens_4sl_utf8", "mr_hitachi_obl39_iso2022", "mr_sag_mprage_siemens")
def test_real_label_maps_come_back_exactly(name: str) -> None:
    parent = ParentSeries.from_folder(series_folder(name))
    image = shapes(parent)
    series = rt(parent, image)
    dataset = written(series)[0]
    assert all(np.array_equal(mask, image == number) for number, mask in enclosed(dataset, parent).items())
    assert new_errors(series.encode(0), series_datasets(name)[:1]) == []
