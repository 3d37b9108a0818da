"""Computed parents without a position in space: radiographs, mammograms, ultrasound and angiograms.

Everything is a function of the arguments: the same call gives the same bytes and UIDs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    DigitalMammographyXRayImageStorageForPresentation,
    DigitalMammographyXRayImageStorageForProcessing,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    ExplicitVRLittleEndian,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
    XRayAngiographicImageStorage,
    XRayRadiofluoroscopicImageStorage,
)

from phantoms import from_files, uid

#: The views of a mammography: laterality, view, and its code of CID 4014.
VIEWS = (
    *(("R", "CC", "R-10242", "cranio-caudal"), ("L", "CC", "R-10242", "cranio-caudal")),
    *(("R", "MLO", "R-10226", "medio-lateral oblique"), ("L", "MLO", "R-10226", "medio-lateral oblique")),
)


@from_files
def radiograph(rows: int = 16, columns: int = 12, *, images: int = 1, inverted: bool = False) -> list[Dataset]:
    """CR images of 10 bits. :param inverted: MONOCHROME1."""
    datasets = [
        _image("cr", index, _shadow(rows, columns, 1023, index), ComputedRadiographyImageStorage, "CR", bits=10)
        for index in range(images)
    ]
    for index, dataset in enumerate(datasets):
        dataset.BodyPartExamined, dataset.ViewPosition = "CHEST", ("PA", "LL")[index % 2]
        dataset.PatientOrientation = ["L", "F"]
        dataset.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
        dataset.ImagerPixelSpacing = [0.2, 0.2]
        dataset.WindowCenter, dataset.WindowWidth = 400 + index, 800
        dataset.KVP, dataset.Exposure, dataset.PlateType = 70, 5, "storage"
    return datasets


@from_files
def digital_x_ray(
    rows: int = 16, columns: int = 12, *, images: int = 1, inverted: bool = False, processing: bool = False
) -> list[Dataset]:
    """DX images of 12 bits. :param processing: For Processing, without a window; else For Presentation."""
    sop_class = DigitalXRayImageStorageForProcessing if processing else DigitalXRayImageStorageForPresentation
    datasets = [_image("dx", i, _shadow(rows, columns, 4095, i), sop_class, "DX", bits=12) for i in range(images)]
    for dataset in datasets:
        _digital(dataset, inverted, processing)
        dataset.ImageLaterality = "U"
        dataset.AnatomicRegionSequence = [_code("T-D3000", "SRT", "Chest")]
        dataset.ViewPosition, dataset.PositionerType = "PA", "NONE"
    return datasets


@from_files
def mammograms(rows: int = 16, columns: int = 12, *, views: int = 4, processing: bool = False) -> list[Dataset]:
    """MG images, one for each view, in one series."""
    sop_class = (
        DigitalMammographyXRayImageStorageForProcessing
        if processing
        else DigitalMammographyXRayImageStorageForPresentation
    )
    datasets = [_image("mg", i, _shadow(rows, columns, 4095, i), sop_class, "MG", bits=12) for i in range(views)]
    for dataset, (side, view, code, meaning) in zip(datasets, VIEWS, strict=False):
        _digital(dataset, processing, processing)
        dataset.ImageLaterality = side
        dataset.OrganExposed, dataset.PositionerType = "BREAST", "MAMMOGRAPHIC"
        dataset.AnatomicRegionSequence = [_code("T-04000", "SRT", "Breast")]
        dataset.ViewCodeSequence = [_code(code, "SRT", meaning)]
        dataset.ViewCodeSequence[0].ViewModifierCodeSequence = []
        dataset.ViewPosition = view
        dataset.PatientOrientation = ["P", "L"] if view == "CC" else ["P", "FR"]
        dataset.BreastImplantPresent, dataset.PartialView = "NO", "NO"
        dataset.PositionerPrimaryAngle = 0 if view == "CC" else 45
        dataset.BodyPartThickness, dataset.CompressionForce = 51 + len(view), 96
        dataset.BurnedInAnnotation = "NO"
    return datasets


@from_files
def ultrasound(
    rows: int = 16, columns: int = 12, *, frames: int = 1, colour: bool = True, images: int = 1
) -> list[Dataset]:
    """US images, RGB or grey; Ultrasound Multi-frame with more than one frame."""
    sop_class = UltrasoundMultiFrameImageStorage if frames > 1 else UltrasoundImageStorage
    datasets = []
    for index in range(images):
        grey = np.stack([_shadow(rows, columns, 255, index + frame) for frame in range(frames)]).astype(np.uint8)
        pixels = np.stack([grey, grey // 2, 255 - grey], axis=-1) if colour else grey
        dataset = _image("us", index, pixels if frames > 1 else pixels[0], sop_class, "US", bits=8)
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "ABDOMINAL", "0001"]
        if colour:
            dataset.UltrasoundColorDataPresent = 0
        region = Dataset()
        region.RegionSpatialFormat, region.RegionDataType, region.RegionFlags = 1, 1, 0
        region.RegionLocationMinX0, region.RegionLocationMinY0 = 1, 2
        region.RegionLocationMaxX1, region.RegionLocationMaxY1 = columns - 2, rows - 2
        region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3
        region.PhysicalDeltaX, region.PhysicalDeltaY = 0.02, 0.02
        dataset.SequenceOfUltrasoundRegions = [region]
        dataset.TransducerType = "CURVED LINEAR"
        if frames > 1:
            _timed(dataset, frames, 40.0)
            dataset.HeartRate = 70
        datasets.append(dataset)
    return datasets


@from_files
def angiogram(
    rows: int = 16,
    columns: int = 12,
    *,
    frames: int = 5,
    bits: int = 10,
    fluoroscopy: bool = False,
    vector: bool = False,
) -> list[Dataset]:
    """An XA or RF image with a mask to subtract. :param vector: the frames come at uneven times."""
    sop_class = XRayRadiofluoroscopicImageStorage if fluoroscopy else XRayAngiographicImageStorage
    pixels = np.stack([_shadow(rows, columns, (1 << bits) - 1, frame) for frame in range(frames)])
    dataset = _image("xa", 0, pixels if frames > 1 else pixels[0], sop_class, "RF" if fluoroscopy else "XA", bits=bits)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "SINGLE PLANE"]
    dataset.PixelIntensityRelationship = "LIN"
    dataset.RadiationSetting, dataset.KVP, dataset.ExposureTime, dataset.XRayTubeCurrent = "GR", 75, 12, 400
    if not fluoroscopy:
        dataset.PositionerPrimaryAngle, dataset.PositionerSecondaryAngle = -30.5, 12
        dataset.DistanceSourceToPatient, dataset.DistanceSourceToDetector = 750, 1100
    dataset.ImagerPixelSpacing = [0.3, 0.3]
    dataset.WindowCenter, dataset.WindowWidth = 0.4 * (1 << bits), 0.7 * (1 << bits)
    if frames > 1:
        if not fluoroscopy:
            dataset.PositionerMotion = "STATIC"
        _timed(dataset, frames, [0.0, *(60.0 + 5 * n for n in range(frames - 1))] if vector else 66.0)
        mask = Dataset()
        mask.MaskOperation, mask.MaskFrameNumbers, mask.ApplicableFrameRange = "AVG_SUB", [1], [2, frames]
        dataset.MaskSubtractionSequence, dataset.RecommendedViewingMode = [mask], "SUB"
    return [dataset]


def _timed(dataset: Dataset, frames: int, milliseconds: float | Sequence[float]) -> None:
    dataset.NumberOfFrames = frames
    if isinstance(milliseconds, float):
        dataset.FrameTime, dataset.FrameIncrementPointer = milliseconds, 0x00181063
        dataset.CineRate = dataset.RecommendedDisplayFrameRate = round(1000 / milliseconds)
    else:
        dataset.FrameTimeVector, dataset.FrameIncrementPointer = list(milliseconds), 0x00181065
    dataset.StartTrim, dataset.StopTrim = 1, frames


def _digital(dataset: Dataset, inverted: bool, processing: bool) -> None:
    """The elements that DX and MG share."""
    dataset.PresentationIntentType = "FOR PROCESSING" if processing else "FOR PRESENTATION"
    dataset.ImageType = ["ORIGINAL" if processing else "DERIVED", "PRIMARY", ""]
    dataset.PatientOrientation = ["L", "F"]
    dataset.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    dataset.PresentationLUTShape = "INVERSE" if inverted else "IDENTITY"
    dataset.PixelIntensityRelationship, dataset.PixelIntensityRelationshipSign = "LOG", -1 if inverted else 1
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = 0, 1, "US"
    dataset.BurnedInAnnotation, dataset.LossyImageCompression = "NO", "00"
    dataset.ImagerPixelSpacing, dataset.DetectorType = [0.1, 0.1], "SCINTILLATOR"
    dataset.FieldOfViewOrigin, dataset.FieldOfViewRotation, dataset.FieldOfViewHorizontalFlip = [0, 0], 0, "NO"
    dataset.AcquisitionContextSequence = []
    dataset.KVP, dataset.Exposure = 70, 5
    if not processing:
        dataset.WindowCenter, dataset.WindowWidth = 2048, 4096


def _shadow(rows: int, columns: int, most: int, index: int) -> npt.NDArray[np.uint16]:
    """A bright blob on a slope, different for each index, from 0 to about ``most``."""
    r, c = np.indices((rows, columns))
    blob = np.exp(-((r - rows / 2) ** 2 + (c - columns / 3 - index % 3) ** 2) / (rows * columns / 16))
    return np.rint(most * (0.2 * r / rows + 0.75 * blob)).astype(np.uint16)


def _image(series: str, index: int, pixels: npt.NDArray[Any], sop_class: UID, modality: str, *, bits: int) -> Dataset:
    """The elements of all modalities. :param pixels: (row, column), with frames as first or samples as last axis."""
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = uid("PHANTOM-1", "1", series, index)
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = dataset.ContentDate = "20240312"
    dataset.StudyTime, dataset.SeriesTime = "102000.00", "103000.00"
    dataset.AcquisitionTime = dataset.ContentTime = f"1030{index % 60:02d}.00"
    dataset.AccessionNumber, dataset.StudyID = "A1", "1"
    dataset.Modality, dataset.Manufacturer, dataset.SeriesDescription = modality, "Phantom Works", f"{modality} phantom"
    dataset.ReferringPhysicianName = "Referrer^Anna"
    dataset.PatientName, dataset.PatientID = "Phantom^Head", "PHANTOM-1"
    dataset.PatientBirthDate, dataset.PatientSex = "19600229", "F"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = uid("PHANTOM-1", "1"), uid("PHANTOM-1", "1", series)
    dataset.SeriesNumber, dataset.AcquisitionNumber, dataset.InstanceNumber = 5, 1, index + 1
    dataset.PatientOrientation = ""
    colour = pixels.shape[-1] == 3
    dataset.SamplesPerPixel = 3 if colour else 1
    dataset.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        dataset.PlanarConfiguration = 0
    dataset.Rows, dataset.Columns = pixels.shape[-3:-1] if colour else pixels.shape[-2:]
    dataset.BitsAllocated = 8 if bits == 8 else 16
    dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = bits, bits - 1, 0
    data = pixels.astype("u1" if bits == 8 else "<u2").tobytes()
    dataset.PixelData = data + b"\0" * (len(data) % 2)
    dataset["PixelData"].VR = "OB" if bits == 8 else "OW"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = sop_class
    dataset.file_meta.MediaStorageSOPInstanceUID = UID(dataset.SOPInstanceUID)
    return dataset


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code
