"""Comparing the slice positions and planes in a classic series' header with its grid (PS3.3 C.7.6.2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from pydicom.dataelem import DataElement

from derived_series.dicom.blueprints.element import ABSENT
from derived_series.dicom.blueprints.environment import InstanceEnvironment
from derived_series.dicom.encoding.tags import Key, to_tag
from derived_series.dicom.series.classic import DerivedSeries, ask
from derived_series.dicom.series.plane import NEAR_MM, off_place

_POSITION = int(to_tag("ImagePositionPatient"))
_OF_PLANE = frozenset(
    int(to_tag(name)) for name in ("ImageOrientationPatient", "PixelSpacing", "SliceThickness", "FrameOfReferenceUID")
)


def positions_of(series: DerivedSeries) -> list[list[float]]:
    """ImagePositionPatient of every instance; an empty list for an instance without one."""
    entry = next((e for e in series.instanced if int(e.element.tag) == _POSITION), None)
    shared = series.elements.get((_POSITION, ""))
    if shared is not None and not shared.is_empty:
        return [[float(value) for value in shared.value]] * len(series)
    if entry is None:
        return []
    positions = []
    for index in range(len(series)):
        value = ask(entry.element, InstanceEnvironment(series.env, index))
        coordinates = getattr(value, "value", value)
        positions.append([] if value is ABSENT or coordinates is None else [float(v) for v in coordinates])
    return positions


def off_positions(series: DerivedSeries, positions: list[list[float]]) -> Iterator[tuple[int, str, int | None]]:
    """The first position that is not the slice's: its tag, what is wrong, and the index of the instance."""
    grid = series.env.grid
    if grid is None or not positions:
        return
    where = [grid.positions[index % series.env.slices] for index in range(len(series))]
    lacking = [index for index, position in enumerate(positions) if len(position) != 3]
    off = lacking or np.flatnonzero(np.abs(np.subtract(positions, where)).max(axis=1) > NEAR_MM).tolist()
    if off:
        yield _POSITION, f"is {positions[off[0]]}, the slice is at {list(where[off[0]])}", off[0]


def off_planes(series: DerivedSeries) -> Iterator[tuple[int, str, int | None]]:
    """The other tags that do not match the slices' planes, each with what is wrong.

    The third value is the index of the first instance with the problem; None for a tag that all share.
    """
    for tag, problem in _problems(series, series.elements):
        yield tag, problem, None
    varying = [entry.element for entry in series.instanced if int(entry.element.tag) in _OF_PLANE]
    for index in range(len(series)) if varying else ():
        elements: dict[Key, DataElement] = {}
        for element in varying:
            value = ask(element, InstanceEnvironment(series.env, index))
            if value is not ABSENT:
                elements[element.key] = element.data_element(value)
        wrong = list(_problems(series, elements))
        yield from ((tag, problem, index) for tag, problem in wrong)
        if wrong:
            return


def _problems(series: DerivedSeries, elements: Mapping[Key, DataElement]) -> Iterator[tuple[int, str]]:
    return off_place(elements, series.env.grid, series.env.parent, series.env.frame)
