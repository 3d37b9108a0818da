"""Bytes of a series: what all instances share is encoded once, the rest once an instance, merged in tag order.

Explicit VR little endian throughout (PS3.5 A.2). The bytes are those that pydicom would write.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydicom import config
from pydicom.charset import convert_encodings
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import correct_ambiguous_vr, write_data_element, write_file_meta_info
from pydicom.uid import UID
from pydicom.valuerep import DSfloat, validate_value

_PREAMBLE = b"\0" * 128 + b"DICM"
#: VRs with a 2 byte length whose values are short ASCII text, and what pads them to even length.
_TEXT_PADDING = {"UI": b"\0", **dict.fromkeys(("AS", "CS", "DA", "DS", "DT", "IS", "LO", "SH", "TM"), b" ")}
_LONGEST_SHORT = 0xFFFE


@dataclass(frozen=True, slots=True)
class SeriesEncoder:
    """
    :param shared: (tag, bytes) of the elements that all instances share, ascending.
    :param pixel_representation: settles the VR of elements that may be US or SS.
    :param encodings: the Python codecs of SpecificCharacterSet.
    :param meta: file meta information around its MediaStorageSOPInstanceUID, without the group length.
    """

    shared: tuple[tuple[int, bytes], ...]
    pixel_representation: int
    encodings: tuple[str, ...]
    meta: tuple[bytes, bytes]

    @classmethod
    def of(cls, shared: Iterable[DataElement], meta: FileMetaDataset) -> SeriesEncoder:
        """:param meta: file meta information of any instance; only the instance UID differs."""
        dataset = Dataset()
        for element in shared:
            dataset.add(element)
        dataset = correct_ambiguous_vr(dataset, True)
        charset = dataset.get("SpecificCharacterSet")
        encodings = tuple(convert_encodings(charset if charset is None or isinstance(charset, str) else list(charset)))
        parts = tuple((int(element.tag), encode_element(element, encodings)) for element in dataset)
        return cls(parts, int(dataset.PixelRepresentation), encodings, _split_meta(meta))

    def encode(self, sop_instance_uid: str, own: Iterable[tuple[int, bytes]]) -> bytes:
        """The Part 10 file of an instance.

        :param own: (tag, bytes) of the instance's own elements, its pixels among them.
        """
        before, after = self.meta
        uid = encode_text(0x00020003, "UI", sop_instance_uid)
        length = (len(before) + len(uid) + len(after)).to_bytes(4, "little")
        merged = sorted([*self.shared, *own])
        return b"".join([_PREAMBLE, b"\x02\0\0\0UL\x04\0", length, before, uid, after, *(data for _, data in merged)])

    def encode_value(self, tag: int, vr: str | None, value: Any) -> bytes | None:
        """The element of a plain value, the quick way; None when it needs pydicom's."""
        if isinstance(value, DataElement):
            return _quick(tag, value.VR, value.value, checked=True)
        return None if vr is None else _quick(tag, vr, value, checked=False)

    def encode_element(self, element: DataElement) -> bytes:
        """Any element, by pydicom."""
        if " or " in element.VR:
            settled = Dataset()
            settled.add(element)
            settled.PixelRepresentation = self.pixel_representation
            element = correct_ambiguous_vr(settled, True)[element.tag]
        return encode_element(element, self.encodings)


def _quick(tag: int, vr: str, value: Any, checked: bool) -> bytes | None:
    if vr not in _TEXT_PADDING:
        return None
    if isinstance(value, str | int | float):
        values = [value]
    elif isinstance(value, list | tuple) or type(value).__name__ == "MultiValue":
        values = list(value)
    else:
        return None
    texts = []
    for one in values:
        text = getattr(one, "original_string", None) or (one if isinstance(one, str) else None)
        if text is None and vr == "IS" and type(one) is int:
            text = str(one)
        elif text is None and vr == "DS" and isinstance(one, DSfloat):
            text = str(one)
        if text is None or not text.isascii():
            return None
        if not checked:
            validate_value(vr, str(text), config.RAISE)
        texts.append(str(text))
    joined = "\\".join(texts)
    return encode_text(tag, vr, joined) if len(joined) < _LONGEST_SHORT else None


def encode_text(tag: int, vr: str, text: str) -> bytes:
    """An ASCII element with a 2 byte length."""
    data = text.encode("ascii")
    return short_element(tag, vr, data if len(data) % 2 == 0 else data + _TEXT_PADDING[vr])


def _head(tag: int) -> bytes:
    return (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little")


def short_element(tag: int, vr: str, data: bytes) -> bytes:
    """An element with a 2 byte length (PS3.5 table 7.1-2); the data is of even length."""
    return _head(tag) + vr.encode() + len(data).to_bytes(2, "little") + data


def long_element_head(tag: int, vr: str, length: int) -> bytes:
    """What comes before the data of an element with a 4 byte length (PS3.5 table 7.1-1)."""
    return _head(tag) + vr.encode() + b"\0\0" + length.to_bytes(4, "little")


def sequence(tag: int, items: Iterable[bytes]) -> bytes:
    """A sequence of encoded items, with defined lengths (PS3.5 7.5)."""
    data = b"".join(b"\xfe\xff\x00\xe0" + len(item).to_bytes(4, "little") + item for item in items)
    return long_element_head(tag, "SQ", len(data)) + data


def encode_element(element: DataElement, encodings: Iterable[str]) -> bytes:
    """One element in explicit VR little endian, by pydicom."""
    buffer = DicomBytesIO()
    buffer.is_implicit_VR = False
    buffer.is_little_endian = True
    write_data_element(buffer, element, list(encodings))
    return buffer.getvalue()


def _split_meta(meta: FileMetaDataset) -> tuple[bytes, bytes]:
    """File meta information without its group length, cut where the instance UID stands."""
    found = FileMetaDataset()
    found.update(meta)
    found.MediaStorageSOPInstanceUID = UID("1.2.3.4")
    buffer = DicomBytesIO()
    write_file_meta_info(buffer, found, enforce_standard=True)
    mark = encode_text(0x00020003, "UI", "1.2.3.4")
    before, after = buffer.getvalue()[12:].split(mark)
    return before, after
