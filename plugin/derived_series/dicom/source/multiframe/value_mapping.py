"""Objects whose frames have no rescale, and say in other words what their stored values stand for.

Parametric maps have a real-world value mapping (PS3.3 C.7.6.16.2.11), fractional segmentations the value that stands
for 1 (C.8.20.2.3).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import ParametricMapStorage

from derived_series.dicom.encoding.decimal_string import decimal_string
from derived_series.dicom.encoding.tags import describe
from derived_series.dicom.encoding.value_rules import values_of
from derived_series.dicom.source.multiframe.frame import Element, FrameDataset, source_of

_SEQUENCE = Tag("RealWorldValueMappingSequence")
_SLOPE, _INTERCEPT = Tag("RescaleSlope"), Tag("RescaleIntercept")
_CENTRE, _WIDTH, _FUNCTION = Tag("WindowCenter"), Tag("WindowWidth"), Tag("VOILUTFunction")
_WINDOW = frozenset((_CENTRE, _WIDTH, _FUNCTION, Tag("WindowCenterWidthExplanation")))
_AS_STORED = (1.0, 0.0)


def in_real_world(source: Dataset, groups: Dataset, elements: Mapping[BaseTag, Element]) -> dict[BaseTag, Element]:
    """Give a frame the RescaleSlope and RescaleIntercept that it does not have, and its window in these values.

    :param groups: the functional groups of the frame, the shared ones among them. :param elements: of the frame.
    """
    line = _line_of(source, groups)
    if line is None or line == _AS_STORED:
        return dict(elements)
    slope, intercept = line
    window = _window(elements, slope, intercept)
    return {
        **{tag: element for tag, element in elements.items() if tag not in _WINDOW},
        **window,
        _SLOPE: DataElement(_SLOPE, "DS", decimal_string(slope)),
        _INTERCEPT: DataElement(_INTERCEPT, "DS", decimal_string(intercept)),
    }


def _window(elements: Mapping[BaseTag, Element], slope: float, intercept: float) -> dict[BaseTag, Element]:
    """The window of stored values as one of real-world values; none where a negative slope would turn it round.

    LINEAR takes 1 off the width and a half off the centre (PS3.3 C.11.2.1.2.1): it becomes LINEAR_EXACT.
    """
    centres, widths = (_numbers(elements.get(tag)) for tag in (_CENTRE, _WIDTH))
    if slope <= 0 or not centres or len(centres) != len(widths):
        return {}
    stated = elements.get(_FUNCTION)
    function = str(stated.value or "LINEAR") if isinstance(stated, DataElement) else "LINEAR"
    off, less = (0.5, 1.0) if function == "LINEAR" else (0.0, 0.0)
    if min(widths) <= less:
        return {}
    changed = {
        _CENTRE: DataElement(_CENTRE, "DS", [decimal_string((c - off) * slope + intercept) for c in centres]),
        _WIDTH: DataElement(_WIDTH, "DS", [decimal_string((w - less) * slope) for w in widths]),
        _FUNCTION: DataElement(_FUNCTION, "CS", "LINEAR_EXACT" if function == "LINEAR" else function),
    }
    return {**{tag: element for tag, element in elements.items() if tag in _WINDOW}, **changed}


def _numbers(element: Element | None) -> list[float]:
    """The numbers of an element; none where it is missing or has others."""
    try:
        return [float(value) for value in values_of(element)] if isinstance(element, DataElement) else []
    except (TypeError, ValueError):
        return []


def ambiguous_mapping(instances: Iterable[Dataset]) -> list[str]:
    """A warning of parametric maps whose mappings do not tell one value for each that is stored."""
    for frame in instances:
        if not isinstance(frame, FrameDataset) or source_of(frame).get("SOPClassUID") != ParametricMapStorage:
            return []
        lines = _lines(frame)
        if len(lines) > 1 or None in lines:
            how = "a table" if lines == {None} else f"{len(lines)} of them that differ"
            return [f"{describe(_SEQUENCE)} of the parent series has {how}: its values were taken as they are stored"]
    return []


def _line_of(source: Dataset, groups: Dataset) -> tuple[float, float] | None:
    """The slope and intercept; None where there is not one for all values."""
    most = source.get("MaximumFractionalValue")
    if source.get("SegmentationType") == "FRACTIONAL" and most:
        return 1 / float(most), 0.0
    lines = _lines(groups) if source.get("SOPClassUID") == ParametricMapStorage else set()
    return lines.pop() if len(lines) == 1 else None


def _lines(groups: Dataset) -> set[tuple[float, float] | None]:
    """The slope and intercept of each mapping; None for one by a table."""
    items = groups.get("RealWorldValueMappingSequence") or ()
    return {_line(item) for item in items}


def _line(item: Dataset) -> tuple[float, float] | None:
    slope, intercept = item.get("RealWorldValueSlope"), item.get("RealWorldValueIntercept")
    return None if slope is None or intercept is None else (float(slope), float(intercept))
