"""When attributes of type 1C or 2C are required, as far as the dataset alone can decide (PS3.3).

Conditions about how an image was acquired, or what its maker intended, are not included.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pydicom.dataset import Dataset
from pydicom.valuerep import PersonName

from derived_series.dicom.encoding.value_rules import texts_in

#: A function of the item, or the dataset, that the attribute belongs to.
Condition = Callable[[Dataset], bool]


def _has(*keywords: str) -> Condition:
    return lambda dataset: any(keyword in dataset for keyword in keywords)


def _many_samples(dataset: Dataset) -> bool:
    return int(dataset.get("SamplesPerPixel") or 1) > 1


def _palette(dataset: Dataset) -> bool:
    return str(dataset.get("PhotometricInterpretation", "")) == "PALETTE COLOR"


def _beyond_ascii(dataset: Dataset) -> bool:
    beyond = []

    def look(_: Dataset, element: object) -> None:
        values = getattr(element, "value", None)
        for value in values if isinstance(values, list) else [values]:
            if isinstance(value, str | PersonName) and not str(value).isascii():
                beyond.append(value)

    dataset.walk(look)
    return bool(beyond)


def _code_without_value(dataset: Dataset) -> bool:
    return "LongCodeValue" not in dataset and "URNCodeValue" not in dataset


#: Type 1 attributes of a general module that a special module makes conditional (PS3.3 C.8.6.3).
SPECIALISED = frozenset({"FrameIncrementPointer"})


def _of(*value_types: str) -> Condition:
    return lambda item: item.get("ValueType") in value_types


#: Attributes of content items by ValueType (PS3.3 C.17.3.2.1); the tables list them for every item.
BY_VALUE_TYPE: Mapping[str, Condition] = {
    "ContinuityOfContent": _of("CONTAINER"),
    "ConceptCodeSequence": _of("CODE"),
    "MeasuredValueSequence": _of("NUM"),
    "ReferencedSOPSequence": _of("IMAGE", "COMPOSITE", "WAVEFORM"),
    "GraphicData": _of("SCOORD", "SCOORD3D"),
    "GraphicType": _of("SCOORD", "SCOORD3D"),
    "ReferencedFrameOfReferenceUID": _of("SCOORD3D"),
    "TemporalRangeType": _of("TCOORD"),
    "TabulatedValuesSequence": _of("TABLE"),
    # an item by reference to another one in the tree has no ValueType
    "ValueType": lambda item: "ReferencedContentItemIdentifier" not in item,
}


def _is_lossy(dataset: Dataset) -> bool:
    return str(dataset.get("LossyImageCompression", "")) == "01"


def _is_named(item: Dataset) -> bool:
    """Whether a content item needs a name (PS3.3 C.17.3.2.1); a container does if it is the root."""
    if item.get("ValueType") == "CONTAINER":
        return "SOPClassUID" in item
    return _of("TEXT", "NUM", "CODE", "DATETIME", "DATE", "TIME", "UIDREF", "PNAME")(item)


CONDITIONS: Mapping[str, Condition] = {
    "SpecificCharacterSet": _beyond_ascii,
    "PlanarConfiguration": _many_samples,
    "RedPaletteColorLookupTableDescriptor": _palette,
    "GreenPaletteColorLookupTableDescriptor": _palette,
    "BluePaletteColorLookupTableDescriptor": _palette,
    "RedPaletteColorLookupTableData": _palette,
    "GreenPaletteColorLookupTableData": _palette,
    "BluePaletteColorLookupTableData": _palette,
    "RescaleIntercept": _has("RescaleSlope"),
    "RescaleSlope": _has("RescaleIntercept"),
    "WindowWidth": _has("WindowCenter"),
    "CodeValue": _code_without_value,
    "CodingSchemeDesignator": _has("CodeValue", "LongCodeValue"),
    "FailedSOPSequence": lambda dataset: False,
    "LossyImageCompressionRatio": _is_lossy,
    "LossyImageCompressionMethod": _is_lossy,
    "DeidentificationMethod": lambda dataset: (
        dataset.get("PatientIdentityRemoved") == "YES" and "DeidentificationMethodCodeSequence" not in dataset
    ),
    "ImagePositionPatient": _has("ImageOrientationPatient"),
    "ImageOrientationPatient": _has("ImagePositionPatient"),
    "NumberOfTimeSlices": lambda dataset: "DYNAMIC" in texts_in(dataset, "SeriesType"),
    "NumberOfTemporalPositions": _has("TemporalPositionIdentifier"),
    "FrameIncrementPointer": lambda dataset: int(dataset.get("NumberOfFrames") or 1) > 1,
    "VerifyingObserverSequence": lambda dataset: dataset.get("VerificationFlag") == "VERIFIED",
    "ConceptNameCodeSequence": _is_named,
    "TextValue": _of("TEXT"),
    "DateTime": _of("DATETIME"),
    "Date": _of("DATE"),
    "Time": _of("TIME"),
    "PersonName": _of("PNAME"),
    "UID": _of("UIDREF"),
    "GridFrameOffsetVector": lambda dataset: int(dataset.get("NumberOfFrames") or 1) > 1,
}
