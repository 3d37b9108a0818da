"""Builders of objects other than classic images with one instance for each slice.

A builder is imported when the first object of its kind is made, as highdicom, which most of them need, takes a while.
"""

from __future__ import annotations

import importlib
from collections.abc import Container
from typing import TYPE_CHECKING, Any, Protocol, cast

from derived_series.errors import BlueprintError
from derived_series.kinds import kind_of, sop_class

if TYPE_CHECKING:
    from derived_series.dicom.image.placement import Placement
    from derived_series.dicom.series.finished import FinishedSeries
    from derived_series.dicom.series.header import SeriesHeader


class Builder(Protocol):
    """The interface of the module in this package that a kind names as its builder."""

    def build(self, header: SeriesHeader, image: Any, placement: Placement, nan: float | None) -> FinishedSeries:
        """Build the object.

        :param image: (slice, row, column), with as many slices as the placement.
        :param nan: what NaN and Inf are replaced by; None refuses them.
        """


class FileBuilder(Protocol):
    """The interface of the builder of a kind that is made from a file that is not an image."""

    def build_from_file(self, header: SeriesHeader, content: bytes) -> FinishedSeries:
        """Build the object. :param content: the whole file."""


def builder_of(sop_class_uid: str, blueprint: Container[str] = ()) -> Builder | None:
    """The builder for a SOP class; None for classic images, with one instance for each slice.

    :param blueprint: the object's blueprint, which may choose another builder by having some attribute.
    :raises BlueprintError: a derived image cannot have this class.
    """
    row = sop_class(sop_class_uid)
    if row.instead:
        raise BlueprintError(
            f"a derived series cannot be an {row.name}, whose frames tell how they were acquired",
            remedy=f"use the blueprint {row.instead}, which is multi-frame too, or a classic one",
        )
    kind = kind_of(sop_class_uid, blueprint)
    return cast(Builder, _module(kind.builder)) if kind is not None and kind.builder else None


def file_builder_of(sop_class_uid: str) -> FileBuilder:
    """The builder for a SOP class that is made from a file.

    :raises BlueprintError: the class is not made from a file.
    """
    kind = kind_of(sop_class_uid)
    if kind is None or kind.made_from != "File":
        raise BlueprintError(f"a {sop_class(sop_class_uid).name} is not made from a file")
    return cast(FileBuilder, _module(kind.builder))


def _module(name: str) -> Any:
    return importlib.import_module(f"{__name__}.{name}")
