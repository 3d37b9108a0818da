"""Secondary captures: one instance for each slice, or all in one; the image decides which multi-frame class it gets."""

from __future__ import annotations

from derived_series.kinds.kind import Kind, SopClass

SECONDARY_CAPTURE = SopClass(
    uid="1.2.840.10008.5.1.4.1.1.7",
    name="Secondary Capture Image Storage",
    colour=True,
    placed=False,
    module="secondary_capture",
)
MULTIFRAME_BYTE = SopClass(
    uid="1.2.840.10008.5.1.4.1.1.7.2",
    name="Multi-frame Grayscale Byte Secondary Capture Image Storage",
    colour=True,
    single_instance=True,
    multi_frame=True,
)
MULTIFRAME_WORD = SopClass(
    uid="1.2.840.10008.5.1.4.1.1.7.3",
    name="Multi-frame Grayscale Word Secondary Capture Image Storage",
    single_instance=True,
    multi_frame=True,
)
MULTIFRAME_TRUE_COLOR = SopClass(
    uid="1.2.840.10008.5.1.4.1.1.7.4",
    name="Multi-frame True Color Secondary Capture Image Storage",
    colour=True,
    single_instance=True,
    multi_frame=True,
)

KINDS = (
    Kind(
        "secondary_capture",
        "secondary_capture",
        (SECONDARY_CAPTURE,),
        "images without a claim about modality or geometry; grey, or RGB from a uint8 array (slice, row, column, 3) or "
        "a NIfTI file of RGB24",
        made_from="Whole numbers",
    ),
    Kind(
        "multiframe_secondary_capture",
        "secondary_capture",
        (MULTIFRAME_BYTE, MULTIFRAME_WORD, MULTIFRAME_TRUE_COLOR),
        "the same in one instance, of whole numbers from 0 to 65535 or RGB",
        builder="multiframe_secondary_capture",
        made_from="Whole numbers",
    ),
)
