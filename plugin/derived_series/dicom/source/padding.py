"""What a parent pads its images with (PS3.3 C.7.5.1.1.2), in its stored values."""

from __future__ import annotations

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from derived_series.dicom.encoding.tags import to_tag

PADDING = ("PixelPaddingValue", "PixelPaddingRangeLimit")


def padding_range(dataset: Dataset) -> tuple[int, int] | None:
    """The lowest and the highest stored value that is padding; None where nothing readable says it."""
    values = [padding_value(dataset, keyword) for keyword in PADDING]
    value, limit = values
    if value is None:
        return None
    return min(value, value if limit is None else limit), max(value, value if limit is None else limit)


def padding_value(dataset: Dataset, keyword: str) -> int | None:
    """The number as the pixels have it: some writers give that of signed pixels as an unsigned one, or the reverse."""
    try:
        number = int(dataset.get(keyword))
        bits, signed = int(dataset.get("BitsAllocated") or 16), bool(int(dataset.get("PixelRepresentation") or 0))
    except (TypeError, ValueError):
        return None
    if signed and number >= 1 << bits - 1:
        return number - (1 << bits)
    return number + (1 << bits) if number < 0 and not signed else number


def padding_element(dataset: Dataset, keyword: str) -> DataElement:
    """The element in the VR that goes with the pixels."""
    vr = "SS" if int(dataset.get("PixelRepresentation") or 0) else "US"
    return DataElement(to_tag(keyword), vr, padding_value(dataset, keyword))
