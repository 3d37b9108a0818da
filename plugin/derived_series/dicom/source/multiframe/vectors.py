"""The places of frames in multi-frame objects without functional groups, from vectors (PS3.3 C.8.4.8, C.8.8.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

from derived_series.dicom.encoding.decimal_string import decimal_string
from derived_series.dicom.encoding.value_rules import texts_in
from derived_series.dicom.grid import FARTHEST_MM, SAME_ANGLE_RADIANS, SAME_POSITION_MM

_POSITION, _ORIENTATION = Tag("ImagePositionPatient"), Tag("ImageOrientationPatient")
#: Tags of a whole instance that may be about a single frame.
PLACE = (_POSITION, _ORIENTATION, Tag("SliceLocation"))


Place = dict[BaseTag, DataElement]


def places(source: Dataset, count: int) -> Sequence[Place]:
    """The position and orientation of each frame; empty if the instance does not say them.

    Reconstructed NM (C.8.4.9): the first slice is at the detector's position, the others follow along the normal;
    a negative SpacingBetweenSlices goes against it. RT Dose (C.8.8.3.2): GridFrameOffsetVector.
    """
    known_places = _reconstructed(source, count) or _dose(source, count)
    return known_places or [{} for _ in range(count)]


def _reconstructed(source: Dataset, count: int) -> list[Place]:
    kinds = texts_in(source, "ImageType")
    detectors = source.get("DetectorInformationSequence")
    spacing = source.get("SpacingBetweenSlices")
    if not detectors or not spacing or len(kinds) < 3 or not kinds[2].startswith("RECON"):
        return []
    position, orientation = (
        detectors[0].get(keyword) for keyword in ("ImagePositionPatient", "ImageOrientationPatient")
    )
    numbers = _whole(source.get("SliceVector"), count) or list(range(1, count + 1))
    times = _whole(source.get("TimeSlotVector") or source.get("PhaseVector"), count)
    if not _are(position, 3) or not _are(orientation, 6):
        return []
    along_normal = _along(position, orientation, [(number - 1) * float(spacing) for number in numbers])
    tag = Tag("TemporalPositionIdentifier")
    return (
        [{**place, tag: DataElement(tag, "IS", time)} for place, time in zip(along_normal, times, strict=True)]
        if times
        else along_normal
    )


def _dose(source: Dataset, count: int) -> list[Place]:
    """RT Dose: offsets from the first frame or, if they begin at its z, the z of each frame.

    The standard allows z only for planes along x and y. For transverse planes that are turned or mirrored, such as
    (1, 0, 0, 0, -1, 0), whose normal points down, they are z too.
    """
    offsets, position = source.get("GridFrameOffsetVector"), source.get("ImagePositionPatient")
    orientation, scaling = source.get("ImageOrientationPatient"), source.get("DoseGridScaling")
    if count == 1 and scaling:
        offsets = [0.0]
    if not _are(offsets, count) or not _are(position, 3) or not _are(orientation, 6):
        return []
    numbers = [float(offset) for offset in _listed(offsets)]
    along_normal = _along(position, orientation, distances_from_first(numbers, position, orientation))
    slope = Tag("RescaleSlope")
    return [{**place, slope: DataElement(slope, "DS", scaling)} for place in along_normal] if scaling else along_normal


def distances_from_first(offsets: Sequence[float], position: Any, orientation: Any) -> list[float]:
    """Distances of a dose's frames along the normal from the first of them, in mm (PS3.3 C.8.8.3.2).

    :param offsets: of GridFrameOffsetVector. :param position: ImagePositionPatient.
    :param orientation: ImageOrientationPatient.
    """
    row, column = np.split(np.array([float(value) for value in orientation]), 2)
    are_z = offsets[0] != 0 and abs(offsets[0] - float(position[2])) < SAME_POSITION_MM
    goes_down = are_z and float(np.cross(row, column)[2]) < SAME_ANGLE_RADIANS - 1
    return [(offsets[0] - offset) if goes_down else (offset - offsets[0]) for offset in offsets]


def _along(position: Any, orientation: Any, distances: Sequence[float]) -> list[Place]:
    first = np.array([float(value) for value in position])
    row, column = np.split(np.array([float(value) for value in orientation]), 2)
    normal = np.cross(row, column)
    shared = DataElement(_ORIENTATION, "DS", list(orientation))
    return [
        {
            _POSITION: DataElement(_POSITION, "DS", [decimal_string(v) for v in first + distance * normal]),
            _ORIENTATION: shared,
        }
        for distance in distances
    ]


def _are(values: Any, count: int) -> bool:
    """Whether there are ``count`` numbers. :raises ValueError: one of them cannot be a place."""
    listed = _listed(values)
    for value in listed:
        if not abs(float(value)) < FARTHEST_MM:
            raise ValueError(f"{value!r} is not a place")
    return len(listed) == count


def _listed(values: Any) -> list[Any]:
    """The values of an element that may have one, several or none, as a list."""
    if values is None or values == "":
        return []
    return [values] if isinstance(values, str | float | int) else list(values)


def _whole(values: Any, count: int) -> list[int]:
    return [int(value) for value in _listed(values)] if _are(values, count) else []
