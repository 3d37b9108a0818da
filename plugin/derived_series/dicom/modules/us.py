"""US Image, US Region Calibration and Cine modules (PS3.3 C.8.5.6, C.8.5.5, C.7.6.5)."""

from __future__ import annotations

from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.blueprints.copy_elements import GridCopyElement
from derived_series.dicom.blueprints.element import ABSENT, Value
from derived_series.dicom.blueprints.environment import ImageEnvironment
from derived_series.dicom.blueprints.function_elements import ImageElement
from derived_series.dicom.blueprints.parents_class import ParentsClassElement
from derived_series.dicom.modules.element_lists import by_position
from derived_series.dicom.modules.projection import FramesCopyElement, cine_blueprint, projection_blueprint
from derived_series.kinds.projection import US_IMAGE, US_MULTI_FRAME


def _colour_data(env: ImageEnvironment) -> Value:
    """UltrasoundColorDataPresent: the parent's, if the image has as many samples per pixel."""
    colour_data = env.parent.pivot.get("UltrasoundColorDataPresent")
    same = env.pixels.samples == int(env.parent.pivot.get("SamplesPerPixel") or 1)
    return colour_data if same and colour_data is not None else ABSENT


us_image_blueprint = (
    projection_blueprint
    + cine_blueprint
    + Blueprint(
        [
            ParentsClassElement(US_IMAGE.uid, US_MULTI_FRAME.uid),
            GridCopyElement("SequenceOfUltrasoundRegions"),
            ImageElement("UltrasoundColorDataPresent", _colour_data),
            *by_position("StageName", "StageNumber", "NumberOfStages", "ViewName", "ViewNumber"),
            *by_position("NumberOfViewsInStage", "StageCodeSequence", "NumberOfEventTimers"),
            *by_position("EventElapsedTimes", "EventTimerNames", "EventCodeSequence", "TriggerTime", "NominalInterval"),
            *by_position("TransducerType", "TransducerData", "TransducerScanPatternCodeSequence"),
            *by_position("TransducerGeometryCodeSequence", "TransducerFrequency", "FocusDepth", "DepthOfScanField"),
            *by_position("ProcessingFunction", "MechanicalIndex", "BoneThermalIndex", "CranialThermalIndex"),
            *by_position("SoftTissueThermalIndex", "SoftTissueFocusThermalIndex", "SoftTissueSurfaceThermalIndex"),
            *by_position("IVUSAcquisition", "IVUSPullbackRate", "IVUSGatedRate"),
            *map(FramesCopyElement, ("IVUSPullbackStartFrameNumber", "IVUSPullbackStopFrameNumber")),
        ]
    )
).named("us_image")
"""US Image, US Region Calibration and Cine modules (PS3.3 A.6, A.7): the parent's class, views and timing."""

#: Filled in if a blueprint does not name it: what an image without a place requires, and the timing of its frames.
required_blueprint = (projection_blueprint + cine_blueprint).frozen()
