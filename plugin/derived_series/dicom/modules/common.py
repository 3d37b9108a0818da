"""What every image series has, put together: the base of a blueprint of one's own."""

from __future__ import annotations

from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.modules.derivation import MARKS, general_reference_blueprint
from derived_series.dicom.modules.equipment import (
    contributing_equipment_blueprint,
    general_equipment_blueprint,
    own_equipment_blueprint,
)
from derived_series.dicom.modules.image import (
    SOP_common_blueprint,
    general_image_blueprint,
    image_pixel_blueprint,
    image_plane_blueprint,
    voi_lut_blueprint,
)
from derived_series.dicom.modules.patient import patient_blueprint, patient_study_blueprint
from derived_series.dicom.modules.series import frame_of_reference_blueprint, general_series_blueprint
from derived_series.dicom.modules.study import general_study_blueprint

#: Patient, study, series, equipment, image, pixels, window and derivation; no claim about modality or geometry.
common_blueprint = (
    patient_blueprint
    + general_study_blueprint
    + patient_study_blueprint
    + general_series_blueprint
    + general_equipment_blueprint
    + general_image_blueprint
    + general_reference_blueprint
    + contributing_equipment_blueprint
    + image_pixel_blueprint
    + voi_lut_blueprint
    + SOP_common_blueprint
).named("common")

#: The same with a place in space: frame of reference and image plane.
volume_blueprint = (common_blueprint + frame_of_reference_blueprint + image_plane_blueprint).named("volume")

#: What every object has that is no image of the parent's kind: made by this software, at this time.
object_blueprint = (
    patient_blueprint
    + general_study_blueprint
    + patient_study_blueprint
    + general_series_blueprint
    + own_equipment_blueprint
    + contributing_equipment_blueprint
    + Blueprint(
        [general_image_blueprint[keyword] for keyword in ("InstanceNumber", "ContentDate", "ContentTime", *MARKS)]
    )
    + SOP_common_blueprint
).named("object")

#: The same for frames in the parent's space, with references to the parent's images.
frames_blueprint = (object_blueprint + general_reference_blueprint + frame_of_reference_blueprint).named("frames")
