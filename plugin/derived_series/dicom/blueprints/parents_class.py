"""An element for images that keep the parent's SOP class."""

from __future__ import annotations

from pydicom.uid import UID

from derived_series.dicom.blueprints.copy_elements import CopyElement
from derived_series.dicom.blueprints.element import LackingValue, Value
from derived_series.dicom.blueprints.environment import SeriesEnvironment
from derived_series.dicom.source.multiframe.frame import source_of


class ParentsClassElement(CopyElement):
    """Copies the parent's SOPClassUID, which must be one of some classes.

    :param classes: their UIDs.
    """

    classes: tuple[str, ...]

    def __init__(self, *classes: str):
        super().__init__("SOPClassUID")
        self._set(classes=classes)

    def describe(self) -> str:
        return "the parent's"

    def at_header(self, env: SeriesEnvironment) -> Value:
        sop_class = UID(str(source_of(env.pivot).get("SOPClassUID", "")))
        if sop_class not in self.classes:
            names = " or ".join(UID(uid).name for uid in self.classes)
            raise LackingValue(f"it is the parent's, one of {names}; the parent is of {sop_class.name or 'no class'}")
        return sop_class
