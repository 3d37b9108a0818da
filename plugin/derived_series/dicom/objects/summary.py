"""One page about a label map: names, volumes, and three planes through its largest structure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw

from derived_series.dicom.blueprints.algorithm import Algorithm
from derived_series.dicom.grid import Grid
from derived_series.dicom.modules.equipment import MODEL, software_version
from derived_series.dicom.modules.picture import Drawing
from derived_series.dicom.objects.overlay import Labels, Look, drawn_over, patient_line
from derived_series.dicom.objects.pen import (
    GREY,
    NOTE,
    WHITE,
    font,
    line_height,
    page,
    shortened,
    width_of,
    write,
    write_names,
)
from derived_series.dicom.objects.reformats import Plane, planes
from derived_series.dicom.objects.shown_slices import ShownSlices
from derived_series.dicom.source.parent_series import ParentSeries
from derived_series.dicom.source.thickness import thickness_of

_WIDTH, _MARGIN, _PANEL = 1280, 24, 392
_TITLE, _TEXT, _SMALL = 26, 18, 15
#: The number of names that fit one column, and the most columns.
_LINES, _COLUMNS = 12, 4
#: The most names in a column.
_MOST_LINES = 40


def volumes(grid: Grid, labels: Labels, thickness: float | None) -> dict[int, float]:
    """The volume of each label in ml: its pixels times the extent of each slice, halfway to its neighbours.

    :param thickness: the thickness in mm of a single slice; None leaves its volume out.
    """
    distances = grid.distances
    if len(distances) > 1:
        between = (distances[1:] + distances[:-1]) / 2
        edges = [1.5 * distances[0] - distances[1] / 2, *between, 1.5 * distances[-1] - distances[-2] / 2]
        reach = np.diff(edges)
    elif thickness is None:
        return {}
    else:
        reach = np.array([thickness])
    area = grid.pixel_spacing[0] * grid.pixel_spacing[1]
    by_label: dict[int, float] = {}
    for plane, depth in zip(labels, reach, strict=True):
        counts = np.bincount(plane.ravel())
        for label in map(int, np.flatnonzero(counts)):
            if label:
                by_label[label] = by_label.get(label, 0.0) + float(counts[label]) * area * float(depth) / 1000
    return by_label


def summary(
    parent: ParentSeries,
    grid: Grid,
    labels: Labels,
    places: Sequence[int],
    looks: Mapping[int, Look],
    drawing: Drawing,
    algorithm: Algorithm | None,
) -> Image.Image:
    """Draw the page.

    :param grid: the labels' grid. :param labels: (slice, row, column). :param places: for each slice, the index of the
        parent's instance. :param looks: the looks of all labels in the map.
    """
    shown = ShownSlices(parent)
    grey = np.stack([shown.grey(index) for index in places])
    millilitres = volumes(grid, labels, thickness_of(parent.pivot))
    largest, centre = _centre(labels)
    panels = planes(grid, grey, labels, centre, _PANEL)
    names = [(look.name, look.colour) for look in looks.values()]
    numbers = [_millilitres(millilitres.get(label)) for label in looks]
    step = line_height(_TEXT)
    columns = min(-(-len(names) // _LINES), _COLUMNS) or 1
    lines = min(-(-len(names) // columns), _MOST_LINES)
    head = 2 * _MARGIN + _TITLE + (line_height(_TEXT) if drawing.patient else 0)
    tallest = max(panel.grey.shape[0] for panel in panels)
    table = head + tallest + 3 * _MARGIN
    image = page(_WIDTH, table + lines * step + 2 * _MARGIN + step)
    pen = ImageDraw.Draw(image)
    _head(pen, parent, drawing, algorithm)
    _panels(image, pen, panels, looks, drawing.fill, head)
    if largest:
        line = f"Planes through the largest structure: {looks[largest].name}" if largest in looks else ""
        write(pen, (_MARGIN, head + tallest + _MARGIN), line, _SMALL, GREY, "lm")
    width = min((_WIDTH - 2 * _MARGIN) // columns, 460)
    for column in range(columns):
        chosen = range(column * lines, len(names) if column == columns - 1 else min((column + 1) * lines, len(names)))
        left, right = _MARGIN + column * width, _MARGIN + (column + 1) * width - _MARGIN
        room = max((width_of(numbers[k], _TEXT) for k in chosen), default=0) + _MARGIN // 2
        write_names(pen, (left, table, right - room, table + lines * step), [names[k] for k in chosen], _TEXT)
        for row, k in enumerate(chosen[: lines if len(chosen) <= lines else lines - 1]):
            write(pen, (right, table + row * step + step // 2), numbers[k], _TEXT, WHITE, "rm")
    if not names:
        write(pen, (_MARGIN, table + step // 2), "The label map is empty", _TEXT, WHITE, "lm")
    if drawing.note:
        write(pen, (_WIDTH - _MARGIN, image.height - _MARGIN), NOTE, _SMALL, GREY, "rm")
    return image


def _millilitres(volume: float | None) -> str:
    if volume is None:
        return "–"
    return f"{volume:.0f} ml" if volume >= 1000 else f"{volume:.1f} ml" if volume >= 10 else f"{volume:.2f} ml"


def _centre(labels: Labels) -> tuple[int, tuple[int, int, int]]:
    """The largest label and the voxel at its centre; label 0 and the middle voxel if there is no label.

    If a plane through the centre misses the label, it is the label's voxel nearest to the centre.
    """
    counts = np.bincount(labels.ravel())
    counts[0] = 0
    if not counts.any():
        slices, rows, columns = labels.shape
        return 0, (slices // 2, rows // 2, columns // 2)
    largest = int(counts.argmax())
    voxels = np.argwhere(labels == largest)
    middle = voxels.mean(axis=0)
    centre = np.rint(middle).astype(int)
    if not np.all((voxels == centre).any(axis=0)):
        centre = voxels[np.square(voxels - middle).sum(axis=1).argmin()]
    return largest, (int(centre[0]), int(centre[1]), int(centre[2]))


def _head(pen: ImageDraw.ImageDraw, parent: ParentSeries, drawing: Drawing, algorithm: Algorithm | None) -> None:
    number = parent.pivot.get("SeriesNumber")
    title = f"Segments of {parent.modality} series{f' {number}' if number else ''}"
    maker = f"{MODEL} {software_version()}" if algorithm is None else f"{algorithm.name} {algorithm.version}"
    write(pen, (_MARGIN, _MARGIN + _TITLE // 2), title, _TITLE, WHITE, "lm")
    room = _WIDTH - 3 * _MARGIN - width_of(title, _TITLE)
    write(pen, (_WIDTH - _MARGIN, _MARGIN + _TITLE // 2), shortened(maker, _SMALL, room), _SMALL, GREY, "rm")
    if drawing.patient:
        line = shortened(patient_line(parent), _TEXT, _WIDTH - 2 * _MARGIN)
        write(pen, (_MARGIN, 2 * _MARGIN + _TITLE + _TEXT // 2), line, _TEXT, WHITE, "lm")


def _panels(
    image: Image.Image,
    pen: ImageDraw.ImageDraw,
    panels: Sequence[Plane],
    looks: Mapping[int, Look],
    fill: float,
    top: int,
) -> None:
    """Draw the planes side by side, aligned at their middles, with the letters of the directions at their sides."""
    tallest = max(panel.grey.shape[0] for panel in panels)
    room = (_WIDTH - 2 * _MARGIN) // 3
    for place, panel in enumerate(panels):
        size: tuple[int, int] = panel.grey.shape
        rows, columns = size
        left = _MARGIN + place * room + (room - columns) // 2
        upper = top + (tallest - rows) // 2
        image.paste(drawn_over(panel.grey, panel.labels, looks, fill, size), (left, upper))
        for at, text, anchor in letter_places((left, upper), size, panel.letters):
            pen.text(at, text, fill=WHITE, font=font(_TEXT), anchor=anchor, stroke_width=2, stroke_fill=(0, 0, 0))


def letter_places(
    corner: tuple[int, int], size: tuple[int, int], letters: tuple[str, str, str, str]
) -> list[tuple[tuple[int, int], str, str]]:
    """(x, y), text and Pillow's anchor of each letter: inside the plane at its side, or outside if it is too thin.

    :param corner: (x, y) of the plane's upper left corner. :param size: (rows, columns).
    :param letters: the letters at the left, at the right, above and below.
    """
    (left, upper), (rows, columns) = corner, size
    to_left, to_right, above, below = letters
    middle, centre = upper + rows // 2, left + columns // 2
    widest = max(width_of(to_left, _TEXT), width_of(to_right, _TEXT))
    # inside a thin plane, a letter would run into the one on the other side
    across, sides = (6, ("lm", "rm")) if columns > 2 * (widest + 12) else (-6, ("rm", "lm"))
    down, ends = (4, ("ma", "md")) if rows > 2 * (line_height(_TEXT) + 8) else (-4, ("md", "ma"))
    return [
        ((left + across, middle), to_left, sides[0]),
        ((left + columns - across, middle), to_right, sides[1]),
        ((centre, upper + down), above, ends[0]),
        ((centre, upper + rows - down), below, ends[1]),
    ]
