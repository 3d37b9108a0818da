"""X-Ray Image, Acquisition, XA Positioner, Cine and Mask modules (PS3.3 C.8.7.1 to C.8.7.5, C.7.6.5, C.7.6.10)."""

from __future__ import annotations

from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.blueprints.copy_elements import GridCopyElement
from derived_series.dicom.blueprints.element import StaticElement
from derived_series.dicom.blueprints.parents_class import ParentsClassElement
from derived_series.dicom.modules.element_lists import by_position, by_position_or_empty
from derived_series.dicom.modules.projection import (
    MASK,
    FramesCopyElement,
    MaskElement,
    cine_blueprint,
    projection_blueprint,
    x_ray_blueprint,
)
from derived_series.kinds.projection import RF_IMAGE, XA_IMAGE

xa_image_blueprint = (
    projection_blueprint
    + x_ray_blueprint
    + cine_blueprint
    + Blueprint(
        [
            ParentsClassElement(XA_IMAGE.uid, RF_IMAGE.uid),
            *by_position_or_empty("KVP", "PositionerPrimaryAngle", "PositionerSecondaryAngle"),
            # type 2C, one of them or Exposure: dose of the parent's exposure would be counted twice
            *(StaticElement(keyword, "IS", None) for keyword in ("ExposureTime", "XRayTubeCurrent")),
            *by_position("RadiationSetting", "TypeOfFilters", "IntensifierSize", "PositionerMotion", "TableMotion"),
            *by_position("ColumnAngulation", "TomoLayerHeight", "TomoAngle", "TomoTime", "TomoType"),
            GridCopyElement("ImagerPixelSpacing"),
            *map(
                FramesCopyElement,
                (
                    *("PositionerPrimaryAngleIncrement", "PositionerSecondaryAngleIncrement"),
                    *("TableVerticalIncrement", "TableLateralIncrement", "TableLongitudinalIncrement"),
                ),
            ),
            *map(MaskElement, MASK),
        ]
    )
).named("xa_image")
"""The modules of X-Ray Angiography and Radiofluoroscopy (PS3.3 A.14, A.16): the parent's class, angles and timing."""

_REQUIRED = (
    *("KVP", "RadiationSetting", "PixelIntensityRelationship", "ExposureTime", "XRayTubeCurrent", "PositionerMotion"),
    *("PositionerPrimaryAngle", "PositionerSecondaryAngle"),
    *("PositionerPrimaryAngleIncrement", "PositionerSecondaryAngleIncrement"),
)
#: Types 1 and 2, and what an image without a place is: filled in where a blueprint does not name them.
required_blueprint = (
    projection_blueprint
    + cine_blueprint
    + Blueprint([xa_image_blueprint[keyword] for keyword in _REQUIRED], name="required")
).frozen()
