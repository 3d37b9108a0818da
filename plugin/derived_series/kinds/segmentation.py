"""Segmentations: a binary or fractional segment for each label, or the label map as it is."""

from __future__ import annotations

from derived_series.kinds.kind import Kind, RequestKey, SopClass
from derived_series.kinds.segment_request import SEGMENTS_FORM

#: The request key that describes the labels of a label map.
SEGMENTS = RequestKey("Segments", "SegmentSequence", module="described_segments", form=SEGMENTS_FORM)

SEGMENTATION = SopClass(
    uid="1.2.840.10008.5.1.4.1.1.66.4",
    name="Segmentation Storage",
    modality="SEG",
    single_instance=True,
    labels=True,
)
LABEL_MAP_SEGMENTATION = SopClass(
    uid="1.2.840.10008.5.1.4.1.1.66.7",
    name="Label Map Segmentation Storage",
    modality="SEG",
    single_instance=True,
    labels=True,
    written_in="RLELossless",
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
    Kind(
        "label_map_segmentation",
        "segmentation",
        (LABEL_MAP_SEGMENTATION,),
        "Label Map Segmentation from a label map or mask, as it is: one frame a slice, labels with gaps too, in 8 or "
        "16 bits, RLE unless asked otherwise",
        builder="label_map_segmentation",
        made_from="Labels",
        keys=(SEGMENTS,),
    ),
    Kind(
        "fractional_segmentation",
        "segmentation",
        (SEGMENTATION,),
        "Segmentation from probabilities (0 to 1), one map a segment: the first axis of four",
        builder="segmentation",
        made_from="Floats",
        keys=(SEGMENTS,),
    ),
)
