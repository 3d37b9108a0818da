"""The SpecificCharacterSet of what is written (PS3.5 6.1.2, PS3.3 C.12.1.1.2)."""

from __future__ import annotations

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

from derived_series.dicom.tags import describe

UTF8 = "ISO_IR 192"
TEXT_VRS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
#: Escape sequences of ISO 2022 (PS3.5 6.1.2.5): pydicom leaves those of ISO 2022 IR 58 in the text that it reads.
ESCAPE = re.compile(r"\x1b[ -/]+[0-~]")

#: What stands for bytes that are not of the character set.
_REPLACEMENT = "\ufffd"


def chosen_charset(preferred: Any, elements: Iterable[DataElement]) -> tuple[Any, str | None]:
    """(SpecificCharacterSet, warning): the preferred one when it holds all the text, else UTF-8.

    :param preferred: the value of (0008,0005), None for the default repertoire.
    """
    encodings = convert_encodings(list(preferred) if _several(preferred) else preferred)
    said = "\\".join(preferred) if _several(preferred) else (preferred or "the default repertoire")
    beyond: str | None = None
    unread: dict[str, bool] = {}  # where there were bytes of another character set -> whether it is a name
    for element, value in _texts(elements):
        if _REPLACEMENT in str(value):
            unread[describe(element.tag)] = element.VR == "PN"
        if beyond is None and not _fits(value, encodings):
            beyond = str(value)
    warnings = []
    kept = [where for where, is_name in unread.items() if is_name and beyond is None]
    lost = [where for where in unread if where not in kept]
    if kept:
        warnings.append(f"{', '.join(kept)}: not all bytes are of {said}; they are kept as the parent has them")
    if lost:
        warnings.append(f"{', '.join(lost)}: bytes that are not of the parent's {said} are replaced by U+FFFD")
    if beyond is not None:
        warnings.append(f"{beyond!r} cannot be written in {said}: the text is re-encoded in {UTF8}")
    return preferred if beyond is None else UTF8, "; ".join(warnings) or None


def keep_names(instances: Sequence[Dataset], varying: Iterable[int]) -> None:
    """Let the person names of a series stay byte for byte what they were read as, when they are written again.

    pydicom drops what says nothing: a ``=`` at the end, an escape sequence to the set that holds anyway.

    :param varying: the tags that not all instances have with the same value; others are taken from the first.
    """
    for instance in instances[:1]:
        _keep(instance, [int(tag) for tag in instance.keys() if _is_name(int(tag))])
    names = [tag for tag in varying if _is_name(tag)]
    for instance in instances[1:] if names else ():
        _keep(instance, names)


def _keep(dataset: Dataset, names: Iterable[int]) -> None:
    read = dict(dataset.items())  # without converting
    for tag in names:
        raw = read.get(BaseTag(tag))
        if not isinstance(raw, RawDataElement) or not raw.value:
            continue
        name = dataset[tag].value
        if isinstance(name, PersonName):
            name.original_string = raw.value


def _is_name(tag: int) -> bool:
    try:
        return dictionary_VR(tag) == "PN"
    except KeyError:
        return False


def _several(value: Any) -> bool:
    return value is not None and not isinstance(value, str)


def _texts(elements: Iterable[DataElement]) -> Iterator[tuple[DataElement, Any]]:
    """Each text beyond ASCII, of the elements and inside their sequences."""
    for element in elements:
        if element.VR == "SQ":
            for item in element.value or []:
                yield from _texts(item)
        elif element.VR in TEXT_VRS and element.value is not None:
            for value in element.value if element.VM > 1 else [element.value]:
                if not str(value).isascii():
                    yield element, value


def _fits(value: Any, encodings: list[str]) -> bool:
    """Whether pydicom writes the text in these encodings, and reads it back.

    What pydicom reads as Latin-1 is ASCII by the standard (ISO-IR 6).
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
