"""Reading standard attributes in the VR of PS3.6, whatever VR the parent's file names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from pydicom import config
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement, convert_raw_data_element
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag
from pydicom.valuerep import FLOAT_VR, INT_VR, STR_VR

from derived_series.dicom.encoding.decimal_string import decimal_string
from derived_series.dicom.encoding.read_errors import READ_ERRORS
from derived_series.dicom.encoding.tags import describe
from derived_series.dicom.encoding.value_rules import text_of, value_problem, values_of

_TEXTS = STR_VR
_NUMBERS = (INT_VR | FLOAT_VR) - {"DS", "IS", "AT"}


def read_by_dictionary(instances: Sequence[Dataset]) -> list[str]:
    """Give elements that name another VR that of the dictionary (PS3.6), where their values can be of it.

    Only texts and numbers are looked at, and not those in sequences. Instances whose elements have the VRs of one that
    was checked before, in the same order, are taken to be like it.

    :param instances: before any of their elements is used.
    :returns: a warning for each attribute.
    """
    wrong_tags: dict[tuple[str | None, ...], tuple[BaseTag, ...]] = {}
    warnings: dict[str, None] = {}
    for instance in instances:
        vrs = tuple([element.VR for element in instance.values()])
        if vrs not in wrong_tags:
            wrong_tags[vrs] = tuple(tag for tag, element in instance.items() if _is_other(int(tag), element.VR))
        for tag in wrong_tags[vrs]:
            warnings.update(dict.fromkeys(_mend(instance, tag)))
    return list(warnings)


@lru_cache(maxsize=4096)
def _is_other(tag: int, vr: str | None) -> bool:
    """Whether a VR is not the attribute's in PS3.6, and both are of texts or numbers."""
    if vr is None or not (vr in _TEXTS or vr in _NUMBERS) or BaseTag(tag).is_private or not dictionary_has_tag(tag):
        return False
    allowed = dictionary_VR(tag).split(" or ")
    return vr not in allowed and (allowed[0] in _TEXTS or allowed[0] in _NUMBERS)


def _mend(instance: Dataset, tag: BaseTag) -> Iterable[str]:
    """Replace an element by one of the dictionary's VR, and return a warning."""
    read = instance.get_item(tag)
    if read is None or read.value is None or not _is_other(int(tag), read.VR):  # None may stay in its file
        return ()
    vr = dictionary_VR(tag).split(" or ")[0]
    name = f"{describe(tag)} of the parent series has the VR {read.VR}"
    try:
        mended = _in_vr(read, vr)
    except READ_ERRORS:
        return (f"{name} in place of {vr}, which its value cannot be of: it is kept so",)
    instance[tag] = mended
    return (f"{name}: it was read as {vr}",)


def _in_vr(read: DataElement | RawDataElement, vr: str) -> DataElement | RawDataElement:
    """The same value in another VR. :raises ValueError: it cannot be of that."""
    if isinstance(read, RawDataElement) and read.VR in _TEXTS and vr in _TEXTS:
        raw = read._replace(VR=vr)
        _require_readable(convert_raw_data_element(raw))
        return raw
    element = convert_raw_data_element(read) if isinstance(read, RawDataElement) else read
    values = [text_of(value).strip() for value in values_of(element)]
    if vr in _TEXTS and read.VR in _NUMBERS:
        values = [decimal_string(float(value)) if vr in ("DS", "IS") else value for value in values]
    if vr in _NUMBERS:
        parsed = [float(value) if vr in FLOAT_VR else int(value) for text in values for value in text.split("\\")]
        mended = DataElement(element.tag, vr, parsed[0] if len(parsed) == 1 else parsed or None)
        if value_problem(mended):
            raise ValueError(value_problem(mended))
        return mended
    mended = DataElement(element.tag, vr, "\\".join(values), validation_mode=config.IGNORE)
    _require_readable(mended)
    return mended


def _require_readable(element: DataElement) -> None:
    """Require that a DS or IS is a number; whatever else is wrong is told as of any value.

    :raises ValueError: it is not.
    """
    if element.VR in ("DS", "IS"):
        for value in values_of(element):
            float(value)
