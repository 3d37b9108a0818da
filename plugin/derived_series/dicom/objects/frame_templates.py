"""Per-frame items of many slices, from highdicom's items of a few (PS3.3 C.7.6.16, A.70 to A.72).

highdicom copies most elements that differ from slice to slice unchanged. A few slices, in which each of these elements
has two values, show where they go: their items become templates. For these few, the templates must give exactly
highdicom's bytes; series for which they do not are left to highdicom.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.valuerep import DA, DT, TM

from derived_series.dicom.blueprints.environment import InstanceEnvironment
from derived_series.dicom.encoding.decimal_string import decimal_string
from derived_series.dicom.encoding.writer import encode_element, encode_text, sequence, short_element
from derived_series.dicom.modules.derivation import source_of_slice
from derived_series.dicom.series.classic import DerivedSeries

#: With fewer slices highdicom is as quick; and the most slices that it is given.
_FEWEST_SLICES, _MOST_SLICES = 24, 12
_POSITION = int(Tag("ImagePositionPatient"))
_INDEX, _IN_STACK = int(Tag("DimensionIndexValues")), int(Tag("InStackPositionNumber"))
_SOURCE = int(Tag("ConversionSourceAttributesSequence"))
_FRAME_TIME = int(Tag("FrameAcquisitionDateTime"))
_FRAME_NUMBER, _NUMBER = int(Tag("FrameAcquisitionNumber")), int(Tag("AcquisitionNumber"))
#: Attributes that have other names in a group than in a classic image.
_RENAMED = {
    int(Tag(name)): int(Tag(classic))
    for name, classic in (("FrameComments", "ImageComments"), ("FrameAcquisitionDuration", "AcquisitionDuration"))
}
_DATE_TIME, _DATE, _TIME = (int(Tag(f"Acquisition{what}")) for what in ("DateTime", "Date", "Time"))
#: highdicom decides by these, or makes one value from those of all slices, which a few slices do not show.
_DECIDING = frozenset(
    int(Tag(name))
    for name in (
        *("ImageType", "BurnedInAnnotation", "RecognizableVisualFeatures", "LossyImageCompression"),
        *("LossyImageCompressionRatio", "SmallestImagePixelValue", "LargestImagePixelValue"),
        *("BodyPartExamined", "AnatomicRegionSequence", "PrimaryAnatomicStructureSequence"),
        *("FrameLaterality", "ImageLaterality", "Laterality", "SliceThickness", "SpecificCharacterSet"),
    )
)
_LONG = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")

#: The elements of a slice, encoded, by tag.
Encoded: TypeAlias = Mapping[int, bytes]


@dataclass(frozen=True, slots=True, eq=False)
class Slices:
    """The elements that differ from slice to slice, and a few slices that represent all of them.

    :param encoded: the elements that only one slice has, for each slice.
    :param varying: the tags that differ.
    :param times: FrameAcquisitionDateTime of each slice, if it differs.
    :param kinds: the kind of each slice; slices of one kind have the same elements, and the same ones are empty.
    :param few: the indexes of the few slices, ascending.
    """

    encoded: tuple[Encoded, ...]
    varying: frozenset[int]
    times: tuple[DT | None, ...] | None
    kinds: tuple[tuple[bool | None, ...], ...]
    few: tuple[int, ...]

    @classmethod
    def of(cls, series: DerivedSeries) -> Slices:
        """Choose the slices. :param series: the series to convert. :raises ValueError: a few cannot represent all."""
        if len(series) < _FEWEST_SLICES or not _is_volume(series):
            raise ValueError("the slices are few, or not evenly spaced")
        encoded = tuple({tag: bytes(data) for tag, data in series.encoded_elements(i)} for i in range(len(series)))
        columns = {tag: [each.get(tag) for each in encoded] for tag in sorted(set().union(*encoded))}
        values = {tag: [_value(data) for data in column] for tag, column in columns.items() if len(set(column)) > 1}
        varying = frozenset(tag for tag, column in values.items() if len(set(column)) > 1)
        if not varying.isdisjoint(_DECIDING):
            raise ValueError("the slices differ in what all frames are converted by")
        times = _times(series, encoded) if {_DATE_TIME, _DATE, _TIME} & varying else None
        kinds = tuple(
            tuple(None if v is None else v == "" for v in each) for each in zip(*values.values(), strict=True)
        )
        few = {0, len(series) - 1}
        for kind in dict.fromkeys(kinds):
            those = [index for index, each in enumerate(kinds) if each == kind]
            few.add(those[0])
            for column in values.values():
                few.update([index for index in those if column[index] != column[those[0]]][:1])
        known = [(time, index) for index, time in enumerate(times or ()) if time is not None]
        few |= {_earliest(known)} if known else set()
        if len(few) > _MOST_SLICES:
            raise ValueError("the slices differ in too many ways")
        return cls(encoded, varying, times, kinds, tuple(sorted(few)))


def _value(data: bytes | None) -> object:
    """The value of an encoded element for comparison: numbers by value, "" if it is empty, None if it is missing."""
    if data is None:
        return None
    vr = data[4:6]
    value = data[12 if vr in _LONG else 8 :].rstrip(b" \0")
    if vr in (b"DS", b"IS") and value:
        return tuple(float(part) for part in value.split(b"\\"))
    return value or ""


def _presence(value: object) -> bool | None:
    """None for a missing element, else whether it is empty."""
    return None if value is None else value == ""


def _times(series: DerivedSeries, encoded: Sequence[Encoded]) -> tuple[DT | None, ...]:
    shared = {int(element.tag): str(element.value or "") for element in series.shared_elements()}
    return tuple(_time(each, shared) for each in encoded)


def _time(encoded: Encoded, shared: Mapping[int, str]) -> DT | None:
    """When a slice was acquired. :raises ValueError: the text is neither a date nor a time."""
    texts = {tag: _text(encoded[tag]) if tag in encoded else shared.get(tag) for tag in (_DATE_TIME, _DATE, _TIME)}
    if (whole := texts[_DATE_TIME]) is not None:
        return DT(whole) if whole else None
    date, time = DA(texts[_DATE]), TM(texts[_TIME])
    return None if date is None or time is None else DT(datetime.combine(date, time))


def _earliest(known: Sequence[tuple[DT, int]]) -> int:
    """The slice that was acquired first. :raises ValueError: only some of the times have a time zone."""
    try:
        return min(known)[1]
    except TypeError as error:
        raise ValueError("times with a time zone stand beside times without one") from error


def _text(data: bytes) -> str:
    return data[8:].decode("ascii").rstrip(" \0")


@dataclass(frozen=True, slots=True)
class _Slot:
    """A place for an element of the slice. :param tag: its tag in the slice."""

    tag: int


#: A part of a template: bytes that all slices of a kind share, a slot, or a group of one item with parts in it.
_Part: TypeAlias = "bytes | _Slot | tuple[int, tuple[_Part, ...]]"


def per_frame_items(
    series: DerivedSeries, slices: Slices, converted: Sequence[Dataset], ascending: bool, encodings: Sequence[str]
) -> list[bytes]:
    """Make the items of all slices, in their order.

    :param converted: highdicom's items of the few, in their order. :param ascending: whether it is along the normal.
    :raises ValueError: the templates do not give highdicom's items.
    """
    order = range(len(series)) if ascending else range(len(series) - 1, -1, -1)
    few = slices.few if ascending else slices.few[::-1]
    templates: dict[tuple[bool | None, ...], tuple[_Part, ...]] = {}
    for index, item in zip(few, converted, strict=True):
        templates.setdefault(slices.kinds[index], _parts(item, slices.varying, encodings))
    places = dict(zip(slices.few, positions_of_few(series, slices), strict=True))
    for rank, (index, item) in enumerate(zip(few, converted, strict=True), 1):
        position = {_POSITION: encode_text(_POSITION, "DS", "\\".join(places[index]))}
        filled = _filled(templates[slices.kinds[index]], series, slices, index, rank, position)
        if filled != b"".join(encode_element(element, encodings) for element in item):
            raise ValueError(f"the item of slice {index} is not made of what the slices differ in")
    return [
        _filled(templates[slices.kinds[index]], series, slices, index, rank, {}) for rank, index in enumerate(order, 1)
    ]


def positions_of_few(series: DerivedSeries, slices: Slices) -> list[list[str]]:
    """ImagePositionPatient of the few slices as if they were evenly spaced neighbours, as in highdicom's volumes."""
    grid = series.env.grid
    assert grid is not None
    first, last = grid.positions[0], grid.positions[-1]
    step = [(b - a) / (len(grid.positions) - 1) for a, b in zip(first, last, strict=True)]
    return [
        [decimal_string(a + place * s) for a, s in zip(first, step, strict=True)] for place in range(len(slices.few))
    ]


def _parts(item: Dataset, varying: frozenset[int], encodings: Sequence[str]) -> tuple[_Part, ...]:
    return tuple(_part(element, varying, encodings) for element in item)


def _part(element: DataElement, varying: frozenset[int], encodings: Sequence[str], nested: bool = False) -> _Part:
    tag = int(element.tag)
    if tag in varying or tag in (_INDEX, _IN_STACK, _SOURCE):
        return _Slot(tag)
    if {_FRAME_NUMBER: _NUMBER, **_RENAMED}.get(tag) in varying:
        return _Slot(tag)
    if tag == _FRAME_TIME and {_DATE_TIME, _DATE, _TIME} & varying:
        return _Slot(tag)
    if element.VR == "SQ" and not nested and element.value is not None and len(element.value) == 1:
        return tag, tuple(_part(each, varying, encodings, nested=True) for each in element.value[0])
    return encode_element(element, encodings)


def _filled(
    parts: Sequence[_Part], series: DerivedSeries, slices: Slices, index: int, rank: int, instead: Encoded
) -> bytes:
    """Fill the parts of a template for a slice. :param instead: elements to use instead of the slice's."""
    pieces = []
    for part in parts:
        if isinstance(part, bytes):
            pieces.append(part)
        elif isinstance(part, _Slot):
            data = instead.get(part.tag) or slices.encoded[index].get(part.tag)
            pieces.append(_of_slice(part.tag, series, slices, index, rank) if data is None else data)
        else:
            tag, inner = part
            pieces.append(sequence(tag, [_filled(inner, series, slices, index, rank, instead)]))
    return b"".join(pieces)


def _of_slice(tag: int, series: DerivedSeries, slices: Slices, index: int, rank: int) -> bytes:
    """Encode an element of a slice. :raises ValueError: it is missing, or an AcquisitionNumber that does not fit."""
    if tag in (_INDEX, _IN_STACK):
        return short_element(tag, "UL", struct.pack("<I", rank))
    if tag == _SOURCE:
        return sequence(tag, [source_of_slice(InstanceEnvironment(series.env, index)).encode()])
    if tag in _RENAMED:
        return struct.pack("<HH", tag >> 16, tag & 0xFFFF) + slices.encoded[index][_RENAMED[tag]][4:]
    if tag == _FRAME_NUMBER:
        number = int(_text(slices.encoded[index][_NUMBER]))
        if not 0 <= number < 1 << 16:
            raise ValueError(f"{number} is too large for FrameAcquisitionNumber")
        return short_element(tag, "US", struct.pack("<H", number))
    time = slices.times[index] if tag == _FRAME_TIME and slices.times else None
    if time is None:
        raise ValueError(f"slice {index} has nothing for {Tag(tag)}")
    return encode_text(tag, "DT", str(time))


def _is_volume(series: DerivedSeries) -> bool:
    """Whether highdicom takes the slices for a volume."""
    from highdicom.spatial import get_volume_positions

    grid = series.env.grid
    if grid is None or not grid.is_regular:
        return False
    positions = [[float(decimal_string(value)) for value in position] for position in grid.positions]
    cosines = [float(decimal_string(value)) for value in (*grid.row_cosines, *grid.column_cosines)]
    spacing, _ = get_volume_positions(image_positions=positions, image_orientation=cosines)
    return spacing is not None and math.isfinite(spacing)
