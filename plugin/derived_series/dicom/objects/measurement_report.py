"""Measurement report (PS3.16 TID 1500) as Comprehensive 3D SR: numbers, where they were measured, and by what."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from derived_series.dicom.image.placement import Placement, without_geometry
from derived_series.dicom.image.stored_pixels import encode_pixels
from derived_series.dicom.modules.codes import snomed, unit
from derived_series.dicom.modules.equipment import MANUFACTURER, MODEL, software_version
from derived_series.dicom.modules.measurement_report import Measurement, SegmentReference, named
from derived_series.dicom.modules.references import whole_references
from derived_series.dicom.objects.single_instance import IMAGE_ONLY, Draft, draft_of, finished
from derived_series.dicom.series.finished import FinishedSeries
from derived_series.dicom.series.header import SeriesHeader
from derived_series.errors import InvalidImage
from derived_series.identifiers import uid_of
from derived_series.kinds.kind import PixelRules

#: The elements of highdicom's document that follow from its content.
_STRUCTURE = (
    *("ValueType", "ConceptNameCodeSequence", "ContinuityOfContent", "ContentTemplateSequence", "ContentSequence"),
    *("CompletionFlag", "PreliminaryFlag", "VerificationFlag", "CurrentRequestedProcedureEvidenceSequence"),
)


def build(header: SeriesHeader, image: Any, placement: Placement, nan: float | None) -> FinishedSeries:
    """Refuse: a report is made from measurements, not from pixels. :raises InvalidImage: always."""
    raise InvalidImage(
        "a measurement report is made from measurements, not from an array of pixels",
        remedy="use the factory measurement_report, with a JSON file or a list of Measurement",
    )


def build_from_file(header: SeriesHeader, content: bytes | Sequence[Measurement]) -> FinishedSeries:
    """Build the report.

    :param content: a JSON file with a list of measurements, with the keys of ``Measurement.of_json``; or measurements.
    :raises InvalidImage: they are invalid, or an empty list. :raises BlueprintError: a code is unknown.
    """
    from highdicom.sr import Comprehensive3DSR

    measurements = _read(content) if isinstance(content, bytes) else list(content)
    if not measurements or not all(isinstance(each, Measurement) for each in measurements):
        raise InvalidImage("there are no measurements", remedy="give a list of at least one")
    measurements = [each.checked() for each in measurements]
    nothing = encode_pixels(np.zeros((1, 1, 1), dtype=np.uint8), PixelRules())  # a report has no pixels
    draft = draft_of(header, nothing, without_geometry(header.parent, 1), IMAGE_ONLY)
    segmentations = header.env.segmentations
    groups = _groups(measurements, segmentations)
    sources = [to.instance for to in whole_references(header.parent.instances)]
    evidence = [_evidence(draft, source) for source in sources]
    referred = {group.segment.instance: group.segment for group in groups if group.segment is not None}
    evidence += [_segmentation(draft, referred[uid], segmentations.get(uid)) for uid in sorted(referred)]
    report = Comprehensive3DSR(
        evidence=evidence,
        content=_report(draft, groups, sources),
        series_instance_uid=header.series_instance_uid,
        series_number=1,
        sop_instance_uid=draft.instance_uid,
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
    )
    return finished(draft, [report[name] for name in _STRUCTURE if name in report])


def _read(content: bytes) -> list[Measurement]:
    try:
        rows = json.loads(content)
    except ValueError as error:
        raise InvalidImage(f"the measurements are not JSON: {error}", remedy="give a list of objects") from error
    if isinstance(rows, dict):
        rows = rows.get("Measurements")
    if not isinstance(rows, list) or not all(isinstance(each, dict) for each in rows):
        raise InvalidImage(
            "the measurements are not a list of objects", remedy="give each with the keys Of, Concept, Value and Unit"
        )
    return [Measurement.of_json(each) for each in rows]


def _evidence(draft: Draft, source: Dataset) -> Dataset:
    """An instance as evidence for highdicom, which needs more than it uses: the rest comes from the draft."""
    evidence = Dataset()
    evidence.StudyInstanceUID = draft.env.parent.study_instance_uid
    evidence.SeriesInstanceUID = draft.env.parent.series_instance_uid
    evidence.SOPClassUID, evidence.SOPInstanceUID = source.SOPClassUID, source.SOPInstanceUID
    evidence.PatientID = evidence.PatientName = evidence.PatientSex = evidence.PatientBirthDate = ""
    evidence.StudyID = evidence.StudyDate = evidence.StudyTime = evidence.AccessionNumber = ""
    return evidence


def _segmentation(draft: Draft, segment: SegmentReference, known: Dataset | None) -> Dataset:
    source = Dataset()
    source.SOPClassUID, source.SOPInstanceUID = segment.sop_class, segment.instance
    evidence = _evidence(draft, source)
    evidence.SeriesInstanceUID = segment.series
    if known is not None:
        evidence.StudyInstanceUID = known.StudyInstanceUID
    return evidence


@dataclass(frozen=True, slots=True, eq=False)
class _Group:
    """The measurements of one thing.

    :param segment: the segment, numbered as in the segmentation. :param item: its item in SegmentSequence.
    """

    of: str
    segment: SegmentReference | None
    measurements: tuple[Measurement, ...]
    item: Dataset

    def first(self, name: str) -> Any:
        """The first value of a field among the measurements; None if none has one."""
        return next((value for each in self.measurements if (value := getattr(each, name)) is not None), None)


def _groups(measurements: Sequence[Measurement], segmentations: Mapping[str, Dataset]) -> list[_Group]:
    """Group measurements by thing and segment, in the order in which they are first named."""
    gathered: dict[tuple[str, SegmentReference | None], list[Measurement]] = {}
    for each in measurements:
        gathered.setdefault((each.of, each.segment), []).append(each)
    groups = []
    for (of, segment), several in gathered.items():
        item = Dataset()
        if segment is not None and segment.instance in segmentations:
            item = _item_of(segment, segmentations[segment.instance])
            segment = replace(segment, number=int(item.SegmentNumber))
        groups.append(_Group(of, segment, tuple(several), item))
    return groups


def _item_of(segment: SegmentReference, segmentation: Dataset) -> Dataset:
    """The item of a segment in its segmentation. :raises InvalidImage: there is no such segment."""
    items: list[Dataset] = list(segmentation.SegmentSequence)
    alike = [item for item in items if segment.label and str(item.get("SegmentLabel")) == segment.label]
    numbered = [item for item in alike or items if int(item.SegmentNumber) == segment.number]
    if len(alike) == 1:
        return alike[0]
    if (segment.label and not alike) or not numbered:
        raise InvalidImage(
            f"the segmentation {segment.instance} has no segment {segment.label or segment.number!r}",
            remedy=f"its segments are: {named(items)}; one without a voxel may be left out",
        )
    return numbered[0]


def _report(draft: Draft, groups: Sequence[_Group], sources: Sequence[Dataset]) -> Any:
    """Make the content: observed by this software, with a group for each measured thing."""
    from highdicom.sr import (
        CodedConcept,
        DeviceObserverIdentifyingAttributes,
        LanguageOfContentItemAndDescendants,
        MeasurementReport,
        ObservationContext,
        ObserverContext,
    )

    device = DeviceObserverIdentifyingAttributes(
        uid_of("device", MODEL, software_version()),
        name=MODEL,
        manufacturer_name=MANUFACTURER,
        model_name=MODEL,
    )
    english = LanguageOfContentItemAndDescendants(CodedConcept("en", "RFC5646", "English"))
    return MeasurementReport(
        observation_context=ObservationContext(
            observer_device_context=ObserverContext(codes.DCM.Device, observer_identifying_attributes=device)
        ),
        procedure_reported=_procedure(draft),
        imaging_measurements=[_content(draft, index, group, sources) for index, group in enumerate(groups)],
        title=codes.DCM.ImagingMeasurementReport,
        language_of_content_item_and_descendants=english,
    )


def _procedure(draft: Draft) -> Code:
    """The code of the study's first procedure; a general one for imaging if it has none."""
    of_study = _code(draft.env.parent.pivot.get("ProcedureCodeSequence"))
    return of_study or Code("363679005", "SCT", "Imaging procedure")


def _code(items: Sequence[Dataset] | None) -> Code | None:
    """The first complete code of a sequence; None if there is none."""
    for item in items or ():
        if item.get("CodeValue") and item.get("CodingSchemeDesignator") and item.get("CodeMeaning"):
            return Code(str(item.CodeValue), str(item.CodingSchemeDesignator), str(item.CodeMeaning))
    return None


def _algorithm(draft: Draft) -> Any:
    """The algorithm that measured (PS3.16 TID 4019): the pipeline's if it names one, else this software."""
    from highdicom.sr import AlgorithmIdentification

    algorithm = draft.env.context.algorithm
    if algorithm is None:
        return AlgorithmIdentification(name=MODEL, version=software_version())
    return AlgorithmIdentification(
        name=algorithm.name, version=algorithm.version, family=algorithm.family, manufacturer=algorithm.manufacturer
    )


def _sites(group: _Group) -> list[Any]:
    """The site and side of a group: as given, else the segment's region, else the anatomical structure itself."""
    from highdicom.sr import FindingSite

    site, side = group.first("site"), group.first("laterality")
    place = None if site is None else snomed(site)
    modifier = None if side is None else snomed(side)
    if place is None:
        for code, of_code in (
            ("AnatomicRegionSequence", "AnatomicRegionModifierSequence"),
            ("SegmentedPropertyTypeCodeSequence", "SegmentedPropertyTypeModifierCodeSequence"),
        ):
            items = group.item.get(code) or ()
            is_place = code == "AnatomicRegionSequence" or _is_anatomy(group.item)
            if place is None and items and is_place:
                place = _code(items)
                modifier = modifier or _code(items[0].get(of_code))
    if place is None:
        if side is not None:
            raise InvalidImage(
                f"{group.of!r} has a laterality, but nothing says where it is", remedy="give its site as well"
            )
        return []
    is_side = modifier is not None and modifier.value in _SIDES
    return [
        FindingSite(
            place,
            laterality=modifier if is_side else None,
            topographical_modifier=None if is_side else modifier,
        )
    ]


#: The most characters of a DS.
_LONGEST_NUMBER = 16
#: CID 244: left, right, unilateral, bilateral.
_SIDES = ("7771000", "24028007", "66459002", "51440002")


def _is_anatomy(item: Dataset) -> bool:
    """Whether a segment is an anatomical structure, and so a site itself."""
    category = _code(item.get("SegmentedPropertyCategoryCodeSequence"))
    return category is not None and category.value in (codes.SCT.AnatomicalStructure.value, codes.SCT.Organ.value)


def _write_digits(item: Dataset, value: float) -> None:
    """Write whole numbers with all digits, if NumericValue has room: highdicom rounds them to 11 digits."""
    if not isinstance(value, int) or int(item.NumericValue) == value:
        return
    digits = str(value)
    if len(digits) <= _LONGEST_NUMBER:
        item.NumericValue = digits
    else:
        item.FloatingPointValue = float(value)


def _content(draft: Draft, index: int, group: _Group, sources: Sequence[Dataset]) -> Any:
    from highdicom.sr import Measurement as MeasuredItem
    from highdicom.sr import (
        MeasurementsAndQualitativeEvaluations,
        ReferencedSegment,
        SourceImageForMeasurementGroup,
        SourceSeriesForSegmentation,
        TrackingIdentifier,
        VolumetricROIMeasurementsAndQualitativeEvaluations,
    )

    uid = group.first("tracking_uid") or group.item.get("TrackingUID") or draft.env.context.uid("tracking", index)
    tracking = TrackingIdentifier(uid=str(uid), identifier=str(group.item.get("TrackingID") or group.of))
    finding = group.first("finding")
    kind = _code(group.item.get("SegmentedPropertyTypeCodeSequence")) if finding is None else snomed(finding)
    algorithm, sites = _algorithm(draft), _sites(group)
    items = [
        MeasuredItem(name=snomed(each.concept), value=each.value, unit=unit(each.unit)) for each in group.measurements
    ]
    for item, each in zip(items, group.measurements, strict=True):
        _write_digits(item[0].MeasuredValueSequence[0], each.value)
    if group.segment is None:
        return MeasurementsAndQualitativeEvaluations(
            tracking_identifier=tracking,
            finding_type=kind,
            finding_sites=sites or None,
            algorithm_id=algorithm,
            measurements=items,
            source_images=[SourceImageForMeasurementGroup(s.SOPClassUID, s.SOPInstanceUID) for s in sources],
        )
    segment = ReferencedSegment(
        group.segment.sop_class,
        group.segment.instance,
        group.segment.number,
        source_series=SourceSeriesForSegmentation(draft.env.parent.series_instance_uid),
    )
    return VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=tracking,
        referenced_segment=segment,
        finding_type=kind or codes.SCT.AnatomicalStructure,
        finding_sites=sites or None,
        algorithm_id=algorithm,
        measurements=items,
    )
