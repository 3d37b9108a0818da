"""PET images: classic, and as one Legacy Converted Enhanced PET instance."""

from __future__ import annotations

from derived_series.kinds.kind import Kind, PixelRules, SopClass

PET_IMAGE = SopClass(
    uid="1.2.840.10008.5.1.4.1.1.128",
    name="Positron Emission Tomography Image Storage",
    modality="PT",
    copies_acquisition=True,
    pixels=PixelRules(bits=(16,), rescale_always=True, zero_intercept=True),
    single_frame=True,
    module="pet",
    called="a PET",
    largest=1e8,
)
LEGACY_ENHANCED_PET = SopClass(
    uid="1.2.840.10008.5.1.4.1.1.128.1",
    name="Legacy Converted Enhanced PET Image Storage",
    modality="PT",
    copies_acquisition=True,
    single_instance=True,
    classic=PET_IMAGE.uid,
)

KINDS = (
    Kind("pet", "pet", (PET_IMAGE,), "PET images"),
    Kind(
        "legacy_enhanced_pet",
        "pet",
        (LEGACY_ENHANCED_PET,),
        "the same as one Legacy Converted Enhanced PET instance of all slices",
        builder="legacy_enhanced",
    ),
)
