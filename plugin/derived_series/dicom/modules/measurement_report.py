"""SR Document Series and General modules (PS3.3 C.17.1, C.17.2), and the measurements of a report."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any, Protocol

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import Comprehensive3DSRStorage, SegmentationStorage

from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.blueprints.element import StaticElement
from derived_series.dicom.modules.codes import snomed, unit
from derived_series.dicom.source.parent_series import ParentSeries
from derived_series.errors import BlueprintError, InvalidImage

#: The keys of a measurement that are codes, Concept first.
_CODES = ("Concept", "Finding", "Site", "Laterality")
#: Characters of CodingSchemeDesignator (SH) and CodeMeaning (LO).
_LONGEST_SCHEME, _LONGEST_MEANING = 16, 64
#: What a UID of a stored segmentation may look like; leading zeros, which some writers put there, are allowed.
_UID = re.compile("[0-9.]{1,64}")


class SegmentationHeader(Protocol):
    """The part of a ``SeriesHeader`` that refers to a segmentation before it is made."""

    @property
    def series_instance_uid(self) -> str:
        """SeriesInstanceUID (0020,000E)."""

    @property
    def sop_class_uid(self) -> str:
        """SOPClassUID (0008,0016)."""

    def instance_uid(self, index: int = 0) -> str:
        """SOPInstanceUID (0008,0018) of an instance."""

    def __contains__(self, tag: str) -> bool: ...

    def __getitem__(self, tag: str) -> DataElement: ...


@dataclass(frozen=True, slots=True)
class SegmentReference:
    """A segment of a segmentation that is stored or made by the same job.

    :param series: SeriesInstanceUID of the segmentation, :param instance: its SOPInstanceUID.
    :param number: of the segment; in a segmentation of the same job, its label in the label map.
    :param sop_class: SOPClassUID of the segmentation.
    :param label: SegmentLabel, which identifies the segment if the segmentation renumbers its segments.
    """

    series: str
    instance: str
    number: int
    sop_class: str = SegmentationStorage
    label: str = ""

    @classmethod
    def of(cls, source: SegmentationHeader | ParentSeries, segment: int | str) -> SegmentReference:
        """Refer to a segment by its number or its name.

        :param source: a header of the same job, such as ``container.headers["mask"]``; or a segmentation that is an
            input, such as ``container.parents["mask"]``.
        :param segment: the label in the label map (of an input SegmentNumber), or SegmentLabel.
        :raises InvalidImage: the source is not a segmentation, or has no such name.
        """
        if isinstance(source, ParentSeries):
            pivot = source.pivot
            series, instance, sop_class = source.series_instance_uid, str(pivot.SOPInstanceUID), str(pivot.SOPClassUID)
            items = pivot.get("SegmentSequence") or ()
        else:
            series, instance, sop_class = source.series_instance_uid, source.instance_uid(0), source.sop_class_uid
            items = (source["SegmentSequence"].value or ()) if "SegmentSequence" in source else ()
        if not sop_class.startswith(_SEGMENTATIONS) or (isinstance(source, ParentSeries) and not items):
            raise InvalidImage(
                f"{instance} is not a segmentation",
                remedy="name a header or an input of a segmentation in SegmentReference",
            )
        labels = {int(item.SegmentNumber): str(item.get("SegmentLabel") or "") for item in items}
        if isinstance(segment, int):
            return cls(series, instance, segment, sop_class, labels.get(segment) or f"Segment {segment}")
        number = next((number for number, label in labels.items() if label == segment), None)
        if number is None:
            raise InvalidImage(f"no segment is called {segment!r}", remedy=f"there are: {named(items)}")
        return cls(series, instance, number, sop_class, segment)


#: Segmentation and Label Map Segmentation Storage; Surface Segmentation has no label map.
_SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")


def named(items: Iterable[Dataset]) -> str:
    """List the segments of SegmentSequence, for messages."""
    return ", ".join(f"{item.SegmentNumber} {item.get('SegmentLabel', '')}".strip() for item in items) or "none"


@dataclass(frozen=True, slots=True)
class Measurement:
    """A measured number (PS3.16 TID 1419).

    :param of: what was measured, such as ``"Liver"``: the tracking identifier of a group of measurements.
    :param concept: what the number is: a code of SNOMED CT by name or value (``"Volume"``), or any Code.
    :param unit: of UCUM: ``"ml"``, ``"[hnsf'U]"``, ``"1"``.
    :param tracking_uid: the tracking UID of the segment, if it has one; by default a new one.
    :param segment: where it was measured; None for the parent's images.
    :param finding: what was measured, as a code of SNOMED CT by name or value, or any Code.
    :param site: where in the body it is, likewise; :param laterality: the side of the site: ``"Left"``, ``"Right"``.

    ``tracking_uid``, ``finding``, ``site`` and ``laterality`` default to those of the segment, if it belongs to an
    input or is made by the same job.
    """

    of: str
    concept: Code | str
    value: float
    unit: Code | str
    tracking_uid: str | None = None
    segment: SegmentReference | None = None
    finding: Code | str | None = None
    site: Code | str | None = None
    laterality: Code | str | None = None

    @classmethod
    def of_json(cls, row: Mapping[str, Any]) -> Measurement:
        """Read a measurement from the keys ``Of``, ``Concept``, ``Value``, ``Unit``, ``TrackingUID``, ``Segment``,
        ``Finding``, ``Site`` and ``Laterality``.

        :raises InvalidImage: a key is unknown or missing, the value is not a finite number, or a code or unit is
            unknown.
        """
        known = {"Of", "Concept", "Value", "Unit", "TrackingUID", "Segment", "Finding", "Site", "Laterality"}
        lacking, unknown = {"Of", "Concept", "Value", "Unit"} - row.keys(), row.keys() - known
        if lacking or unknown:
            wrong = f"lacks {', '.join(sorted(lacking))}" if lacking else f"has {', '.join(sorted(unknown))}"
            raise InvalidImage(f"a measurement {wrong}", remedy=f"its keys are {', '.join(sorted(known))}")
        segment = row.get("Segment")
        concepts = {key: _concept(row[key]) for key in _CODES if row.get(key) is not None}
        return cls(
            str(row["Of"]),
            concepts.get("Concept", ""),
            row["Value"],
            str(row["Unit"]),
            row.get("TrackingUID"),
            None if segment is None else _segment(segment, row["Of"]),
            *(concepts.get(key) for key in _CODES[1:]),
        ).checked()

    def checked(self) -> Measurement:
        """The measurement with its names resolved to Codes, and its value as an int or a float.

        :raises InvalidImage: the value is not a finite number, or a code, unit or segment is unknown.
        """
        if not str(self.of).strip():
            raise InvalidImage(f"a measurement is of {self.of!r}", remedy="name what was measured")
        value, reference = self.value, self.segment
        if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
            raise InvalidImage(f"the value of {self.of!r} is {value!r}", remedy="give a finite number")
        if reference is not None and not (
            _UID.fullmatch(reference.series) and _UID.fullmatch(reference.instance) and 0 < reference.number < 1 << 16
        ):
            raise InvalidImage(
                f"the segment of {self.of!r} is {reference.number} of {reference.instance!r} in {reference.series!r}",
                remedy="give the UIDs of a segmentation and of its series, and the number of a segment, from 1 on",
            )
        fields = ("concept", "finding", "site", "laterality")
        try:
            concepts = {name: snomed(code) for name in fields if (code := getattr(self, name)) is not None}
            units = unit(self.unit)
        except BlueprintError as error:
            raise InvalidImage(
                f"the measurement of {self.of!r}: {error.message}", remedy=error.remedy, advice=error.advice
            ) from error
        for code in (*concepts.values(), units):
            _require_written(code, self.of)
        return replace(self, value=int(value) if isinstance(value, Integral) else float(value), unit=units, **concepts)


def _require_written(code: Code, of: str) -> None:
    """Require that the attributes of a code can hold it (PS3.3 8.8). :raises InvalidImage: they cannot."""
    if not 0 < len(code.meaning) <= _LONGEST_MEANING or not 0 < len(code.scheme_designator) <= _LONGEST_SCHEME:
        raise InvalidImage(
            f"the measurement of {of!r}: the code {code.value!r} has the scheme {code.scheme_designator!r} and the "
            f"meaning {code.meaning!r}",
            remedy=f"a scheme has up to {_LONGEST_SCHEME} characters, a meaning up to {_LONGEST_MEANING}",
        )
    if not code.value:
        raise InvalidImage(f"the measurement of {of!r}: {code.meaning!r} has no code", remedy="give its value")


def _segment(reference: Any, of: str) -> SegmentReference:
    """Read the reference to a segment. :raises InvalidImage: it is not one."""
    needed = {"Series", "Instance", "Number"}
    if not isinstance(reference, Mapping) or not needed <= set(reference) <= needed | {"SOPClass"}:
        raise InvalidImage(
            f"the segment of {of!r} is {reference!r}",
            remedy="give Series, Instance, Number, and SOPClass where it is not Segmentation Storage",
        )
    sop_class, number = str(reference.get("SOPClass", SegmentationStorage)), reference["Number"]
    if isinstance(number, bool) or not isinstance(number, int):
        raise InvalidImage(f"the segment of {of!r} has the number {number!r}", remedy="give a whole number from 1 on")
    return SegmentReference(str(reference["Series"]), str(reference["Instance"]), number, sop_class)


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
