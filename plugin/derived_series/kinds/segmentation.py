"""Segmentation: one binary segment a label."""

from __future__ import annotations

from derived_series.kinds.kind import Kind, RequestKey, SopClass

#: What the labels of a label map are.
SEGMENTS = RequestKey("Segments", "SegmentSequence")

SEGMENTATION = SopClass(
    uid="1.2.840.10008.5.1.4.1.1.66.4",
    name="Segmentation Storage",
    modality="SEG",
    single_instance=True,
    labels=True,
)

KINDS = (
    Kind(
        "segmentation",
        "segmentation",
        (SEGMENTATION,),
        'Segmentation from a label map or mask: one binary segment a label; `segments(Segment(1, "Liver", "Liver", '
        'color="#b5651d"))` says what the labels are',
        builder="segmentation",
        made_from="Labels",
        keys=(SEGMENTS,),
    ),
)
