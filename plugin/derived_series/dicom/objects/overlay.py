"""The picture that every viewer shows: a series in its window, with labels drawn over it and named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from scipy import ndimage

from derived_series.dicom.image.stored_pixels import encode_pixels
from derived_series.dicom.modules.cielab import PALETTE
from derived_series.dicom.modules.segmentation import Segment
from derived_series.dicom.modules.windows import displayed, window_of, windows_of
from derived_series.dicom.source.series import ParentSeries
from derived_series.errors import ShapeMismatch
from derived_series.kinds.kind import PixelRules

_WHITE = (255, 255, 255)
_NOTE = "Derived, not for diagnosis"
#: Pixels between lines of text and from the border.
_LINE, _MARGIN = 12, 4
Picture = npt.NDArray[np.uint8]


def overlay(
    parent: ParentSeries,
    labels: npt.NDArray[Any],
    segments: Sequence[Segment] = (),
    *,
    fill: float = 0.0,
    legend: bool = True,
    note: bool = False,
) -> Picture:
    """RGB pictures of the parent's slices, (slice, row, column, 3), for the blueprint ``secondary_capture``.

    :param labels: (slice, row, column) on the parent's grid: 0 is nothing.
    :param segments: names and colours of the labels.
    :param fill: how much of its colour is in a label, from 0 (outlines alone) to 1.
    :param legend: name the labels of each slice, and its position along the normal in mm.
    :param note: say that it is derived and not for diagnosis.
    :raises ShapeMismatch: labels that are not of the parent's shape.
    """
    labels = np.asarray(labels)
    if labels.shape != parent.shape or parent.volumes > 1:
        raise ShapeMismatch(
            f"the labels' shape is {labels.shape}, the parent series' is {parent.shape}",
            remedy="give labels of the parent's shape, of a parent of one volume",
        )
    colours, names = _look(labels, segments)
    grey = _windowed(parent)
    pictures = np.repeat(grey[..., np.newaxis], 3, axis=-1)
    for index, plane in enumerate(labels.astype(np.int64)):
        there = [int(label) for label in np.unique(plane) if label]
        for label in there:
            _draw(pictures[index], plane == label, colours[label], fill)
        if legend or note:
            lines = [(names[label], colours[label]) for label in there] if legend else []
            pictures[index] = _written(pictures[index], lines, _position(parent, index) if legend else "", note)
    return pictures


def _look(
    labels: npt.NDArray[Any], segments: Sequence[Segment]
) -> tuple[Mapping[int, tuple[int, ...]], Mapping[int, str]]:
    """Colour and name of each label that is there."""
    described = {segment.number: segment for segment in segments}
    colours, names = {}, {}
    for index, label in enumerate(int(label) for label in np.unique(labels) if label):
        segment = described.get(label)
        text = (segment and segment.color) or PALETTE[index % len(PALETTE)]
        colours[label] = tuple(int(text[k : k + 2], 16) for k in (1, 3, 5))
        names[label] = segment.label if segment else f"Segment {label}"
    return colours, names


def _windowed(parent: ParentSeries) -> Picture:
    """The parent's values as its own window shows them; where it has none, as one of their own does."""
    values = parent.voxels().astype(np.float64)
    windows = windows_of(parent.pivot)
    if windows:
        shown = displayed(values, *windows[0], parent.pivot.get("VOILUTFunction"))
    else:
        window = window_of(encode_pixels(values, PixelRules()))
        shown = displayed(values, window.centre, window.width, window.function)
    if parent.pivot.get("PhotometricInterpretation") == "MONOCHROME1":
        shown = 1 - shown
    return np.rint(shown * 255).astype(np.uint8)


def _draw(picture: Picture, mask: npt.NDArray[np.bool_], colour: tuple[int, ...], fill: float) -> None:
    if fill > 0:
        picture[mask] = np.rint(picture[mask] * (1 - fill) + np.array(colour) * fill).astype(np.uint8)
    picture[mask & ~ndimage.binary_erosion(mask)] = colour


def _position(parent: ParentSeries, index: int) -> str:
    return "" if parent.grid is None else f"{parent.grid.distance(index):.1f} mm"


def _written(picture: Picture, lines: Sequence[tuple[str, tuple[int, ...]]], position: str, note: bool) -> Picture:
    """With text: names from the top left down, the position and the note at the bottom."""
    image = Image.fromarray(picture)
    pen = ImageDraw.Draw(image)
    pen.fontmode = "1"  # sharp: in the colours as they are
    for number, (text, colour) in enumerate(lines):
        pen.text((_MARGIN, _MARGIN + number * _LINE), text, fill=colour)
    bottom = [text for text in (position, _NOTE if note else "") if text]
    for number, text in enumerate(bottom):
        pen.text((_MARGIN, image.height - _MARGIN - (len(bottom) - number) * _LINE), text, fill=_WHITE)
    return np.asarray(image)
