"""Builders of objects that are not one classic image a slice.

A builder is loaded when the first object of its kind is made; highdicom, which most of them need, takes a while.
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
    """What the module of this package has that a kind names as its builder."""

    def build(self, header: SeriesHeader, image: Any, placement: Placement, nan: float | None) -> FinishedSeries:
        """
        :param image: (slice, row, column), as many slices as the placement has.
        :param nan: what NaN and Inf are replaced by; None refuses them.
        """


class FileBuilder(Protocol):
    """The same of a kind that is made from a file which is not an image."""

    def build_from_file(self, header: SeriesHeader, content: bytes) -> FinishedSeries:
        """:param content: the whole file."""


def builder_of(sop_class_uid: str, blueprint: Container[str] = ()) -> Builder | None:
    """The builder of a SOP class; None for classic images, of which each slice is an instance.

    :param blueprint: that the object is of; some say by an attribute that another builder makes it.
    :raises BlueprintError: a class that a derived image cannot be of.
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
    """The builder of a SOP class that is made from a file.

    :raises BlueprintError: a class that is not.
    """
    kind = kind_of(sop_class_uid)
    if kind is None or kind.made_from != "File":
        raise BlueprintError(f"a {sop_class(sop_class_uid).name} is not made from a file")
    return cast(FileBuilder, _module(kind.builder))


def _module(name: str) -> Any:
    return importlib.import_module(f"{__name__}.{name}")
