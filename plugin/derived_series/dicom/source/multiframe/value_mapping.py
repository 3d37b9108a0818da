"""Objects whose frames have no rescale, and say in other words what their stored values stand for.

Parametric maps have a real-world value mapping (PS3.3 C.7.6.16.2.11), fractional segmentations the value that stands
for 1 (C.8.20.2.3).
"""

from __future__ import annotations

from collections.abc import Iterable

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import ParametricMapStorage

from derived_series.dicom.encoding.decimal_string import decimal_string
from derived_series.dicom.encoding.tags import describe
from derived_series.dicom.source.multiframe.frame import FrameDataset, source_of

_SEQUENCE = Tag("RealWorldValueMappingSequence")
_SLOPE, _INTERCEPT = Tag("RescaleSlope"), Tag("RescaleIntercept")
_AS_STORED = (1.0, 0.0)


def rescale_in_other_words(source: Dataset, groups: Dataset) -> dict[BaseTag, DataElement]:
    """RescaleSlope and RescaleIntercept of a frame; nothing where its values are as they are stored.

    :param groups: the functional groups of the frame, the shared ones among them.
    """
    line = _line_of(source, groups)
    if line is None or line == _AS_STORED:
        return {}
    slope, intercept = line
    return {
        _SLOPE: DataElement(_SLOPE, "DS", decimal_string(slope)),
        _INTERCEPT: DataElement(_INTERCEPT, "DS", decimal_string(intercept)),
    }


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
