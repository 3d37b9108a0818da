"""The elements of a header about the image's place, in objects whose builder sets that place."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from pydicom.dataelem import DataElement
from pydicom.tag import Tag

from derived_series.dicom.encoding.tags import Key, describe
from derived_series.dicom.grid import Grid
from derived_series.dicom.image.frame_of_reference import FrameOfReference
from derived_series.dicom.modules.image import image_plane_blueprint
from derived_series.dicom.objects.single_instance import Draft
from derived_series.dicom.series.plane import NEAR_MM, off_place
from derived_series.dicom.source.parent_series import ParentSeries
from derived_series.errors import GeometryError

_PLANE = frozenset(int(element.tag) for element in image_plane_blueprint)
_POSITION, _SPACING = ((int(Tag(name)), "") for name in ("ImagePositionPatient", "SpacingBetweenSlices"))
LEAVE_IT_OUT = "leave it out of the blueprint: the image decides it"
#: The attributes of a plane in functional groups (PS3.3 C.7.6.16.2.1, C.7.6.16.2.3, C.7.6.16.2.4).
IN_GROUPS = (
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "SpacingBetweenSlices"),
)


def with_place(draft: Draft, grid: Grid | None, kept: Iterable[str] = (), in_groups: Iterable[str] = ()) -> Draft:
    """Remove from the draft the attributes of a plane that the object does not have at its top level.

    :param grid: the image's grid; None for no place. :param kept: keywords of those that the object has there.
    :param in_groups: keywords of those in its functional groups. Removing any others is a warning.
    :raises GeometryError: the header says that the image is elsewhere.
    """
    require_place(draft.elements, grid, draft.env.parent, draft.env.frame)
    gone = {key for key in draft.elements if key[0] in _PLANE} - {(int(Tag(name)), "") for name in kept}
    elements = {key: element for key, element in draft.elements.items() if key not in gone}
    lost = sorted(gone - {(int(Tag(name)), "") for name in in_groups})
    warnings = [f"{describe(tag)} is left out: it is of images of one frame" for tag, _ in lost]
    return replace(draft, elements=elements, warnings=(*draft.warnings, *warnings))


def require_place(
    elements: Mapping[Key, DataElement], grid: Grid | None, parent: ParentSeries, frame: FrameOfReference | None
) -> None:
    """Require that shared elements agree with the image's place. :raises GeometryError: they say it is elsewhere."""
    for tag, problem in _elsewhere(elements, grid, parent, frame):
        raise GeometryError(f"{describe(tag)} {problem}", remedy=LEAVE_IT_OUT)


def _elsewhere(
    elements: Mapping[Key, DataElement], grid: Grid | None, parent: ParentSeries, frame: FrameOfReference | None
) -> Iterator[tuple[int, str]]:
    """Each tag that disagrees with the image's place, with what is wrong."""
    yield from off_place(elements, grid, parent, frame)
    if grid is None:
        return
    position, spacing = elements.get(_POSITION), elements.get(_SPACING)
    if position is not None and not position.is_empty:
        place = [float(value) for value in position.value] if position.VM == 3 else []
        if not place or math.dist(place, grid.positions[0]) > NEAR_MM:
            yield _POSITION[0], f"is {place or position.value}, the first slice is at {list(grid.positions[0])}"
    apart = grid.slice_spacing
    if spacing is not None and not spacing.is_empty and apart is not None:
        distance = abs(float(spacing.value)) if spacing.VM == 1 else math.inf
        if abs(distance - apart) > max(NEAR_MM, 0.01 * apart):
            yield _SPACING[0], f"is {spacing.value}, the slices are {apart:g} mm apart"
