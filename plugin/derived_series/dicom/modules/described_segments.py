"""Segments described by plain data: a list of objects, or a table given by its name or its text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydicom.sr.coding import Code

from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.modules.segmentation import Segment, segments
from derived_series.dicom.modules.segments_from import TABLES, segments_from, segments_of_text
from derived_series.errors import BlueprintError

DescribedSegments = Sequence[Mapping[str, Any]] | Mapping[str, str] | str


def elements_of_request(described: DescribedSegments) -> Blueprint:
    """Make the elements for described segments.

    :param described: a list of objects, the name of a table, or a table's text under the key ``Table``.
    :raises BlueprintError: there is no such table. A name is never taken for that of a file.
    """
    if isinstance(described, str):
        if described not in TABLES:
            raise BlueprintError(
                f"there is no table of segments {described!r}",
                remedy=f"name one of {', '.join(TABLES)}, or give a table's text under the key Table",
            )
        return segments_from(described)
    if isinstance(described, Mapping):
        return segments_of_text(described["Table"], "Segments")
    return segments(*map(_segment, described))


def _segment(document: Mapping[str, Any]) -> Segment:
    return Segment(
        number=document["Number"],
        label=document["Label"],
        type=_concept(document.get("Type")),
        category=_concept(document.get("Category")),
        color=document.get("Color"),
        description=document.get("Description"),
        modifier=_concept(document.get("Modifier")),
        region=_concept(document.get("Region")),
        region_modifier=_concept(document.get("RegionModifier")),
        tracking_id=document.get("TrackingID"),
        tracking_uid=document.get("TrackingUID"),
    )


def _concept(concept: str | Mapping[str, str] | None) -> Code | str | None:
    return Code(concept["Value"], concept["Scheme"], concept["Meaning"]) if isinstance(concept, Mapping) else concept
