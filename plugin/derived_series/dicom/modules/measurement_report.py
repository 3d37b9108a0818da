"""SR Document Series and General modules (PS3.3 C.17.1, C.17.2), and what a measurement report tells."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydicom.sr.coding import Code
from pydicom.uid import Comprehensive3DSRStorage

from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.blueprints.element import StaticElement
from derived_series.errors import InvalidImage


@dataclass(frozen=True, slots=True)
class SegmentReference:
    """A segment of a stored segmentation.

    :param series: SeriesInstanceUID of the segmentation, :param instance: its SOPInstanceUID.
    :param number: of the segment.
    """

    series: str
    instance: str
    number: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """A number that was measured (PS3.16 TID 1419).

    :param of: what was measured, such as ``"Liver"``: measurements of one thing are one group, its tracking identifier.
    :param concept: what the number is: a code of SNOMED CT by name or value (``"Volume"``), or any Code.
    :param unit: of UCUM: ``"ml"``, ``"[hnsf'U]"``, ``"1"``.
    :param tracking_uid: that of the segment, where it has one; by default one of the report's own.
    :param segment: where it was measured; None for the parent's images.
    :param finding: what the thing is, a code of SNOMED CT by name or value, or any Code.
    """

    of: str
    concept: Code | str
    value: float
    unit: Code | str
    tracking_uid: str | None = None
    segment: SegmentReference | None = None
    finding: Code | str | None = None

    @classmethod
    def of_json(cls, row: Mapping[str, Any]) -> Measurement:
        """From the keys ``Of``, ``Concept``, ``Value``, ``Unit``, ``TrackingUID``, ``Segment`` and ``Finding``.

        :raises InvalidImage: keys that there are not, or that are missing; a value that is not a finite number.
        """
        known = {"Of", "Concept", "Value", "Unit", "TrackingUID", "Segment", "Finding"}
        lacking, unknown = {"Of", "Concept", "Value", "Unit"} - row.keys(), row.keys() - known
        if lacking or unknown:
            wrong = f"lacks {', '.join(sorted(lacking))}" if lacking else f"has {', '.join(sorted(unknown))}"
            raise InvalidImage(f"a measurement {wrong}", remedy=f"its keys are {', '.join(sorted(known))}")
        value, segment = row["Value"], row.get("Segment")
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise InvalidImage(f"the value of {row['Of']!r} is {value!r}", remedy="give a finite number")
        if segment is not None and set(segment) != {"Series", "Instance", "Number"}:
            raise InvalidImage(f"the segment of {row['Of']!r} is {segment!r}", remedy="give Series, Instance, Number")
        return cls(
            str(row["Of"]),
            _concept(row["Concept"]),
            value,
            str(row["Unit"]),
            row.get("TrackingUID"),
            None
            if segment is None
            else SegmentReference(segment["Series"], segment["Instance"], int(segment["Number"])),
            None if row.get("Finding") is None else _concept(row["Finding"]),
        )


def _concept(concept: Any) -> Code | str:
    if isinstance(concept, Mapping) and {"Value", "Scheme", "Meaning"} <= concept.keys():
        return Code(str(concept["Value"]), str(concept["Scheme"]), str(concept["Meaning"]))
    return str(concept)


measurement_report_blueprint = Blueprint(
    [
        StaticElement("SOPClassUID", "UI", Comprehensive3DSRStorage),
        StaticElement("Modality", "CS", "SR"),
        StaticElement("ReferencedPerformedProcedureStepSequence", "SQ", []),
        StaticElement("PerformedProcedureCodeSequence", "SQ", []),
    ]
).named("measurement_report")
"""SR Document Series and SR Document General modules (PS3.3 C.17.1, C.17.2) of a report by TID 1500."""
