"""The SpecificCharacterSet of what is written (PS3.5 6.1.2, PS3.3 C.12.1.1.2)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydicom.charset import convert_encodings, default_encoding
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.valuerep import PersonName

UTF8 = "ISO_IR 192"
TEXT_VRS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})


def chosen_charset(preferred: Any, elements: Iterable[DataElement]) -> tuple[Any, str | None]:
    """(SpecificCharacterSet, warning): the preferred one when it holds all the text, else UTF-8.

    :param preferred: the value of (0008,0005), None for the default repertoire.
    """
    encodings = convert_encodings(list(preferred) if _several(preferred) else preferred)
    # what pydicom reads as Latin-1 is ASCII by the standard (ISO-IR 6)
    encodings = ["ascii" if encoding == default_encoding else encoding for encoding in encodings]
    for element in elements:
        text = _unencodable(element, encodings)
        if text is not None:
            said = "\\".join(preferred) if _several(preferred) else (preferred or "the default repertoire")
            return UTF8, f"{text!r} cannot be written in {said}: the text is re-encoded in {UTF8}"
    return preferred, None


def _several(value: Any) -> bool:
    return value is not None and not isinstance(value, str)


def _unencodable(element: DataElement, encodings: list[str]) -> str | None:
    """The first text of an element, or inside its sequence, that the encodings cannot hold."""
    if element.VR == "SQ":
        items: Iterable[Dataset] = element.value or []
        for item in items:
            for inner in item:
                text = _unencodable(inner, encodings)
                if text is not None:
                    return text
        return None
    if element.VR not in TEXT_VRS or element.value is None:
        return None
    values = element.value if element.VM > 1 else [element.value]
    for value in values:
        parts = value.components if isinstance(value, PersonName) else [str(value)]
        for part in parts:
            if not part.isascii() and not _encodable(part, encodings):
                return str(value)
    return None


def _encodable(text: str, encodings: list[str]) -> bool:
    """Whether every character is in one of the repertoires (ISO 2022 switches between them)."""
    return all(any(_has(character, encoding) for encoding in encodings) for character in set(text))


def _has(character: str, encoding: str) -> bool:
    try:
        character.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True
