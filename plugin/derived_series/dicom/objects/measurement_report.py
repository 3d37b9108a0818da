"""Measurement report (PS3.16 TID 1500) as Comprehensive 3D SR: numbers, what they were measured in, and by what."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import SegmentationStorage

from derived_series.dicom.image.placement import Placement, without_geometry
from derived_series.dicom.image.stored_pixels import encode_pixels
from derived_series.dicom.modules.codes import snomed, unit
from derived_series.dicom.modules.equipment import MANUFACTURER, MODEL, software_version
from derived_series.dicom.modules.measurement_report import Measurement, SegmentReference
from derived_series.dicom.modules.references import whole_references
from derived_series.dicom.objects.single_instance import IMAGE_ONLY, Draft, draft_of, finished
from derived_series.dicom.series.finished import FinishedSeries
from derived_series.dicom.series.header import SeriesHeader
from derived_series.errors import InvalidImage
from derived_series.kinds.kind import PixelRules

#: What of a document of highdicom follows from its content.
_STRUCTURE = (
    *("ValueType", "ConceptNameCodeSequence", "ContinuityOfContent", "ContentTemplateSequence", "ContentSequence"),
    *("CompletionFlag", "PreliminaryFlag", "VerificationFlag", "CurrentRequestedProcedureEvidenceSequence"),
)


def build(header: SeriesHeader, image: Any, placement: Placement, nan: float | None) -> FinishedSeries:
    """:raises InvalidImage: always: a report is made from measurements, not from pixels."""
    raise InvalidImage(
        "a measurement report is made from measurements, not from an array of pixels",
        remedy="use the factory measurement_report, with a JSON file or a list of Measurement",
    )


def build_from_file(header: SeriesHeader, content: bytes | Sequence[Measurement]) -> FinishedSeries:
    """
    :param content: a JSON file: a list of measurements with the keys of ``Measurement.of_json``; or measurements.
    :raises InvalidImage: what is none, or an empty list. :raises BlueprintError: codes that there are not.
    """
    from highdicom.sr import Comprehensive3DSR

    measurements = _read(content) if isinstance(content, bytes) else list(content)
    if not measurements or not all(isinstance(each, Measurement) for each in measurements):
        raise InvalidImage("there are no measurements", remedy="give a list of at least one")
    nothing = encode_pixels(np.zeros((1, 1, 1), dtype=np.uint8), PixelRules())  # a report has no pixels
    draft = draft_of(header, nothing, without_geometry(header.parent, 1), IMAGE_ONLY)
    references = {each.segment for each in measurements if each.segment is not None}
    sources = [to.instance for to in whole_references(header.parent.instances)]
    evidence = [_evidence(draft, source) for source in sources]
    evidence += [_segmentation(draft, *key) for key in sorted({(to.series, to.instance) for to in references})]
    report = Comprehensive3DSR(
        evidence=evidence,
        content=_report(draft, measurements, sources),
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
        raise InvalidImage(f"the measurements are no JSON: {error}", remedy="give a list of objects") from error
    if isinstance(rows, dict):
        rows = rows.get("Measurements")
    if not isinstance(rows, list) or not all(isinstance(each, dict) for each in rows):
        raise InvalidImage(
            "the measurements are no list of objects", remedy="give each with the keys Of, Concept, Value and Unit"
        )
    return [Measurement.of_json(each) for each in rows]


def _evidence(draft: Draft, source: Dataset) -> Dataset:
    """What a report says of an instance; the rest of what highdicom wants is the draft's, and not taken from here."""
    evidence = Dataset()
    evidence.StudyInstanceUID = draft.env.parent.study_instance_uid
    evidence.SeriesInstanceUID = draft.env.parent.series_instance_uid
    evidence.SOPClassUID, evidence.SOPInstanceUID = source.SOPClassUID, source.SOPInstanceUID
    evidence.PatientID = evidence.PatientName = evidence.PatientSex = evidence.PatientBirthDate = ""
    evidence.StudyID = evidence.StudyDate = evidence.StudyTime = evidence.AccessionNumber = ""
    return evidence


def _segmentation(draft: Draft, series: str, instance: str) -> Dataset:
    source = Dataset()
    source.SOPClassUID, source.SOPInstanceUID = SegmentationStorage, instance
    evidence = _evidence(draft, source)
    evidence.SeriesInstanceUID = series
    return evidence


def _report(draft: Draft, measurements: Sequence[Measurement], sources: Sequence[Dataset]) -> Any:
    """The content: observed by this software, one group a thing that was measured."""
    from highdicom.sr import (
        CodedConcept,
        DeviceObserverIdentifyingAttributes,
        LanguageOfContentItemAndDescendants,
        MeasurementReport,
        ObservationContext,
        ObserverContext,
    )

    device = DeviceObserverIdentifyingAttributes(
        draft.env.context.uid("device"), name=MODEL, manufacturer_name=MANUFACTURER, model_name=MODEL
    )
    groups: dict[tuple[str, SegmentReference | None], list[Measurement]] = {}
    for each in measurements:
        groups.setdefault((each.of, each.segment), []).append(each)
    english = LanguageOfContentItemAndDescendants(CodedConcept("en", "RFC5646", "English"))
    return MeasurementReport(
        observation_context=ObservationContext(
            observer_device_context=ObserverContext(codes.DCM.Device, observer_identifying_attributes=device)
        ),
        procedure_reported=_procedure(draft),
        imaging_measurements=[_group(draft, index, several, sources) for index, several in enumerate(groups.values())],
        title=codes.DCM.ImagingMeasurementReport,
        language_of_content_item_and_descendants=english,
    )


def _procedure(draft: Draft) -> Code:
    """What the study's first procedure is by its code; else that there was imaging."""
    for item in draft.env.parent.pivot.get("ProcedureCodeSequence") or ():
        if item.get("CodeValue") and item.get("CodingSchemeDesignator") and item.get("CodeMeaning"):
            return Code(str(item.CodeValue), str(item.CodingSchemeDesignator), str(item.CodeMeaning))
    return Code("363679005", "SCT", "Imaging procedure")


def _group(draft: Draft, index: int, several: Sequence[Measurement], sources: Sequence[Dataset]) -> Any:
    from highdicom.sr import (
        AlgorithmIdentification,
        MeasurementsAndQualitativeEvaluations,
        ReferencedSegment,
        SourceImageForMeasurementGroup,
        SourceSeriesForSegmentation,
        TrackingIdentifier,
        VolumetricROIMeasurementsAndQualitativeEvaluations,
    )
    from highdicom.sr import Measurement as MeasuredItem

    first = several[0]
    uid = next((each.tracking_uid for each in several if each.tracking_uid), None)
    tracking = TrackingIdentifier(uid=uid or draft.env.context.uid("tracking", index), identifier=first.of)
    algorithm = AlgorithmIdentification(name=MODEL, version=software_version())
    finding = None if first.finding is None else snomed(first.finding)
    items = [MeasuredItem(name=snomed(each.concept), value=each.value, unit=unit(each.unit)) for each in several]
    if first.segment is None:
        return MeasurementsAndQualitativeEvaluations(
            tracking_identifier=tracking,
            finding_type=finding,
            algorithm_id=algorithm,
            measurements=items,
            source_images=[SourceImageForMeasurementGroup(s.SOPClassUID, s.SOPInstanceUID) for s in sources],
        )
    segment = ReferencedSegment(
        SegmentationStorage,
        first.segment.instance,
        first.segment.number,
        source_series=SourceSeriesForSegmentation(draft.env.parent.series_instance_uid),
    )
    return VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=tracking,
        referenced_segment=segment,
        finding_type=finding or codes.SCT.AnatomicalStructure,
        algorithm_id=algorithm,
        measurements=items,
    )
