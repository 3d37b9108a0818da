"""RT Dose (PS3.3 A.18): a dose grid of integers, one frame for each slice, with one scale for all.

With 32 bits a step is a thousandth of a float's rounding; a blueprint can choose the other size with
``StaticElement("BitsAllocated", 16)``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from derived_series.dicom.encoding.decimal_string import decimal_string
from derived_series.dicom.grid import Grid
from derived_series.dicom.image.placement import Placement
from derived_series.dicom.image.stored_pixels import StoredPixels, as_ds, encode_pixels
from derived_series.dicom.objects.plane_elements import require_place
from derived_series.dicom.objects.single_instance import Draft, draft_of, finished, require_grid
from derived_series.dicom.series.finished import FinishedSeries
from derived_series.dicom.series.header import SeriesHeader
from derived_series.errors import BlueprintError, GeometryError, PixelError
from derived_series.kinds.kind import PixelRules

#: The largest tilt of a stack (degrees) that can still be written as offsets along the normal.
_STRAIGHT_DEGREES = 0.1
#: Summation types of doses that belong to a treatment plan, which must be referenced (PS3.3 C.8.8.3).
_OF_A_PLAN = frozenset(
    "PLAN MULTI_PLAN FRACTION BEAM BRACHY FRACTION_SESSION BEAM_SESSION BRACHY_SESSION CONTROL_POINT".split()
)


def build(header: SeriesHeader, image: Any, placement: Placement, nan: float | None) -> FinishedSeries:
    """Build the dose.

    :param image: dose in DoseUnits, (slice, row, column).
    :raises PixelError: there are NaN, Inf or negative doses.
    :raises GeometryError: the slices are uneven or sheared, or have no place.
    """
    grid = _regular(require_grid(placement, "a dose"))
    pixels = encode_pixels(image, PixelRules(), nan)
    draft = draft_of(header, pixels, placement)
    require_place(draft.elements, grid, header.parent, placement.frame)
    structure, scaling = _pixels(draft, pixels)
    structure.NumberOfFrames = len(grid.positions)
    structure.FrameIncrementPointer = Tag("GridFrameOffsetVector")
    distances = grid.distances
    structure.GridFrameOffsetVector = [decimal_string(round(float(d), 6)) for d in distances - distances[0]]
    structure.DoseGridScaling = decimal_string(scaling)
    warnings = []
    kind = draft.value("DoseSummationType")
    if kind in _OF_A_PLAN and not draft.value("ReferencedRTPlanSequence"):
        warnings.append(
            f"DoseSummationType {kind} is of a plan, and no plan is named: copy or set ReferencedRTPlanSequence"
        )
    return finished(draft, list(structure), warnings)


def _regular(grid: Grid) -> Grid:
    grid.require_regular("a dose grid")
    if grid.shear_degrees > _STRAIGHT_DEGREES:
        raise GeometryError(
            f"a dose grid is straight, but the slices lean by {grid.shear_degrees:.1f} degrees (gantry tilt)",
            remedy="resample the image to an orthogonal grid first",
        )
    return grid


def _pixels(draft: Draft, pixels: StoredPixels) -> tuple[Dataset, float]:
    """The Image Pixel module and the scale: dose = stored * DoseGridScaling, to half a step."""
    signed = draft.value("DoseType") == "ERROR"
    if pixels.low < 0 and not signed:
        raise PixelError(
            f"the dose is negative in places (down to {pixels.low:g})",
            remedy="clip it at 0; a difference of doses has the DoseType ERROR",
        )
    bits = draft.value("BitsAllocated", 32)
    if bits not in (16, 32):
        raise BlueprintError(f"a dose is stored in 16 or 32 bits, not in {bits}")
    dtype = np.dtype(f"<{'i' if signed else 'u'}{bits // 8}")
    scaling = as_ds(max(pixels.high, -pixels.low) / float(np.iinfo(dtype).max), 1) or 1.0
    structure = Dataset()
    structure.SamplesPerPixel = 1
    structure.PhotometricInterpretation = "MONOCHROME2"
    structure.Rows, structure.Columns = pixels.rows, pixels.columns
    structure.BitsAllocated = structure.BitsStored = bits
    structure.HighBit = bits - 1
    structure.PixelRepresentation = int(signed)
    stored = b"".join(_stored(pixels, index, scaling, dtype) for index in range(len(pixels.image)))
    structure.add(DataElement(Tag("PixelData"), "OW", stored))
    return structure, scaling


def _stored(pixels: StoredPixels, index: int, scaling: float, dtype: np.dtype[Any]) -> bytes:
    frame = pixels.image[index].astype(np.float64)
    if pixels.nan is not None:
        frame = np.where(np.isfinite(frame), frame, pixels.nan)
    stored: bytes = np.rint(frame / scaling).astype(dtype).tobytes()
    return stored
