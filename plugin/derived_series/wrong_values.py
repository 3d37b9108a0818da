"""Describes the values that pydantic refused, for people who do not know pydantic."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from derived_series.shortening import shortened

#: The most characters of a quoted value or key.
_VALUE_CHARACTERS = 60
#: The most characters of a validator's sentence, which may quote several values.
_SENTENCE_CHARACTERS = 600

#: Descriptions of the models' patterns. A test looks for each pattern here.
PATTERNS: Mapping[str, str] = MappingProxyType(
    {
        r"^[0-9a-f]{8}(?:-[0-9a-f]{8}){4}$": "Orthanc's identifier, such as 5fd91a2c-... (five groups of eight "
        "hexadecimal digits)",
        r"^[^\\=\x00-\x1f\x7f]*[^\\=\x00-\x20\x7f][^\\=\x00-\x1f\x7f]*$": "a name without =, \\ and control characters",
        r"^[0-9a-f]{8,64}$": "a text of 8 to 64 hexadecimal digits (0-9, a-f)",
        r"^[^\x00-\x08\x0b\x0c\x0e-\x1f]*$": "a text without control characters",
        r"^#[0-9a-fA-F]{6}$": "a color such as #ff8000",
        r"^[A-Za-z][A-Za-z0-9]{0,63}$": "the keyword of a DICOM tag (such as Modality)",
        r"^[^\x00-\x1f]{1,100}$": "a text of 1 to 100 characters without control characters",
        r"^[A-Za-z][A-Za-z0-9_]*$": "a name of letters, digits and _ that begins with a letter",
        r"^(tcp|tls)://[^/@\s]+:[0-9]{1,5}$": "an address such as tls://host:8786",
        r"^https?://[^/@\s]+(/[^@\s]*[^/@\s])?$": "a URL such as https://host:8042, without user and / at its end",
        r"^postgres(ql)?://": "a URL such as postgresql://user@host/database",
        r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$": "a name (1 to 40 letters, digits, ., _ and -; first a letter or digit)",
        r"^https?://[^/\s]+$": "an origin (such as https://host:8042, without a path)",
        r"^[^/\s]+$": "the name of a host (without blanks and /)",
    }
)

#: The expected type, by pydantic's name of the error about another type.
_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "bool_parsing": "a boolean",
        "bool_type": "a boolean",
        "dict_type": "an object",
        "finite_number": "a finite number",
        "float_parsing": "a number",
        "float_type": "a number",
        "int_from_float": "a whole number",
        "int_parsing": "a whole number",
        "int_type": "a whole number",
        "list_type": "an array",
        "model_attributes_type": "an object",
        "model_type": "an object",
        "none_required": "null",
        "string_type": "a string",
        "tuple_type": "an array",
    }
)

#: The expected range, by pydantic's name of the error about a value outside it, with pydantic's names of the bounds.
_BOUNDS: Mapping[str, str] = MappingProxyType(
    {
        "greater_than": "a number greater than {gt:.12g}",
        "greater_than_equal": "a number of at least {ge:.12g}",
        "less_than": "a number less than {lt:.12g}",
        "less_than_equal": "a number of at most {le:.12g}",
        "multiple_of": "a multiple of {multiple_of:.12g}",
    }
)

#: Keys of secrets, whose values are not quoted.
_SECRET = frozenset({"OrthancHeaders", "Notify", "JobsDatabase"})

#: The beginning of pydantic's expectations, and its prefixes for the errors of a model's own checks.
_EXPECTED, _OF_CHECKS = "Input should be ", ("Value error, ", "Assertion failed, ")

#: The user in an address, which may include a password and is not quoted.
_USER = re.compile(r"//[^\s\"]*@")

#: Parts of pydantic's places that are not keys but branches of unions.
_BRANCH = re.compile(r"<[a-z]+>|[a-z]+(-[a-z]+)*(\[.*)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Wrong:
    """One thing that is wrong.

    :param expected: what a value of another type or form should be; empty where ``sentence`` says what is wrong.
    :param branched: it is of one branch of a union; another may fit.
    """

    place: tuple[int | str, ...]
    expected: str
    sentence: str
    value: object
    branched: bool


def place_of(item: Mapping[str, Any], document: object) -> tuple[int | str, ...]:
    """The keys that lead to a wrong value as the client wrote them, without pydantic's additions."""
    place: list[int | str] = []
    around: Any = document
    missing = len(item["loc"]) - 1 if item["type"] == "missing" else None
    for position, part in enumerate(item["loc"]):
        if _has(around, part):
            around = around[part]
        elif position == missing:
            pass  # a key, even if it looks like a branch
        elif part == "[key]" or (isinstance(part, str) and _BRANCH.fullmatch(part)):
            continue
        else:
            around = None
        place.append(part)
    return tuple(place)


def _has(around: object, part: int | str) -> bool:
    if isinstance(around, list):
        return isinstance(part, int) and part < len(around)
    return isinstance(around, Mapping) and part in around


def place_text(place: Sequence[int | str]) -> str:
    """A place in one line, even if its keys are long."""
    return ".".join(_quoted_key(part) for part in place)


def problems_in_words(items: Sequence[Mapping[str, Any]], document: object) -> list[str]:
    """All problems, one clause each. :param items: pydantic's errors. :param document: the refused document."""
    wrongs = [_wrong(item, document) for item in items]
    places = dict.fromkeys(wrong.place for wrong in wrongs)
    clauses = []
    for place in places:
        here = [wrong for wrong in wrongs if wrong.place == place]
        deeper = any(len(other) > len(place) and other[: len(place)] == place for other in places)
        if deeper and all(wrong.branched and wrong.expected for wrong in here):
            continue  # it has the form of another branch, with an error in it
        sentences = [wrong.sentence for wrong in here if wrong.sentence]
        clauses += sentences or [_expectation(place, here)]
    return list(dict.fromkeys(clauses))


def _wrong(item: Mapping[str, Any], document: object) -> _Wrong:
    place = place_of(item, document)
    kind, value, bounds = item["type"], item["input"], item.get("ctx", {})
    where = place_text(place)
    expected = sentence = ""
    if kind == "extra_forbidden":
        sentence = f"unknown key {where!r}"
    elif kind == "missing":
        sentence = f"{where} is missing"
    elif kind in _TYPES:
        expected = _TYPES[kind]
    elif kind in _BOUNDS and all(isinstance(bound, int | float) for bound in bounds.values()):
        expected = _BOUNDS[kind].format(**bounds)
    elif kind in ("literal_error", "enum"):
        expected = bounds["expected"]
    elif kind == "string_pattern_mismatch":
        expected = PATTERNS.get(bounds["pattern"], f"a text of the form {bounds['pattern']}")
    elif kind == "string_too_short" and bounds["min_length"] == 1:
        sentence = _at(where, "it is empty: at least 1 character is needed")
    elif kind == "string_too_short":
        sentence = _at(where, f"at least {bounds['min_length']} characters are needed, not {len(value)}")
    elif kind == "string_too_long":
        sentence = _at(where, f"at most {bounds['max_length']} characters are allowed, not {len(value)}")
    elif kind == "too_short":
        least = "one is" if bounds["min_length"] == 1 else f"{bounds['min_length']} are"
        sentence = _at(where, f"at least {least} needed")
    elif kind == "too_long":
        sentence = _at(where, f"at most {bounds['max_length']} are allowed")
    elif item["msg"].startswith(_EXPECTED):
        text, _, _ = item["msg"].removeprefix(_EXPECTED).partition(", ")
        expected = shortened(f"a value {text}" if kind in _BOUNDS else text, _SENTENCE_CHARACTERS)
    else:
        message = item["msg"]
        for prefix in _OF_CHECKS:
            message = message.removeprefix(prefix)
        sentence = _at(where, shortened(message, _SENTENCE_CHARACTERS))
    if item["loc"] and item["loc"][-1] == "[key]":
        key = f"the key {_quoted_key(place[-1])!r}"
        around = place_text(place[:-1])
        text = f"{key}: {expected} is expected" if expected else sentence.replace(_at(where, ""), f"{key}: ", 1)
        expected, sentence = "", _at(around, text)
    return _Wrong(place, expected, sentence, value, len(place) < len(item["loc"]))


def _expectation(place: Sequence[int | str], wrongs: Sequence[_Wrong]) -> str:
    each = dict.fromkeys(wrong.expected for wrong in wrongs)
    if "a number" in each:
        each.pop("a whole number", None)
    expected = " or ".join(each)
    is_secret = bool(place) and place[0] in _SECRET and not expected.startswith("'")
    value = wrongs[0].value
    kind = json_type(value)
    quoted = kind if is_secret or value is None else f"{kind} {_quoted(value)}"
    return _at(place_text(place), f"{expected} is expected, not {quoted}")


def _at(where: str, text: str) -> str:
    return f"{where}: {text}" if where else text


def json_type(value: object) -> str:
    """JSON's name for a value's type; Python's name if JSON has no such type."""
    names = {dict: "object", list: "array", str: "string", bool: "boolean", int: "number", float: "number"}
    return "null" if value is None else names.get(type(value), type(value).__name__)


def _quoted(value: object) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except (TypeError, ValueError):  # a dict with keys that are not texts, or a list that contains itself
        text = repr(value)
    return shortened(_USER.sub("//***@", text), _VALUE_CHARACTERS)


def _quoted_key(part: int | str) -> str:
    return shortened(str(part), _VALUE_CHARACTERS)
