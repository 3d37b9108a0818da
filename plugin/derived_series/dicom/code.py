"""Coded concepts as sequence items (PS3.3 8.8), without CodingSchemeVersion."""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code


def code_item(code: Code) -> Dataset:
    """The item of a code sequence."""
    item = Dataset()
    item.CodeValue = code.value
    item.CodingSchemeDesignator = code.scheme_designator
    item.CodeMeaning = code.meaning
    return item
