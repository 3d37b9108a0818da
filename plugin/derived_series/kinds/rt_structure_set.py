"""RT Structure Set: contours on the parent's slices."""

from __future__ import annotations

from derived_series.kinds.kind import Kind, SopClass
from derived_series.kinds.segmentation import SEGMENTS

RT_STRUCTURE_SET = SopClass(
    uid="1.2.840.10008.5.1.4.1.1.481.3",
    name="RT Structure Set Storage",
    modality="RTSTRUCT",
    single_instance=True,
    labels=True,
)

KINDS = (
    Kind(
        "rt_structure_set",
        "rt_structure_set",
        (RT_STRUCTURE_SET,),
        "RT Structure Set from a label map or mask: closed contours on the parent's slices, holes by the keyhole "
        'technique; described by `segments(...)` as a segmentation; `interpreted_types({1: "GTV"})` says what '
        "structures are to a treatment",
        builder="rt_structure_set",
        made_from="Labels",
        keys=(SEGMENTS,),
    ),
)
