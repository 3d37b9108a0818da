"""CR Series and CR Image modules (PS3.3 C.8.1.1, C.8.1.2). Dose of the parent's exposure is not copied."""

from __future__ import annotations

from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.blueprints.parents_class import ParentsClassElement
from derived_series.dicom.modules.element_lists import by_position, by_position_or_empty
from derived_series.dicom.modules.projection import projection_blueprint, x_ray_blueprint
from derived_series.kinds.projection import CR_IMAGE

cr_image_blueprint = (
    projection_blueprint
    + x_ray_blueprint
    + Blueprint(
        [
            ParentsClassElement(CR_IMAGE.uid),
            *by_position_or_empty("BodyPartExamined", "ViewPosition"),
            *by_position("CassetteOrientation", "CassetteSize", "PlateID", "PlateType", "PhosphorType"),
        ]
    )
).named("cr_image")
"""CR Series and CR Image modules (PS3.3 C.8.1.1, C.8.1.2): each image is of its parent image's class and view."""

#: Types 1 and 2, and what an image of projection is without a place: filled in where a blueprint does not name them.
required_blueprint = (
    projection_blueprint
    + Blueprint([cr_image_blueprint[keyword] for keyword in ("BodyPartExamined", "ViewPosition")], name="required")
).frozen()
