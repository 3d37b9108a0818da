"""A secondary capture series: any image of the patient, without a claim about modality or geometry."""

from derived_series import (
    SOP_common_blueprint,
    StaticElement,
    contributing_equipment_blueprint,
    general_equipment_blueprint,
    general_image_blueprint,
    general_reference_blueprint,
    general_series_blueprint,
    general_study_blueprint,
    image_pixel_blueprint,
    patient_blueprint,
    patient_study_blueprint,
    secondary_capture_blueprint,
    voi_lut_blueprint,
)

blueprint = (
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
    + secondary_capture_blueprint
)
blueprint["PatientOrientation"] = StaticElement("PatientOrientation", "CS", None)
