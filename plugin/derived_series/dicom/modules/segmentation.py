"""Segmentation Series and Image modules (PS3.3 C.8.20.1, C.8.20.2), as far as the frames do not decide them."""

from __future__ import annotations

import operator
from collections import Counter
from dataclasses import dataclass
from typing import SupportsIndex

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import SegmentationStorage

from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.blueprints.element import StaticElement
from derived_series.dicom.blueprints.function_elements import ImageElement
from derived_series.dicom.encoding.value_rules import is_uid
from derived_series.dicom.modules.cielab import cielab
from derived_series.dicom.modules.codes import code_item, snomed
from derived_series.dicom.modules.derivation import lossy_compression
from derived_series.dicom.modules.equipment import MODEL
from derived_series.errors import BlueprintError
from derived_series.kinds.segmentation import LABEL_MAP_SEGMENTATION

#: Names of label 0 in ITK-SNAP, 3D Slicer, FreeSurfer, nnU-Net and others, without case and punctuation.
_BACKGROUND = frozenset(
    (
        *("", "air", "background", "backgroundlabel", "bg", "clear", "clearlabel", "empty", "exterior", "label"),
        *("nolabel", "none", "nosegment", "nothing", "null", "other", "outside", "unassigned", "undefined"),
        *("unknown", "unlabeled", "unlabelled", "void", "hintergrund", "fond", "fondo", "背景"),
    )
)
_ALGORITHMS = ("AUTOMATIC", "SEMIAUTOMATIC", "MANUAL")


@dataclass(frozen=True, slots=True)
class Segment:
    """The meaning of one label of a label map (PS3.3 table C.8.20-4).

    :param number: the label in the map, from 1 on.
    :param type: the property, a code of SNOMED CT by name or value (``"Liver"``, ``"10200004"``), or any Code.
    :param category: the kind of property, of CID 7150, likewise; by default an anatomical structure if there is a type.
    :param color: sRGB, ``"#b5651d"``.
    :param modifier: a modifier of the type, such as its side: ``"Left"``, ``"Right"``.
    :param region: for a thing that is not anatomy, where in the body it is, of CID 4; :param region_modifier: its side.
    :param tracking_id: identifies the same thing over time; its UID is generated if it is not set.
    :param algorithm: "AUTOMATIC", "SEMIAUTOMATIC" or "MANUAL".
    :raises BlueprintError: from ``item``: a code, colour, algorithm or number is wrong.
    """

    number: int
    label: str
    type: Code | str | None = None
    category: Code | str | None = None
    color: str | None = None
    algorithm: str = "AUTOMATIC"
    algorithm_name: str = MODEL
    description: str | None = None
    modifier: Code | str | None = None
    region: Code | str | None = None
    region_modifier: Code | str | None = None
    tracking_id: str | None = None
    tracking_uid: str | None = None

    @property
    def is_background(self) -> bool:
        """Whether it is label 0 under a usual name: what belongs to no segment."""
        return self.number == 0 and "".join(filter(str.isalpha, str(self.label).casefold())) in _BACKGROUND

    def item(self) -> Dataset:
        """The item of SegmentSequence (0062,0002).

        :raises BlueprintError: a code, colour, algorithm or number is wrong.
        """
        if isinstance(self.number, bool) or not isinstance(self.number, SupportsIndex):
            raise BlueprintError(
                f"segment {self.label!r} has the number {self.number!r}, which is not a whole one",
                remedy="give an int from 1 to 65535",
            )
        if not 0 < self.number < 1 << 16:
            raise BlueprintError(
                f"segment {self.label!r} has the number {self.number}; labels are 1 to 65535",
                remedy="0 is what belongs to no segment: leave it out, or call it Background",
            )
        if not str(self.label).strip():
            raise BlueprintError(f"segment {self.number} has the label {self.label!r}, which says nothing")
        if self.algorithm not in _ALGORITHMS:
            raise BlueprintError(
                f"{self.algorithm!r} is not a segment algorithm type", remedy=f"use {', '.join(_ALGORITHMS)}"
            )
        plain = codes.SCT.Tissue if self.type is None else codes.SCT.AnatomicalStructure
        item = Dataset()
        item.SegmentNumber = operator.index(self.number)
        item.SegmentLabel = self.label
        if self.description:
            item.SegmentDescription = self.description
        item.SegmentedPropertyCategoryCodeSequence = [code_item(snomed(self.category or plain))]
        of_type = code_item(snomed(self.type or codes.SCT.Tissue))
        if self.modifier is not None:
            of_type.SegmentedPropertyTypeModifierCodeSequence = [code_item(snomed(self.modifier))]
        item.SegmentedPropertyTypeCodeSequence = [of_type]
        if self.region is not None:
            region = code_item(snomed(self.region))
            if self.region_modifier is not None:
                region.AnatomicRegionModifierSequence = [code_item(snomed(self.region_modifier))]
            item.AnatomicRegionSequence = [region]
        if self.tracking_uid is not None and not is_uid(self.tracking_uid):
            raise BlueprintError(
                f"segment {self.label!r} has the tracking UID {self.tracking_uid!r}, which is not a UID"
            )
        if self.tracking_id is not None or self.tracking_uid is not None:
            item.TrackingID = self.tracking_id or self.label
            item.TrackingUID = self.tracking_uid
        item.SegmentAlgorithmType = self.algorithm
        if self.algorithm != "MANUAL":
            item.SegmentAlgorithmName = self.algorithm_name
        if self.color is not None:
            item.RecommendedDisplayCIELabValue = cielab(self.color)
        return item


def segments(*described: Segment) -> Blueprint:
    """Make the blueprint with the meanings of a label map's labels (PS3.3 C.8.20.2, C.8.20.4).

    :param described: a Segment for each label; a background with number 0 is left out.
    :raises BlueprintError: a number occurs twice, or a code or colour is wrong.
    """
    described = tuple(segment for segment in described if not segment.is_background)
    numbers = Counter(segment.number for segment in described)
    twice = [str(number) for number, count in numbers.items() if count > 1]
    if twice:
        raise BlueprintError(f"these segments are described twice: {', '.join(twice)}")
    items = [segment.item() for segment in sorted(described, key=lambda segment: segment.number)]
    return Blueprint([StaticElement("SegmentSequence", "SQ", items)])


segmentation_image_blueprint = Blueprint(
    [
        StaticElement("SOPClassUID", "UI", SegmentationStorage),
        StaticElement("Modality", "CS", "SEG"),
        StaticElement("ImageType", "CS", ["DERIVED", "PRIMARY"]),
        StaticElement("DerivationCodeSequence", "SQ", [code_item(codes.cid7203.SegmentationImageDerivation)]),
        StaticElement("ContentLabel", "CS", "SEGMENTATION"),
        StaticElement("ContentDescription", "LO", None),
        StaticElement("ContentCreatorName", "PN", None),
        ImageElement("LossyImageCompression", lossy_compression),
    ]
).named("segmentation_image")
"""Segmentation Series and Segmentation Image modules (PS3.3 C.8.20.1, C.8.20.2): a binary segment for each label."""

label_map_segmentation_image_blueprint = (
    segmentation_image_blueprint + Blueprint([StaticElement("SOPClassUID", "UI", LABEL_MAP_SEGMENTATION.uid)])
).named("label_map_segmentation_image")
"""Segmentation Image module of a label map (PS3.3 A.51, C.8.20.2): values are segment numbers."""

fractional_segmentation_image_blueprint = (
    segmentation_image_blueprint
    + Blueprint(
        [
            StaticElement("SegmentationType", "CS", "FRACTIONAL"),
            StaticElement("SegmentationFractionalType", "CS", "PROBABILITY"),
        ]
    )
).named("fractional_segmentation_image")
"""Segmentation Image module of fractions (PS3.3 C.8.20.2): values are occupied parts of a voxel, or probabilities."""
