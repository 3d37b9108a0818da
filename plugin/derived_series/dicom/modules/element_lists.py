"""Short ways to write the elements of modules."""

from __future__ import annotations

from derived_series.dicom.blueprints.copy_elements import CopyElement, CopyOrElseElement, PositionCopyElement
from derived_series.dicom.blueprints.element import ABSENT, VirtualElement
from derived_series.dicom.blueprints.environment import SeriesEnvironment
from derived_series.dicom.blueprints.function_elements import HeaderElement
from derived_series.dicom.encoding.times import as_date, as_time


def date_and_time_of_build(date: str, time: str) -> list[VirtualElement]:
    """A DA and a TM element, by their keywords, with the time of the build."""
    return [HeaderElement(date, date_of_build), HeaderElement(time, time_of_build)]


def date_of_build(env: SeriesEnvironment) -> str:
    """The date of the build, as DA."""
    return as_date(env.now)


def time_of_build(env: SeriesEnvironment) -> str:
    """The time of the build, as TM."""
    return as_time(env.now)


def copies(*keywords: str) -> list[VirtualElement]:
    """Copies of the parent's series values, left out where it has none (type 3)."""
    return [CopyElement(keyword, Optional=True) for keyword in keywords]


def copies_or_empty(*keywords: str) -> list[VirtualElement]:
    """Copies of the parent's series values, empty where it has none (type 2)."""
    return [CopyOrElseElement(keyword, None) for keyword in keywords]


def by_position(*keywords: str) -> list[VirtualElement]:
    """Copies of values that may differ by slice, left out where none holds (type 3)."""
    return [PositionCopyElement(keyword, ABSENT) for keyword in keywords]


def by_position_or_empty(*keywords: str) -> list[VirtualElement]:
    """Copies of values that may differ by slice, empty where none holds (type 2)."""
    return [PositionCopyElement(keyword, None) for keyword in keywords]
