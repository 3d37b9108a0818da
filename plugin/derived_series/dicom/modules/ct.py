"""CT Image module (PS3.3 C.8.2.1). Dose of the parent's exposure is not copied: it would be counted twice."""

from __future__ import annotations

from pydicom.uid import CTImageStorage

from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.blueprints.element import StaticElement
from derived_series.dicom.modules.element_lists import by_position, by_position_or_empty

ct_image_blueprint = Blueprint(
    [
        StaticElement("SOPClassUID", "UI", CTImageStorage),
        StaticElement("Modality", "CS", "CT"),
        *by_position_or_empty("KVP", "AcquisitionNumber"),
        *by_position("ScanOptions", "DataCollectionDiameter", "ReconstructionDiameter"),
        *by_position("DistanceSourceToDetector", "DistanceSourceToPatient", "GantryDetectorTilt", "TableHeight"),
        *by_position("RotationDirection", "FilterType", "GeneratorPower", "FocalSpots", "ConvolutionKernel"),
        *by_position("RevolutionTime", "SingleCollimationWidth", "TotalCollimationWidth", "TableSpeed"),
        *by_position("TableFeedPerRotation", "SpiralPitchFactor", "DataCollectionCenterPatient"),
        *by_position("ReconstructionTargetCenterPatient", "ContrastBolusAgent", "ContrastBolusRoute"),
    ]
).named("ct_image")
"""CT Image module (PS3.3 C.8.2.1), without the dose of the parent's exposure."""

#: Types 1 and 2, filled in where a blueprint does not name them.
required_blueprint = Blueprint(
    [ct_image_blueprint[keyword] for keyword in ("KVP", "AcquisitionNumber")], name="required"
).frozen()
