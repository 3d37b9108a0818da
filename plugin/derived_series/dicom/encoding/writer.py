"""Encoding a series: shared elements are encoded once, the others for each instance, and merged in tag order.

Everything is explicit VR little endian (PS3.5 A.2), also around compressed pixels (A.4). The bytes equal those that
pydicom writes.
"""

from __future__ import annotations

import re
import struct
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
from pydicom import config, dcmwrite
from pydicom.charset import convert_encodings, default_encoding
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import correct_ambiguous_vr, write_data_element, write_dataset, write_file_meta_info
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID
from pydicom.valuerep import DSfloat, validate_value

from derived_series.dicom.encoding.character_sets import as_stored, with_stored_text
from derived_series.dicom.encoding.late_pixels import LatePixels
from derived_series.dicom.encoding.value_rules import has_one_value

PIXEL_DATA, PER_FRAME = Tag("PixelData"), Tag("PerFrameFunctionalGroupsSequence")
_PIXELS = (Tag("FloatPixelData"), Tag("DoubleFloatPixelData"), PIXEL_DATA)
_PREAMBLE = b"\0" * 128 + b"DICM"
#: VRs with a 2-byte length whose values are short ASCII text, and the character that pads them to even length.
_TEXT_PADDING = {"UI": b"\0", **dict.fromkeys(("AS", "CS", "DA", "DS", "DT", "IS", "LO", "SH", "TM"), b" ")}
_LONGEST_SHORT = 0xFFFE
#: Printable ASCII without backslashes or surrounding spaces.
_PLAIN = re.compile(r"[!-\[\]-~](?:[ -\[\]-~]*[!-\[\]-~])?")
#: Group, element, VR and length; a 4-byte length follows 2 reserved bytes.
#: Begins a ReferencedSOPInstanceUID (0008,1155), up to its length.
_REFERENCED_UID = re.compile(rb"\x08\x00\x55\x11UI(..)", re.DOTALL)
#: Ends a value of undefined length (FFFE,E0DD).
_END = b"\xfe\xff\xdd\xe0\0\0\0\0"
#: Begins an item of a sequence (FFFE,E000).
ITEM = b"\xfe\xff\x00\xe0"
_SHORT_HEAD, _LONG_HEAD = struct.Struct("<HH2sH"), struct.Struct("<HH2s2xI")


@dataclass(frozen=True, slots=True)
class SeriesEncoder:
    """Encodes the instances of a series, with the shared elements encoded in advance.

    :param shared: the encoded elements that all instances share, concatenated.
    :param tags: their tags, ascending.
    :param starts: the offset of each of them in ``shared``, and the end of the last.
    :param pixel_representation: settles the VR of elements that may be US or SS.
    :param encodings: the Python codecs of SpecificCharacterSet.
    :param meta: the file meta information before and after MediaStorageSOPInstanceUID, without the group length.
    """

    shared: bytes
    tags: tuple[int, ...]
    starts: tuple[int, ...]
    pixel_representation: int
    encodings: tuple[str, ...]
    meta: tuple[bytes, bytes]

    @classmethod
    def of(cls, shared: Iterable[DataElement], meta: FileMetaDataset) -> SeriesEncoder:
        """Encode the shared elements. :param meta: file meta information of any instance; they differ in the UID."""
        dataset = Dataset()
        for element in shared:
            dataset.add(element)
        dataset = correct_ambiguous_vr(dataset, True)
        charset = dataset.get("SpecificCharacterSet")
        encodings = tuple(convert_encodings(charset if charset is None or isinstance(charset, str) else list(charset)))
        parts = [encode_element(element, encodings) for element in dataset]
        return cls(
            shared=b"".join(parts),
            tags=tuple(int(element.tag) for element in dataset),
            starts=(0, *accumulate(map(len, parts))),
            pixel_representation=int(dataset.PixelRepresentation),
            encodings=encodings,
            meta=_split_meta(meta),
        )

    def split(
        self, sop_instance_uid: str, instance_elements: Iterable[tuple[int, bytes | memoryview]], last: int
    ) -> tuple[bytes, bytes]:
        """Encode an instance as a Part 10 file in two parts, with a gap for the pixels between them.

        :param instance_elements: (tag, bytes) of the elements that only this instance has.
        :param last: the tag of the element that ends the first part; the rest of its value belongs in the gap.
        """
        before, after = self.meta
        uid = encode_text(0x00020003, "UI", sop_instance_uid)
        length = (len(before) + len(uid) + len(after)).to_bytes(4, "little")
        pieces: list[bytes | memoryview] = [_PREAMBLE, b"\x02\0\0\0UL\x04\0", length, before, uid, after]
        first = b""
        done = 0
        for tag, data in sorted(instance_elements):
            position = self.starts[bisect_left(self.tags, tag)]
            pieces += (self.shared[done:position], data)
            done = position
            if tag == last:
                first, pieces = b"".join(pieces), []
        pieces.append(self.shared[done:])
        return first, b"".join(pieces)

    def encode_value(self, tag: int, vr: str | None, value: Any) -> bytes | None:
        """Encode a plain value the quick way; None when it needs pydicom."""
        if isinstance(value, DataElement):
            return _quick(tag, value.VR, value.value, checked=True) if value.tag == tag else None
        return None if vr is None else _quick(tag, vr, value, checked=False)

    def encode_element(self, element: DataElement) -> bytes:
        """Encode any element with pydicom."""
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
    if not checked and len(values) > 1 and has_one_value(BaseTag(tag)):
        return None  # pydicom reports it
    texts = []
    for one in values:
        kept = getattr(one, "original_string", None) if vr in ("DS", "IS") else None
        text = kept or (one if isinstance(one, str) else None)
        if vr == "IS" and type(one) is int and -(1 << 31) <= one < 1 << 31:
            texts.append(str(one))
            continue
        if text is None and vr == "DS" and isinstance(one, DSfloat):
            text = str(one)
        if text is None or not text.isascii():
            return None
        if not checked and not _plain(vr, text):
            return None
        texts.append(str(text))
    joined = "\\".join(texts)
    return encode_text(tag, vr, joined) if len(joined) < _LONGEST_SHORT else None


def _plain(vr: str, text: str) -> bool:
    """Whether pydicom would write the text unchanged; text that it strips, splits or refuses is left to it."""
    if _PLAIN.fullmatch(text) is None:
        return False
    try:
        validate_value(vr, text, config.RAISE)
    except ValueError:
        return False
    return True


def encode_text(tag: int, vr: str, text: str) -> bytes:
    """Encode an ASCII element with a 2-byte length."""
    data = text.encode("ascii")
    return short_element(tag, vr, data if len(data) % 2 == 0 else data + _TEXT_PADDING[vr])


def short_element(tag: int, vr: str, data: bytes) -> bytes:
    """Encode an element with a 2-byte length (PS3.5 table 7.1-2). :param data: of even length."""
    return _SHORT_HEAD.pack(tag >> 16, tag & 0xFFFF, vr.encode(), len(data)) + data


def long_element_head(tag: int, vr: str, length: int) -> bytes:
    """Encode what precedes the data of an element with a 4-byte length (PS3.5 table 7.1-1)."""
    return _LONG_HEAD.pack(tag >> 16, tag & 0xFFFF, vr.encode(), length)


def encapsulated(tag: int, value: bytes) -> bytes:
    """Wrap the items of encapsulated pixels in an OB element of undefined length (PS3.5 A.4)."""
    return long_element_head(tag, "OB", 0xFFFFFFFF) + value + _END


def sequence(tag: int, items: Iterable[bytes]) -> bytes:
    """Encode a sequence of encoded items, with defined lengths (PS3.5 7.5)."""
    data = b"".join([part for item in items for part in (ITEM, len(item).to_bytes(4, "little"), item)])
    return long_element_head(tag, "SQ", len(data)) + data


def encode_element(element: DataElement, encodings: Iterable[str]) -> bytes:
    """Encode an element in explicit VR little endian with pydicom; text kept as it was read is written as its bytes."""
    encodings = list(encodings)
    buffer = DicomBytesIO()
    buffer.is_implicit_VR = False
    buffer.is_little_endian = True
    write_data_element(buffer, as_stored(element, encodings), encodings)
    return buffer.getvalue()


def as_read(element: bytes) -> RawDataElement:
    """Wrap an encoded sequence as a raw element, which pydicom parses only when it is used."""
    tag = BaseTag(int.from_bytes(element[:2], "little") << 16 | int.from_bytes(element[2:4], "little"))
    return RawDataElement(tag, "SQ", len(element) - 12, element[12:], 0, False, True)


def encode_dataset(dataset: Dataset) -> bytes:
    """Encode a dataset as a complete Part 10 file, with the bytes that pydicom would write."""
    return b"".join(piece if isinstance(piece, bytes) else piece.value for piece in _file_pieces(dataset))


def encode_dataset_as_buffer(dataset: Dataset) -> memoryview:
    """The same in a numpy buffer: systems provide its large pages several times faster than those of bytes."""
    pieces = _file_pieces(dataset)
    sizes = [len(piece) if isinstance(piece, bytes) else piece.size for piece in pieces]
    file = np.empty(sum(sizes), np.uint8)
    begin = 0
    for piece, size in zip(pieces, sizes, strict=True):
        place = file[begin : begin + size]
        if isinstance(piece, bytes):
            place[:] = np.frombuffer(piece, np.uint8)
        else:
            piece.write(place)
        begin += size
    return file.data


def _file_pieces(dataset: Dataset) -> list[bytes | LatePixels]:
    """The pieces of a complete Part 10 file; pixels and encoded sequences are passed through unchanged."""
    whole = with_stored_text(dataset)
    syntax = UID(dataset.file_meta.TransferSyntaxUID)
    elements = dict(whole.items())
    apart = sorted(tag for tag, element in elements.items() if _is_encoded(element))
    if not apart or syntax.is_implicit_VR or not syntax.is_little_endian or syntax.is_deflated:
        buffer = DicomBytesIO()
        dcmwrite(buffer, whole, enforce_file_format=True)
        return [buffer.getvalue()]
    sequences = {tag: element for tag in apart if isinstance(element := elements[tag], RawDataElement)}
    plain = correct_ambiguous_vr(Dataset({tag: e for tag, e in elements.items() if tag not in sequences}), True)
    values = {tag: sequences.get(tag) or plain.pop(tag) for tag in apart}
    pieces: list[bytes | LatePixels] = []
    begin = 0
    for tag in (*apart, BaseTag(0xFFFFFFFF)):
        part = Dataset({one: plain.get_item(one) for one in plain.keys() if begin <= one < tag})
        buffer = DicomBytesIO()
        buffer.is_implicit_VR, buffer.is_little_endian = False, True
        if begin == 0:
            part.file_meta, part.preamble = dataset.file_meta, getattr(dataset, "preamble", None)
            dcmwrite(buffer, part, enforce_file_format=True)
        else:
            write_dataset(buffer, part, plain.get("SpecificCharacterSet") or default_encoding)
        pieces.append(buffer.getvalue())
        if tag in values:
            pieces += _pieces(values[tag], syntax)
        begin = tag + 1
    return pieces


def _is_encoded(element: DataElement | RawDataElement) -> bool:
    """Whether the element's value is written unchanged."""
    if isinstance(element, LatePixels) and element.is_late:
        return True
    if not isinstance(element.value, bytes):
        return False
    return element.VR == "SQ" if isinstance(element, RawDataElement) else element.tag in _PIXELS


def _pieces(element: DataElement | RawDataElement, syntax: UID) -> list[bytes | LatePixels]:
    if isinstance(element, LatePixels) and element.is_late:
        return [long_element_head(element.tag, str(element.VR), element.size), element]
    value = element.value or b""
    if element.tag == PIXEL_DATA and syntax.is_encapsulated:
        return [long_element_head(PIXEL_DATA, "OB", 0xFFFFFFFF), value, _END]
    padding = b"\0" * (len(value) % 2)
    return [long_element_head(element.tag, str(element.VR), len(value) + len(padding)), value, padding]


def first_and_last_item(value: bytes) -> bytes:
    """Cut a sequence's value to its first and last item; its items must have defined lengths."""
    place, ends = 0, [0]
    while place < len(value):
        place += 8 + int.from_bytes(value[place + 4 : place + 8], "little")
        ends.append(place)
    return value if len(ends) < 4 else value[: ends[1]] + value[ends[-2] :]


def referenced_instance_uids(value: bytes) -> list[str]:
    """Find each ReferencedSOPInstanceUID in an encoded sequence's value, explicit VR little endian."""
    return [
        value[each.end() : each.end() + int.from_bytes(each[1], "little")].rstrip(b"\0 ").decode("ascii")
        for each in _REFERENCED_UID.finditer(value)
    ]


def _split_meta(meta: FileMetaDataset) -> tuple[bytes, bytes]:
    """Encode file meta information without its group length, split at the instance UID."""
    placeholder = FileMetaDataset()
    placeholder.update(meta)
    placeholder.MediaStorageSOPInstanceUID = UID("1.2.3.4")
    buffer = DicomBytesIO()
    write_file_meta_info(buffer, placeholder, enforce_standard=True)
    mark = encode_text(0x00020003, "UI", "1.2.3.4")
    before, after = buffer.getvalue()[12:].split(mark)
    return before, after
