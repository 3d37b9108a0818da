"""PET Series, Isotope, Orientation and Image modules (PS3.3 C.8.9.1, C.8.9.2, C.8.4.6, C.8.9.4).

SeriesDate and SeriesTime stay the parent's: the pixels are decay corrected to a time that refers to them.
"""

from __future__ import annotations

from pydicom.uid import PositronEmissionTomographyImageStorage

from derived_series.dicom.blueprint import Blueprint
from derived_series.dicom.copying import CopyElement, PositionCopyElement
from derived_series.dicom.elements import ABSENT, StaticElement, Value
from derived_series.dicom.environment import ImageEnvironment, SeriesEnvironment
from derived_series.dicom.functions import FunctionalElement, HeaderElement, ImageElement
from derived_series.dicom.modules.helpers import by_position, by_position_or_empty, copies, copies_or_empty


def _series_type(env: ImageEnvironment) -> Value:
    """The parent's; an image on other slices is no longer the acquired REPROJECTION or dynamic series."""
    return env.parent.pivot.get("SeriesType") or ["STATIC", "IMAGE"]


def _orientation(keyword: str) -> HeaderElement:
    """Type 2: the parent's. One that says PatientPosition instead keeps to that: the two exclude each other."""

    def codes(env: SeriesEnvironment) -> Value:
        if keyword in env.pivot:
            return env.pivot[keyword]
        return ABSENT if env.pivot.get("PatientPosition") else None

    return HeaderElement(keyword, codes)


pet_series_blueprint = Blueprint(
    [
        CopyElement("SeriesDate"),
        CopyElement("SeriesTime"),
        ImageElement("NumberOfSlices", lambda env: env.count),
        CopyElement("Units"),
        ImageElement("SeriesType", _series_type),
        *copies("CountsSource"),
        CopyElement("DecayCorrection"),
        *copies_or_empty("CorrectedImage", "CollimatorType"),
        *copies("SUVType", "RandomsCorrectionMethod", "AttenuationCorrectionMethod", "ReconstructionMethod"),
        *copies("ScatterCorrectionMethod", "DetectorLinesOfResponseUsed", "DetectorGeometry", "AxialAcceptance"),
        *copies("ReprojectionMethod", "TransverseMash", "CoincidenceWindowWidth", "EnergyWindowRangeSequence"),
        *copies("CollimatorGridName", "FieldOfViewShape", "FieldOfViewDimensions", "TypeOfDetectorMotion"),
        *copies("NumberOfTimeSlices", "NumberOfRRIntervals", "NumberOfTimeSlots", "GantryDetectorTilt"),
        _orientation("PatientOrientationCodeSequence"),
        _orientation("PatientGantryRelationshipCodeSequence"),
    ]
).named("pet_series")

pet_isotope_blueprint = Blueprint(
    copies_or_empty("RadiopharmaceuticalInformationSequence") + copies("InterventionDrugInformationSequence")
).named("pet_isotope")

pet_image_blueprint = Blueprint(
    [
        StaticElement("SOPClassUID", "UI", PositronEmissionTomographyImageStorage),
        StaticElement("Modality", "CS", "PT"),
        *by_position_or_empty("AcquisitionDate", "AcquisitionTime", "ActualFrameDuration"),
        PositionCopyElement("FrameReferenceTime", required=True),
        *by_position("DecayFactor", "TriggerTime", "FrameTime"),
        *by_position("PrimaryPromptsCountsAccumulated", "ScatterFractionFactor", "DeadTimeFactor"),
        FunctionalElement("ImageIndex", lambda env: env.instance_number),
    ]
).named("pet_image")
