"""Computed parent series: a head of ellipsoids as CT, MR or PET, one pydicom Dataset for each slice.

Everything is a function of the arguments: the same call gives the same bytes, including UIDs and noise.
The head and its positions are described in phantom_head.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ParamSpec

import numpy as np
import numpy.typing as npt
from pydicom import dcmread
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
    generate_uid,
)
from pydicom.valuerep import AMBIGUOUS_VR, format_number_as_ds

from phantom_head import CENTRE, ORIENTATIONS, Stack, head, noise_of, stack_of

__all__ = [
    "CENTRE",
    "ORIENTATIONS",
    "compressed",
    "ct_phantom",
    "decoded",
    "encode",
    "from_files",
    "mr_phantom",
    "pet_phantom",
    "uid",
]

_UNCOMPRESSED = (
    ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian
)  # fmt: skip

_HU = {
    "air": -1000, "scalp": 30, "bone": 900, "brain": 35, "fluid": 5, "grey": 45, "lesion": 75, "calcium": 350,
}  # fmt: skip
_MR = {
    "air": 0, "scalp": 900, "bone": 60, "brain": 620, "fluid": 180, "grey": 500, "lesion": 800, "calcium": 1000,
}  # fmt: skip
_BQML = {
    "air": 0, "scalp": 900, "bone": 500, "brain": 9000, "fluid": 800, "grey": 15000, "lesion": 30000, "calcium": 24000,
}  # fmt: skip


P = ParamSpec("P")


def from_files(make: Callable[P, list[Dataset]]) -> Callable[P, list[Dataset]]:
    """The same series, read from its files on each call, which are made once, as that takes most of the time."""

    @functools.lru_cache(maxsize=512)
    def files(*args: Any, **options: Any) -> tuple[bytes, ...]:
        return tuple(encode(dataset) for dataset in make(*args, **options))

    @functools.wraps(make)
    def phantom(*args: P.args, **options: P.kwargs) -> list[Dataset]:
        hashable = {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}
        return [_unbound(decoded(content)) for content in files(*args, **hashable)]

    return phantom


def _unbound(file: Dataset) -> Dataset:
    """The dataset of a file without its encoding, except its character set."""
    dataset = Dataset(file)
    dataset.file_meta = file.file_meta
    dataset.set_original_encoding(None, None, file.original_character_set)
    return dataset


def _bound(dataset: Dataset) -> Dataset:
    """The elements as read from a file in explicit VR, little endian, where values as read need no encoding.

    pydicom then resolves no ambiguous VR, and swaps no bytes: a dataset that needs that is returned as it is.
    """
    elements = dict(dataset.items()).values()
    if dataset.file_meta.get("TransferSyntaxUID") == ExplicitVRBigEndian:
        return dataset
    if any(isinstance(element, DataElement) and element.VR in AMBIGUOUS_VR for element in elements):
        return dataset
    file = Dataset(dataset)
    file.file_meta = dataset.file_meta
    file.set_original_encoding(False, True, dataset.original_character_set)
    return file


@from_files
def ct_phantom(
    slices: int = 8,
    rows: int = 32,
    columns: int = 24,
    *,
    orientation: str = "axial",
    spacing: float = 2.5,
    pixel_spacing: tuple[float, float] = (0.8, 0.7),
    descending: bool = False,
    shuffled_numbers: bool = False,
    charset: str | Sequence[str] = "ISO_IR 100",
    patient_name: str = "Phantom^Head",
    patient_id: str = "PHANTOM-1",
    study: str = "1",
    series: str = "ct",
    series_number: int = 3,
    signed: bool = False,
    noise: float = 8.0,
) -> list[Dataset]:
    """A CT series in HU; ``signed`` stores HU as they are, else HU + 1024 in 12 bits.

    :param spacing: mm between slices; :param pixel_spacing: mm between rows, mm between columns.
    :param descending: the first slice (InstanceNumber 1) is the highest along the normal.
    :param shuffled_numbers: InstanceNumber follows no order.
    :param study: names the study of the patient; :param series: names the series of the study. UIDs follow from them.
    :param noise: standard deviation in HU.
    :return: slices in the order of acquisition.
    """
    stack = stack_of(slices, rows, columns, orientation, spacing, pixel_spacing, descending, shuffled_numbers)
    values = np.rint(head(stack, _HU) + noise_of(stack, noise, series)).clip(-1024, 3071)
    offset = 0 if signed else 1024
    datasets = _series(
        stack, (values + offset).astype("<i2" if signed else "<u2"), 16 if signed else 12,
        sop_class=CTImageStorage, modality="CT", charset=charset, patient_name=patient_name, patient_id=patient_id,
        study=study, series=series, series_number=series_number, description="Head 2.5 H31s",
    )  # fmt: skip
    for dataset in datasets:
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL" if orientation == "axial" else "LOCALIZER"]
        if orientation != "axial":
            dataset.ImageType = ["DERIVED", "SECONDARY", "MPR"]
        dataset.RescaleIntercept = -offset
        dataset.RescaleSlope = 1
        dataset.RescaleType = "HU"
        dataset.WindowCenter, dataset.WindowWidth = 40, 80
        dataset.KVP = 120
        dataset.ExposureTime = 1000
        dataset.XRayTubeCurrent = 250
        dataset.ConvolutionKernel = "H31s"
        dataset.GantryDetectorTilt = 0
        dataset.DataCollectionDiameter = 500
        dataset.ReconstructionDiameter = _ds(2 * stack.scale())
    return datasets


@from_files
def mr_phantom(
    slices: int = 8,
    rows: int = 32,
    columns: int = 24,
    *,
    orientation: str = "sagittal",
    spacing: float = 1.5,
    pixel_spacing: tuple[float, float] = (0.9, 0.9),
    descending: bool = False,
    shuffled_numbers: bool = False,
    charset: str | Sequence[str] = "ISO_IR 100",
    patient_name: str = "Phantom^Head",
    patient_id: str = "PHANTOM-1",
    study: str = "1",
    series: str = "mr",
    series_number: int = 4,
    noise: float = 10.0,
) -> list[Dataset]:
    """A T1-weighted MR series in arbitrary units, 12 bits, without a modality LUT (as the classic IOD wants it).

    The parameters are those of :func:`ct_phantom`.
    """
    stack = stack_of(slices, rows, columns, orientation, spacing, pixel_spacing, descending, shuffled_numbers)
    values = np.rint(head(stack, _MR) + noise_of(stack, noise, series)).clip(0, 4095)
    datasets = _series(
        stack, values.astype("<u2"), 12,
        sop_class=MRImageStorage, modality="MR", charset=charset, patient_name=patient_name, patient_id=patient_id,
        study=study, series=series, series_number=series_number, description="t1_mprage",
    )  # fmt: skip
    for dataset in datasets:
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "M", "NORM"]
        dataset.ScanningSequence = ["GR", "IR"]
        dataset.SequenceVariant = ["SP", "MP"]
        dataset.ScanOptions = ""
        dataset.MRAcquisitionType = "3D"
        dataset.SequenceName = "*tfl3d1"
        dataset.RepetitionTime = 2300
        dataset.EchoTime = 2.98
        dataset.EchoTrainLength = 1
        dataset.InversionTime = 900
        dataset.FlipAngle = 9
        dataset.MagneticFieldStrength = 3
        dataset.ImagingFrequency = _ds(123.25)
        dataset.ImagedNucleus = "1H"
        dataset.NumberOfAverages = 1
        dataset.PixelBandwidth = 240
        dataset.WindowCenter, dataset.WindowWidth = 500, 1000
    return datasets


@from_files
def pet_phantom(
    slices: int = 8,
    rows: int = 32,
    columns: int = 24,
    *,
    orientation: str = "axial",
    spacing: float = 3.0,
    pixel_spacing: tuple[float, float] = (2.0, 2.0),
    descending: bool = False,
    shuffled_numbers: bool = False,
    charset: str | Sequence[str] = "ISO_IR 100",
    patient_name: str = "Phantom^Head",
    patient_id: str = "PHANTOM-1",
    study: str = "1",
    series: str = "pet",
    series_number: int = 5,
    weight_kg: float = 72.5,
    dose_bq: float = 370e6,
    noise: float = 50.0,
) -> list[Dataset]:
    """An FDG PET series in Bq/ml, corrected for decay to the start of the series, injected an hour before it.

    Every slice has a rescale slope of its own (its largest value fills the stored range), as scanners write it.
    The other parameters are those of :func:`ct_phantom`.
    """
    stack = stack_of(slices, rows, columns, orientation, spacing, pixel_spacing, descending, shuffled_numbers)
    values = (head(stack, _BQML) + noise_of(stack, noise, series)).clip(0, None)
    slopes = [float(_ds(max(float(plane.max()), 1.0) / 32767)) for plane in values]
    stored = np.stack([np.rint(plane / slope).clip(0, 32767) for plane, slope in zip(values, slopes, strict=True)])
    datasets = _series(
        stack, stored.astype("<i2"), 16,
        sop_class=PositronEmissionTomographyImageStorage, modality="PT", charset=charset, patient_name=patient_name,
        patient_id=patient_id, study=study, series=series, series_number=series_number, description="PET AC FDG",
    )  # fmt: skip
    half_life = 6586.2
    for index, (dataset, slope) in enumerate(zip(datasets, slopes, strict=True)):
        dataset.ImageType = ["ORIGINAL", "PRIMARY"]
        dataset.PatientWeight = _ds(weight_kg)
        dataset.PatientSize = _ds(1.76)
        dataset.RescaleIntercept = 0
        dataset.RescaleSlope = slope
        dataset.Units = "BQML"
        dataset.CountsSource = "EMISSION"
        dataset.SeriesType = ["STATIC", "IMAGE"]
        dataset.NumberOfSlices = slices
        dataset.CorrectedImage = ["DECY", "ATTN", "SCAT", "DTIM", "RAN", "NORM"]
        dataset.DecayCorrection = "START"
        dataset.CollimatorType = "NONE"
        dataset.AttenuationCorrectionMethod = "measured,CT"
        dataset.ReconstructionMethod = "OSEM 3i21s"
        dataset.FrameReferenceTime = _ds(300000.0)
        dataset.ActualFrameDuration = 600000
        dataset.DecayFactor = _ds(2 ** (300.0 / half_life))
        dataset.ImageIndex = index + 1
        dataset.RandomsCorrectionMethod = "DLYD"
        dataset.ScatterCorrectionMethod = "Model-based"
        dataset.WindowCenter, dataset.WindowWidth = 15000, 30000
        dose = Dataset()
        dose.Radiopharmaceutical = "Fluorodeoxyglucose"
        dose.RadiopharmaceuticalStartTime = "093000.00"
        dose.RadiopharmaceuticalStartDateTime = "20240312093000.00"
        dose.RadionuclideTotalDose = _ds(dose_bq)
        dose.RadionuclideHalfLife = _ds(half_life)
        dose.RadionuclidePositronFraction = _ds(0.967)
        dose.RadionuclideCodeSequence = [_code("77004003", "SCT", "^18^Fluorine")]
        dose.RadiopharmaceuticalCodeSequence = [_code("35321007", "SCT", "Fluorodeoxyglucose F^18^")]
        dose.AdministrationRouteCodeSequence = [_code("47625008", "SCT", "Intravenous route")]
        dataset.RadiopharmaceuticalInformationSequence = [dose]
        del dataset.PatientPosition  # says the same as the sequences that follow, and excludes them
        dataset.PatientOrientationCodeSequence = [_code("102538003", "SCT", "recumbent")]
        dataset.PatientOrientationCodeSequence[0].PatientOrientationModifierCodeSequence = [
            _code("40199007", "SCT", "supine")
        ]
        dataset.PatientGantryRelationshipCodeSequence = [_code("102540008", "SCT", "headfirst")]
    return datasets


def compressed(datasets: Iterable[Dataset], transfer_syntax: str) -> list[Dataset]:
    """Copies in another transfer syntax: RLE, JPEG-LS, JPEG 2000 (lossless; at least 32 x 32), or uncompressed."""
    copies = []
    for dataset in datasets:
        copy = _unbound(decoded(encode(dataset)))
        if transfer_syntax in _UNCOMPRESSED:
            copy.file_meta.TransferSyntaxUID = UID(transfer_syntax)
            if transfer_syntax == ExplicitVRBigEndian:
                copy.PixelData = np.frombuffer(copy.PixelData, "<u2").astype(">u2").tobytes()
        else:
            copy.compress(transfer_syntax, generate_instance_uid=False)
        copies.append(decoded(encode(copy)))
    return copies


def encode(dataset: Dataset) -> bytes:
    """The dataset as a Part 10 file."""
    buffer = io.BytesIO()
    is_of_phantom = dataset.original_character_set and None in dataset.original_encoding
    (_bound(dataset) if is_of_phantom else dataset).save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def decoded(content: bytes) -> Dataset:
    """The dataset of a Part 10 file, read to its end."""
    return dcmread(io.BytesIO(content))


def uid(*names: object) -> str:
    """The UID for these names."""
    return str(generate_uid(entropy_srcs=["phantom", *(str(name) for name in names)]))


def _series(
    stack: Stack,
    stored: npt.NDArray[Any],
    bits_stored: int,
    *,
    sop_class: str,
    modality: str,
    charset: str | Sequence[str],
    patient_name: str,
    patient_id: str,
    study: str,
    series: str,
    series_number: int,
    description: str,
) -> list[Dataset]:
    """The elements of all modalities: patient, study, series, equipment, plane and pixels (PS3.3 A.3, A.4, A.21)."""
    identity = (patient_id, study)
    datasets = []
    for index, (number, plane) in enumerate(zip(stack.numbers, stored, strict=True)):
        dataset = Dataset()
        dataset.SpecificCharacterSet = charset if isinstance(charset, str) else list(charset)
        dataset.SOPClassUID = sop_class
        dataset.SOPInstanceUID = uid(*identity, series, index)
        dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = dataset.ContentDate = "20240312"
        dataset.StudyTime, dataset.SeriesTime = "102000.00", "103000.00"
        dataset.AcquisitionTime = f"1030{index % 60:02d}.50"
        dataset.ContentTime = f"1035{index % 60:02d}.00"
        dataset.InstanceCreationDate, dataset.InstanceCreationTime = "20240312", "104000.00"
        dataset.AccessionNumber = f"A{study}"
        dataset.Modality = modality
        dataset.Manufacturer = "Phantom Works"
        dataset.InstitutionName = "Test Hospital"
        dataset.ReferringPhysicianName = "Referrer^Anna"
        dataset.StudyDescription = "Head"
        dataset.SeriesDescription = description
        dataset.ManufacturerModelName = "Ellipsoid 3"
        dataset.PatientName = patient_name
        dataset.PatientID = patient_id
        dataset.IssuerOfPatientID = "TEST"
        dataset.PatientBirthDate = "19600229"
        dataset.PatientSex = "F"
        dataset.PatientAge = "064Y"
        dataset.BodyPartExamined = "HEAD"
        dataset.SliceThickness = _ds(stack.spacing * 0.8)  # not the distance between slices
        dataset.SpacingBetweenSlices = _ds(stack.spacing)
        dataset.DeviceSerialNumber = "4711"
        dataset.SoftwareVersions = "1.0"
        dataset.ProtocolName = "Head routine"
        dataset.PatientPosition = "HFS"
        dataset.StudyInstanceUID = uid(*identity)
        dataset.SeriesInstanceUID = uid(*identity, series)
        dataset.StudyID = study
        dataset.SeriesNumber = series_number
        dataset.AcquisitionNumber = 1
        dataset.InstanceNumber = number
        dataset.ImagePositionPatient = [_ds(value) for value in stack.positions[index]]
        dataset.ImageOrientationPatient = [_ds(value) for value in (*stack.row_cosines, *stack.column_cosines)]
        dataset.FrameOfReferenceUID = uid(*identity, "frame of reference")
        dataset.PositionReferenceIndicator = ""
        dataset.SamplesPerPixel = 1
        dataset.PhotometricInterpretation = "MONOCHROME2"
        dataset.Rows, dataset.Columns = plane.shape
        dataset.PixelSpacing = [_ds(value) for value in stack.pixel_spacing]
        dataset.BitsAllocated = 16
        dataset.BitsStored = bits_stored
        dataset.HighBit = bits_stored - 1
        dataset.PixelRepresentation = int(plane.dtype.kind == "i")
        dataset.PixelData = plane.tobytes()
        dataset["PixelData"].VR = "OW"
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.file_meta.MediaStorageSOPClassUID = UID(sop_class)
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        datasets.append(dataset)
    return datasets


def _ds(value: float) -> str:
    """A decimal string of at most 16 characters (PS3.5, DS)."""
    return format_number_as_ds(float(value))


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue = value
    code.CodingSchemeDesignator = scheme
    code.CodeMeaning = meaning
    return code
