"""Kinds of objects that are not one classic image a slice: which SOP class which module builds.

A builder is loaded when the first object of its class is made; highdicom, which most of them need, takes a while.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Protocol, cast

from pydicom.uid import (
    UID,
    EncapsulatedPDFStorage,
    EnhancedCTImageStorage,
    EnhancedMRColorImageStorage,
    EnhancedMRImageStorage,
    EnhancedPETImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
    LegacyConvertedEnhancedMRImageStorage,
    LegacyConvertedEnhancedPETImageStorage,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    ParametricMapStorage,
    RTDoseStorage,
    SegmentationStorage,
)

from derived_series.errors import BlueprintError

if TYPE_CHECKING:
    from derived_series.dicom.image.placement import Placement
    from derived_series.dicom.series.finished import DatasetSeries
    from derived_series.dicom.series.header import SeriesHeader

#: SOP class UID -> module of this package.
BUILDERS = {
    str(SegmentationStorage): "segmentation",
    str(ParametricMapStorage): "parametric_map",
    str(EncapsulatedPDFStorage): "encapsulated_pdf",
    str(RTDoseStorage): "rt_dose",
    str(MultiFrameGrayscaleByteSecondaryCaptureImageStorage): "multiframe_secondary_capture",
    str(MultiFrameGrayscaleWordSecondaryCaptureImageStorage): "multiframe_secondary_capture",
    str(MultiFrameTrueColorSecondaryCaptureImageStorage): "multiframe_secondary_capture",
    str(LegacyConvertedEnhancedCTImageStorage): "legacy_enhanced",
    str(LegacyConvertedEnhancedMRImageStorage): "legacy_enhanced",
    str(LegacyConvertedEnhancedPETImageStorage): "legacy_enhanced",
}


#: Enhanced classes whose frames tell how they were acquired, which a derived image cannot; what to use instead.
REFUSED = {
    str(EnhancedCTImageStorage): "legacy_enhanced_ct",
    str(EnhancedMRImageStorage): "legacy_enhanced_mr",
    str(EnhancedMRColorImageStorage): "multiframe_secondary_capture",
    str(EnhancedPETImageStorage): "legacy_enhanced_pet",
}


class Builder(Protocol):
    """What every module of BUILDERS has."""

    def build(self, header: SeriesHeader, image: Any, placement: Placement, nan: float | None) -> DatasetSeries:
        """
        :param image: (slice, row, column), as many slices as the placement has.
        :param nan: what NaN and Inf are replaced by; None refuses them.
        """


def builder_of(sop_class_uid: str) -> Builder | None:
    """The builder of a SOP class; None for classic images, of which each slice is an instance.

    :raises BlueprintError: a class that a derived image cannot be of.
    """
    if sop_class_uid in REFUSED:
        raise BlueprintError(
            f"a derived series cannot be an {UID(sop_class_uid).name}, whose frames tell how they were acquired",
            remedy=f"use the blueprint {REFUSED[sop_class_uid]}, which is multi-frame too, or a classic one",
        )
    name = BUILDERS.get(sop_class_uid)
    return None if name is None else cast(Builder, importlib.import_module(f"{__name__}.{name}"))


def is_other_kind(sop_class_uid: str) -> bool:
    """Whether an object of the class has other attributes than a classic image, of any parent."""
    return BUILDERS.get(sop_class_uid, "legacy_enhanced") != "legacy_enhanced"
