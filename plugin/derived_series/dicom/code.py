"""Coded concepts as sequence items (PS3.3 8.8), without CodingSchemeVersion."""

from __future__ import annotations

import difflib
from functools import lru_cache

from pydicom.dataset import Dataset
from pydicom.sr.codedict import Collection, codes
from pydicom.sr.coding import Code

from derived_series.errors import BlueprintError


def code_item(code: Code) -> Dataset:
    """The item of a code sequence."""
    item = Dataset()
    item.CodeValue = code.value
    item.CodingSchemeDesignator = code.scheme_designator
    item.CodeMeaning = code.meaning
    return item


def snomed(code: Code | str) -> Code:
    """A code of SNOMED CT by its name or its value in PS3.16: ``"Liver"`` or ``"10200004"``.

    A Code is taken as it is, but one that PS3.16 knows must have its meaning there (case does not count).

    :raises BlueprintError: a name or value that PS3.16 does not have, a Code of another meaning.
    """
    if isinstance(code, Code):
        known = _meanings().get(code.value, ()) if code.scheme_designator == "SCT" else ()
        if known and code.meaning.casefold() not in {meaning.casefold() for meaning in known}:
            raise BlueprintError(f"SCT {code.value} is not {code.meaning!r}", remedy=f"PS3.16 says {known[0]!r}")
        return code
    if isinstance(code, str):
        if code in _meanings():
            return Code(code, "SCT", _meanings()[code][0])
        if code in _names():
            return _named(code)
    near = difflib.get_close_matches(str(code), _names(), 3)
    raise BlueprintError(
        f"{code!r} is no code of SNOMED CT in PS3.16",
        remedy=f"{'perhaps ' + ', '.join(near) if near else 'give its value, such as 10200004'}; of other schemes give "
        'Code(value, scheme, meaning), in a request {"Value": "", "Scheme": "", "Meaning": ""}',
    )


def unit(code: Code | str) -> Code:
    """A unit of UCUM by its code: ``"mm2/s"``; ``"1"`` is none. One that PS3.16 does not list is its own meaning.

    :raises BlueprintError: text that is no UCUM code (case counts there).
    """
    if isinstance(code, Code):
        return code
    if (
        not isinstance(code, str)
        or not 0 < len(code) <= 16
        or not code.isascii()
        or not code.isprintable()
        or " " in code
    ):
        raise BlueprintError(f"{code!r} is no UCUM code", remedy='write it as UCUM does, such as "mm2/s", "ms", "g/ml"')
    group = codes.UCUM
    for name in group.dir():
        found: Code = getattr(group, name)
        if found.value == code:
            return found
    return Code(code, "UCUM", code)


def _collection() -> Collection:
    found: Collection = codes.SCT
    return found


@lru_cache(maxsize=1)
def _names() -> frozenset[str]:
    return frozenset(_collection().dir())


def _named(name: str) -> Code:
    try:
        found: Code = getattr(_collection(), name)
    except RuntimeError as error:  # pydicom's, for names of several codes
        raise BlueprintError(f"{name!r} is the name of several codes: {error}", remedy="give the value") from error
    return found


@lru_cache(maxsize=1)
def _meanings() -> dict[str, tuple[str, ...]]:
    """The meanings of each value; the one that context groups use first, not the full name with "(body structure)"."""
    found: dict[str, list[tuple[bool, str]]] = {}
    for name in _names():
        try:
            code = _named(name)
        except BlueprintError:
            continue
        found.setdefault(code.value, []).append((code.meaning.endswith(")"), code.meaning))
    return {value: tuple(meaning for _, meaning in sorted(texts)) for value, texts in found.items()}
