"""Attributes that classic MR and PET images require and enhanced ones express otherwise (PS3.3 C.8.3.1, C.8.9)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import MRImageStorage, PositronEmissionTomographyImageStorage

from derived_series.dicom.encoding.decimal_string import decimal_string
from derived_series.dicom.encoding.tags import dictionary_vr
from derived_series.dicom.encoding.times import moment_of, read_datetime, zone_of
from derived_series.kinds import sop_class
from derived_series.kinds.secondary_capture import SECONDARY_CAPTURE

#: Units (0054,1001) by UCUM code in lower case (PS3.3 C.8.9.1.1.3).
_UNITS = {
    **{
        "bq/ml": "BQML",
        "{counts}": "CNTS",
        "{counts}/s": "CPS",
        "{propcounts}": "PROPCNTS",
        "{propcounts}/s": "PROPCPS",
    },
    **{"g/ml{suvbw}": "GML", "g/ml{suvlbm}": "GML", "g/ml{suvibw}": "GML", "cm2/ml{suvbsa}": "CM2ML", "g/ml": "GML"},
    **{"%": "PCNT", "1": "NONE", "{none}": "NONE", "cm2": "CM2", "cm2/ml": "CM2ML", "/cm": "1CM", "1/cm": "1CM"},
    **{"mg/min/ml": "MGMINML", "umol/min/ml": "UMOLMINML", "ml/min/g": "MLMING", "ml/g": "MLG", "umol/ml": "UMOLML"},
    **{"ml/min/ml": "MLMINML", "ml/ml": "MLML"},
}
_SUV = {"g/ml{suvbw}": "BW", "g/ml{suvlbm}": "LBM", "g/ml{suvibw}": "IBW", "cm2/ml{suvbsa}": "BSA"}
#: Values of CorrectedImage (0028,0051), and the attributes of enhanced PET that are YES for them (PS3.3 C.8.22.4).
_CORRECTIONS = {
    **{
        "DECY": "DecayCorrected",
        "ATTN": "AttenuationCorrected",
        "SCAT": "ScatterCorrected",
        "DTIM": "DeadTimeCorrected",
    },
    **{"MOTN": "GantryMotionCorrected", "PMOT": "PatientMotionCorrected", "CLN": "CountLossNormalizationCorrected"},
    **{"RAN": "RandomsCorrected", "RADL": "NonUniformRadialSamplingCorrected", "DCAL": "SensitivityCalibrated"},
    **{"NORM": "DetectorNormalizationCorrection"},
}


def classic_class(sop_class_uid: str) -> str:
    """The single-frame class for the frames of a multi-frame class (PS3.3 A.3, A.4, A.21, A.8.1)."""
    return sop_class(sop_class_uid).classic or SECONDARY_CAPTURE.uid


def classic_attributes(source: Dataset, groups: Dataset, frame: Mapping[BaseTag, DataElement]) -> list[DataElement]:
    """The attributes of a frame's classic image besides those of its functional groups.

    :param groups: the functional groups of the frame, including the shared ones.
    :param frame: the classic attributes that are already known.
    """
    modality = classic_class(str(source.SOPClassUID))
    if modality == MRImageStorage:
        classic_values = _pulse_sequence(source, groups)
    elif modality == PositronEmissionTomographyImageStorage:
        classic_values = _positron_emission(source, groups)
    else:
        return []
    tags = {Tag(keyword): value for keyword, value in classic_values.items()}
    return [DataElement(t, dictionary_vr(t) or "LO", v) for t, v in tags.items() if t not in frame and t not in source]


def _pulse_sequence(source: Dataset, groups: Dataset) -> dict[str, Any]:
    """ScanningSequence, SequenceVariant, SequenceName: type 1, from the MR Pulse Sequence module (C.8.13.4).

    Without that module no classic term describes the sequence: "RM", research mode.
    """
    enhanced_values = {**_values(source), **_values(*_items(groups, "MRModifierSequence"))}
    echo = {"SPIN": ["SE"], "GRADIENT": ["GR"], "BOTH": ["GR", "SE"]}.get(
        str(enhanced_values.get("EchoPulseSequence")), []
    )
    scanning = (
        echo
        + ["IR"] * (enhanced_values.get("InversionRecovery") == "YES")
        + ["EP"] * (enhanced_values.get("EchoPlanarPulseSequence") == "YES")
    )
    variants = {
        "SK": enhanced_values.get("SegmentedKSpaceTraversal") in ("PARTIAL", "FULL"),
        "MTC": enhanced_values.get("MagnetizationTransfer") in ("ON_RESONANCE", "OFF_RESONANCE"),
        "SS": enhanced_values.get("SteadyStatePulseSequence") not in (None, "", "NONE"),
        "SP": enhanced_values.get("Spoiling") not in (None, "", "NONE"),
        "MP": enhanced_values.get("InversionRecovery") == "YES",
        "OSP": enhanced_values.get("OversamplingPhase") in ("2D", "3D", "2D_3D"),
    }
    classic_values: dict[str, Any] = {
        "ScanningSequence": scanning or ["RM"],
        "SequenceVariant": [name for name, is_so in variants.items() if is_so] or ["NONE"],
        "RepetitionTime": None,  # type 2C
    }
    if "IR" in scanning:
        classic_values["InversionTime"] = None
    if enhanced_values.get("PulseSequenceName"):
        classic_values["SequenceName"] = str(enhanced_values["PulseSequenceName"])[:16]
    return classic_values


def _positron_emission(source: Dataset, groups: Dataset) -> dict[str, Any]:
    """Units, DecayCorrection, FrameReferenceTime and the other type 1 and 2 attributes of classic PET."""
    dose = next(iter(_items(source, "RadiopharmaceuticalInformationSequence")), Dataset())
    content = next(iter(_items(groups, "FrameContentSequence")), Dataset())
    classic_values: dict[str, Any] = {
        "SeriesType": ["DYNAMIC" if _times(source) > 1 else "STATIC", "IMAGE"],
        "DecayCorrection": _decay_correction(source, dose),
        "CorrectedImage": [name for name, keyword in _CORRECTIONS.items() if source.get(keyword) == "YES"],
    }
    for item in _items(groups, "RealWorldValueMappingSequence"):
        for unit in _items(item, "MeasurementUnitsCodeSequence"):
            code = str(unit.get("CodeValue", "")).lower()
            classic_values["Units"], classic_values["SUVType"] = _UNITS.get(code), _SUV.get(code)
    for item in _items(groups, "PixelValueTransformationSequence"):
        kind = str(item.get("RescaleType") or "")
        if not classic_values.get("Units") and kind in _UNITS.values():
            classic_values["Units"] = kind
    duration = content.get("FrameAcquisitionDuration")
    if duration is not None:
        classic_values["ActualFrameDuration"] = round(float(duration))
    start = moment_of(source, "Series")
    reference = read_datetime(content.get("FrameReferenceDateTime"), zone_of(source))
    if start is not None and reference is not None:
        classic_values["FrameReferenceTime"] = decimal_string((reference.at - start.at).total_seconds() * 1000)
    return {keyword: value for keyword, value in classic_values.items() if value not in (None, [])}


def _decay_correction(source: Dataset, dose: Dataset) -> str | None:
    """DecayCorrection: START (of the series), ADMIN(istration) or NONE; None if corrected to another time."""
    if source.get("DecayCorrected") == "NO":
        return "NONE"
    zone = zone_of(source)
    moment = read_datetime(source.get("DecayCorrectionDateTime"), zone)
    if moment is None:
        return None
    start, injected = moment_of(source, "Series"), read_datetime(dose.get("RadiopharmaceuticalStartDateTime"), zone)
    if start is not None and moment.agrees(start):
        return "START"
    return "ADMIN" if injected is not None and moment.agrees(injected) else None


def _times(source: Dataset) -> int:
    """The number of different temporal positions among the frames."""
    indexes = {
        int(content.get("TemporalPositionIndex") or 1)
        for item in _items(source, "PerFrameFunctionalGroupsSequence", None)
        for content in _items(item, "FrameContentSequence")
    }
    return max(1, len(indexes))


def _items(dataset: Dataset, keyword: str, count: int | None = 1) -> list[Dataset]:
    return list((dataset.get(keyword) or [])[:count])


def _values(*datasets: Dataset) -> dict[str, Any]:
    """The values of pulse sequence attributes that are present, by keyword."""
    keywords = (
        *("EchoPulseSequence", "InversionRecovery", "EchoPlanarPulseSequence", "SegmentedKSpaceTraversal"),
        *("MagnetizationTransfer", "SteadyStatePulseSequence", "Spoiling", "OversamplingPhase", "PulseSequenceName"),
    )
    return {keyword: dataset[keyword].value for dataset in datasets for keyword in keywords if keyword in dataset}
