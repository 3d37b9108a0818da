"""Pictures for any viewer: the slices of a series in its window, with labels drawn over them and named."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import contourpy
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from scipy import ndimage

from derived_series.dicom.modules.cielab import PALETTE
from derived_series.dicom.modules.picture import Drawing
from derived_series.dicom.modules.segmentation import Segment
from derived_series.dicom.objects.labels import label_map
from derived_series.dicom.objects.pen import (
    GREY,
    NOTE,
    WHITE,
    Colour,
    line_height,
    page,
    shortened,
    width_of,
    write,
    write_names,
)
from derived_series.dicom.objects.shown_slices import ShownSlices, picture_size, pixel_size
from derived_series.dicom.source.parent_series import ParentSeries
from derived_series.errors import ShapeMismatch

Picture = npt.NDArray[np.uint8]
Labels = npt.NDArray[Any]

#: The longer side of a slice in a picture, in pixels.
LEAST_PIXELS, MOST_PIXELS = 512, 2048
#: The longer side of a slice in a sheet.
_IN_SHEET_PIXELS = 320
#: The largest width of a legend, as a part of the slice's longer side.
_WIDEST = 0.45


def overlay(
    parent: ParentSeries,
    labels: Labels,
    segments: Sequence[Segment] = (),
    *,
    fill: float = 0.0,
    legend: bool = True,
    note: bool = False,
) -> Picture:
    """Draw labels over the parent's slices: RGB, (slice, row, column, 3), for the blueprint ``secondary_capture``.

    The blueprint ``overlay`` draws the same from the labels alone, and writes the pixel size and the sources too.

    :param labels: (slice, row, column) on the parent's grid; 0 is no label.
    :param segments: names and colours of the labels.
    :param fill: the opacity of a label's colour, from 0 (outlines only) to 1.
    :param legend: whether to name the labels of each slice, and its position along the normal in mm.
    :param note: whether to write that it is derived and not for diagnosis.
    :raises ShapeMismatch: the labels' shape is not the parent's.
    """
    labels = np.asarray(labels)
    if labels.shape != parent.shape or parent.volumes > 1:
        raise ShapeMismatch(
            f"the labels' shape is {labels.shape}, the parent series' is {parent.shape}",
            remedy="give labels of the parent's shape, of a parent of one volume",
        )
    looks = looks_of(labels, {segment.number: (segment.label, segment.color) for segment in segments})
    drawing = Drawing(fill=fill, legend=legend, note=note)
    return pictures(OverlaySlices(parent, label_map(labels), range(len(labels)), looks, drawing))


@dataclass(frozen=True, slots=True)
class Look:
    """A label's name and colour."""

    name: str
    colour: Colour


def looks_of(labels: Labels, described: Mapping[int, tuple[str, str | None]]) -> dict[int, Look]:
    """Choose a name and a colour for each label in a map.

    :param described: name and sRGB colour (``"#b5651d"``) by label; without a colour, a label gets one of the palette.
    """
    looks = {}
    for index, label in enumerate(int(label) for label in np.unique(labels) if label):
        name, colour = described.get(label, (f"Segment {label}", None))
        text = colour or PALETTE[index % len(PALETTE)]
        looks[label] = Look(name, (int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)))
    return looks


def drawn_over(
    shown: npt.NDArray[np.uint8], plane: Labels, looks: Mapping[int, Look], fill: float, size: tuple[int, int]
) -> Image.Image:
    """Draw labels over a slice, in a picture of ``size`` (rows, columns); outlines run between the slice's pixels.

    :param shown: (row, column), or (row, column, 3) in RGB. :param plane: the labels, (row, column).
    """
    rows, columns = size
    image = Image.fromarray(shown).resize((columns, rows), Image.Resampling.BICUBIC).convert("RGB")
    there = [label for label in map(int, np.unique(plane)) if label in looks]
    if not there:
        return image
    if fill > 0:
        nearest = np.asarray(Image.fromarray(plane.astype(np.uint16)).resize((columns, rows), Image.Resampling.NEAREST))
        pixels = np.asarray(image).astype(np.float32)
        for label in there:
            mask = nearest == label
            pixels[mask] += (np.array(looks[label].colour, np.float32) - pixels[mask]) * np.float32(fill)
        image = Image.fromarray(np.rint(pixels).astype(np.uint8))
    lines = Image.new("RGBA", (2 * columns, 2 * rows))  # twice as large, so that reducing it smooths
    pen = ImageDraw.Draw(lines)
    width = 2 * max(1, round(max(size) / 400))
    scale = np.array([2 * columns / plane.shape[1], 2 * rows / plane.shape[0]])
    for label, outline in _outlines(plane, there):
        points = [tuple(point) for point in ((outline + 0.5) * scale - 0.5).tolist()]
        pen.line(points, fill=(*looks[label].colour, 255), width=width, joint="curve")
    smooth = lines.convert("RGBa").reduce(2).convert("RGBA")
    image.paste(smooth, (0, 0), smooth)
    return image


def _outlines(plane: Labels, there: Sequence[int]) -> Iterator[tuple[int, npt.NDArray[np.float64]]]:
    """(label, points as column and row) for each closed line around pixels of a label."""
    boxes = ndimage.find_objects(plane.astype(np.int32))
    for label in there:
        box = boxes[label - 1]
        part = np.pad(plane[box] == label, 1).astype(np.float64)
        corner = np.array([box[1].start - 1, box[0].start - 1], np.float64)
        for line in contourpy.contour_generator(z=part, name="serial").lines(0.5):
            yield label, np.asarray(line) + corner


@dataclass(frozen=True, eq=False)
class OverlaySlices:
    """Pictures of slices, drawn one at a time.

    :param labels: (slice, row, column). :param places: for each of their slices, the index of the parent's instance.
    :param looks: the looks of all labels in the map.
    """

    parent: ParentSeries
    labels: Labels
    places: Sequence[int]
    looks: Mapping[int, Look]
    drawing: Drawing

    @cached_property
    def _shown(self) -> ShownSlices:
        return ShownSlices(self.parent)

    def __len__(self) -> int:
        return len(self.places)

    @property
    def slice_size(self) -> tuple[int, int]:
        """Rows and columns of a slice in its picture."""
        return picture_size(self.labels.shape, pixel_size(self.parent), LEAST_PIXELS, MOST_PIXELS)

    @property
    def text_size(self) -> int:
        """The height of the text in pixels."""
        return max(13, round(max(self.slice_size) / 38))

    @property
    def top(self) -> int:
        """The number of pixels above the slice, for the line about the patient."""
        return round(self.text_size * 1.9) if self.drawing.patient else 0

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of a picture."""
        rows, columns = self.slice_size
        below = round(self.text_size * 1.9) if self.drawing.legend or self.drawing.note else 0
        return self.top + rows + below, columns + self._legend_width

    @property
    def _legend_width(self) -> int:
        if not self.drawing.legend or not self.looks:
            return 0
        widest = max(width_of(look.name, self.text_size) for look in self.looks.values())
        return min(widest + 3 * self.text_size, round(max(self.slice_size) * _WIDEST))

    def slice(self, index: int, size: tuple[int, int]) -> Image.Image:
        """A slice with only its labels, of a size in rows and columns."""
        return drawn_over(
            self._shown.picture(self.places[index]), self.labels[index], self.looks, self.drawing.fill, size
        )

    def picture(self, index: int) -> Image.Image:
        """A slice with its labels and all text."""
        (rows, columns), (height, width), text = self.slice_size, self.size, self.text_size
        image = page(width, height)
        image.paste(self.slice(index, (rows, columns)), (0, self.top))
        pen = ImageDraw.Draw(image)
        if self.drawing.patient:
            line = shortened(patient_line(self.parent), text, width - text)
            write(pen, (text // 2, self.top // 2), line, text, WHITE, "lm")
        if self._legend_width:
            there = [label for label in map(int, np.unique(self.labels[index])) if label in self.looks]
            names = [(self.looks[label].name, self.looks[label].colour) for label in there]
            write_names(
                pen, (columns + text // 2, self.top + text // 2, width - text // 2, self.top + rows), names, text
            )
        middle = (self.top + rows + height) // 2
        note_width = 0
        if self.drawing.note:
            note_width = width_of(NOTE, text)
            write(pen, (width - text // 2, middle), shortened(NOTE, text, width - text), text, GREY, "rm")
        if self.drawing.legend:
            room = width - note_width - 2 * text
            line = slice_line(self.parent, self.places[index])
            if width_of(line, text) <= room:
                write(pen, (text // 2, middle), line, text, WHITE, "lm")
        return image


def slice_line(parent: ParentSeries, index: int) -> str:
    """The line that identifies a slice: the number of the parent's instance, and the position along the normal."""
    number = parent.instances[index].get("InstanceNumber")
    named = f"Image {number}" if number else f"Slice {index % parent.slices_per_volume + 1}"
    if parent.grid is None:
        return named
    return f"{named}, {parent.grid.distance(index % parent.slices_per_volume):.1f} mm"


def patient_line(parent: ParentSeries) -> str:
    """The line with the patient's name, ID and birth date, as far as they are known."""
    pivot = parent.pivot
    name = ", ".join(part for part in str(pivot.get("PatientName") or "").split("=")[0].split("^") if part)
    born = str(pivot.get("PatientBirthDate") or "")
    date = f"{born[:4]}-{born[4:6]}-{born[6:8]}" if len(born) == 8 else born
    return "   ".join(part for part in (name, str(pivot.get("PatientID") or ""), date) if part)


def pictures(slices: OverlaySlices) -> Picture:
    """Draw all pictures, (slice, row, column, 3), into a temporary file, since they may be many."""
    rows, columns = slices.size
    with tempfile.TemporaryFile() as file:
        drawn: Picture = np.memmap(file, np.uint8, "w+", shape=(len(slices), rows, columns, 3))
    for index in range(len(slices)):
        drawn[index] = np.asarray(slices.picture(index))
    return drawn


def chosen(labels: Labels, count: int) -> list[int]:
    """Choose ``count`` slices, evenly spread over those with labels, or over all slices if none has any."""
    there = [index for index, plane in enumerate(labels) if plane.any()] or list(range(len(labels)))
    if len(there) <= count:
        return there
    return [there[place] for place in np.unique(np.rint(np.linspace(0, len(there) - 1, count)).astype(int))]


def sheet(slices: OverlaySlices, indexes: Sequence[int]) -> Image.Image:
    """Draw slices side by side, with one legend for all.

    :param indexes: the indexes of the slices.
    """
    rows, columns = picture_size(slices.labels.shape, pixel_size(slices.parent), _IN_SHEET_PIXELS, _IN_SHEET_PIXELS)
    drawing, text, gap = slices.drawing, 15, 4
    bar = line_height(text) + 4
    caption = bar if drawing.legend else 0
    across = _across(len(indexes), rows + caption, columns)
    down = -(-len(indexes) // across)
    top = bar + 6 if drawing.patient else 0
    below = bar + 6 if drawing.note else 0
    names = [(look.name, look.colour) for look in slices.looks.values()] if drawing.legend else []
    legend = min(max(width_of(name, text) for name, _ in names) + 4 * text, 300) if names else 0
    width, height = across * (columns + gap) + legend, top + down * (rows + caption + gap) + below
    image = page(width, height)
    pen = ImageDraw.Draw(image)
    if drawing.patient:
        write(pen, (text, top // 2), shortened(patient_line(slices.parent), text, width - 2 * text), text, WHITE, "lm")
    for place, index in enumerate(indexes):
        left, upper = place % across * (columns + gap), top + place // across * (rows + caption + gap)
        image.paste(slices.slice(index, (rows, columns)), (left, upper))
        if caption:
            line = shortened(slice_line(slices.parent, slices.places[index]), text, columns - text)
            write(pen, (left + columns // 2, upper + rows + caption // 2), line, text, WHITE, "mm")
    if names:
        write_names(pen, (width - legend + text, top + text // 2, width - text // 2, height - below), names, text)
    if drawing.note:
        write(pen, (width - text, height - below // 2), NOTE, text, GREY, "rm")
    return image


def _across(count: int, height: int, width: int) -> int:
    """The number of slices in a row that makes the sheet about four to three."""
    wanted = np.sqrt(count * height / width * 4 / 3)
    return int(min(max(round(float(wanted)), 1), count))
