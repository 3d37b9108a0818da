"""Pictures of labels: what is drawn, where, in which window, and what the objects say of themselves."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
import pytest
from PIL import Image, ImageDraw
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from building import LIBRARY, Parents, build, parent_of, turned_parents, written
from dciodvfy import errors
from derived_series import Blueprint, ParentSeries, PlacedImage, Segment, picture, segments
from derived_series.dicom.factories.kinds import FACTORIES
from derived_series.dicom.image.resampling import Resampling
from derived_series.dicom.modules.windows import displayed, windows_of
from derived_series.dicom.objects.overlay import overlay
from derived_series.dicom.objects.pen import font
from derived_series.dicom.objects.reformats import letters, planes
from derived_series.dicom.objects.shown_slices import ShownSlices
from derived_series.dicom.objects.structures import labels_on
from derived_series.dicom.objects.summary import letter_places, volumes
from derived_series.errors import BlueprintError, GeometryError, HeaderError, PixelError, ShapeMismatch
from derived_series.pipelines.run import Options
from multiframe import enhanced
from phantoms import ct_phantom, encode
from phantoms_4d import fmri_phantom

KINDS = ("overlay", "summary", "overlay_pdf", "summary_pdf")
LIVER = Segment(3, "Liver", "Liver", color="#ff0000")
PARENT = parent_of(ct_phantom(4, 64, 80, pixel_spacing=(0.8, 0.8)))
LABELS = np.zeros(PARENT.shape, np.uint8)
LABELS[1, 20:30, 30:44] = 3
LABELS[2, 40:44, 30:44] = 9


def draw(
    labels: Any = LABELS, *more: Blueprint, blueprint: str = "overlay", parent: ParentSeries = PARENT
) -> list[Dataset]:
    extra = sum(more, segments(LIVER))
    series = build(parent, labels, extra, blueprint=blueprint, factory=FACTORIES["picture"]())
    return written(Options().ready(series, parent))


def pixels(dataset: Dataset) -> npt.NDArray[np.uint8]:
    return np.asarray(dataset.pixel_array)


def count_of(image: npt.NDArray[np.uint8], colour: tuple[int, int, int]) -> int:
    """How many pixels have a colour, nearly."""
    return int((np.abs(image.astype(int) - colour).max(axis=-1) < 30).sum())


def test_outlines_run_around_the_labels_in_their_colour() -> None:
    datasets = draw()
    assert [dataset.SourceImageSequence[0].ReferencedSOPInstanceUID for dataset in datasets] == [
        instance.SOPInstanceUID for instance in PARENT.instances
    ]
    image, scale = pixels(datasets[1])[:410, :512], 512 / 80
    red = np.argwhere(np.abs(image.astype(int) - (255, 0, 0)).max(axis=-1) < 30)
    low, high = red.min(axis=0) / scale, (red.max(axis=0) + 1) / scale
    assert np.allclose(low, (20, 30), atol=0.4) and np.allclose(high, (30, 44), atol=0.4)
    assert (
        count_of(image[round(22 * scale) : round(28 * scale), round(32 * scale) : round(42 * scale)], (255, 0, 0)) == 0
    )
    assert count_of(pixels(datasets[0])[:410, :512], (255, 0, 0)) == 0
    other = pixels(datasets[2])[:410, :512]
    assert (np.ptp(other.astype(int), axis=-1) > 60).any()  # a colour of the palette


def test_without_labels_a_slice_is_what_its_window_shows() -> None:
    (parent, labels) = parent_of(ct_phantom(2, 512, 512, pixel_spacing=(0.8, 0.8))), np.zeros((2, 512, 512), np.uint8)
    labels[1, 4:9, 4:9] = 3
    first = pixels(draw(labels, picture(legend=False), parent=parent)[0])
    shown = np.rint(displayed(parent.voxels()[0], *windows_of(parent.pivot)[0]) * 255)
    assert first.shape == (512, 512, 3) and all(np.array_equal(first[..., k], shown) for k in range(3))


def test_fill_legend_note_and_position() -> None:
    plain, filled, bare = (
        pixels(draw(LABELS, more)[1]) for more in (picture(), picture(fill=0.5), picture(legend=False))
    )
    inside = (slice(150, 170), slice(220, 260))
    assert np.allclose(filled[inside], plain[inside] * 0.5 + np.array([255, 0, 0]) * 0.5, atol=1)
    assert bare.shape == (410, 512, 3) and plain.shape[0] > 410 and plain.shape[1] > 512
    legend, below = plain[:410, 512:], plain[410:]
    assert count_of(legend, (255, 0, 0)) > 50 and count_of(legend, (255, 255, 255)) > 10  # a square and a name
    assert count_of(below[:, :250], (255, 255, 255)) > 50  # the position
    noted = pixels(draw(LABELS, picture(note=True))[1])
    assert (noted[410:, 300:] != plain[410:, 300:]).any() and np.array_equal(noted[:410], plain[:410])


@pytest.mark.parametrize("spacing", [(2.0, 0.5), (0.5, 2.0), (0.7, 0.8)])
@pytest.mark.parametrize("orientation", ["axial", "oblique"])
def test_pixels_are_square_and_as_large_as_they_say(spacing: tuple[float, float], orientation: str) -> None:
    parent = parent_of(ct_phantom(2, 32, 24, pixel_spacing=spacing, orientation=orientation))
    labels = np.zeros(parent.shape, np.uint8)
    labels[0, 8:16, 6:18] = 3
    for dataset in draw(labels, picture(legend=False), parent=parent):
        height, width = map(float, dataset.PixelSpacing)
        assert height == pytest.approx(width, rel=0.01)
        assert height * dataset.Rows == pytest.approx(32 * spacing[0], rel=1e-6)
        assert width * dataset.Columns == pytest.approx(24 * spacing[1], rel=1e-6)
        assert max(dataset.Rows, dataset.Columns) >= 512


def test_pictures_are_numbered_as_the_parent() -> None:
    parent = parent_of(ct_phantom(4, 64, 80, descending=True))
    for dataset in draw(parent=parent):
        source = dataset.SourceImageSequence[0].ReferencedSOPInstanceUID
        (instance,) = [each for each in parent.instances if each.SOPInstanceUID == source]
        assert dataset.InstanceNumber == instance.InstanceNumber


@pytest.mark.parametrize("size", [(3, 300), (300, 3), (30, 300), (300, 40), (4, 4), (300, 300)])
def test_letters_are_on_their_side_of_thin_planes_too(size: tuple[int, int]) -> None:
    pen = ImageDraw.Draw(Image.new("RGB", (400, 400)))
    to_left, to_right, above, below = (
        pen.textbbox(at, text, font=font(16), anchor=anchor)
        for at, text, anchor in letter_places((50, 50), size, ("AR", "PL", "H", "F"))
    )
    rows, columns = size
    assert to_left[2] < 50 + columns / 2 < to_right[0]
    assert above[3] < 50 + rows / 2 < below[1]


@pytest.mark.wide(quick=2)
@pytest.mark.parametrize("kind", KINDS)
def test_burned_in_annotation_is_true(kind: str) -> None:
    secret = parent_of(ct_phantom(4, 64, 80, patient_name="Geheim^Frieda"))
    unmarked, named = (
        draw(LABELS, more, blueprint=kind, parent=secret)[0] for more in (picture(), picture(patient=True))
    )
    assert (unmarked.BurnedInAnnotation, named.BurnedInAnnotation) == ("NO", "YES")
    if "PixelData" in named:
        assert named.Rows > unmarked.Rows
        other = draw(LABELS, picture(), blueprint=kind, parent=parent_of(ct_phantom(4, 64, 80, patient_name="A^B")))[0]
        assert other.PixelData == unmarked.PixelData  # nothing of the patient is in it
    marked = ct_phantom(4, 64, 80)
    for dataset in marked:
        dataset.BurnedInAnnotation = "YES"
    assert draw(LABELS, blueprint=kind, parent=parent_of(marked))[0].BurnedInAnnotation == "YES"
    for dataset in marked:
        del dataset.BurnedInAnnotation
        dataset.Modality = "OT"
    assert draw(LABELS, blueprint=kind, parent=parent_of(marked))[0].get("BurnedInAnnotation") == (
        "YES" if "pdf" in kind else None
    )


def test_each_slice_has_the_window_that_it_brings() -> None:
    datasets = ct_phantom(5, 8, 8)
    for dataset in datasets:
        dataset.WindowCenter, dataset.WindowWidth = 40, 400
    datasets[1].VOILUTFunction = "SIGMOID"
    datasets[2].WindowCenter, datasets[2].VOILUTFunction = 300, "LINEAR_EXACT"
    datasets[3].PhotometricInterpretation = "MONOCHROME1"
    del datasets[4].WindowCenter, datasets[4].WindowWidth
    table = Dataset()
    table.add_new("LUTDescriptor", "SS", [4096, -1024, 16])
    table.add_new("LUTData", "US", np.linspace(0, 65535, 4096).astype(int).tolist())
    datasets[4].VOILUTSequence = [table]
    parent = parent_of(datasets)
    values, shown = parent.voxels(), ShownSlices(parent)
    wanted = [
        displayed(values[0], 40, 400),
        displayed(values[1], 40, 400, "SIGMOID"),
        displayed(values[2], 300, 400, "LINEAR_EXACT"),
        1 - displayed(values[3], 40, 400),
        np.clip((values[4] + 1024) / 4095, 0, 1),
    ]
    for index, each in enumerate(wanted):
        assert np.abs(shown.grey(index).astype(int) - each * 255).max() <= 1, index
    assert len({shown.grey(index).tobytes() for index in range(5)}) == 5


@pytest.mark.parametrize("name", ["examples_rgb_color.dcm", "examples_ybr_color.dcm", "examples_palette.dcm"])
def test_a_parent_in_colour_stays_so(name: str) -> None:
    source = pydicom.dcmread(str(get_testdata_file(name)))
    parent = parent_of([source])
    labels = np.zeros(parent.shape, np.uint8)
    labels[0, 10:60, 10:90] = 3
    image = pixels(draw(labels, picture(legend=False), parent=parent)[0])
    shown = ShownSlices(parent).picture(0)
    assert shown.shape == (*parent.shape[-2:], 3) and np.ptp(shown.astype(int), axis=-1).max() > 30
    assert count_of(image, (255, 0, 0)) > 50
    if image.shape == shown.shape:
        assert np.array_equal(image[100:], shown[100:])


def test_over_a_4d_parent_labels_are_drawn_on_the_first_volume() -> None:
    parent = parent_of(fmri_phantom())
    labels = np.zeros(parent.shape[-3:], np.uint8)
    labels[1, 1:4, 1:4] = 3
    datasets = draw(labels, picture(legend=False), parent=parent)
    assert len(datasets) == parent.slices_per_volume < len(parent)
    (shown,) = draw(labels, picture(sheet=1, legend=False), parent=parent)
    first = pixels(datasets[0])
    wanted = ShownSlices(parent).grey(0)
    assert abs(float(first.mean()) - float(wanted.mean())) < 3 and count_of(pixels(shown), (255, 0, 0)) > 50


def test_a_sheet_has_slices_with_labels_alone() -> None:
    labels = np.zeros((8, 64, 80), np.uint8)
    labels[2:7, 20:30, 30:44] = 3
    parent = parent_of(ct_phantom(8, 64, 80))
    (dataset,) = draw(labels, picture(sheet=3), parent=parent)
    named = {item.ReferencedSOPInstanceUID for item in dataset.SourceImageSequence}
    assert named == {parent.instances[index].SOPInstanceUID for index in (2, 4, 6)}
    assert "PixelSpacing" not in dataset and "Segment" not in str(dataset.dir())
    assert count_of(pixels(dataset), (255, 0, 0)) > 100


PARENTS = turned_parents(10, 20, 24, ("axial", "sagittal", "oblique"))


def tilted() -> ParentSeries:
    """Slices of a tilted gantry."""
    datasets = ct_phantom(10, 20, 24)
    for index, dataset in enumerate(datasets):
        x, y, z = map(float, dataset.ImagePositionPatient)
        dataset.ImagePositionPatient = [x, round(y + 1.1 * index, 4), z]
    return parent_of(datasets)


ALL_PARENTS = Parents(
    {
        **PARENTS.makers,
        "tilted": tilted,
        "uneven": lambda: parent_of([d for i, d in enumerate(ct_phantom(12, 20, 24)) if i not in (2, 3)]),
        "enhanced": lambda: parent_of([enhanced(ct_phantom(10, 20, 24))]),
    }
)


@pytest.mark.parametrize("name", ALL_PARENTS)
def test_volumes_are_those_of_the_voxels(name: str) -> None:
    parent = ALL_PARENTS[name]
    labels = np.zeros(parent.shape, np.uint8)
    labels[:, 5:15, 6:18] = 4
    grid = parent.require_grid()
    depth = float(grid.distances[-1] - grid.distances[0]) + float(grid.gaps[0] + grid.gaps[-1]) / 2
    by_label = volumes(grid, labels, None)
    assert by_label == {4: pytest.approx(10 * 12 * 0.8 * 0.7 * depth / 1000)}
    assert volumes(grid.subset([0]), labels[:1], 3.0) == {4: pytest.approx(10 * 12 * 0.8 * 0.7 * 3 / 1000)}
    assert volumes(grid.subset([0]), labels[:1], None) == {}


@pytest.mark.wide(quick=2)
@pytest.mark.parametrize("name", ALL_PARENTS)
def test_planes_are_in_millimetres_and_straight(name: str) -> None:
    """A ball is round in each plane, whatever the slices are like."""
    parent = ALL_PARENTS[name]
    grid = parent.require_grid()
    down = np.arange(20)[:, None, None] * 0.8 * np.array(grid.column_cosines)
    across = np.arange(24)[None, :, None] * 0.7 * np.array(grid.row_cosines)
    points = np.array(grid.positions)[:, None, None, :] + down + across
    middle = points.reshape(-1, 3).mean(axis=0)
    away = np.linalg.norm(points - middle, axis=-1)
    labels = (away < 6).astype(np.uint8)
    centre = np.unravel_index(int(away.argmin()), away.shape)
    shown = np.zeros(labels.shape, np.uint8)
    drawn = planes(grid, shown, labels, tuple(map(int, centre)), 400)  # type: ignore[arg-type]
    assert len(drawn) == 3
    assert max(max(plane.labels.shape) for plane in drawn) in (399, 400, 401)
    for plane in drawn:
        rows, columns = np.nonzero(plane.labels)
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        coarsest = max(float(grid.gaps.max()), 0.8)
        per_mm = 400 / _longest(grid)
        assert abs(height - width) <= 2 * coarsest * per_mm
        assert abs(max(height, width) / per_mm - 12) <= 2 * coarsest
        middles = [columns[rows == row].mean() for row in np.unique(rows) if (rows == row).sum() > width / 2]
        assert np.ptp(middles) <= 1.6 * per_mm  # it does not lean
        assert abs(rows.mean() - (middle @ plane.down - _top(grid, plane.down)) * per_mm) <= 2.5 * per_mm
    assert drawn[0].across @ grid.normal == pytest.approx(0, abs=1e-6)


def _corners(grid: Any) -> npt.NDArray[np.float64]:
    return np.concatenate([grid.corners(0), grid.corners(len(grid.positions) - 1)])


def _sides(grid: Any) -> tuple[list[npt.NDArray[np.float64]], list[float]]:
    """The axes of a stack, and the size of a voxel along each."""
    axes = [np.array(grid.row_cosines), np.array(grid.column_cosines), np.array(grid.normal)]
    return axes, [grid.pixel_spacing[1], grid.pixel_spacing[0], grid.slice_spacing]


def _top(grid: Any, down: npt.NDArray[np.float64]) -> float:
    """Where the stack begins along one of its axes, mm."""
    axes, steps = _sides(grid)
    (step,) = (step for axis, step in zip(axes, steps, strict=True) if abs(axis @ down) > 0.99)
    return float((_corners(grid) @ down).min()) - step / 2


def _longest(grid: Any) -> float:
    """The longest side of the stack along its own axes, mm."""
    corners = _corners(grid)
    axes, steps = _sides(grid)
    sides = [float(np.ptp(corners @ axis)) + float(step) for axis, step in zip(axes, steps, strict=True)]
    return max(sides)


@pytest.mark.parametrize(
    ("direction", "text"),
    [((1, 0, 0), "L"), ((0, -1, 0), "A"), ((0, 0, 1), "H"), ((-0.8, 0.6, 0), "RP"), ((0.1, 0.3, -0.95), "F")],
)
def test_directions_have_the_letters_of_the_patient(direction: tuple[float, float, float], text: str) -> None:
    assert letters(np.array(direction, np.float64)) == text


def test_planes_are_looked_at_as_usual() -> None:
    for parent in PARENTS.values():
        drawn = planes(parent.require_grid(), *(np.zeros(parent.shape, np.uint8),) * 2, (4, 9, 11), 64)
        for plane in drawn:
            left, right, above, below = (text[0] for text in plane.letters)
            assert (left, right) in (("R", "L"), ("A", "P")) and (above, below) in (("A", "P"), ("H", "F"))


@pytest.mark.wide(quick=4)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["oblique", "tilted", "enhanced"])
def test_objects_are_valid(kind: str, name: str) -> None:
    parent = ALL_PARENTS[name]
    labels = np.zeros(parent.shape, np.uint8)
    labels[2:5, 5:15, 6:18] = 3
    datasets = draw(labels, picture(note=True), blueprint=kind, parent=parent)
    assert len(datasets) == (len(labels) if kind == "overlay" else 1)
    assert errors(datasets[0]) == []
    first = datasets[0]
    assert first.StudyInstanceUID == parent.study_instance_uid and "GraphicAnnotationSequence" not in first
    if kind.endswith("pdf"):
        assert first.EncapsulatedDocument.startswith(b"%PDF-") and first.EncapsulatedDocument.count(b"/Page\n") == 1
        assert (first.Modality, first.MIMETypeOfEncapsulatedDocument) == ("DOC", "application/pdf")
    else:
        assert (first.PhotometricInterpretation, first.ImageType[0]) == ("RGB", "DERIVED")
        again = pydicom.dcmread(io.BytesIO(encode(first)))
        assert again.pixel_array.shape == (first.Rows, first.Columns, 3)


def test_a_pdf_of_slices_has_a_page_for_each_with_labels() -> None:
    (document,) = draw(LABELS, picture(sheet=0), blueprint="overlay_pdf")
    assert document.EncapsulatedDocument.count(b"/Page\n") == 2


def test_a_label_map_of_other_objects_brings_its_names() -> None:
    """A segmentation or a structure set is drawn as it is described itself."""
    for kind in ("segmentation", "rt_structure_set"):
        (dataset,) = written(build(PARENT, LABELS, segments(LIVER), blueprint=kind))
        labels = labels_on(ParentSeries.from_objects([encode(dataset)]), PARENT)
        series = build(PARENT, labels, blueprint="overlay")
        assert count_of(pixels(written(series)[1]), (255, 0, 0)) > 100
        again = written(build(PARENT, labels, blueprint="label_map_segmentation"))[0]
        assert "Liver" in [item.SegmentLabel for item in again.SegmentSequence]


def test_labels_of_another_grid_are_resampled_without_labels_between_them() -> None:
    grid = PARENT.require_grid()
    finer = replace(grid, pixel_spacing=(0.5, 0.5), rows=102, columns=128)
    labels = np.zeros(finer.shape, np.uint8)
    labels[1, 31:51, 41:69], labels[1, 51:71, 41:69] = 3, 9
    factory = FACTORIES["picture"]()
    header = factory.make_series_header(PARENT, LIBRARY.blueprint("overlay").blueprint + segments(LIVER))
    series = factory.build(header, PlacedImage(labels, finer), resampling=Resampling())
    image = pixels(written(series)[1])
    assert count_of(image, (255, 0, 0)) > 100 and image.shape[1] > 512
    assert series.header is not None and series.header.warnings == header.warnings


def test_settings_add_up() -> None:
    summary = LIBRARY.blueprint("summary").blueprint + picture(note=True) + picture(fill=0.9)
    drawing = summary["GraphicAnnotationSequence"].drawing
    assert (drawing.summary, drawing.note, drawing.fill, drawing.legend) == (True, True, 0.9, True)


def test_names_of_other_languages_are_written() -> None:
    shown = [
        pixels(draw(LABELS, segments(Segment(3, name, color="#ff0000")))[1])[:410, 512:].tobytes()
        for name in ("Häuser", "H\ufffduser", "Печень", "\ufffd" * 6)
    ]
    assert len(set(shown)) == 4


def test_the_function_of_pipelines_draws_the_same() -> None:
    drawn = overlay(PARENT, LABELS, [LIVER], fill=0.5, note=True)
    assert np.array_equal(drawn[1], pixels(draw(LABELS, picture(fill=0.5, note=True))[1]))
    with pytest.raises(ShapeMismatch, match="the labels' shape is"):
        overlay(PARENT, LABELS[:2])


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ShapeMismatch, match=r"labels' shape is \(4, 64, 81\)"):
        draw(np.zeros((4, 64, 81), np.uint8))
    with pytest.raises(PixelError, match="label map"):
        draw(PARENT.voxels())
    with pytest.raises(PixelError, match="the image is in colour"):
        draw(np.zeros((*PARENT.shape, 3), np.uint8))
    grid = ALL_PARENTS["axial"].require_grid()
    with pytest.raises(GeometryError, match="on another grid"):
        draw(PlacedImage(np.zeros(grid.shape, np.uint8), grid))
    with pytest.raises(ShapeMismatch, match="over one volume"):
        draw(np.zeros((2, *PARENT.shape), np.uint8))
    with pytest.raises(HeaderError, match="of different kinds"):
        build(PARENT, LABELS, blueprint="secondary_capture", factory=FACTORIES["picture"]())
    for settings, message in (({"fill": 2}, "0 to 1"), ({"sheet": 65}, "1 to 64"), ({"note": 1}, "true or false")):
        with pytest.raises(BlueprintError, match="cannot be") as refused:
            picture(**settings)
        assert message in str(refused.value.remedy)
