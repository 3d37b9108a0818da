"""Parametric Map (PS3.3 A.75): values as 32-bit floats with their unit, one frame for each slice."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.tag import Tag

from derived_series.dicom.encoding.late_pixels import LatePixels
from derived_series.dicom.encoding.value_rules import values_of
from derived_series.dicom.image.placement import Placement
from derived_series.dicom.image.stored_pixels import StoredPixels, encode_pixels
from derived_series.dicom.modules.equipment import MANUFACTURER, MODEL
from derived_series.dicom.modules.parametric_map import real_world_value_item
from derived_series.dicom.modules.windows import KEYWORDS, own_window, windows_of
from derived_series.dicom.objects.frame_groups import Frame, with_frames
from derived_series.dicom.objects.highdicom_planes import in_order, planes, settle
from derived_series.dicom.objects.single_instance import Draft, draft_of, require_grid
from derived_series.dicom.series.finished import FinishedSeries
from derived_series.dicom.series.header import SeriesHeader
from derived_series.errors import InvalidValue, PixelError
from derived_series.kinds.kind import PixelRules

if TYPE_CHECKING:
    from highdicom import VOILUTTransformation

#: The number of steps of scaled 16-bit values: they are off by at most half a step.
_STEPS = float(np.iinfo(np.uint16).max)
#: Below this, 32-bit floats have fewer digits.
_SMALLEST = float(np.finfo(np.float32).tiny)
_WINDOW = tuple((int(Tag(name)), "") for name in KEYWORDS)
_FLOAT_PIXELS = Tag("FloatPixelData")
_IMAGE_TYPE = (int(Tag("ImageType")), "")
_MAPPING = int(Tag("RealWorldValueMappingSequence"))


def build(header: SeriesHeader, image: Any, placement: Placement, nan: float | None) -> FinishedSeries:
    """Build the parametric map.

    :param image: values, (slice, row, column); stored as the nearest float32.
    :raises PixelError: there are NaN, Inf or values beyond float32. :raises GeometryError: the image has no place.
    :raises InvalidValue: the window shows nothing.
    """
    from highdicom.pm import ParametricMap, RealWorldValueMapping

    grid = require_grid(placement, "a parametric map")
    pixels = encode_pixels(image, PixelRules(), nan)
    if max(-pixels.low, pixels.high) > float(np.finfo(np.float32).max):
        raise PixelError(
            f"the image's values reach from {pixels.low:g} to {pixels.high:g}: a parametric map holds 32 bit floats",
            remedy="scale the image to values below 3.4e38",
        )
    draft = draft_of(header, pixels, placement, frozenset({_MAPPING}))  # it stands in the shared functional groups
    mapping_element = header.elements.get((_MAPPING, ""))
    mapping, warnings = _mapping(None if mapping_element is None else mapping_element.value, pixels)
    draft, window = _window(draft)
    small = replace(grid.subset(range(min(2, len(grid.positions)))), rows=1, columns=1)
    pattern = ParametricMap(
        source_images=planes(draft, small),
        pixel_array=np.zeros(small.shape, np.float32),
        series_instance_uid=header.series_instance_uid,
        series_number=1,
        sop_instance_uid=draft.instance_uid,
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL,
        software_versions="1",
        device_serial_number="1",
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[RealWorldValueMapping("REAL", "", codes.UCUM.NoUnits, (0.0, 1.0))],
        voi_lut_transformations=[window],
    )
    shared = pattern.SharedFunctionalGroupsSequence[0]
    shared.RealWorldValueMappingSequence = [mapping]
    shared.ParametricMapFrameTypeSequence[0].FrameType = list(values_of(draft.elements[_IMAGE_TYPE]))
    settle(draft, grid, pattern)
    order = in_order(pattern, grid)
    frames = [Frame(index, (rank,)) for rank, index in enumerate(order, 1)]
    pattern[_FLOAT_PIXELS] = _values(pixels, order)
    warnings = [*warnings, *_rounding(pixels)]
    return with_frames(draft, grid, pattern, frames, ("PixelPresentation", "AcquisitionContextSequence"), warnings)


def _window(draft: Draft) -> tuple[Draft, VOILUTTransformation]:
    """The window of all frames, from the blueprint or the values, and the draft without it: it is in the groups.

    :raises InvalidValue: the window shows nothing (PS3.3 C.11.2.1.2).
    """
    from highdicom import VOILUTTransformation

    there = Dataset()
    for key in _WINDOW:
        element = draft.elements.get(key)
        if element is not None and not element.is_empty:
            there.add(element)
    kept = {key: element for key, element in draft.elements.items() if key not in _WINDOW}
    draft = replace(draft, elements=kept)
    if "WindowCenter" not in there and "WindowWidth" not in there:
        window = own_window(draft.slices)
        return draft, VOILUTTransformation(window.centre, window.width, voi_lut_function=window.function)
    windows = windows_of(there)
    explanations = there.get("WindowCenterWidthExplanation")
    if not windows or (explanations and there["WindowCenterWidthExplanation"].VM != len(windows)):
        raise InvalidValue(
            "the blueprint's WindowCenter (0028,1050) and WindowWidth (0028,1051) are not a window",
            remedy="give both, and explanations, with as many values, and a width of 1 or more, or VOILUTFunction "
            "LINEAR_EXACT",
        )
    return draft, VOILUTTransformation(
        [centre for centre, _ in windows],
        [width for _, width in windows],
        window_explanation=[explanations] if isinstance(explanations, str) else explanations,
        voi_lut_function=there.get("VOILUTFunction"),
    )


def _rounding(pixels: StoredPixels) -> Iterator[str]:
    """Warnings if 32-bit floats hold the values less exactly than 16 bits scaled to their range would."""
    span, largest = pixels.high - pixels.low, max(-pixels.low, pixels.high)
    step = float(np.spacing(np.float32(largest)))
    if 0 < largest < _SMALLEST:
        yield (
            f"the largest value is {largest:.3g}, which 32 bits hold with few digits or as 0: use a unit of which the "
            "values are larger"
        )
    elif 0 < span < step * _STEPS and any(_is_rounded(pixels, index) for index in range(len(pixels.image))):
        yield (
            f"the values, {pixels.low:.9g} to {pixels.high:.9g}, are stored in 32 bits, in steps of {step:.2g}: what "
            "they differ in is rounded; take off what they have in common"
        )


def _is_rounded(pixels: StoredPixels, index: int) -> bool:
    frame = pixels.image[index]
    with np.errstate(invalid="ignore"):
        return bool(np.any((frame.astype(np.float32).astype(np.float64) != frame) & np.isfinite(frame)))


def _values(pixels: StoredPixels, order: range) -> LatePixels:
    """The slices in float32, NaN and Inf replaced."""

    def write(place: npt.NDArray[np.uint8]) -> None:
        values = place.view(np.dtype("<f4")).reshape(len(order), pixels.rows, pixels.columns)
        for number, index in enumerate(order):
            frame = pixels.image[index]
            values[number] = frame if pixels.nan is None else np.where(np.isfinite(frame), frame, pixels.nan)

    return LatePixels(_FLOAT_PIXELS, "OF", len(order) * pixels.rows * pixels.columns * 4, write)


def _mapping(items: Any, pixels: StoredPixels) -> tuple[Dataset, list[str]]:
    """The blueprint's mapping, extended to the range of the image, and warnings."""
    warnings = []
    if not items:
        items = [real_world_value_item("1")]
        warnings.append(
            'nothing says what the values are measured in: name their units, as real_world_values("mm2/s") does in a '
            "blueprint"
        )
    item: Dataset = copy.deepcopy(items[0])
    item.RealWorldValueSlope, item.RealWorldValueIntercept = 1.0, 0.0
    item.DoubleFloatRealWorldValueFirstValueMapped = float(np.float32(pixels.low))
    item.DoubleFloatRealWorldValueLastValueMapped = float(np.float32(pixels.high))
    return item, warnings
