"""FillingStrategy: what happens to the parent's tags that a blueprint does not name."""

from __future__ import annotations

import copy
from enum import Enum

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

from derived_series.dicom.blueprints.copy_elements import GridCopyElement, PositionCopyElement
from derived_series.dicom.source.parent_series import ParentSeries


class FillingStrategy(Enum):
    """What happens to the parent's tags that a blueprint does not name.

    ``DISCARD`` leaves them out of the derived series. ``COPY`` copies them where they still hold.

    Patient, study, UIDs, derivation and pixel encoding are always written and do not depend on it.
    """

    DISCARD = "Discard"
    COPY = "Copy"
    Discard = "Discard"  # both as the tutorial spells them
    Copy = "Copy"


def _keywords(*keywords: str) -> frozenset[int]:
    return frozenset(int(Tag(keyword)) for keyword in keywords)


#: Tags of one acquisition, one encoding or one instance, which never hold for a derived series.
NEVER_COPIED = _keywords(
    # identity and numbers of the parent's own instances
    *("SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber", "InstanceNumber", "ImagesInAcquisition"),
    *("InstanceCreatorUID", "IrradiationEventUID", "ReferencedPerformedProcedureStepSequence"),
    # which volume of the parent it is, and how many there are
    *("TemporalPositionIdentifier", "TemporalPositionIndex", "NumberOfTemporalPositions", "TemporalResolution"),
    *("SeriesType", "NumberOfSlices", "NumberOfTimeSlices", "NumberOfRRIntervals", "NumberOfTimeSlots", "ImageIndex"),
    *("StorageMediaFileSetUID", "ConcatenationUID", "SOPInstanceStatus", "RetrieveURL", "RetrieveAETitle"),
    # encoding of the parent's pixels, and what explains its stored values
    *(
        "SamplesPerPixel",
        "PhotometricInterpretation",
        "PlanarConfiguration",
        "NumberOfFrames",
        "Rows",
        "Columns",
    ),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue"),
    *("FloatPixelPaddingValue", "FloatPixelPaddingRangeLimit"),
    *("DoubleFloatPixelPaddingValue", "DoubleFloatPixelPaddingRangeLimit"),
    *(
        "PixelPaddingRangeLimit",
        "SmallestImagePixelValue",
        "LargestImagePixelValue",
        "SmallestPixelValueInSeries",
    ),
    *("LargestPixelValueInSeries", "ICCProfile", "ColorSpace", "IconImageSequence"),
    *(
        "PresentationLUTShape",
        "WindowCenter",
        "WindowWidth",
        "WindowCenterWidthExplanation",
        "VOILUTFunction",
        "VOILUTSequence",
    ),
    *(
        "RescaleSlope",
        "RescaleIntercept",
        "RescaleType",
        "ModalityLUTSequence",
        "RealWorldValueMappingSequence",
    ),
    *("FrameIncrementPointer", "PixelDataProviderURL", "EncapsulatedPixelDataValueTotalLength"),
    *("ExtendedOffsetTable", "ExtendedOffsetTableLengths", "PixelPresentation"),
    # what counts the parent's frames
    *("FrameNumbersOfInterest", "FrameOfInterestDescription", "FrameOfInterestType", "RepresentativeFrameNumber"),
    *("StartTrim", "StopTrim", "MaskSubtractionSequence", "FrameTimeVector"),
    # what enhanced objects say of the content of their pixels
    *("ComplexImageComponent", "VolumetricProperties", "VolumeBasedCalculationTechnique", "AcquisitionContrast"),
    # per-frame geometry
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "DimensionIndexSequence"),
    # dose that would be counted twice
    *("CTDIvol", "ExposureTime", "XRayTubeCurrent", "Exposure", "ExposureInuAs"),
    # signatures and encrypted attributes
    *("DigitalSignaturesSequence", "MACParametersSequence", "EncryptedAttributesSequence"),
)

#: Tags about the parent's rows and columns, which hold on the parent's grid only.
OF_THE_GRID = _keywords(
    *("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing", "PixelAspectRatio"),
    *("PixelSpacingCalibrationType", "PixelSpacingCalibrationDescription", "PatientOrientation"),
    *("FrameOfReferenceUID", "PositionReferenceIndicator"),
    *("ImagePositionPatient", "ImageOrientationPatient", "SliceLocation", "SliceThickness", "SpacingBetweenSlices"),
    # in pixels of the parent
    *("SequenceOfUltrasoundRegions", "FieldOfViewOrigin", "FieldOfViewRotation", "FieldOfViewHorizontalFlip"),
    *("ShutterShape", "ShutterLeftVerticalEdge", "ShutterRightVerticalEdge", "ShutterUpperHorizontalEdge"),
    *("ShutterLowerHorizontalEdge", "CenterOfCircularShutter", "RadiusOfCircularShutter"),
    *("VerticesOfThePolygonalShutter", "ShutterPresentationValue"),
    *("CollimatorShape", "CollimatorLeftVerticalEdge", "CollimatorRightVerticalEdge", "CollimatorUpperHorizontalEdge"),
    *("CollimatorLowerHorizontalEdge", "CenterOfCircularCollimator", "RadiusOfCircularCollimator"),
    *("VerticesOfThePolygonalCollimator",),
)

_PALETTES = range(0x00281101, 0x00281300)


def may_be_copied(tag: int) -> bool:
    """Whether COPY may take the tag from the parent."""
    group, element = tag >> 16, tag & 0xFFFF
    return not (
        tag in NEVER_COPIED
        or BaseTag(tag).is_private
        or element == 0  # group lengths
        or group < 0x0008  # commands, file meta information, directories
        or group in (0x4FFE, 0x7FE0, 0xFFFA, 0xFFFC)
        or group >> 8 in (0x50, 0x60)  # curves and overlays
        or tag in _PALETTES
    )


def copyable_tags(parent: ParentSeries) -> tuple[BaseTag, ...]:
    """The tags that COPY takes: those of any parent instance."""
    tags = {int(tag) for instance in parent.instances for tag in instance.keys()}
    return tuple(BaseTag(tag) for tag in sorted(tags) if may_be_copied(tag))


class _FilledElement(PositionCopyElement):
    """The parent's value as COPY takes it: without the private elements in its sequences."""

    def read(self, dataset: Dataset) -> DataElement | None:
        return _without_private(super().read(dataset))


class _FilledGridElement(GridCopyElement):
    """The same for tags that hold on the parent's grid only."""

    def read(self, dataset: Dataset) -> DataElement | None:
        return _without_private(super().read(dataset))


def filled(tag: BaseTag) -> PositionCopyElement:
    """The element that copies a tag of the parent."""
    return _FilledGridElement(tag) if int(tag) in OF_THE_GRID else _FilledElement(tag)


def _without_private(element: DataElement | None) -> DataElement | None:
    if element is None or element.VR != "SQ":
        return element
    element = copy.deepcopy(element)
    for item in element.value:
        item.remove_private_tags()
    return element
