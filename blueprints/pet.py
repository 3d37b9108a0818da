"""A PET series in the units of its PET parent, decay corrected to the same time."""

from derived_series import (
    SOP_common_blueprint,
    contributing_equipment_blueprint,
    frame_of_reference_blueprint,
    general_equipment_blueprint,
    general_image_blueprint,
    general_reference_blueprint,
    general_series_blueprint,
    general_study_blueprint,
    image_pixel_blueprint,
    image_plane_blueprint,
    patient_blueprint,
    patient_study_blueprint,
    pet_image_blueprint,
    pet_isotope_blueprint,
    pet_series_blueprint,
    voi_lut_blueprint,
)

blueprint = (
    patient_blueprint
    + general_study_blueprint
    + patient_study_blueprint
    + general_series_blueprint
    + frame_of_reference_blueprint
    + general_equipment_blueprint
    + general_image_blueprint
    + image_plane_blueprint
    + general_reference_blueprint
    + contributing_equipment_blueprint
    + image_pixel_blueprint
    + voi_lut_blueprint
    + SOP_common_blueprint
    + pet_series_blueprint
    + pet_isotope_blueprint
    + pet_image_blueprint
)
