"""Coded concepts as sequence items (PS3.3 8.8), without CodingSchemeVersion."""

from __future__ import annotations

import difflib
import re
from functools import lru_cache

from pydicom.dataset import Dataset
from pydicom.sr.codedict import Collection, codes
from pydicom.sr.coding import Code

from derived_series.dicom.encoding import ucum
from derived_series.errors import Advice, BlueprintError, Choice


def code_item(code: Code) -> Dataset:
    """The item of a code sequence for a code."""
    item = Dataset()
    item.CodeValue = code.value
    item.CodingSchemeDesignator = code.scheme_designator
    item.CodeMeaning = code.meaning
    return item


def snomed(code: Code | str) -> Code:
    """Look up a code of SNOMED CT by its name or its value in PS3.16: ``"Liver"`` or ``"10200004"``.

    A Code is returned unchanged: its value and scheme identify it, its meaning may be any synonym (PS3.3 8.3).

    :raises BlueprintError: PS3.16 has no such name or value.
    """
    if isinstance(code, Code):
        return code
    if isinstance(code, str):
        if code in _meanings("SCT"):
            return Code(code, "SCT", _meanings("SCT")[code][0])
        if code in _names():
            return _named(code)
    near = difflib.get_close_matches(str(code), _names(), 3)
    raise BlueprintError(
        f"{code!r} is not a code of SNOMED CT in PS3.16",
        remedy=f"{'perhaps ' + ', '.join(near) if near else 'give its value, such as 10200004'}; of other schemes give "
        "Code(value, scheme, meaning)",
        advice=Advice(Choice.CODE),
    )


def unit(code: Code | str) -> Code:
    """Make the Code of a UCUM unit such as ``"mm2/s"`` (``"1"`` for none); its meaning is that in PS3.16, or the unit.

    A Code of UCUM is checked too; one of another scheme is returned unchanged.

    :raises BlueprintError: the text is not a UCUM code, in which case counts.
    """
    if isinstance(code, Code) and code.scheme_designator != "UCUM":
        return code
    text = code.value if isinstance(code, Code) else code
    if not isinstance(text, str) or not 0 < len(text) <= 16 or not ucum.is_unit(text):
        meant = ucum.suggestion(text) if isinstance(text, str) else None
        remedy = f'write "{meant}"' if meant else 'write it as UCUM does, such as "mm2/s", "ms", "g/ml"; "1" for none'
        raise BlueprintError(f"{text!r} is not a UCUM code", remedy=remedy)
    return code if isinstance(code, Code) else Code(text, "UCUM", ucum.meaning(text))


def meaning_doubt(value: str, scheme: str, meaning: str) -> str | None:
    """A message if a code's meaning belongs to another concept; None for its own meaning or a synonym."""
    if scheme not in _COLLECTIONS:
        return None
    text, known = _plain(meaning), _meanings(scheme).get(value, ())
    others = _values(scheme).get(text, ())
    if value in others or not others or text in map(_plain, known) or (value, text) in _SYNONYMS:
        return None
    known_text = f"PS3.16 has it as {known[0]!r}" if known else "PS3.16 does not have it"
    return f"the code {scheme} {value} has the meaning {meaning!r}, which is that of {others[0]}; {known_text}"


_COLLECTIONS = ("SCT", "DCM")
#: Meanings that context groups (here CID 7150) use for a code although another code has them too.
_SYNONYMS = frozenset({("123037004", "anatomical structure")})


def _collection(scheme: str) -> Collection:
    collection: Collection = getattr(codes, scheme)
    return collection


@lru_cache(maxsize=len(_COLLECTIONS))
def _names(scheme: str = "SCT") -> frozenset[str]:
    return frozenset(_collection(scheme).dir())


def _named(name: str, scheme: str = "SCT") -> Code:
    try:
        code: Code = getattr(_collection(scheme), name)
    except RuntimeError as error:  # pydicom's, for names of several codes
        raise BlueprintError(f"{name!r} is the name of several codes: {error}", remedy="give the value") from error
    return code


@lru_cache(maxsize=len(_COLLECTIONS))
def _meanings(scheme: str) -> dict[str, tuple[str, ...]]:
    """The meanings of each value; first the one in context groups, not the full name with "(body structure)"."""
    texts_by_value: dict[str, list[tuple[bool, str]]] = {}
    for name in _names(scheme):
        try:
            code = _named(name, scheme)
        except BlueprintError:
            continue
        texts_by_value.setdefault(code.value, []).append((code.meaning.endswith(")"), code.meaning))
    return {value: tuple(meaning for _, meaning in sorted(texts)) for value, texts in texts_by_value.items()}


@lru_cache(maxsize=len(_COLLECTIONS))
def _values(scheme: str) -> dict[str, tuple[str, ...]]:
    """The values with each meaning."""
    values_by_text: dict[str, list[str]] = {}
    for value, texts in _meanings(scheme).items():
        for text in {_plain(text) for text in texts}:
            values_by_text.setdefault(text, []).append(value)
    return {text: tuple(sorted(values)) for text, values in values_by_text.items()}


def _plain(meaning: str) -> str:
    """A meaning in lower case, without the ending of SNOMED's full names: ``(body structure)``."""
    return _KIND.sub("", meaning).strip().casefold()


_KIND = re.compile(r" \([a-z ]+\)$")
