"""MR Image module (PS3.3 C.8.3.1), and a mapping to real world values, as the classic IOD has no modality LUT."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import MRImageStorage

from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.blueprints.element import ABSENT, StaticElement, Value
from derived_series.dicom.blueprints.environment import ImageEnvironment
from derived_series.dicom.blueprints.function_elements import ImageElement
from derived_series.dicom.modules.codes import code_item
from derived_series.dicom.modules.element_lists import by_position, by_position_or_empty, copies_or_empty


def _real_world_value_mapping(env: ImageEnvironment) -> Value:
    """The mapping from stored to real world values, if they are scaled (PS3.3 C.7.6.16.2.11)."""
    pixels = env.pixels
    if not pixels.rescaled:
        return ABSENT
    limits = np.iinfo(pixels.dtype)
    vr = "SS" if pixels.signed else "US"
    item = Dataset()
    item.add_new("RealWorldValueFirstValueMapped", vr, int(limits.min))
    item.add_new("RealWorldValueLastValueMapped", vr, int(limits.max))
    item.RealWorldValueIntercept = pixels.intercept
    item.RealWorldValueSlope = pixels.slope
    item.LUTExplanation = "Real world values"
    item.LUTLabel = "REAL"
    item.MeasurementUnitsCodeSequence = [code_item(codes.UCUM.NoUnits)]
    return [item]


mr_image_blueprint = Blueprint(
    [
        StaticElement("SOPClassUID", "UI", MRImageStorage),
        StaticElement("Modality", "CS", "MR"),
        *by_position("ScanningSequence", "SequenceVariant"),
        *copies_or_empty("ScanOptions", "MRAcquisitionType"),
        *by_position_or_empty("EchoTime", "EchoTrainLength"),
        *by_position("RepetitionTime", "InversionTime", "TriggerTime", "SequenceName", "AngioFlag"),
        *by_position("NumberOfAverages", "ImagingFrequency", "ImagedNucleus", "EchoNumbers"),
        *by_position("MagneticFieldStrength", "NumberOfPhaseEncodingSteps", "PercentSampling"),
        *by_position("PercentPhaseFieldOfView", "PixelBandwidth", "ReceiveCoilName", "TransmitCoilName"),
        *by_position("AcquisitionMatrix", "InPlanePhaseEncodingDirection", "FlipAngle", "SAR", "dBdt"),
        *by_position("VariableFlipAngleFlag", "DiffusionBValue", "DiffusionGradientOrientation"),
        ImageElement("RealWorldValueMappingSequence", _real_world_value_mapping),
    ]
).named("mr_image")
"""MR Image module (PS3.3 C.8.3.1), with RealWorldValueMappingSequence where values are scaled."""

_REQUIRED = (
    *("ScanningSequence", "SequenceVariant", "ScanOptions", "MRAcquisitionType"),
    *("EchoTime", "EchoTrainLength"),
)
#: Types 1 and 2, filled in where a blueprint does not name them.
required_blueprint = Blueprint([mr_image_blueprint[keyword] for keyword in _REQUIRED], name="required").frozen()
