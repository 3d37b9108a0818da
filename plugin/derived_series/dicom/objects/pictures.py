"""Pictures of labels: secondary captures in RGB, or pages of an encapsulated PDF."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image
from pydicom.tag import Tag
from pydicom.uid import EncapsulatedPDFStorage

from derived_series.dicom.grid import Grid
from derived_series.dicom.image.placement import Placement
from derived_series.dicom.modules.cielab import srgb
from derived_series.dicom.modules.picture import drawing_of
from derived_series.dicom.objects import encapsulated_pdf
from derived_series.dicom.objects.labels import label_map
from derived_series.dicom.objects.overlay import OverlaySlices, chosen, looks_of, pictures, sheet
from derived_series.dicom.objects.summary import summary
from derived_series.dicom.series.classic import build_series
from derived_series.dicom.series.header import SeriesHeader
from derived_series.dicom.series.interface import Series
from derived_series.errors import Advice, BlueprintError, Choice, GeometryError, ShapeMismatch

_SEGMENTS = (int(Tag("SegmentSequence")), "")
#: Resolution of a PDF page, in pixels per inch.
_PIXELS_PER_INCH = 110
#: The most pages of a PDF with one slice on each.
_MOST_PAGES = 64


def build(header: SeriesHeader, image: Any, placement: Placement, nan: float | None) -> Series:
    """Build the series of pictures.

    :param image: labels, (slice, row, column): 0 is no label, n the segment of that number; bool is segment 1.
    :raises PixelError: values are not labels. :raises ShapeMismatch: it has another shape, or several volumes.
    :raises GeometryError: the image is not on the parent's slices, or a summary's parent has no positions.
    """
    drawing = drawing_of(header.blueprint)
    if drawing is None:
        raise BlueprintError("nothing says what is to be drawn", remedy="use the blueprint overlay or summary")
    parent = header.parent
    _require_on_parent(header, image, placement)
    labels = label_map(image)
    places = [part[0] for part in placement.sources]
    looks = looks_of(labels, _described(header))
    header = _plain(header, [look.name for look in looks.values()])
    slices = OverlaySlices(parent, labels, places, looks, drawing)
    is_document = header.sop_class_uid == EncapsulatedPDFStorage
    if drawing.summary:
        grid = _required(placement.grid)
        whole = summary(parent, grid, labels, places, looks, drawing, header.env.context.algorithm)
        pages, used = [whole], list(range(len(places)))
    elif drawing.sheet or is_document:
        used = chosen(labels, drawing.sheet or _MOST_PAGES)
        pages = [sheet(slices, used)] if drawing.sheet else [slices.picture(index) for index in used]
    else:
        return build_series(header, pictures(slices), _of_slices(slices, placement), nan)
    if is_document:
        return encapsulated_pdf.build_from_file(header, _pdf(pages, header))
    return build_series(header, np.stack([np.asarray(page) for page in pages]), _of_page(placement, used), nan)


def _require_on_parent(header: SeriesHeader, image: Any, placement: Placement) -> None:
    """Require an image on the parent's grid. :raises GeometryError, ShapeMismatch: see ``build``."""
    parent = header.parent
    if placement.volumes > 1:
        raise ShapeMismatch(
            f"labels are drawn over one volume, this image has {placement.volumes}", remedy="give a 3D image"
        )
    if placement.on_parent_grid:
        return
    if placement.grid is None:
        raise ShapeMismatch(
            f"the labels' shape is {tuple(np.shape(image))}, the parent series' is {parent.shape}",
            remedy="give labels of the parent's shape in the order (slice, row, column)",
        )
    raise GeometryError(
        "labels are drawn over the parent's slices, but the image is on another grid",
        remedy="give an image on the parent's grid, or have it resampled to that",
        advice=Advice(Choice.PARENT_GRID),
    )


def _required(grid: Grid | None) -> Grid:
    if grid is None:
        raise GeometryError(
            "a summary has volumes and planes, but nothing tells where the parent's slices are",
            remedy="use the blueprint overlay",
        )
    return grid


def _described(header: SeriesHeader) -> dict[int, tuple[str, str | None]]:
    """The name and colour of each label that the blueprint describes."""
    described = {}
    element = header.elements.get(_SEGMENTS)
    for item in (element.value or ()) if element is not None else ():
        lab = item.get("RecommendedDisplayCIELabValue")
        number = int(item.get("SegmentNumber") or 0)
        name = str(item.get("SegmentLabel") or f"Segment {number}")
        described[number] = (name, srgb([int(part) for part in lab]) if lab else None)
    return described


def _plain(header: SeriesHeader, names: Sequence[str]) -> SeriesHeader:
    """The header for the picture's own class, without segments."""
    elements = {key: element for key, element in header.elements.items() if key != _SEGMENTS}
    empty = () if names else ("the label map is empty: nothing is drawn",)
    return replace(header, elements=elements, warnings=(*header.warnings, *empty))


def _of_slices(slices: OverlaySlices, placement: Placement) -> Placement:
    """The placement of the pictures, whose pixels have another size than the parent's and begin above its first row."""
    grid = placement.grid
    if grid is not None:
        rows, columns = slices.slice_size
        height = grid.pixel_spacing[0] * grid.rows / rows
        width = grid.pixel_spacing[1] * grid.columns / columns
        down = np.array(grid.column_cosines) * ((0.5 - slices.top) * height - 0.5 * grid.pixel_spacing[0])
        across = np.array(grid.row_cosines) * (width - grid.pixel_spacing[1]) / 2
        first = [np.array(position) + down + across for position in grid.positions]
        positions = tuple((float(x), float(y), float(z)) for x, y, z in first)
        grid = replace(
            grid, pixel_spacing=(height, width), positions=positions, rows=slices.size[0], columns=slices.size[1]
        )
    return replace(placement, grid=grid, on_parent_grid=False, numbered_as_parent=True, resampled="")


def _of_page(placement: Placement, used: Sequence[int]) -> Placement:
    """The placement of a picture without a place, made from these slices."""
    sources = tuple(sorted({index for place in used for index in placement.sources[place]}))
    others = tuple(other.as_whole() for other in placement.others)
    return replace(placement, grid=None, on_parent_grid=False, sources=(sources,), others=others, resampled="")


def _pdf(pages: Sequence[Image.Image], header: SeriesHeader) -> bytes:
    """Write the pages as a PDF file, with Pillow."""
    file = io.BytesIO()
    created = header.env.now.timetuple()
    pages[0].save(
        file,
        "PDF",
        save_all=True,
        append_images=pages[1:],
        resolution=_PIXELS_PER_INCH,
        quality=92,
        title=str(header["DocumentTitle"].value),
        creationDate=created,
        modDate=created,
    )
    return file.getvalue()
