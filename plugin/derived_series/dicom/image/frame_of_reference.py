"""The frame of reference of a series or an image (PS3.3 C.7.4.1)."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.dataelem import DataElement
from pydicom.tag import Tag

from derived_series.dicom.encoding.tags import Key
from derived_series.dicom.source.parent_series import ParentSeries
from derived_series.identifiers import uid_of


@dataclass(frozen=True, slots=True)
class FrameOfReference:
    """A frame of reference: the coordinate system of positions.

    :param uid: FrameOfReferenceUID (0020,0052); :param indicator: PositionReferenceIndicator (0020,1040).
    """

    uid: str
    indicator: str = ""

    @classmethod
    def of(cls, series: ParentSeries) -> FrameOfReference:
        """That of a series; if it has none, or one for each slice, a UID that all series derived from it share."""
        pivot = series.pivot
        uid = pivot.get("FrameOfReferenceUID") if series.is_constant("FrameOfReferenceUID") else None
        shared = uid_of(series.series_instance_uid, "frame of reference")
        return cls(str(uid) if uid else shared, str(pivot.get("PositionReferenceIndicator") or ""))

    def write(self, elements: dict[Key, DataElement]) -> None:
        """Set both values if the elements contain a frame of reference."""
        for keyword, vr, value in (
            ("FrameOfReferenceUID", "UI", self.uid),
            ("PositionReferenceIndicator", "LO", self.indicator),
        ):
            key = (int(Tag(keyword)), "")
            if key in elements:
                elements[key] = DataElement(Tag(keyword), vr, value or None)
