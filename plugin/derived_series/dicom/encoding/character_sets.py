"""Choosing the SpecificCharacterSet, and keeping text as it was read (PS3.5 6.1.2, PS3.3 C.12.1.1.2)."""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pydicom.charset import (
    convert_encodings,
    custom_encoders,
    decode_bytes,
    default_encoding,
    encode_string,
)
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag
from pydicom.valuerep import TEXT_VR_DELIMS, PersonName

from derived_series.dicom.encoding.read_errors import READ_ERRORS
from derived_series.dicom.encoding.tags import describe

UTF8 = "ISO_IR 192"
TEXT_VRS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
#: Escape sequences of ISO 2022 (PS3.5 6.1.2.5): pydicom leaves those of ISO 2022 IR 58 in the text that it reads.
ESCAPE = re.compile(r"\x1b[ -/]+[0-~]")

#: Functional groups: they may be many, and hold no text about the patient or the study.
_FRAMES = frozenset({0x52009229, 0x52009230})
#: The replacement for bytes that are not in the character set.
_REPLACEMENT = "\ufffd"


class StoredText(str):
    """Text of the parent that is not valid in its character set, with the bytes that it was read from.

    It is written as these bytes wherever the set is kept, as pydicom does for names.
    """

    stored: bytes
    encodings: tuple[str, ...]

    @classmethod
    def of(cls, text: str, stored: bytes, encodings: Iterable[str]) -> StoredText:
        stored_text = cls(text)
        stored_text.stored, stored_text.encodings = stored, tuple(encodings)
        return stored_text


def _is_as_read(value: Any, encodings: Sequence[str]) -> bool:
    """Whether a text encodes to the bytes that it was read from."""
    if isinstance(value, StoredText):
        return value.encodings == tuple(encodings)
    if isinstance(value, PersonName):
        return bool(value.original_string) and tuple(value.encodings or ()) == tuple(encodings)
    return False


def as_stored(element: DataElement, encodings: Sequence[str]) -> DataElement:
    """The element to write: text that is kept as it was read becomes its bytes, in sequences too."""
    if element.VR == "SQ" and element.tag not in _FRAMES:
        parent_items = list(element.value or ())
        items = [_item_as_stored(item, _encodings_of(item, encodings)) for item in parent_items]
        return element if all(map(operator.is_, items, parent_items)) else DataElement(element.tag, "SQ", items)
    if element.VR not in TEXT_VRS or element.VR == "PN":
        return element
    values = list(element.value) if element.VM > 1 else [element.value]
    if not any(isinstance(value, StoredText) and _is_as_read(value, encodings) for value in values):
        return element
    parts = [v.stored if isinstance(v, StoredText) else encode_string(v, list(encodings)) for v in values]
    return DataElement(element.tag, element.VR, b"\\".join(parts), already_converted=True)


def _item_as_stored(item: Dataset, encodings: Sequence[str]) -> Dataset:
    elements = dict(item.items())
    read = [element for element in elements.values() if isinstance(element, DataElement)]
    changed = {new.tag: new for element in read if (new := as_stored(element, encodings)) is not element}
    return Dataset({**elements, **changed}) if changed else item


def with_stored_text(dataset: Dataset) -> Dataset:
    """The dataset to write, see ``as_stored``; the same object when it has no such text."""
    encodings = _encodings_of(dataset)
    read = [element for element in dict(dataset.items()).values() if isinstance(element, DataElement)]
    changed = [new for element in read if (new := as_stored(element, encodings)) is not element]
    if not changed:
        return dataset
    decoded = Dataset(dict(dataset.items()))
    decoded.file_meta = dataset.file_meta
    for element in changed:
        decoded[element.tag] = element
    return decoded


def chosen_charset(preferred: Any, elements: Iterable[DataElement]) -> tuple[Any, str | None]:
    """Choose (SpecificCharacterSet, warning): the preferred set when it holds all the text, else UTF-8.

    Text read from bytes that are not all in the preferred set is written as these bytes.

    :param preferred: the value of (0008,0005), None for the default repertoire.
    """
    encodings = convert_encodings(list(preferred) if _several(preferred) else preferred)
    preferred_name = "\\".join(preferred) if _several(preferred) else (preferred or "the default repertoire")
    beyond: str | None = None
    unread: list[str] = []  # attributes with bytes that are not in the set
    for element, value, its_encodings in _texts(elements, encodings):
        as_read = _is_as_read(value, its_encodings)
        replaced = _REPLACEMENT in str(value)
        if not replaced and _fits(value, its_encodings):
            continue
        if (as_read or replaced) and describe(element.tag) not in unread:
            unread.append(describe(element.tag))
        if beyond is None and not as_read and not _fits(value, its_encodings):
            beyond = f"{describe(element.tag)} {str(value)!r}"
    warnings = []
    if unread and beyond is None:
        warnings.append(
            f"{', '.join(unread)}: not all bytes are of {preferred_name}; they are kept as the parent has them"
        )
    elif unread:
        warnings.append(
            f"{', '.join(unread)}: not all bytes are of the parent's {preferred_name}, and those are replaced by "
            "other characters"
        )
    if beyond is not None:
        warnings.append(f"{beyond} cannot be written in {preferred_name}: the text is re-encoded in {UTF8}")
    return preferred if beyond is None else UTF8, "; ".join(warnings) or None


def keep_bytes_in_sequences(instances: Iterable[Dataset]) -> None:
    """Do the same in sequences that pydicom parsed when it read the instances, before these are compared."""
    for instance in instances:
        parsed = [tag for tag, element in dict(instance.items()).items() if isinstance(element, DataElement)]
        sequences = [int(tag) for tag in parsed if _dictionary_vr(int(tag)) == "SQ"]
        if sequences:
            _keep(instance, sequences)


def keep_bytes(instances: Sequence[Dataset], varying: Iterable[int]) -> None:
    """Keep names, and text that is not valid in the character set, byte for byte as they were read.

    pydicom drops redundant parts of names: a ``=`` at the end, an escape sequence to the set already in use.

    :param varying: the tags whose values differ between instances; all others are taken from the first.
    """
    for instance in instances[:1]:
        _keep(instance, [int(tag) for tag in instance.keys()])
    texts = [tag for tag in varying if _text_vr(tag)]
    for instance in instances[1:] if texts else ():
        _keep(instance, texts)


def _keep(dataset: Dataset, tags: Iterable[int]) -> None:
    _keep_in(dataset, tags, _encodings_of(dataset))


def _encodings_of(dataset: Dataset, outer: Sequence[str] | None = None) -> list[str]:
    """The Python codecs of a dataset, or of an item, which may have a set of its own (PS3.3 C.12.1.1.2).

    :param outer: those of the dataset that an item is in, which count if it has no set.
    """
    if outer is not None and "SpecificCharacterSet" not in dataset:
        return list(outer)
    character_set = dataset.get("SpecificCharacterSet")
    return convert_encodings(list(character_set) if _several(character_set) else character_set)


def _keep_in(dataset: Dataset, tags: Iterable[int], encodings: list[str]) -> None:
    """Keep the text of an instance, or of an item in one of its sequences."""
    read = dict(dataset.items())  # without converting
    for tag in tags:
        raw = read.get(BaseTag(tag))
        vr = _dictionary_vr(tag)
        if vr == "SQ" and tag not in _FRAMES:
            _keep_in_items(dataset, tag, encodings)
        if vr not in TEXT_VRS or not isinstance(raw, RawDataElement) or not raw.value:
            continue
        if vr == "PN":
            name = dataset[tag].value
            if isinstance(name, PersonName):
                name.original_string = raw.value
        elif not raw.value.isascii():
            _keep_text(dataset, tag, raw.value, encodings)


def _keep_in_items(dataset: Dataset, tag: int, encodings: list[str]) -> None:
    try:
        items = list(dataset[tag].value or ())
    except READ_ERRORS:  # reported when the element is used
        return
    for item in items:
        _keep_in(item, [int(each) for each in item.keys()], _encodings_of(item, encodings))


def _keep_text(dataset: Dataset, tag: int, data: bytes, encodings: list[str]) -> None:
    element = dataset[tag]
    several = element.VM > 1
    values = list(element.value) if several else [element.value]
    parts = data.rstrip(b"\0 ").split(b"\\") if several else [data.rstrip(b"\0 ")]
    if len(parts) != len(values):
        return
    texts = [
        value
        if _REPLACEMENT not in str(value) and _fits(value, encodings)
        else StoredText.of(str(value), part, encodings)
        for value, part in zip(values, parts, strict=True)
    ]
    if any(isinstance(value, StoredText) for value in texts):
        dataset[tag] = DataElement(element.tag, element.VR, texts if several else texts[0], already_converted=True)


def _dictionary_vr(tag: int) -> str | None:
    try:
        return dictionary_VR(tag)
    except KeyError:
        return None


def _text_vr(tag: int) -> str | None:
    """The VR of a text attribute; None for any other."""
    vr = _dictionary_vr(tag)
    return vr if vr in TEXT_VRS else None


def _several(value: Any) -> bool:
    return value is not None and not isinstance(value, str)


def _texts(elements: Iterable[DataElement], encodings: list[str]) -> Iterator[tuple[DataElement, Any, list[str]]]:
    """Each text beyond ASCII in the elements and inside their sequences, with the codecs that it is written in."""
    for element in elements:
        if element.VR == "SQ":
            for item in element.value or []:
                yield from _texts(item, _encodings_of(item, encodings))
        elif element.VR in TEXT_VRS and element.value is not None:
            for value in element.value if element.VM > 1 else [element.value]:
                if not str(value).isascii():
                    yield element, value, encodings


def _fits(value: Any, encodings: list[str]) -> bool:
    """Whether pydicom can write the text in these encodings and read it back.

    The default repertoire (ISO-IR 6), which pydicom reads as Latin-1, is ASCII by the standard.
    """
    text = str(value)
    strict = ["ascii" if encoding == default_encoding else encoding for encoding in encodings]
    if not all(any(_has(character, encoding) for encoding in strict) for character in set(text)):
        return False
    if isinstance(value, PersonName):
        # One that was not read from bytes would keep those of the first set that it is encoded in.
        data = (value if value.encodings else PersonName(text)).encode(encodings)
    else:
        data = encode_string(text, encodings)
    return decode_bytes(data.rstrip(b"\0 "), encodings, TEXT_VR_DELIMS).rstrip("= ") == text.rstrip("= ")


def _has(character: str, encoding: str) -> bool:
    try:
        if encoding in custom_encoders:  # the standard's repertoire is smaller than that of Python's codec
            custom_encoders[encoding](character, errors="strict")
        else:
            character.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True
