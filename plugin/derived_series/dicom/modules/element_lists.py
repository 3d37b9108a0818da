"""Short ways to write the elements that modules are made of."""

from __future__ import annotations

from derived_series.dicom.blueprints.copy_elements import CopyElement, CopyOrElseElement, PositionCopyElement
from derived_series.dicom.blueprints.element import ABSENT, VirtualElement
from derived_series.dicom.blueprints.environment import SeriesEnvironment
from derived_series.dicom.blueprints.function_elements import HeaderElement
from derived_series.dicom.encoding.times import as_date, as_time


def date_and_time_of_build(date: str, time: str) -> list[VirtualElement]:
    """A DA and a TM, by their keywords, that say when the series was made."""
    return [HeaderElement(date, date_of_build), HeaderElement(time, time_of_build)]


def date_of_build(env: SeriesEnvironment) -> str:
    """DA."""
    return as_date(env.now)


def time_of_build(env: SeriesEnvironment) -> str:
    """TM."""
    return as_time(env.now)


def copies(*keywords: str) -> list[VirtualElement]:
    """Series values of the parent, left out where it has none (type 3)."""
    return [CopyElement(keyword, Optional=True) for keyword in keywords]


def copies_or_empty(*keywords: str) -> list[VirtualElement]:
    """Series values of the parent, empty where it has none (type 2)."""
    return [CopyOrElseElement(keyword, None) for keyword in keywords]


def by_position(*keywords: str) -> list[VirtualElement]:
    """Values that may differ by slice, left out where none is true (type 3)."""
    return [PositionCopyElement(keyword, ABSENT) for keyword in keywords]


def by_position_or_empty(*keywords: str) -> list[VirtualElement]:
    """Values that may differ by slice, empty where none is true (type 2)."""
    return [PositionCopyElement(keyword, None) for keyword in keywords]
