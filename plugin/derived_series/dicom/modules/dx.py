"""DX Series, Anatomy Imaged, Image, Detector and Positioning modules (PS3.3 C.8.11.1 to C.8.11.5)."""

from __future__ import annotations

from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.blueprints.copy_elements import GridCopyElement, PositionCopyElement
from derived_series.dicom.blueprints.environment import SeriesEnvironment
from derived_series.dicom.blueprints.function_elements import HeaderElement
from derived_series.dicom.blueprints.parents_class import ParentsClassElement
from derived_series.dicom.modules.element_lists import by_position, by_position_or_empty
from derived_series.dicom.modules.projection import SpacingElement, projection_blueprint, x_ray_blueprint
from derived_series.dicom.source.multiframe.frame import source_of
from derived_series.kinds.projection import DX_FOR_PRESENTATION, DX_FOR_PROCESSING, MG_FOR_PROCESSING


def _intent(env: SeriesEnvironment) -> str:
    """By the class, which is the parent's."""
    processing = (DX_FOR_PROCESSING.uid, MG_FOR_PROCESSING.uid)
    return "FOR PROCESSING" if source_of(env.pivot).get("SOPClassUID") in processing else "FOR PRESENTATION"


dx_image_blueprint = (
    projection_blueprint
    + x_ray_blueprint
    + Blueprint(
        [
            ParentsClassElement(DX_FOR_PRESENTATION.uid, DX_FOR_PROCESSING.uid),
            HeaderElement("PresentationIntentType", _intent),
            *by_position_or_empty("AnatomicRegionSequence", "DetectorType", "AcquisitionContextSequence"),
            SpacingElement("ImagerPixelSpacing"),
            GridCopyElement("PatientOrientation"),  # type 1C
            *by_position("PositionerType", "PositionerPrimaryAngle", "PositionerSecondaryAngle", "ColumnAngulation"),
            *by_position("DetectorPrimaryAngle", "DetectorSecondaryAngle", "TableType", "TableAngle"),
            *by_position("BodyPartThickness", "CompressionForce", "CompressionPressure", "PaddleDescription"),
            *by_position("DetectorConfiguration", "DetectorDescription", "DetectorMode", "DetectorID"),
            *map(
                GridCopyElement,
                (
                    *("DetectorBinning", "DetectorElementPhysicalSize", "DetectorElementSpacing"),
                    *("DetectorActiveShape", "DetectorActiveDimensions", "DetectorActiveOrigin"),
                ),
            ),
            PositionCopyElement("CalibrationImage"),
        ]
    )
).named("dx_image")
"""The modules of Digital X-Ray (PS3.3 A.26, C.8.11): each image is of its parent image's class, view and laterality."""

DX_REQUIRED = (
    *("PresentationIntentType", "AnatomicRegionSequence", "ImageLaterality", "DetectorType", "ImagerPixelSpacing"),
    *("PixelIntensityRelationship", "PixelIntensityRelationshipSign", "AcquisitionContextSequence"),
)
#: Types 1 and 2, and what an image of projection is without a place: filled in where a blueprint does not name them.
required_blueprint = (
    projection_blueprint + Blueprint([dx_image_blueprint[keyword] for keyword in DX_REQUIRED], name="required")
).frozen()
