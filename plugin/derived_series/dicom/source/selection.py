"""Selection: which instances to take of a parent with several orientations, or with magnitude and phase."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from derived_series.dicom.encoding.tags import to_tag
from derived_series.dicom.encoding.value_rules import texts_in
from derived_series.dicom.grid import SAME_ANGLE_RADIANS
from derived_series.errors import Advice, Choice, GeometryError, InvalidParent

Plane = Literal["Axial", "Sagittal", "Coronal"]
Part = Literal["Magnitude", "Phase", "Real", "Imaginary"]

#: The planes by the axis (x, y, z) nearest to the normal.
_PLANES: tuple[Plane, ...] = ("Sagittal", "Coronal", "Axial")
_PARTS: dict[str, Part] = {"M": "Magnitude", "P": "Phase", "R": "Real", "I": "Imaginary"}
#: Values of ImageType that name the part: M (the standard, Siemens), M_FFE and SW_M_FFE (Philips: part and sequence,
#: and whether software made it), MAGNITUDE (enhanced), PHASE MAP.
_PART_IN_TYPE = re.compile(r"(?:SW[_ ])?(?P<part>[MPRI]|MAG|MAGNITUDE|PHASE|REAL|IMAG|IMAGINARY)(?:[_ ].*)?")
#: The part by its number in GE's private attribute (0043,xx2F).
_GE_CREATOR, _GE_ELEMENT = "GEMS_PARM_01", 0x2F
_GE_PARTS: tuple[Part, ...] = ("Magnitude", "Phase", "Real", "Imaginary")
#: The tolerance for cosines typed by hand, which may be rounded.
_ROUNDED = 0.01
_ORIENTATION, _IMAGE_TYPE, _COMPONENT = (
    int(to_tag(keyword)) for keyword in ("ImageOrientationPatient", "ImageType", "ComplexImageComponent")
)


@dataclass(frozen=True, slots=True)
class Selection:
    """What to take of a parent; None takes everything, and refuses a parent that has several.

    :param orientation: the plane nearest to the slices, or the six cosines of ImageOrientationPatient.
    :param part: the part of complex images (PS3.3 C.8.13.3.1.1), by ComplexImageComponent or else ImageType from
        value 3 on.
    """

    orientation: Plane | Sequence[float] | None = None
    part: Part | None = None


ALL = Selection()


@dataclass(frozen=True, slots=True, eq=False)
class _Group:
    """Instances of one orientation, by their indexes."""

    cosines: npt.NDArray[np.float64]
    members: list[int]

    @property
    def plane(self) -> Plane:
        """The plane nearest to the slices."""
        return _PLANES[int(np.abs(np.cross(self.cosines[:3], self.cosines[3:])).argmax())]

    def describe(self, instances: Sequence[Dataset]) -> str:
        localizers = all("LOCALIZER" in texts_in(instances[i], "ImageType") for i in self.members)
        numbers = np.round(self.cosines, 4).tolist()
        return f"{len(self.members)} x {numbers} ({self.plane}{', localizer' if localizers else ''})"


def choose(
    instances: list[Dataset], varying: frozenset[int], selection: Selection = ALL
) -> tuple[list[Dataset], tuple[str, ...]]:
    """Choose the instances to take, with a warning about those that are left out.

    :param varying: the tags whose values differ between instances.
    :raises GeometryError: there are several orientations, or none fits. :raises InvalidParent: the same for parts.
    """
    warnings = []
    taken = _of_orientation(instances, varying, selection)
    if len(taken) < len(instances):
        warnings.append(_left_out(len(instances) - len(taken), len(instances), "orientation", selection.orientation))
    kept = _of_part(taken, varying, selection)
    if len(kept) < len(taken):
        warnings.append(_left_out(len(taken) - len(kept), len(taken), "part", selection.part))
    return kept, tuple(warnings)


def _left_out(count: int, of: int, key: str, value: str | Sequence[float] | None) -> str:
    chosen = value if isinstance(value, str) else list(value or ())
    return f"{count} of the parent's {of} instances are left out: the {key} {chosen} was chosen"


def _of_orientation(instances: list[Dataset], varying: frozenset[int], selection: Selection) -> list[Dataset]:
    wanted = selection.orientation
    if wanted is None and _ORIENTATION not in varying:
        return instances
    groups = _groups(instances)
    if wanted is None:
        if len(groups) > 1:
            planes = {group.plane for group in groups}
            by_name = len(planes) == len(groups)
            names = " or ".join(f'"{p}"' for p in sorted(planes)) if by_name else "the six numbers of one of them"
            raise GeometryError(
                f"the parent has {len(groups)} orientations (ImageOrientationPatient): {_named(groups, instances)}",
                remedy=f"choose one, {names}, or give a series of one; localizers are not volumes",
                advice=Advice(Choice.ORIENTATION, names if by_name else "[...]"),
            )
        return instances
    fitting = [group for group in groups if _fits(group, wanted)]
    if len(fitting) != 1:
        there = "none" if not fitting else f"{len(fitting)}"
        raise GeometryError(
            f"the orientation {wanted!r} was chosen, and {there} of the parent's orientations fits: "
            f"{_named(groups, instances)}",
            remedy="give the six numbers of one of them",
            advice=Advice(Choice.ORIENTATION, "[...]"),
        )
    return [instances[i] for i in fitting[0].members]


def _groups(instances: Sequence[Dataset]) -> list[_Group]:
    """Group instances by orientation; those without six numbers are left out."""
    groups: list[_Group] = []
    for index, dataset in enumerate(instances):
        try:
            cosines = np.array([float(value) for value in dataset.get("ImageOrientationPatient") or ()])
        except (TypeError, ValueError):
            continue
        if cosines.shape != (6,) or not np.abs(cosines).max() < 2:
            continue
        for group in groups:
            if np.abs(cosines - group.cosines).max() <= SAME_ANGLE_RADIANS:
                group.members.append(index)
                break
        else:
            groups.append(_Group(cosines, [index]))
    return groups


def _fits(group: _Group, wanted: Plane | Sequence[float]) -> bool:
    if isinstance(wanted, str):
        return group.plane == wanted
    return len(wanted) == 6 and float(np.abs(group.cosines - np.asarray(wanted, np.float64)).max()) <= _ROUNDED


def _named(groups: Sequence[_Group], instances: Sequence[Dataset]) -> str:
    return "; ".join(group.describe(instances) for group in groups[:6]) or "there are none"


def _of_part(instances: list[Dataset], varying: frozenset[int], selection: Selection) -> list[Dataset]:
    marks = {_IMAGE_TYPE, _COMPONENT} & varying or any(t >> 16 == 0x43 and t & 0xFF == _GE_ELEMENT for t in varying)
    if selection.part is None and not marks:
        return instances
    parts = [part_of(dataset) for dataset in instances]
    named = ", ".join(f"{count} x {part or 'other'}" for part, count in Counter(parts).most_common())
    if selection.part is None:
        if _at_one_position(instances, parts):
            raise InvalidParent(
                f"the parent has several parts of complex images at the same positions: {named}",
                remedy="choose one of them (Part)",
                advice=Advice(Choice.PART, '"Magnitude", "Phase", "Real" or "Imaginary"'),
            )
        return instances
    taken = [dataset for dataset, part in zip(instances, parts, strict=True) if part == selection.part]
    if not taken:
        raise InvalidParent(f"the part {selection.part} was chosen, and no instance of the parent is that: {named}")
    return taken


def _at_one_position(instances: Sequence[Dataset], parts: Sequence[Part | None]) -> bool:
    """Whether images of different parts are at the same place."""
    if len(set(parts) - {None}) < 2:
        return False
    seen: dict[object, set[Part | None]] = {}
    for dataset, part in zip(instances, parts, strict=True):
        seen.setdefault(_place(dataset), set()).add(part)
    return any(len(there - {None}) > 1 for there in seen.values())


def _place(dataset: Dataset) -> object:
    """ImagePositionPatient to a hundredth of a mm, since the same number may be written in several ways."""
    value = dataset.get("ImagePositionPatient")
    try:
        return tuple(round(float(one), 2) for one in value)
    except (TypeError, ValueError):
        return str(value)


def part_of(dataset: Dataset) -> Part | None:
    """The part of a complex image that an instance is; None if it does not say."""
    component = str(dataset.get("ComplexImageComponent") or "").capitalize()
    for part in _GE_PARTS:
        if component == part:
            return part
    for value in texts_in(dataset, "ImageType")[2:]:
        match = _PART_IN_TYPE.fullmatch(value.upper())
        if match is not None:
            return _PARTS[match["part"][0]]
    try:
        number = int(dataset.private_block(0x0043, _GE_CREATOR)[_GE_ELEMENT].value)
    except (KeyError, TypeError, ValueError):
        return None
    return _GE_PARTS[number] if 0 <= number < len(_GE_PARTS) else None
