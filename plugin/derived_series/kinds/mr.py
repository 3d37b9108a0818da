"""MR images: classic, and as one Legacy Converted Enhanced MR instance."""

from __future__ import annotations

from derived_series.kinds.kind import Kind, PixelRules, SopClass

MR_IMAGE = SopClass(
    uid="1.2.840.10008.5.1.4.1.1.4",
    name="MR Image Storage",
    modality="MR",
    copies_acquisition=True,
    pixels=PixelRules(bits=(16,)),
    single_frame=True,
    has_patient_position=True,
    module="mr",
    called="an MR image",
    largest=1e7,
)
LEGACY_ENHANCED_MR = SopClass(
    uid="1.2.840.10008.5.1.4.1.1.4.4",
    name="Legacy Converted Enhanced MR Image Storage",
    modality="MR",
    copies_acquisition=True,
    single_instance=True,
    classic=MR_IMAGE.uid,
)

KINDS = (
    Kind("mr", "mr", (MR_IMAGE,), "MR images"),
    Kind(
        "legacy_enhanced_mr",
        "mr",
        (LEGACY_ENHANCED_MR,),
        "the same as one Legacy Converted Enhanced MR instance of all slices",
        builder="legacy_enhanced",
    ),
)
