"""Settling the character set of a series, for shared elements and those of each instance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.valuerep import PersonName

from derived_series.dicom.blueprints.blueprint import Entry
from derived_series.dicom.blueprints.copy_elements import CopyElement
from derived_series.dicom.blueprints.element import ABSENT
from derived_series.dicom.blueprints.environment import ImageEnvironment, InstanceEnvironment
from derived_series.dicom.encoding.character_sets import ESCAPE, TEXT_VRS, UTF8, chosen_charset
from derived_series.dicom.encoding.tags import Key

_CHARSET = Tag("SpecificCharacterSet")
_KEY: Key = (int(_CHARSET), "")


def settle_charset(
    elements: Mapping[Key, DataElement], instanced: Sequence[Entry], env: ImageEnvironment
) -> tuple[dict[Key, DataElement], str | None]:
    """Set the SpecificCharacterSet that holds all of the text, with a warning if it is not the parent's.

    :param elements: the shared elements. :param instanced: the entries that differ by instance.
    """
    settled = dict(elements)
    preferred = settled[_KEY].value if _KEY in settled else env.parent.pivot.get("SpecificCharacterSet")
    texts = list(settled.values())
    parents = (preferred or None) == (env.parent.pivot.get("SpecificCharacterSet") or None)
    parents = parents and env.parent.is_constant("SpecificCharacterSet")
    for entry in instanced:  # a function's text may contain anything; copies are in the parent's set
        element = entry.element
        text = element.VR in TEXT_VRS or (element.VR == "SQ" and not element.encodes_itself)
        if text and not (parents and isinstance(element, CopyElement)):
            for index in range(env.count):
                value = element.at_instance(InstanceEnvironment(env, index))
                if value is not ABSENT:
                    texts.append(element.data_element(value))
    charset, warning = chosen_charset(preferred or None, texts)
    if charset == UTF8:
        settled = {key: without_escapes(element) for key, element in settled.items()}
    if charset:
        settled[_KEY] = DataElement(_CHARSET, "CS", charset)
    else:
        settled.pop(_KEY, None)
    return settled, warning


def settle_dataset(dataset: Dataset, preferred: Any) -> str | None:
    """Set the SpecificCharacterSet of a finished dataset, with a warning if it is not the preferred one.

    :param preferred: the value of (0008,0005), empty for the default repertoire.
    """
    charset, warning = chosen_charset(preferred or None, dataset)
    if charset == UTF8:
        for element in list(dataset):
            dataset[element.tag] = without_escapes(element)
    if charset:
        dataset.SpecificCharacterSet = charset if isinstance(charset, str) else list(charset)
    elif "SpecificCharacterSet" in dataset:
        del dataset.SpecificCharacterSet
    return warning


def is_utf8(elements: Mapping[Key, DataElement]) -> bool:
    """Whether the text is written in UTF-8."""
    return _KEY in elements and elements[_KEY].value == UTF8


def without_escapes(element: DataElement) -> DataElement:
    """Remove escape sequences, which mean nothing in UTF-8, also in sequences; the same element if there are none."""
    if not _has_escapes(element):
        return element
    if element.VR == "SQ":
        items = [Dataset({inner.tag: without_escapes(inner) for inner in item}) for item in element.value]
        return DataElement(element.tag, "SQ", items)
    value = [_plain(one) for one in element.value] if element.VM > 1 else _plain(element.value)
    return DataElement(element.tag, element.VR, value)


def _has_escapes(element: DataElement) -> bool:
    if element.VR == "SQ":
        return any(_has_escapes(inner) for item in element.value or () for inner in item)
    return element.VR in TEXT_VRS and "\x1b" in str(element.value or "")


def _plain(value: Any) -> Any:
    text = ESCAPE.sub("", str(value))
    return PersonName(text) if isinstance(value, PersonName) else text
