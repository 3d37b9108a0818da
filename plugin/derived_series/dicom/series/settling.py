"""Asking the elements of a blueprint for their values, in any phase of a build."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from pydicom.dataelem import DataElement

from derived_series.dicom.blueprints.blueprint import Entry
from derived_series.dicom.blueprints.element import ABSENT, DEFER, LackingValue, VirtualElement
from derived_series.dicom.encoding.tags import Key, keyword
from derived_series.errors import Missing


@dataclass(frozen=True, slots=True)
class Settled:
    """The result of a phase.

    :param elements: the elements that are known now. :param deferred: the entries that a later phase answers.
    :param missing: the tags that cannot have a value.
    """

    elements: dict[Key, DataElement]
    deferred: tuple[Entry, ...]
    missing: tuple[Missing, ...]


def settle(entries: Iterable[Entry], answer: Callable[[VirtualElement], Any]) -> Settled:
    """Ask all entries, so that everything missing is known at once.

    :param answer: asks an element, in the environment of the phase.
    """
    elements: dict[Key, DataElement] = {}
    deferred: list[Entry] = []
    missing: list[Missing] = []
    for entry in entries:
        element = entry.element
        try:
            value = answer(element)
        except LackingValue as lack:
            missing.append(Missing(int(element.tag), keyword(element.tag), str(lack)))
            continue
        if value is DEFER:
            deferred.append(entry)
        elif value is not ABSENT:
            elements[element.key] = element.data_element(value)
    return Settled(elements, tuple(deferred), tuple(missing))
