"""Segmentations and label maps: frame for frame and group for group what highdicom makes of the same labels."""

from __future__ import annotations

import io
from typing import Any

import highdicom
import numpy as np
import numpy.typing as npt
import pytest
from highdicom.seg import Segmentation, SegmentDescription
from pydicom import config, dcmread
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless, RLELossless

from building import build, parent_of, ready, turned_parents, written
from dciodvfy import errors
from derived_series import (
    Blueprint,
    BuildContext,
    NumpyFactory,
    ParentSeries,
    Segment,
    SegmentationFactory,
    StaticElement,
    segments,
)
from derived_series.dicom.modules.codes import code_item
from derived_series.dicom.objects.highdicom_planes import close_table
from derived_series.dicom.series.finished import FinishedSeries
from derived_series.errors import PixelError, ValidationFailed
from derived_series.pipelines.gate import STRICT, check_series
from derived_series.pipelines.run import Options
from derived_series.review.manifest import series_document
from phantoms import ct_phantom
from phantoms_4d import fmri_phantom

ORIENTATIONS = ("axial", "sagittal", "oblique")
PARENTS = turned_parents(6, 18, 11, ORIENTATIONS)  # 198 is not a multiple of 8
NAMED = (Segment(1, "Liver", "Liver", color="#b5651d"), Segment(2, "Spleen", "Spleen"), Segment(3, "Cyst", "Cyst"))


def labels(shape: tuple[int, ...], *numbers: int) -> npt.NDArray[np.uint16]:
    """A block a number; they overlap in slices, and the first and the last slice are empty."""
    label_map = np.zeros(shape, np.uint16)
    for place, number in enumerate(numbers):
        label_map[1 + place % 3 : 3 + place % 3, 2 + 4 * place : 7 + 4 * place, 1 + place : 6 + place] = number
    return label_map


def highdicoms(parent: ParentSeries, image: npt.NDArray[Any], kind: str, described: tuple[Segment, ...]) -> Dataset:
    items = []
    for segment in described:
        item = segment.item()
        item.SegmentAlgorithmType = "MANUAL"
        items.append(SegmentDescription.from_dataset(item))
    whole = kind == "LABELMAP"
    segmentation = Segmentation(
        parent.instances, image, kind, items, "2.25.1", 1, "2.25.2", 1, "x", "x", "1", "1", omit_empty_frames=not whole
    )  # fmt: skip
    close_table(segmentation)
    return segmentation


def groups(dataset: Dataset) -> list[tuple[Any, ...]]:
    """Of each frame: indexes, position, segment, the instances that it refers to."""
    items = []
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        segment = frame.get("SegmentIdentificationSequence")
        sources = frame.DerivationImageSequence[0].SourceImageSequence
        items.append(
            (
                frame.FrameContentSequence[0].DimensionIndexValues,
                [round(float(value), 6) for value in frame.PlanePositionSequence[0].ImagePositionPatient],
                segment and segment[0].ReferencedSegmentNumber,
                [(item.ReferencedSOPInstanceUID, item.SpatialLocationsPreserved) for item in sources],
                sorted(frame.dir()),
            )
        )
    return items


@pytest.mark.wide(quick=4)
@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("numbers", [(1,), (1, 2, 3)], ids=["one", "three"])
@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
def test_frames_and_groups_are_highdicoms(kind: str, numbers: tuple[int, ...], orientation: str) -> None:
    parent = PARENTS[orientation]
    image, described = labels(parent.shape, *numbers), NAMED[: len(numbers)]
    blueprint = "segmentation" if kind == "BINARY" else "label_map_segmentation"
    series = build(parent, image, segments(*described), blueprint=blueprint)
    ours, wanted = written(series)[0], highdicoms(parent, image, kind, described)
    assert groups(ours) == groups(wanted)
    assert np.array_equal(ours.pixel_array, wanted.pixel_array)
    for keyword in (
        *("NumberOfFrames", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
        *("SegmentationType", "SegmentsOverlap", "SOPClassUID", "PhotometricInterpretation", "SamplesPerPixel"),
    ):
        assert ours[keyword].value == wanted[keyword].value, keyword
    pairs = zip(ours.DimensionIndexSequence, wanted.DimensionIndexSequence, strict=True)
    assert all(a.DimensionIndexPointer == b.DimensionIndexPointer for a, b in pairs)
    assert sorted(ours.SharedFunctionalGroupsSequence[0].dir()) == sorted(
        wanted.SharedFunctionalGroupsSequence[0].dir()
    )
    assert len(ours.PixelData) % 2 == 0
    if kind == "BINARY":
        assert errors(series.encode(0)) == []


def test_a_label_map_keeps_its_numbers_and_takes_the_bits_that_they_need() -> None:
    parent = PARENTS["axial"]
    for numbers, bits in (((1, 7, 255), 8), ((2, 300, 65535), 16)):
        image = labels(parent.shape, *numbers)
        described = [Segment(number, f"Organ {number}", "Organ") for number in numbers]
        series = build(parent, image.astype(np.int64), segments(*described), blueprint="label_map_segmentation")
        assert not [warning for warning in series.warnings if "nothing says" not in warning]
        segmentation = highdicom.seg.segread(io.BytesIO(series.encode(0)))
        read = segmentation.get_pixels_by_source_instance(
            [str(i.SOPInstanceUID) for i in parent.instances], combine_segments=True
        )
        close_table(segmentation)
        assert segmentation.BitsAllocated == bits and np.array_equal(read, image)
        assert [item.SegmentNumber for item in segmentation.SegmentSequence] == [*numbers, 0]
        assert segmentation.SegmentSequence[-1].SegmentLabel == "Background"


@pytest.mark.parametrize(
    ("asked", "syntax"),
    [
        (None, RLELossless),
        ("JPEGLSLossless", JPEGLSLossless),
        ("ExplicitVRLittleEndian", ExplicitVRLittleEndian),
    ],
)
@pytest.mark.parametrize("most", [3, 300])
def test_a_label_map_is_written_in_rle_unless_asked_otherwise(asked: str | None, syntax: str, most: int) -> None:
    parent = PARENTS["oblique"]
    image = labels(parent.shape, 1, 2, most)
    series = Options(transfer_syntax=asked).ready(
        build(parent, image, segments(), blueprint="label_map_segmentation"), parent
    )
    dataset = dcmread(io.BytesIO(series.encode(0)))
    assert dataset.file_meta.TransferSyntaxUID == syntax
    uncompressed = written(build(parent, image, segments(), blueprint="label_map_segmentation"))[0]
    assert np.array_equal(dataset.pixel_array, uncompressed.pixel_array)


@pytest.mark.parametrize("shape", [(6, 18, 11), (4, 16, 16), (3, 5, 5), (9, 3, 1), (1, 7, 9)])
def test_bits_are_packed_without_a_gap_between_frames(shape: tuple[int, int, int]) -> None:
    parent = parent_of(ct_phantom(*shape))
    image = np.random.default_rng(3).integers(0, 4, shape)
    assert parent.grid is not None
    dataset = written(build(parent, image, segments(*NAMED), blueprint="segmentation"))[0]
    wanted = highdicoms(parent, image.astype(np.uint8), "BINARY", NAMED)
    assert groups(dataset) == groups(wanted)
    place = {tuple(np.round(position, 6)): index for index, position in enumerate(parent.grid.positions)}
    for frame, (_, position, segment, _, _) in zip(
        dataset.pixel_array.reshape(-1, *shape[1:]), groups(dataset), strict=True
    ):
        assert np.array_equal(frame, image[place[tuple(position)]] == segment)


def test_probabilities_come_back_to_half_a_step() -> None:
    parent = PARENTS["oblique"]
    maps = np.random.default_rng(5).random((2, *parent.shape)).astype(np.float32)
    maps[1, 2] = 0
    series = build(
        parent, maps, segments(*NAMED[:2]), blueprint="fractional_segmentation", factory=SegmentationFactory()
    )
    assert errors(series.encode(0)) == []
    segmentation = highdicom.seg.segread(io.BytesIO(series.encode(0)))
    read = segmentation.get_pixels_by_source_instance([str(i.SOPInstanceUID) for i in parent.instances])
    close_table(segmentation)
    assert (segmentation.SegmentationType, segmentation.SegmentationFractionalType) == ("FRACTIONAL", "PROBABILITY")
    assert np.abs(np.moveaxis(read, -1, 0) - maps).max() <= 0.5 / 255 + 1e-6
    assert segmentation.NumberOfFrames == 11  # the slice that has nothing of the second segment has no frame of it
    single = written(build(parent, maps[0], segments(NAMED[0]), blueprint="fractional_segmentation"))[0]
    assert np.array_equal(single.pixel_array.max(axis=(1, 2)), np.rint(maps[0] * 255).max(axis=(1, 2))[::-1])


@pytest.mark.parametrize(("rows", "columns"), [(9, 7), (8, 8), (9, 4), (3, 3)])
def test_a_segmentation_is_a_parent_whose_frames_begin_within_a_byte(rows: int, columns: int) -> None:
    parent = parent_of(ct_phantom(4, rows, columns))
    image = (np.random.default_rng(2).random(parent.shape) > 0.5).astype(np.uint8)
    image[:, 0, 0] = 1  # a frame for each slice
    segmentation = ParentSeries.from_bytes([build(parent, image, blueprint="segmentation").encode(0)])
    assert np.array_equal(segmentation.voxels(), image)


def test_probabilities_that_rounding_took_beyond_0_and_1() -> None:
    image = np.zeros(PARENTS["axial"].shape, np.float64)
    image[1:] = 1 + 2e-7
    image[2, 0, 0] = -1e-9
    (dataset,) = written(build(PARENTS["axial"], image, blueprint="fractional_segmentation"))
    assert set(np.unique(dataset.pixel_array)) == {0, 255}


def test_a_map_of_probabilities_that_is_empty_is_told() -> None:
    parent = parent_of(ct_phantom(3, 6, 5))
    maps = np.zeros((2, *parent.shape), np.float32)
    maps[0, 1, 2, 3] = 0.5
    series = build(parent, maps, segments(*NAMED[:2]), blueprint="fractional_segmentation")
    (text,) = [warning for warning in series.warnings if "probability" in warning]
    assert text == f"segment 2 ({NAMED[1].label}) has a probability of 0 everywhere"


def test_as_many_maps_as_the_parent_has_volumes_are_segments_with_a_warning() -> None:
    parent = parent_of(fmri_phantom(2, 3))
    series = build(parent, np.full(parent.shape, 0.5, np.float32), blueprint="fractional_segmentation")
    assert len(written(series)[0].SegmentSequence) == 2
    assert any("2 maps of probabilities, as many as the parent has volumes" in warning for warning in series.warnings)
    one = build(parent, np.full(parent.shape[1:], 0.5, np.float32), blueprint="fractional_segmentation")
    assert not any("maps of probabilities" in warning for warning in one.warnings)


@pytest.mark.parametrize(
    ("image", "extra", "message"),
    [(1.5, (), "values from 1.5"), (np.nan, (), "NaN"), (0.5, NAMED, r"1 map\(s\) of probabilities")],
)
def test_what_is_not_a_probability_is_refused(image: float, extra: tuple[Segment, ...], message: str) -> None:
    parent = PARENTS["axial"]
    with pytest.raises(PixelError, match=message):
        build(parent, np.full(parent.shape, image), segments(*extra), blueprint="fractional_segmentation")


def test_references_and_groups_are_read_as_they_were_encoded() -> None:
    """The dataset that user code gets, and the file, have all items; code meanings keep their characters."""
    parent = PARENTS["axial"]
    code = StaticElement("DerivationCodeSequence", "SQ", [code_item(Code("1", "99LOCAL", "平滑化"))])
    extra = segments(*NAMED) + Blueprint([code])
    series = build(parent, labels(parent.shape, 1, 2, 3), extra, blueprint="segmentation")
    for dataset in (series.dataset(0), written(series)[0]):
        assert len(dataset.SourceImageSequence) == len(parent)
        assert len(dataset.ReferencedSeriesSequence[0].ReferencedInstanceSequence) == len(parent)
        assert len(dataset.PerFrameFunctionalGroupsSequence) == dataset.NumberOfFrames == 6
        for frame in dataset.PerFrameFunctionalGroupsSequence:
            (item,) = frame.DerivationImageSequence[0].DerivationCodeSequence
            assert item.CodeMeaning == "平滑化"


def test_the_file_is_the_one_that_pydicom_writes() -> None:
    parent = PARENTS["oblique"]
    for name, image in (
        ("segmentation", labels(parent.shape, 1, 2)),
        ("label_map_segmentation", labels(parent.shape, 1, 400)),
        ("parametric_map", parent.voxels()),
    ):
        series = build(parent, image, blueprint=name, context=BuildContext(uid_seed="same"))
        assert isinstance(series, FinishedSeries)
        content, buffer = series.encode(0), io.BytesIO()
        series.dataset(0).save_as(buffer, enforce_file_format=True)
        assert content == buffer.getvalue()


def test_the_gate_sees_what_user_code_changes_in_groups() -> None:
    parent = PARENTS["axial"]
    series = build(parent, labels(parent.shape, 1, 2, 3), segments(*NAMED), blueprint="segmentation")
    assert isinstance(series, FinishedSeries) and check_series(series, parent, STRICT)
    frames = series.dataset(0).PerFrameFunctionalGroupsSequence
    wrong = DataElement(Tag("SpatialLocationsPreserved"), "CS", "perhaps", validation_mode=config.IGNORE)
    frames[2].DerivationImageSequence[0].SourceImageSequence[0][wrong.tag] = wrong
    with pytest.raises(ValidationFailed, match=r"PerFrameFunctionalGroupsSequence\[2\]"):
        check_series(series, parent, STRICT)


def test_what_was_described_is_left_as_it_is() -> None:
    """Numbers without gaps go into the object, not into the blueprint that serves the next build too."""
    parent = PARENTS["axial"]
    described = segments(Segment(4, "Cyst", "Cyst"))
    for _ in range(2):
        dataset = written(build(parent, labels(parent.shape, 4), described, blueprint="segmentation"))[0]
        assert [(item.SegmentNumber, item.SegmentAlgorithmType) for item in dataset.SegmentSequence] == [
            (1, "AUTOMATIC")
        ]
    assert described["SegmentSequence"].value[0].SegmentNumber == 4


def test_an_occupancy_is_said_to_be_one() -> None:
    parent = PARENTS["axial"]
    blueprint = ready("fractional_segmentation")
    blueprint += Blueprint([StaticElement("SegmentationFractionalType", "CS", "OCCUPANCY")])
    series = build(parent, np.full(parent.shape, 0.25), blueprint=blueprint, factory=NumpyFactory())
    assert written(series)[0].SegmentationFractionalType == "OCCUPANCY"
    assert not any("SegmentationFractionalType" in warning for warning in series.warnings)


def test_a_fractional_segmentation_is_a_parent_whose_values_are_its_fractions() -> None:
    """Its stored values are parts of MaximumFractionalValue (PS3.3 C.8.20.2.3)."""
    parent = PARENTS["axial"]
    fractions = np.linspace(0, 1, parent.voxels().size, dtype=np.float32).reshape(parent.shape)
    (source,) = written(build(parent, fractions, segments(), blueprint="fractional_segmentation"))
    most = int(source.MaximumFractionalValue)
    values = parent_of([source]).voxels()
    assert np.allclose(values, np.rint(fractions * most) / most, atol=1e-6) and values.max() == 1
    again = written(build(parent_of([source]), None, segments(), blueprint="fractional_segmentation"))[0]
    assert np.array_equal(again.pixel_array, source.pixel_array)


def test_a_label_map_in_colours_is_a_parent_whose_values_are_its_labels() -> None:
    """A palette says how segments are shown (PS3.3 C.8.20.2): the values are their numbers all the same."""
    parent = PARENTS["axial"]
    image = labels(parent.shape, 1, 2)
    series = build(parent, image, segments(*NAMED[:2]), blueprint="label_map_segmentation")
    (source,) = written(series)
    source.PhotometricInterpretation = "PALETTE COLOR"
    for colour in ("Red", "Green", "Blue"):
        source.add_new(f"{colour}PaletteColorLookupTableDescriptor", "US", [256, 0, 8])
        source.add_new(f"{colour}PaletteColorLookupTableData", "OW", bytes(range(256)))
    assert np.array_equal(parent_of([source]).voxels(), image)


def test_a_label_map_is_a_parent_whose_values_are_its_labels() -> None:
    """A pipeline may take one, and the review page draws it as segments on its grid."""
    parent = PARENTS["oblique"]
    image = labels(parent.shape, 1, 7, 300)
    series = Options().ready(build(parent, image, segments(), blueprint="label_map_segmentation"), parent)
    read = ParentSeries.from_bytes([series.encode(0)])
    assert np.array_equal(read.voxels(), image)
    assert read.grid is not None and parent.grid is not None
    assert np.allclose(read.grid.affine_lps, parent.grid.affine_lps, atol=1e-4)
    (dataset,) = written(series)
    document = series_document([dataset], {str(dataset.SOPInstanceUID): "id"})
    assert (document["Kind"], document["IsLabelMap"], document["Problem"]) == ("Segmentation", True, None)
