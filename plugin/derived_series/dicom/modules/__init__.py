"""Ready blueprints of the modules of PS3.3: frozen, to be added to your own."""

from derived_series.dicom.modules.common import (
    common_blueprint,
    frames_blueprint,
    object_blueprint,
    volume_blueprint,
)
from derived_series.dicom.modules.cr import cr_image_blueprint
from derived_series.dicom.modules.ct import ct_image_blueprint
from derived_series.dicom.modules.derivation import derivation, general_reference_blueprint
from derived_series.dicom.modules.dx import dx_image_blueprint
from derived_series.dicom.modules.encapsulated_pdf import encapsulated_document_blueprint
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
from derived_series.dicom.modules.measurement_report import (
    Measurement,
    SegmentReference,
    measurement_report_blueprint,
)
from derived_series.dicom.modules.mg import mg_image_blueprint
from derived_series.dicom.modules.mr import mr_image_blueprint
from derived_series.dicom.modules.parametric_map import parametric_map_image_blueprint, real_world_values
from derived_series.dicom.modules.patient import patient_blueprint, patient_study_blueprint
from derived_series.dicom.modules.pet import pet_image_blueprint, pet_isotope_blueprint, pet_series_blueprint
from derived_series.dicom.modules.picture import (
    overlay_blueprint,
    overlay_document_blueprint,
    picture,
    summary_blueprint,
    summary_document_blueprint,
)
from derived_series.dicom.modules.pixel_size import pixel_size_blueprint
from derived_series.dicom.modules.rt_dose import rt_dose_blueprint
from derived_series.dicom.modules.rt_structure_set import interpreted_types, rt_structure_set_blueprint
from derived_series.dicom.modules.secondary_capture import (
    multiframe_secondary_capture_blueprint,
    secondary_capture_blueprint,
)
from derived_series.dicom.modules.segmentation import (
    Segment,
    fractional_segmentation_image_blueprint,
    label_map_segmentation_image_blueprint,
    segmentation_image_blueprint,
    segments,
)
from derived_series.dicom.modules.segments_from import segments_from
from derived_series.dicom.modules.series import frame_of_reference_blueprint, general_series_blueprint
from derived_series.dicom.modules.study import general_study_blueprint
from derived_series.dicom.modules.us import us_image_blueprint
from derived_series.dicom.modules.xa import xa_image_blueprint

__all__ = [
    "Measurement",
    "SOP_common_blueprint",
    "Segment",
    "SegmentReference",
    "common_blueprint",
    "contributing_equipment_blueprint",
    "cr_image_blueprint",
    "ct_image_blueprint",
    "derivation",
    "dx_image_blueprint",
    "encapsulated_document_blueprint",
    "fractional_segmentation_image_blueprint",
    "frame_of_reference_blueprint",
    "frames_blueprint",
    "general_equipment_blueprint",
    "general_image_blueprint",
    "general_reference_blueprint",
    "general_series_blueprint",
    "general_study_blueprint",
    "image_pixel_blueprint",
    "image_plane_blueprint",
    "interpreted_types",
    "label_map_segmentation_image_blueprint",
    "measurement_report_blueprint",
    "mg_image_blueprint",
    "mr_image_blueprint",
    "multiframe_secondary_capture_blueprint",
    "object_blueprint",
    "overlay_blueprint",
    "overlay_document_blueprint",
    "own_equipment_blueprint",
    "parametric_map_image_blueprint",
    "patient_blueprint",
    "patient_study_blueprint",
    "pet_image_blueprint",
    "pet_isotope_blueprint",
    "pet_series_blueprint",
    "picture",
    "pixel_size_blueprint",
    "real_world_values",
    "rt_dose_blueprint",
    "rt_structure_set_blueprint",
    "secondary_capture_blueprint",
    "segmentation_image_blueprint",
    "segments",
    "segments_from",
    "summary_blueprint",
    "summary_document_blueprint",
    "us_image_blueprint",
    "voi_lut_blueprint",
    "volume_blueprint",
    "xa_image_blueprint",
]
