"""RT Series and RT Dose modules (PS3.3 C.8.8.1, C.8.8.3), as far as the image does not decide them."""

from __future__ import annotations

from pydicom.uid import RTDoseStorage

from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.blueprints.copy_elements import CopyOrElseElement
from derived_series.dicom.blueprints.element import DiscardElement, StaticElement
from derived_series.dicom.modules.element_lists import copies, copies_or_empty

rt_dose_blueprint = Blueprint(
    [
        StaticElement("SOPClassUID", "UI", RTDoseStorage),
        StaticElement("Modality", "CS", "RTDOSE"),
        StaticElement("ImageType", "CS", ["DERIVED", "SECONDARY"]),
        *copies_or_empty("OperatorsName"),
        CopyOrElseElement("DoseUnits", "GY"),
        CopyOrElseElement("DoseType", "PHYSICAL"),
        CopyOrElseElement("DoseSummationType", "PLAN"),
        *copies("DoseComment", "NormalizationPoint", "TissueHeterogeneityCorrection"),
        *copies("ReferencedRTPlanSequence", "ReferencedStructureSetSequence"),
        DiscardElement("SliceLocation"),  # of one slice; the offsets are in GridFrameOffsetVector
    ]
).named("rt_dose")
"""RT Series and RT Dose modules (PS3.3 C.8.8.1, C.8.8.3), for doses in Gy."""
