"""SOP classes that only parents may have, and what to use instead."""

from __future__ import annotations

from derived_series.kinds.ct import CT_IMAGE
from derived_series.kinds.kind import SopClass
from derived_series.kinds.mr import MR_IMAGE
from derived_series.kinds.pet import PET_IMAGE

PARENTS = (
    # Enhanced classes: their frames say how they were acquired, which a derived image cannot.
    SopClass(
        "1.2.840.10008.5.1.4.1.1.2.1",
        "Enhanced CT Image Storage",
        classic=CT_IMAGE.uid,
        instead="legacy_enhanced_ct",
    ),
    SopClass(
        "1.2.840.10008.5.1.4.1.1.4.1",
        "Enhanced MR Image Storage",
        classic=MR_IMAGE.uid,
        instead="legacy_enhanced_mr",
    ),
    SopClass(
        "1.2.840.10008.5.1.4.1.1.4.3",
        "Enhanced MR Color Image Storage",
        instead="multiframe_secondary_capture",
    ),
    SopClass(
        "1.2.840.10008.5.1.4.1.1.130",
        "Enhanced PET Image Storage",
        classic=PET_IMAGE.uid,
        instead="legacy_enhanced_pet",
    ),
    SopClass("1.2.840.10008.5.1.4.1.1.20", "Nuclear Medicine Image Storage", multi_frame=True),
    SopClass(
        "1.2.840.10008.5.1.4.1.1.7.1",
        "Multi-frame Single Bit Secondary Capture Image Storage",
        multi_frame=True,
    ),
)
