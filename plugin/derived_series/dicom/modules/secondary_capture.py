"""SC Equipment and SC Image modules (PS3.3 C.8.6.1, C.8.6.2)."""

from __future__ import annotations

from pydicom.uid import MultiFrameGrayscaleByteSecondaryCaptureImageStorage, SecondaryCaptureImageStorage

from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.blueprints.copy_elements import GridCopyElement
from derived_series.dicom.blueprints.element import StaticElement
from derived_series.dicom.blueprints.environment import ImageEnvironment
from derived_series.dicom.blueprints.function_elements import ImageElement
from derived_series.dicom.modules.element_lists import date_and_time_of_build
from derived_series.dicom.modules.pixel_size import pixel_size_blueprint

secondary_capture_blueprint = (
    pixel_size_blueprint
    + Blueprint(
        [
            StaticElement("SOPClassUID", "UI", SecondaryCaptureImageStorage),
            StaticElement("ConversionType", "CS", "WSD"),
            *date_and_time_of_build("DateOfSecondaryCapture", "TimeOfSecondaryCapture"),
            GridCopyElement("PatientOrientation", None),  # type 2C: empty where it is unknown
        ]
    )
).named("secondary_capture_image")
"""SC Equipment and SC Image modules (PS3.3 C.8.6.1, C.8.6.2)."""


def _conversion_type(env: ImageEnvironment) -> str:
    """ConversionType: WSD, or that of a scan if NominalScannedPixelSpacing is kept, which only scans have (C.8.6.3)."""
    pivot = env.parent.pivot
    if not env.on_parent_grid or not pivot.get("NominalScannedPixelSpacing"):
        return "WSD"
    parent_value = str(pivot.get("ConversionType", ""))
    return parent_value if parent_value in ("DF", "SD", "SI") else "SI"


multiframe_secondary_capture_blueprint = (
    secondary_capture_blueprint
    + Blueprint(
        [
            StaticElement("SOPClassUID", "UI", MultiFrameGrayscaleByteSecondaryCaptureImageStorage),
            ImageElement("ConversionType", _conversion_type),
            StaticElement("BurnedInAnnotation", "CS", "NO"),
        ]
    )
).named("multiframe_secondary_capture")
"""SC Multi-frame Image and Vector modules (PS3.3 C.8.6.3, C.8.6.4)."""

#: Types 1 and 2, filled in where a blueprint does not name them; the size of the pixels is wanted too.
required_blueprint = (
    Blueprint(
        [secondary_capture_blueprint[keyword] for keyword in ("ConversionType", "PatientOrientation")], name="required"
    )
    + pixel_size_blueprint
).frozen()
