"""CT images: classic, and as one Legacy Converted Enhanced CT instance."""

from __future__ import annotations

from derived_series.kinds.kind import Kind, PixelRules, SopClass

CT_IMAGE = SopClass(
    uid="1.2.840.10008.5.1.4.1.1.2",
    name="CT Image Storage",
    modality="CT",
    copies_acquisition=True,
    pixels=PixelRules(bits=(16,), rescale_always=True),
    single_frame=True,
    in_hounsfield=True,
    has_patient_position=True,
    module="ct",
    called="a CT in HU",
    largest=1e5,
)
LEGACY_ENHANCED_CT = SopClass(
    uid="1.2.840.10008.5.1.4.1.1.2.2",
    name="Legacy Converted Enhanced CT Image Storage",
    modality="CT",
    copies_acquisition=True,
    single_instance=True,
    classic=CT_IMAGE.uid,
)

KINDS = (
    Kind("ct", "ct", (CT_IMAGE,), "CT images, from values in HU"),
    Kind(
        "legacy_enhanced_ct",
        "ct",
        (LEGACY_ENHANCED_CT,),
        "the same as one Legacy Converted Enhanced CT instance of all slices",
        builder="legacy_enhanced",
    ),
)
