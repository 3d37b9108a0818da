"""Kinds of objects that are not one classic image a slice: which SOP class which module builds.

A builder is loaded when the first object of its class is made; highdicom, which most of them need, takes a while.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Protocol, cast

from pydicom.uid import (
    EncapsulatedPDFStorage,
    ParametricMapStorage,
    SegmentationStorage,
)

if TYPE_CHECKING:
    from derived_series.dicom.datasets import DatasetSeries
    from derived_series.dicom.header import SeriesHeader
    from derived_series.dicom.placement import Placement

#: SOP class UID -> module of this package.
BUILDERS = {
    str(SegmentationStorage): "segmentation",
    str(ParametricMapStorage): "parametric_map",
    str(EncapsulatedPDFStorage): "encapsulated_pdf",
}


class Builder(Protocol):
    """What every module of BUILDERS has."""

    def build(self, header: SeriesHeader, image: Any, placement: Placement, nan: float | None) -> DatasetSeries:
        """
        :param image: (slice, row, column), as many slices as the placement has.
        :param nan: what NaN and Inf are replaced by; None refuses them.
        """


def builder_of(sop_class_uid: str) -> Builder | None:
    """The builder of a SOP class; None for classic images, of which each slice is an instance."""
    name = BUILDERS.get(sop_class_uid)
    return None if name is None else cast(Builder, importlib.import_module(f"{__name__}.{name}"))
