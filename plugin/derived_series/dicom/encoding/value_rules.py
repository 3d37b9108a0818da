"""What a value representation allows (PS3.5 6.2): lengths, characters, the number of values (PS3.6)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from math import isfinite
from operator import index
from typing import Any, SupportsFloat, SupportsIndex

from pydicom import config
from pydicom.datadict import dictionary_has_tag, dictionary_VM
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag
from pydicom.uid import UID
from pydicom.valuerep import STR_VR, validate_value

from derived_series.dicom.encoding.character_sets import ESCAPE, TEXT_VRS
from derived_series.dicom.encoding.late_pixels import LatePixels
from derived_series.dicom.encoding.tags import describe, to_tag
from derived_series.dicom.encoding.times import OFFSET

#: VRs that are checked by pydicom's own validators.
_CHECKED = STR_VR - {"UI"}
_ZONE = to_tag("TimezoneOffsetFromUTC")
#: VRs of text in several lines: always one value, in which a backslash is an ordinary character.
_LINES = frozenset(("LT", "ST", "UT"))
_FLOATS = ("FD", "FL")
_BYTES = ("OB", "OD", "OF", "OL", "OV", "OW", "UN")
_INTEGERS = {
    vr: (-(1 << bits - 1) * signed, (1 << bits - signed) - 1)
    for bits, signed, vr in ((16, 0, "US"), (16, 1, "SS"), (32, 0, "UL"), (32, 1, "SL"), (64, 0, "UV"), (64, 1, "SV"))
}
_NAMES = {"\\": "a backslash", "\0": "NUL", "\a": "BEL", "\t": "TAB", "\n": "LF", "\r": "CR", "\x1b": "ESC"}
_CONTROLS = "\0-\x1f\x7f-\x9f\ud800-\udfff"
#: In Unicode: line and paragraph separators, characters that change the direction of text, and the byte order mark.
_UNSEEN = "\u2028-\u202e\u2066-\u2069\ufeff"
_REFUSED = re.compile(rf"[{_CONTROLS}{_UNSEEN}\\]")
_REFUSED_IN_LINES = re.compile(rf"(?![\t\n\f\r])[{_CONTROLS}]")


def given_problem(tag: BaseTag, vr: str, value: Any) -> str | None:
    """What is wrong with the characters or the number of values in a user's value; None if nothing is.

    A backslash separates values where an attribute may have several; elsewhere it is an error.

    :param value: a text or a list of texts; anything else is accepted.
    """
    if vr not in STR_VR:
        return None
    several = isinstance(value, Sequence) and not isinstance(value, str)
    texts = [str(v) for v in (value if several else [value]) if v is not None]
    one = has_one_value(tag)
    if several and len(texts) > 1 and (one or vr in _LINES):
        return f"it has {len(texts)} values, and PS3.6 allows one"
    if not several and vr not in _LINES and not one:
        texts = [part for text in texts for part in text.split("\\")]
    return next(filter(None, (character_problem(vr, text) for text in texts)), None)


def character_problem(vr: str, text: str) -> str | None:
    """The first character that a value of a text VR must not contain, as a message; None if there is none."""
    match = (_REFUSED_IN_LINES if vr in _LINES else _REFUSED).search(text)
    if match is None:
        return None
    name = _NAMES.get(match[0], f"the control character U+{ord(match[0]):04X}")
    why = "which separates values" if match[0] == "\\" else f"which {vr} does not allow"
    return f"it has {name} at character {match.start() + 1}, {why}"


def one_line(text: str) -> str:
    """Make a text one value on one line: characters that LO does not allow become spaces."""
    return " ".join(_REFUSED.sub(" ", ESCAPE.sub("", text)).split())


def cut(text: str, most: int) -> str:
    """Cut a text to at most ``most`` characters, between words if it has several."""
    if len(text) <= most:
        return text
    whole = text[: most + 1].rpartition(" ")[0]
    return (whole or text[:most]).rstrip(" ,;:-([")


def has_one_value(tag: BaseTag) -> bool:
    """Whether PS3.6 allows the attribute at most one value; False for attributes that it does not have."""
    return not tag.is_private and dictionary_has_tag(tag) and dictionary_VM(tag) == "1"


def is_uid(text: str) -> bool:
    """Whether a text is a UID (PS3.5 9.1)."""
    return bool(UID(text, validation_mode=config.IGNORE).is_valid)


def value_problem(element: DataElement) -> str | None:
    """What is wrong with an element's value by its VR; None if nothing is."""
    return next((problem for _, problem in wrong_values(element)), None)


#: A plain decimal string, of which contours have millions; other numbers are checked more closely.
_PLAIN_DS, _LONGEST_DS = re.compile(r"-?[0-9]+(?:\.[0-9]+)?"), 16


def wrong_values(element: DataElement) -> Iterator[tuple[str, str]]:
    """The first value that is not allowed, and the reason."""
    if isinstance(element, LatePixels) or isinstance(element.value, bytes):
        return
    texts = [text_of(value) for value in values_of(element)]
    if element.tag == _ZONE and texts and not OFFSET.fullmatch(texts[0].strip()):
        yield texts[0], f"is {texts[0]!r}: it is not an offset from UTC such as +0100 (PS3.3 C.12.1.1.8)"
        return
    if element.VR in _BYTES and texts:  # bytes are not looked at
        yield texts[0], f"is of the type {type(element.value).__name__}: {element.VR} holds bytes"
        return
    if element.VR in _FLOATS:
        for text, value in zip(texts, values_of(element), strict=True):
            if not isinstance(value, SupportsFloat):
                yield text, f"is {text!r}: {element.VR} holds numbers"
                return
    if element.VR in _INTEGERS:
        low, high = _INTEGERS[element.VR]
        for text, value in zip(texts, values_of(element), strict=True):
            if not isinstance(value, SupportsIndex) or not low <= index(value) <= high:
                yield text, f"is {text!r}: {element.VR} holds whole numbers from {low} to {high}"
                return
    if len(texts) > 1 and element.VR in STR_VR and has_one_value(element.tag):
        text = "\\".join(texts)
        yield text, f"is {text!r}: it has {len(texts)} values (a backslash separates them), and PS3.6 allows one"
        return
    for text in texts:
        problem = _problem(element.VR, text)
        if problem is not None:
            yield text, f"is {text!r}: {problem}"
            return


def _problem(vr: str, text: str) -> str | None:
    if vr == "UI":
        return None if is_uid(text) else "not a UID (64 characters at most, no component with a leading zero)"
    if vr not in _CHECKED or (vr == "DS" and len(text) <= _LONGEST_DS and _PLAIN_DS.fullmatch(text)):
        return None
    if vr in ("DA", "TM") and "-" in text:
        return "it is a range, which only a query has"
    problem = character_problem(vr, ESCAPE.sub("", text) if vr in TEXT_VRS else text)
    if problem is None:
        try:
            validate_value(vr, text, config.RAISE)
            if vr == "DS" and text and not isfinite(float(text)):
                return "it is larger than any number that is read"
        except ValueError as refused:
            return str(refused).split(" Please see")[0]
    return problem


def values_of(element: DataElement) -> Sequence[Any]:
    """The values of an element, as a list; empty for an empty element."""
    if element.is_empty:
        return ()
    return element.value if element.VM > 1 else (element.value,)


def texts_in(dataset: Dataset, keyword: str) -> list[str]:
    """The values of a text attribute without spaces around them; empty if it is missing or empty.

    Of one value pydicom makes a string, of several a list: a string must not be taken for a list of characters.
    """
    return [str(value).strip() for value in values_of(dataset[keyword])] if keyword in dataset else []


def text_of(value: Any) -> str:
    """A value as text, as written in the file."""
    original = getattr(value, "original_string", None)  # of a PersonName, bytes
    return original if original and isinstance(original, str) else str(value)


def item_problems(items: Sequence[Dataset], place: str = "") -> Iterator[str]:
    """Problems in the items of a sequence, at any depth: ``item 1, SegmentLabel (0062,0005) is ...``."""
    for number, item in enumerate(items, 1):
        where = f"{place}item {number}, "
        for element in item:
            if element.VR == "SQ":
                yield from item_problems(element.value or (), f"{where}{describe(element.tag)}, ")
            else:
                problem = value_problem(element)
                if problem is not None:
                    yield f"{where}{describe(element.tag)} {problem}"
