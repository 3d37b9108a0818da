"""The elements that every image series has: a base for your own blueprints."""

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
"""Patient, study, series, equipment, image, pixels, window and derivation (PS3.3 C.7): the base of an image that
claims nothing about modality or geometry."""

volume_blueprint = (common_blueprint + frame_of_reference_blueprint + image_plane_blueprint).named("volume")
"""``common_blueprint`` with a place in space (PS3.3 C.7.4.1, C.7.6.2): frame of reference and image plane."""

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
"""What every object has that is not an image of the parent's kind (PS3.3 C.7.1 to C.7.5, C.12.1): made by this
software, at this time."""

frames_blueprint = (object_blueprint + general_reference_blueprint + frame_of_reference_blueprint).named("frames")
"""``object_blueprint`` for frames in the parent's space (PS3.3 C.7.4.1, C.12.4), with references to its images."""
