"""Reads the segment and the position of each frame of a multi-frame object straight from the bytes of its groups.

pydicom takes seconds for some thousand items. Groups that it has read already, and items of undefined length, are
left to it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

from derived_series.dicom.source.multiframe.functional_groups import PER_FRAME

_ITEM = 0xFFFEE000
_UNDEFINED = 0xFFFFFFFF
_LONG = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
_PLANE, _POSITION = Tag("PlanePositionSequence"), Tag("ImagePositionPatient")
_IDENTIFICATION, _SEGMENT = Tag("SegmentIdentificationSequence"), Tag("ReferencedSegmentNumber")


class _NotPlain(ValueError):
    """The bytes must be read by pydicom."""


@dataclass(frozen=True, slots=True)
class FramePlace:
    """The segment and the position of a frame.

    :param segment: its number; None if the frame's own groups lack it. ``position`` is empty likewise.
    """

    segment: int | None
    position: tuple[float, ...]


def frame_places(source: Dataset) -> tuple[FramePlace, ...] | None:
    """The place of each frame; None if they cannot be read this way.

    :param source: the header of the object, as it was read.
    """
    groups = dict(source.items()).get(PER_FRAME)  # get_item would read values that are still in the file
    if not isinstance(groups, RawDataElement) or groups.length == _UNDEFINED:
        return None
    if groups.is_implicit_VR or not groups.is_little_endian:
        return None
    data = _of_file(source, groups) if groups.value is None else groups.value
    try:
        return tuple(_place(data, start, end) for start, end in _items(data, 0, len(data)))
    except (_NotPlain, struct.error, ValueError):
        return None


def _of_file(source: Dataset, element: RawDataElement) -> bytes:
    with open(str(source.filename), "rb") as file:
        file.seek(element.value_tell)
        return file.read(element.length)


def _place(data: bytes, start: int, end: int) -> FramePlace:
    segment: int | None = None
    position: tuple[float, ...] = ()
    for _, first, last in _elements(data, start, end, (_PLANE, _IDENTIFICATION)):
        for item in list(_items(data, first, last))[:1]:
            for inner, at, to in _elements(data, *item, (_POSITION, _SEGMENT)):
                if inner == _SEGMENT:
                    segment = int.from_bytes(data[at : at + 2], "little")
                else:
                    position = tuple(float(part) for part in data[at:to].decode("ascii").strip(" \0").split("\\"))
    return FramePlace(segment, position)


def _items(data: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The beginning and the end of each item's content in a sequence (PS3.5 7.5)."""
    while start < end:
        group, element, length = struct.unpack_from("<HHI", data, start)
        if group << 16 | element != _ITEM or length == _UNDEFINED or start + 8 + length > end:
            raise _NotPlain
        yield start + 8, start + 8 + length
        start += 8 + length


def _elements(data: bytes, start: int, end: int, wanted: Sequence[BaseTag]) -> Iterator[tuple[int, int, int]]:
    """The tag of each wanted element, with the beginning and the end of its value (PS3.5 7.1)."""
    while start < end:
        group, element, vr, length = struct.unpack_from("<HH2sH", data, start)
        head = 8
        if vr in _LONG:
            (length,) = struct.unpack_from("<I", data, start + 8)
            head = 12
        if length == _UNDEFINED or start + head + length > end:
            raise _NotPlain
        if (tag := group << 16 | element) in wanted:
            yield tag, start + head, start + head + length
        start += head + length
