"""Modality and VOI LUTs as they are met in files (PS3.3 C.11.1.1, C.11.2.1.1).

pydicom's own functions take no entries of 8 bits that are packed, which the standard asks for, no first value that was
written as an unsigned number, and no table that is longer than the pixels' type.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from derived_series.dicom.encoding.value_rules import values_of
from derived_series.errors import InvalidParent

_WORDS = 1 << 16


def look_up(values: npt.NDArray[Any], item: Dataset, *, signed: bool, big_endian: bool = False) -> npt.NDArray[Any]:
    """Whole numbers through a table; those beyond its ends get its first and its last entry.

    :param item: of ModalityLUTSequence or VOILUTSequence.
    :param signed: whether a first value that is written as an unsigned number may stand for a negative one.
    :raises InvalidParent: a table that has fewer entries than it says.
    """
    entries, first, _ = numbers_of(item)
    first = first - _WORDS if signed and first >= _WORDS // 2 else first
    table = _entries(item, entries, big_endian)
    if len(table) < entries:
        raise InvalidParent(
            f"LUTData (0028,3006) has {len(table)} entries, and LUTDescriptor (0028,3002) says {entries}",
            remedy="correct the table in the parent series",
        )
    return table[np.clip(values.astype(np.int64) - first, 0, entries - 1)]


def numbers_of(item: Dataset) -> tuple[int, int, int]:
    """LUTDescriptor: how many entries there are, the first value that is mapped as it is written, bits of an entry.

    :raises InvalidParent: without them.
    """
    value = item.get("LUTDescriptor")
    if isinstance(value, bytes):
        value = np.frombuffer(value, "<u2").tolist()
    if value is None or isinstance(value, str | int) or len(value) != 3:
        raise InvalidParent(
            f"LUTDescriptor (0028,3002) is {value!r}, not three numbers", remedy="correct it in the parent series"
        )
    entries, first, bits = map(int, value)
    return entries % _WORDS or _WORDS, first, bits


def _entries(item: Dataset, count: int, big_endian: bool) -> npt.NDArray[Any]:
    """The entries, of 8 or 16 bits: in as many bytes as entries there are, each is one byte."""
    data = item.get("LUTData")
    if not isinstance(data, bytes):
        return np.array(values_of(item["LUTData"]) if data is not None else [], np.int64) % _WORDS
    if len(data) in (count, count + count % 2) and count > 1:
        packed = np.frombuffer(data, "u1")
        return packed.reshape(-1, 2)[:, ::-1].ravel() if big_endian and len(packed) % 2 == 0 else packed
    return np.frombuffer(data, ">u2" if big_endian else "<u2")
