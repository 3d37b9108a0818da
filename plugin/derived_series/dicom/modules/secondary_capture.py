"""SC Equipment and SC Image modules (PS3.3 C.8.6.1, C.8.6.2)."""

from __future__ import annotations

from pydicom.uid import MultiFrameGrayscaleByteSecondaryCaptureImageStorage, SecondaryCaptureImageStorage

from derived_series.dicom.blueprint import Blueprint
from derived_series.dicom.elements import StaticElement
from derived_series.dicom.modules.helpers import date_and_time_of_build

secondary_capture_blueprint = Blueprint(
    [
        StaticElement("SOPClassUID", "UI", SecondaryCaptureImageStorage),
        StaticElement("ConversionType", "CS", "WSD"),
        *date_and_time_of_build("DateOfSecondaryCapture", "TimeOfSecondaryCapture"),
    ]
).named("secondary_capture_image")

#: SC Multi-frame Image (PS3.3 C.8.6.3); the builder settles which of the classes it is.
multiframe_secondary_capture_blueprint = (
    secondary_capture_blueprint
    + Blueprint(
        [
            StaticElement("SOPClassUID", "UI", MultiFrameGrayscaleByteSecondaryCaptureImageStorage),
            StaticElement("BurnedInAnnotation", "CS", "NO"),
            StaticElement("PatientOrientation", "CS", None),  # type 2C: unknown
        ]
    )
).named("multiframe_secondary_capture")
