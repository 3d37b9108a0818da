"""Segmentations and RT structure sets as inputs of pipelines: labels on the parent's grid."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from pydicom.dataset import Dataset

from building import LIBRARY, build, parent_of, turned_parents, written
from derived_series import BuildContext, ParentSeries, Segment, segments
from derived_series.dicom.objects.structures import Labels, labels_on
from derived_series.dicom.preview import picture
from derived_series.errors import GeometryError, InvalidParent, InvalidRequest
from derived_series.pipelines import Input, NumpyGrinder, Pipeline, StructuresInput
from derived_series.pipelines.library import Library, NamedPipeline
from derived_series.pipelines.run import Options, run_pipeline
from phantoms import ct_phantom, encode

LIVER, CYST = Segment(2, "Liver", "Liver", color="#b5651d"), Segment(5, "Cyst", "Cyst", algorithm="MANUAL")
PARENTS = turned_parents(5, 20, 24, ("axial", "sagittal", "oblique"))


def image_of(parent: ParentSeries) -> npt.NDArray[np.uint8]:
    """A liver with a hole on slices 1 and 3, a cyst in the hole; slices 0, 2 and 4 are empty."""
    label_map = np.zeros(parent.shape, np.uint8)
    label_map[1:4:2, 3:15, 4:16] = 2
    label_map[1:4:2, 6:10, 7:12] = 0
    label_map[1:4:2, 7:9, 8:11] = 5
    return label_map


def objects(*datasets: Dataset) -> ParentSeries:
    return ParentSeries.from_objects(encode(dataset) for dataset in datasets)


def structures(parent: ParentSeries, kind: str) -> ParentSeries:
    (dataset,) = written(build(parent, image_of(parent), segments(LIVER, CYST), blueprint=kind))
    return objects(dataset)


@pytest.mark.parametrize("orientation", PARENTS)
def test_a_structure_set_is_its_label_map(orientation: str) -> None:
    parent = PARENTS[orientation]
    labels = labels_on(structures(parent, "rt_structure_set"), parent)
    assert np.array_equal(labels.array, image_of(parent)) and labels.warnings == ()
    assert np.array_equal(labels.mask("Liver"), image_of(parent) == 2)
    assert np.array_equal(labels.mask(5), image_of(parent) == 5)
    liver, cyst = labels.segments
    assert (liver.number, liver.label, liver.color, liver.algorithm) == (2, "Liver", "#b5651d", "AUTOMATIC")
    assert (cyst.number, cyst.algorithm) == (5, "MANUAL") and cyst.type is not None
    with pytest.raises(InvalidParent, match="there is no structure 'Spleen'") as refused:
        labels.mask("Spleen")
    assert "5 Cyst" in str(refused.value.remedy)


@pytest.mark.parametrize("orientation", PARENTS)
def test_a_segmentation_is_its_label_map(orientation: str) -> None:
    parent = PARENTS[orientation]
    labels = labels_on(structures(parent, "segmentation"), parent)
    assert np.array_equal(labels.array > 0, image_of(parent) > 0) and labels.warnings == ()
    assert np.array_equal(labels.mask("Cyst"), image_of(parent) == 5)
    assert [segment.label for segment in labels.segments] == ["Liver", "Cyst"]


@pytest.mark.parametrize("size", [(7, 5), (6, 6), (9, 7), (3, 1)])
def test_frames_of_bits_that_begin_within_a_byte(size: tuple[int, int]) -> None:
    """Frames of one bit a pixel follow each other without a gap (PS3.5 8.1.1)."""
    parent = parent_of(ct_phantom(4, *size))
    label_map = np.random.default_rng(1).integers(0, 3, parent.shape).astype(np.uint8)
    series = build(parent, label_map, blueprint="segmentation")
    assert np.array_equal(labels_on(objects(*written(series)), parent).array, label_map)
    shown = picture(series)
    assert shown is not None
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(shown["PNG"]))))
    assert pixels.shape == size and any(np.array_equal(pixels > 127, plane == n) for plane in label_map for n in (1, 2))


def test_a_segmentation_of_another_grid_is_taken_where_it_is() -> None:
    parent = PARENTS["axial"]
    fine = ct_phantom(5, 40, 48, pixel_spacing=(0.4, 0.35))
    offset = np.array([0.35, 0.4]) / 2  # the corners of both grids are at one place
    first = np.array(parent.instances[0].ImagePositionPatient, float)
    for dataset in fine:
        dataset.ImagePositionPatient = [*(first[:2] - offset), dataset.ImagePositionPatient[2]]
    labels = labels_on(structures(parent, "segmentation"), parent_of(fine))
    assert np.array_equal(labels.mask("Liver"), (image_of(parent) == 2).repeat(2, axis=1).repeat(2, axis=2))


def square(corner: tuple[float, float, float], side: float, kind: str = "CLOSED_PLANAR") -> Dataset:
    x, y, z = corner
    item = Dataset()
    item.ContourGeometricType = kind
    item.NumberOfContourPoints = 4
    item.ContourData = [x, y, z, x + side, y, z, x + side, y + side, z, x, y + side, z]
    return item


def drawn(parent: ParentSeries, *contours: Dataset) -> ParentSeries:
    """A structure set of another program: no image is named, holes are contours in contours."""
    dataset = structures(parent, "rt_structure_set").pivot
    for item in dataset.ROIContourSequence:
        item.ContourSequence = list(contours)
        del item.ROIDisplayColor
    return objects(dataset)


def test_contours_of_other_programs() -> None:
    parent = PARENTS["axial"]
    x, y, z = parent.require_grid().positions[2]
    outer, inner = square((x + 1, y + 1, z), 9), square((x + 4, y + 4, z), 3)
    labels = labels_on(drawn(parent, outer, inner), parent)
    mask = labels.mask("Liver")
    assert mask[2].any() and not mask[[0, 1, 3, 4]].any()
    (warning,) = labels.warnings
    assert warning.startswith("structures overlap: in the label map, Cyst lie over those before them")
    assert np.array_equal(mask, labels.mask("Cyst")) and not (labels.array == 2).any()
    hole = labels_on(drawn(parent, inner), parent).mask("Liver")
    assert hole.any() and not (mask & hole).any()
    odd = [square((x, y, z), 9, "OPEN_PLANAR"), square((x, y, z + 0.6), 9), square((x, y, z + 99), 9)]
    warnings = labels_on(drawn(parent, *odd), parent).warnings
    assert "1 contours of Liver are not closed: they are left out" in warnings
    assert "Liver has contours 0.60 mm off their slice: they are taken to be on it" in warnings
    assert "Liver has contours where there is no image: they are left out" in warnings


def test_a_contour_that_is_there_twice_counts_once() -> None:
    """Of CLOSEDPLANAR_XOR it is what the standard says: nothing is left inside of both (PS3.3 C.8.8.6.3)."""
    parent = PARENTS["axial"]
    x, y, z = parent.require_grid().positions[2]
    once = labels_on(drawn(parent, square((x, y, z), 9)), parent)
    twice = labels_on(drawn(parent, square((x, y, z), 9), square((x, y, z), 9)), parent)
    assert once.array.any() and np.array_equal(twice.array, once.array)
    assert "1 contours of Liver are there twice: each counts once" in twice.warnings
    exclusive = [square((x, y, z), 9, "CLOSEDPLANAR_XOR") for _ in range(2)]
    assert not labels_on(drawn(parent, *exclusive), parent).array.any()


@pytest.mark.filterwarnings("ignore:Invalid value for VR DS")
@pytest.mark.parametrize("values", [["1"] * 8, ["1", "2", "nan"] * 3, ["1", "2", "1e300"] * 3])
def test_contours_that_are_not_points_are_refused_by_name(values: list[str]) -> None:
    parent = PARENTS["axial"]
    wrong = square(parent.require_grid().positions[2], 9)
    wrong.ContourData = values
    with pytest.raises(InvalidParent, match=rf"of Liver has a ContourData \(3006,0050\) of {len(values)} numbers"):
        labels_on(drawn(parent, wrong), parent)


def test_a_contour_without_points_is_nothing() -> None:
    parent = PARENTS["axial"]
    wrong = square(parent.require_grid().positions[2], 9)
    wrong.ContourData = []
    assert not labels_on(drawn(parent, wrong), parent).array.any()


def test_structures_of_another_place_are_refused() -> None:
    with pytest.raises(GeometryError, match="not on the slices of the images"):
        labels_on(structures(PARENTS["axial"], "rt_structure_set"), _in_frame_of("axial", "sagittal"))
    elsewhere = ct_phantom(5, 20, 24)
    for dataset in elsewhere:
        dataset.FrameOfReferenceUID = "2.25.1"
    for kind in ("rt_structure_set", "segmentation"):
        with pytest.raises(GeometryError, match="frame of reference"):
            labels_on(structures(PARENTS["axial"], kind), parent_of(elsewhere))
    with pytest.raises(InvalidParent, match="neither a segmentation nor an RT structure set"):
        labels_on(objects(*ct_phantom(1, 8, 8)), PARENTS["axial"])


def _in_frame_of(name: str, other: str) -> ParentSeries:
    uid = PARENTS[name].pivot.FrameOfReferenceUID
    datasets = ct_phantom(5, 20, 24, orientation=other)
    for dataset in datasets:
        dataset.FrameOfReferenceUID = uid
    return parent_of(datasets)


class CTInput(Input):
    required_values = {"Modality": "CT"}
    image_grinder = NumpyGrinder()


class OnLiver(Pipeline):
    """Keeps the liver."""

    input = {"CT": CTInput, "Structures": StructuresInput}
    parent_input = "CT"
    header_blueprint = LIBRARY.blueprint("ct").blueprint

    def process(self, input_container: Any) -> Any:
        labels: Labels = input_container["Structures"]
        return np.where(labels.mask("Liver"), input_container["CT"], -1000).astype(np.int16)


class OnTheWrongOne(OnLiver):
    """Takes the structures for its parent."""

    parent_input = "Structures"


def library(pipeline: type[Pipeline]) -> Library:
    file = LIBRARY.blueprint("ct").file
    named = {"it": NamedPipeline("it", pipeline, "", file, "")}
    return Library(LIBRARY.blueprints, named, LIBRARY.factories, ())


@pytest.mark.parametrize("kind", ["rt_structure_set", "segmentation"])
def test_a_pipeline_gets_labels(kind: str) -> None:
    parent = PARENTS["oblique"]
    inputs = {"CT": parent, "Structures": structures(parent, kind)}
    series = run_pipeline(library(OnLiver), "it", inputs, {}, Options(), BuildContext())
    datasets = written(series)
    values = np.stack([d.pixel_array * float(d.RescaleSlope) + float(d.RescaleIntercept) for d in datasets])
    assert np.array_equal(values, np.where(image_of(parent) == 2, parent.voxels().astype(np.int16), -1000))
    named = {item.SeriesInstanceUID for item in datasets[0].ReferencedSeriesSequence}
    assert inputs["Structures"].series_instance_uid in named
    sources = {item.ReferencedSOPClassUID.name for item in datasets[0].SourceImageSequence}
    assert sources == {"CT Image Storage"} | ({"Segmentation Storage"} if kind == "segmentation" else set())
    with pytest.raises(InvalidRequest, match="it cannot be the parent"):
        run_pipeline(library(OnTheWrongOne), "it", inputs, {}, Options(), BuildContext())
