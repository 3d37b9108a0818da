"""Encapsulated Document Series and Encapsulated Document modules (PS3.3 C.24.1, C.24.2), for PDF."""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.uid import EncapsulatedPDFStorage

from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.blueprints.element import StaticElement
from derived_series.dicom.blueprints.environment import SeriesEnvironment
from derived_series.dicom.blueprints.function_elements import HeaderElement


def _sources(env: SeriesEnvironment) -> list[Dataset]:
    """The parent's instances, each once."""
    items = {}
    for instance in env.parent.instances:
        item = Dataset()
        item.ReferencedSOPClassUID = instance.SOPClassUID
        item.ReferencedSOPInstanceUID = instance.SOPInstanceUID
        items[str(instance.SOPInstanceUID)] = item
    return list(items.values())


encapsulated_document_blueprint = Blueprint(
    [
        StaticElement("SOPClassUID", "UI", EncapsulatedPDFStorage),
        StaticElement("Modality", "CS", "DOC"),
        StaticElement("ConversionType", "CS", "WSD"),
        StaticElement("AcquisitionDateTime", "DT", None),
        StaticElement("BurnedInAnnotation", "CS", "YES"),  # a report says whose it is, unless one knows better
        HeaderElement("SourceInstanceSequence", _sources),
        StaticElement("DocumentTitle", "ST", "Report"),
        StaticElement("ConceptNameCodeSequence", "SQ", []),
    ]
).named("encapsulated_document")
"""Encapsulated Document Series and Encapsulated Document modules (PS3.3 C.24.1, C.24.2), for a PDF file."""
