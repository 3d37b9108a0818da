"""Multi-frame instances and mosaics of the phantoms' classic slices: the same voxels, packed in other ways."""

from __future__ import annotations

import copy
import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    EnhancedCTImageStorage,
    EnhancedMRImageStorage,
    EnhancedPETImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    NuclearMedicineImageStorage,
    RTDoseStorage,
)

from phantoms import uid

#: Elements that an enhanced object has only in its functional groups.
_IN_GROUPS = """ImagePositionPatient ImageOrientationPatient PixelSpacing SliceThickness SpacingBetweenSlices
RescaleSlope RescaleIntercept RescaleType WindowCenter WindowWidth AcquisitionTime AcquisitionDate RepetitionTime
EchoTime FlipAngle EchoTrainLength InversionTime NumberOfAverages PixelBandwidth ImagingFrequency KVP ExposureTime
XRayTubeCurrent ConvolutionKernel GantryDetectorTilt DataCollectionDiameter ReconstructionDiameter ScanningSequence
SequenceVariant SequenceName ScanOptions Units DecayCorrection SeriesType NumberOfSlices CorrectedImage
FrameReferenceTime ActualFrameDuration DecayFactor ImageIndex CollimatorType""".split()
_CLASSES = {"CT": EnhancedCTImageStorage, "MR": EnhancedMRImageStorage, "PT": EnhancedPETImageStorage}


def enhanced(slices: Sequence[Dataset], *, name: str = "enhanced", times: Sequence[int] = ()) -> Dataset:
    """An Enhanced CT, MR or PET instance with the slices as frames, in their order.

    :param times: each frame's TemporalPositionIndex; by default 1.
    """
    first = slices[0]
    whole = _packed(slices, _CLASSES[first.Modality], name)
    shared, groups = Dataset(), []
    shared.PixelMeasuresSequence = [_item(first, "PixelSpacing", "SliceThickness", "SpacingBetweenSlices")]
    shared.PlaneOrientationSequence = [_item(first, "ImageOrientationPatient")]
    for index, one in enumerate(slices):
        group = Dataset()
        group.PlanePositionSequence = [_item(one, "ImagePositionPatient")]
        group.FrameVOILUTSequence = [_item(one, "WindowCenter", "WindowWidth")]
        content = Dataset()
        content.FrameAcquisitionNumber = 1
        content.FrameAcquisitionDateTime = f"{one.AcquisitionDate}{one.AcquisitionTime}+0100"
        content.FrameReferenceDateTime = "20240312103500.00"
        content.FrameAcquisitionDuration = 600000.0
        content.StackID, content.InStackPositionNumber = "1", index + 1
        content.TemporalPositionIndex = times[index] if times else 1
        content.DimensionIndexValues = [1, index + 1]
        group.FrameContentSequence = [content]
        if "RescaleSlope" in one:
            group.PixelValueTransformationSequence = [_item(one, "RescaleSlope", "RescaleIntercept")]
            group.PixelValueTransformationSequence[0].RescaleType = one.get("RescaleType", one.get("Units", "US"))
        if "DecayFactor" in one:
            group.PETFrameCorrectionFactorsSequence = [_item(one, "DecayFactor")]
        groups.append(group)
    {"CT": _ct, "MR": _mr, "PT": _pet}[first.Modality](whole, shared, first)
    whole.SharedFunctionalGroupsSequence = [shared]
    whole.PerFrameFunctionalGroupsSequence = groups
    whole.DimensionOrganizationType = "3D"
    return whole


def _ct(whole: Dataset, shared: Dataset, first: Dataset) -> None:
    kind = Dataset()
    kind.FrameType = ["ORIGINAL", "PRIMARY", "AXIAL", "NONE"]
    shared.CTImageFrameTypeSequence = [kind]
    shared.CTXRayDetailsSequence = [_item(first, "KVP")]
    shared.CTReconstructionSequence = [_item(first, "ConvolutionKernel", "ReconstructionDiameter")]
    shared.CTAcquisitionDetailsSequence = [_item(first, "GantryDetectorTilt", "DataCollectionDiameter")]
    exposure = Dataset()
    exposure.ExposureTimeInms, exposure.XRayTubeCurrentInmA = 1000.0, 250.5
    shared.CTExposureSequence = [exposure]


def _mr(whole: Dataset, shared: Dataset, first: Dataset) -> None:
    kind = Dataset()
    kind.FrameType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    kind.ComplexImageComponent = "MAGNITUDE"
    shared.MRImageFrameTypeSequence = [kind]
    shared.MRTimingAndRelatedParametersSequence = [_item(first, "RepetitionTime", "FlipAngle", "EchoTrainLength")]
    echo, modifier, imaging, view, diffusion, direction = (Dataset() for _ in range(6))
    echo.EffectiveEchoTime = 2.98
    modifier.InversionRecovery, modifier.InversionTimes, modifier.Spoiling = "YES", [900.0], "RF"
    imaging.TransmitterFrequency, imaging.PixelBandwidth = 123.25, 240
    view.InPlanePhaseEncodingDirection, view.MRAcquisitionPhaseEncodingStepsInPlane = "COLUMN", 192
    direction.DiffusionGradientOrientation = [0.0, 0.6, 0.8]
    diffusion.DiffusionBValue, diffusion.DiffusionDirectionality = 1000.0, "DIRECTIONAL"
    diffusion.DiffusionGradientDirectionSequence = [direction]
    shared.MREchoSequence, shared.MRModifierSequence = [echo], [modifier]
    shared.MRImagingModifierSequence, shared.MRFOVGeometrySequence = [imaging], [view]
    shared.MRDiffusionSequence = [diffusion]
    shared.MRAveragesSequence = [_item(first, "NumberOfAverages")]
    whole.EchoPulseSequence, whole.PulseSequenceName = "GRADIENT", "tfl3d1"
    whole.SegmentedKSpaceTraversal = "SINGLE"


def _pet(whole: Dataset, shared: Dataset, first: Dataset) -> None:
    kind = Dataset()
    kind.FrameType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    shared.PETFrameTypeSequence = [kind]
    whole.DecayCorrected, whole.AttenuationCorrected, whole.ScatterCorrected = "YES", "YES", "NO"
    whole.RandomsCorrected, whole.DetectorNormalizationCorrection = "YES", "NO"
    whole.DecayCorrectionDateTime = f"{first.SeriesDate}{first.SeriesTime}"


def mosaic(slices: Sequence[Dataset], *, number: int = 1, csa: bool = True) -> Dataset:
    """A Siemens mosaic of MR slices that ascend or descend along their normal, tile by tile."""
    first = slices[0]
    side = math.ceil(math.sqrt(len(slices)))
    rows, columns = first.Rows, first.Columns
    image = np.zeros((side * rows, side * columns), "<u2")
    for index, one in enumerate(slices):
        row, column = divmod(index, side)
        image[row * rows : (row + 1) * rows, column * columns : (column + 1) * columns] = one.pixel_array
    dataset = copy.deepcopy(first)
    dataset.SOPInstanceUID = uid(first.SOPInstanceUID, "mosaic", number)
    dataset.file_meta.MediaStorageSOPInstanceUID = UID(dataset.SOPInstanceUID)
    dataset.InstanceNumber = dataset.AcquisitionNumber = number
    dataset.AcquisitionTime = f"1030{number:02d}.00"
    dataset.ImageType = [*first.ImageType, "MOSAIC"]
    dataset.Rows, dataset.Columns = image.shape
    dataset.PixelData = image.tobytes()
    cosines = np.array(first.ImageOrientationPatient, float).reshape(2, 3)
    down, across = map(float, first.PixelSpacing)
    position = np.array(first.ImagePositionPatient, float)
    position -= cosines[0] * across * (side - 1) * columns / 2 + cosines[1] * down * (side - 1) * rows / 2
    dataset.ImagePositionPatient = [f"{value:.9g}" for value in position]
    if csa:
        way = np.subtract(slices[-1].ImagePositionPatient, first.ImagePositionPatient).astype(float)
        block = dataset.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
        header = {"NumberOfImagesInMosaic": ("US", [str(len(slices))]), "AcquisitionMatrixText": ("SH", ["32*24"])}
        header["SliceNormalVector"] = ("FD", [f"{value:.8f}" for value in way / np.linalg.norm(way)])
        block.add_new(0x10, "OB", csa_header(header))
    return dataset


def csa_header(values: dict[str, tuple[str, list[str]]]) -> bytes:
    """A CSA2 header as syngo MR writes it: name -> (VR, values)."""
    parts = [b"SV10\4\3\2\1", struct.pack("<2I", len(values), 77)]
    for name, (vr, items) in values.items():
        parts.append(struct.pack("<64si4s3i", name.encode(), len(items), vr.encode(), 0, len(items), 77))
        for item in items:
            text = item.encode() + b"\0"
            parts.append(struct.pack("<4i", len(text), len(text), 77, len(text)))
            parts.append(text + b"\0" * (-len(text) % 4))
    return b"".join(parts)


def nuclear(slices: Sequence[Dataset], *, spacing: float, kind: str = "RECON TOMO") -> Dataset:
    """An NM instance of the slices: positions from the detector, the spacing with its sign."""
    dataset = _packed(slices, NuclearMedicineImageStorage, "nm")
    dataset.Modality = "NM"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", kind, "EMISSION"]
    dataset.SpacingBetweenSlices = spacing
    dataset.PixelSpacing = slices[0].PixelSpacing
    dataset.SliceThickness = abs(spacing)
    dataset.FrameIncrementPointer = 0x00540080
    dataset.SliceVector, dataset.NumberOfSlices = list(range(1, len(slices) + 1)), len(slices)
    dataset.DetectorInformationSequence = [_item(slices[0], "ImagePositionPatient", "ImageOrientationPatient")]
    return dataset


def dose(slices: Sequence[Dataset], offsets: Sequence[float]) -> Dataset:
    """An RT Dose of the slices' stored values in mGy."""
    dataset = _packed(slices, RTDoseStorage, "dose")
    dataset.Modality, dataset.DoseUnits, dataset.DoseType, dataset.DoseSummationType = (
        "RTDOSE",
        "GY",
        "PHYSICAL",
        "PLAN",
    )
    dataset.ImagePositionPatient, dataset.PixelSpacing = slices[0].ImagePositionPatient, slices[0].PixelSpacing
    dataset.ImageOrientationPatient = slices[0].ImageOrientationPatient
    dataset.GridFrameOffsetVector, dataset.DoseGridScaling = list(offsets), 0.001
    dataset.FrameIncrementPointer = 0x3004000C
    return dataset


def capture(slices: Sequence[Dataset]) -> Dataset:
    """A multi-frame grayscale word secondary capture: pixels without positions."""
    dataset = _packed(slices, MultiFrameGrayscaleWordSecondaryCaptureImageStorage, "sc")
    dataset.Modality, dataset.ConversionType = "OT", "WSD"
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.FrameIncrementPointer, dataset.PageNumberVector = 0x00182001, list(range(1, len(slices) + 1))
    dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = 1, 0, "US"
    return dataset


def _packed(slices: Sequence[Dataset], sop_class: UID, name: str) -> Dataset:
    """The patient, study, series and pixels of slices in one instance."""
    dataset = copy.deepcopy(slices[0])
    for keyword in _IN_GROUPS:
        if keyword in dataset:
            del dataset[keyword]
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = sop_class
    dataset.SOPInstanceUID = uid(slices[0].SeriesInstanceUID, name)
    dataset.file_meta.MediaStorageSOPInstanceUID = UID(dataset.SOPInstanceUID)
    dataset.NumberOfFrames = len(slices)
    dataset.PixelData = b"".join(one.PixelData for one in slices)
    dataset["PixelData"].VR = "OW"
    return dataset


def _item(source: Dataset, *keywords: str) -> Dataset:
    item = Dataset()
    for keyword in keywords:
        value: Any = source.get(keyword)
        if value is not None:
            setattr(item, keyword, value)
    return item
