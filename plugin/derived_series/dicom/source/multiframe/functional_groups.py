"""Converting functional groups of enhanced objects (PS3.3 C.7.6.16) to attributes of classic instances."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timezone
from typing import Any

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID

from derived_series.dicom.encoding.decimal_string import decimal_string
from derived_series.dicom.encoding.tags import dictionary_vr
from derived_series.dicom.encoding.times import split_datetime
from derived_series.errors import InvalidParent

SHARED, PER_FRAME = Tag("SharedFunctionalGroupsSequence"), Tag("PerFrameFunctionalGroupsSequence")


def _same(*keywords: str) -> dict[str, str]:
    return {keyword: keyword for keyword in keywords}


#: By group: its attributes, and the classic ones of the same meaning.
_CLASSIC: dict[str, dict[str, str]] = {
    "PixelMeasuresSequence": _same("PixelSpacing", "SliceThickness", "SpacingBetweenSlices"),
    "PlanePositionSequence": _same("ImagePositionPatient"),
    "PlaneOrientationSequence": _same("ImageOrientationPatient"),
    "FrameContentSequence": {
        "FrameAcquisitionNumber": "AcquisitionNumber",
        "TemporalPositionIndex": "TemporalPositionIdentifier",
        "FrameAcquisitionDateTime": "AcquisitionDateTime",
        "FrameComments": "ImageComments",
    },
    "PixelValueTransformationSequence": _same("RescaleSlope", "RescaleIntercept", "RescaleType"),
    "FrameVOILUTSequence": _same("WindowCenter", "WindowWidth", "WindowCenterWidthExplanation", "VOILUTFunction"),
    "FrameAnatomySequence": {"FrameLaterality": "ImageLaterality", "AnatomicRegionSequence": "AnatomicRegionSequence"},
    "CTImageFrameTypeSequence": {"FrameType": "ImageType"},
    "MRImageFrameTypeSequence": {"FrameType": "ImageType", "ComplexImageComponent": "ComplexImageComponent"},
    "PETFrameTypeSequence": {"FrameType": "ImageType"},
    "MRTimingAndRelatedParametersSequence": _same("RepetitionTime", "FlipAngle", "EchoTrainLength"),
    "MREchoSequence": {"EffectiveEchoTime": "EchoTime"},
    "MRModifierSequence": {"InversionTimes": "InversionTime"},
    "MRAveragesSequence": _same("NumberOfAverages"),
    "MRImagingModifierSequence": {"PixelBandwidth": "PixelBandwidth", "TransmitterFrequency": "ImagingFrequency"},
    "MRFOVGeometrySequence": {
        "InPlanePhaseEncodingDirection": "InPlanePhaseEncodingDirection",
        "MRAcquisitionPhaseEncodingStepsInPlane": "NumberOfPhaseEncodingSteps",
        **_same("PercentSampling", "PercentPhaseFieldOfView"),
    },
    "MRReceiveCoilSequence": _same("ReceiveCoilName"),
    "MRTransmitCoilSequence": _same("TransmitCoilName"),
    "MRDiffusionSequence": _same("DiffusionBValue"),
    "CardiacSynchronizationSequence": {"NominalCardiacTriggerDelayTime": "TriggerTime"},
    "CTAcquisitionTypeSequence": _same("AcquisitionType"),
    "CTAcquisitionDetailsSequence": _same(
        *("RotationDirection", "RevolutionTime", "SingleCollimationWidth", "TotalCollimationWidth", "TableHeight"),
        *("GantryDetectorTilt", "DataCollectionDiameter"),
    ),
    "CTTableDynamicsSequence": _same("TableSpeed", "TableFeedPerRotation", "SpiralPitchFactor"),
    "CTGeometrySequence": _same("DistanceSourceToDetector"),
    "CTReconstructionSequence": _same("ConvolutionKernel", "ReconstructionDiameter"),
    "CTPositionSequence": _same("DataCollectionCenterPatient", "ReconstructionTargetCenterPatient"),
    "CTXRayDetailsSequence": _same("KVP", "FocalSpots", "FilterType"),
    "CTExposureSequence": {
        "ExposureTimeInms": "ExposureTime",
        "XRayTubeCurrentInmA": "XRayTubeCurrent",
        "ExposureInmAs": "Exposure",
    },
    "PETFrameCorrectionFactorsSequence": _same(
        *("PrimaryPromptsCountsAccumulated", "SliceSensitivityFactor", "DecayFactor", "ScatterFractionFactor"),
        "DeadTimeFactor",
    ),
}
_GROUPS = {Tag(group): {Tag(one): Tag(other) for one, other in names.items()} for group, names in _CLASSIC.items()}
#: The groups of legacy converted objects for attributes that no other group has (PS3.3 C.7.6.16.2.25).
_UNASSIGNED = (
    Tag("UnassignedSharedConvertedAttributesSequence"),
    Tag("UnassignedPerFrameConvertedAttributesSequence"),
)
_REAL_WORLD = Tag("RealWorldValueMappingSequence")
_DIFFUSION, _DIRECTION = Tag("MRDiffusionSequence"), Tag("DiffusionGradientDirectionSequence")
_ORIENTATION, _ACQUIRED = Tag("DiffusionGradientOrientation"), Tag("AcquisitionDateTime")
_OTHER_WORDS = {"COLUMN": "COL"}
_PHASE_ENCODING = Tag("InPlanePhaseEncodingDirection")
#: Tags of identity, which are never taken from a group.
_IDENTITY = frozenset(
    int(Tag(keyword))
    for keyword in (
        "SOPClassUID",
        "SOPInstanceUID",
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "PatientID",
        "PatientName",
    )
)


def has_groups(dataset: Dataset) -> bool:
    """Whether the dataset is an enhanced object."""
    return PER_FRAME in dataset or SHARED in dataset


def is_legacy_converted(dataset: Dataset) -> bool:
    """Whether the dataset is an enhanced object converted from classic ones (PS3.3 A.70 to A.72)."""
    return "Legacy Converted" in UID(str(dataset.get("SOPClassUID", ""))).name


def classic_keyword(group: str, keyword: str) -> str | None:
    """The classic keyword for an attribute of a functional group; None if there is none."""
    return _CLASSIC.get(group, {}).get(keyword)


def shared_group(source: Dataset) -> Dataset:
    """The item of SharedFunctionalGroupsSequence; an empty one if it is missing."""
    items = source[SHARED].value if SHARED in source else None
    return items[0] if items else Dataset()


def frame_groups(source: Dataset, frames: int) -> list[Dataset]:
    """The items of PerFrameFunctionalGroupsSequence, one for each frame.

    :raises InvalidParent: their number is not that of the frames.
    """
    items = list(source[PER_FRAME].value or []) if PER_FRAME in source else [Dataset()] * frames
    if len(items) != frames:
        raise InvalidParent(
            f"instance {source.get('SOPInstanceUID')} has {frames} frames (NumberOfFrames), but "
            f"PerFrameFunctionalGroupsSequence has {len(items)} items",
            remedy="send the complete instance again",
        )
    return items


def classic_elements(groups: Dataset, zone: timezone | None) -> dict[BaseTag, DataElement]:
    """The classic attributes for the groups of a frame, or of all frames.

    :param zone: the time zone of the instance.
    """
    elements: dict[BaseTag, DataElement] = {}
    for tag in groups.keys():
        if tag in _GROUPS:
            for item in _first(groups, tag):
                elements.update(_of_group(item, _GROUPS[tag]))
                if tag == _DIFFUSION:
                    for direction in _first(item, _DIRECTION):
                        elements.update(_of_group(direction, {_ORIENTATION: _ORIENTATION}))
        elif tag in _UNASSIGNED:
            for item in _first(groups, tag):
                elements.update(_public(item))
        elif tag == _REAL_WORLD:
            elements[tag] = groups[tag]
    if _ACQUIRED in elements:
        elements.update(_date_and_time(elements[_ACQUIRED].value, zone))
    return elements


def _first(dataset: Dataset, tag: BaseTag) -> Iterable[Dataset]:
    """The first item of a sequence, or nothing."""
    items = dataset[tag].value if tag in dataset else None
    return items[:1] if items else ()


def _of_group(item: Dataset, names: Mapping[BaseTag, BaseTag]) -> dict[BaseTag, DataElement]:
    return {other: classic(item[one], other) for one, other in names.items() if one in item}


def _public(item: Dataset) -> dict[BaseTag, DataElement]:
    return {tag: item[tag] for tag in item.keys() if not tag.is_private and int(tag) not in _IDENTITY}


def classic(element: DataElement, tag: BaseTag) -> DataElement:
    """Convert an element to another tag and its VR (FD to DS or IS, several values to the first)."""
    vr = dictionary_vr(tag) or element.VR
    if tag == _PHASE_ENCODING and element.value in _OTHER_WORDS:
        return DataElement(tag, vr, _OTHER_WORDS[element.value])
    if element.tag == tag and element.VR == vr:
        return element
    value: Any = element.value
    if vr in ("DS", "IS") and not element.is_empty:
        first = float(value[0] if element.VM > 1 else value)
        value = decimal_string(first) if vr == "DS" else round(first)
    return DataElement(tag, vr, value)


def _date_and_time(moment: Any, zone: timezone | None) -> dict[BaseTag, DataElement]:
    """AcquisitionDate and AcquisitionTime for a DT."""
    date_and_time = split_datetime(moment, zone)
    if date_and_time is None:
        return {}
    date, time = Tag("AcquisitionDate"), Tag("AcquisitionTime")
    return {date: DataElement(date, "DA", date_and_time[0]), time: DataElement(time, "TM", date_and_time[1])}
