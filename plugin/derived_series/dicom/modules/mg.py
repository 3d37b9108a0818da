"""Mammography Series and Mammography Image modules (PS3.3 C.8.11.6, C.8.11.7), with those of Digital X-Ray."""

from __future__ import annotations

from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.blueprints.parents_class import ParentsClassElement
from derived_series.dicom.modules.dx import DX_REQUIRED, dx_image_blueprint
from derived_series.dicom.modules.element_lists import by_position
from derived_series.dicom.modules.projection import projection_blueprint
from derived_series.kinds.projection import MG_FOR_PRESENTATION, MG_FOR_PROCESSING

mg_image_blueprint = (
    dx_image_blueprint
    + Blueprint(
        [
            ParentsClassElement(MG_FOR_PRESENTATION.uid, MG_FOR_PROCESSING.uid),
            *by_position("OrganExposed", "BreastImplantPresent", "PartialView"),
            *by_position("PartialViewDescription", "PartialViewCodeSequence", "BiopsyTargetSequence"),
        ]
    )
).named("mg_image")
"""The modules of Digital Mammography (PS3.3 A.27, C.8.11): each image has its parent image's view and laterality."""

_REQUIRED = (*DX_REQUIRED, "PositionerType", "OrganExposed", "ViewCodeSequence")
#: Types 1 and 2, and what an image of projection is without a place: filled in where a blueprint does not name them.
required_blueprint = (
    projection_blueprint + Blueprint([mg_image_blueprint[keyword] for keyword in _REQUIRED], name="required")
).frozen()
