"""Calls factories whose methods a user wrote, and checks their results."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from derived_series.dicom.blueprints.build_context import BuildContext
from derived_series.dicom.factories.base import DicomFactory
from derived_series.dicom.series.finished import from_user_datasets
from derived_series.dicom.series.header import SeriesHeader
from derived_series.dicom.series.interface import Series
from derived_series.dicom.source.parent_series import ParentSeries
from derived_series.errors import UserCodeError
from derived_series.pipelines.user_calls import call_user_code, type_in_words


def builds_itself(factory: DicomFactory) -> bool:
    """Whether a factory makes its datasets with its own ``build_from_header``."""
    return type(factory).build_from_header is not DicomFactory.build_from_header


def series_built_by(
    factory: DicomFactory,
    header: SeriesHeader,
    image: Any,
    parent: ParentSeries,
    context: BuildContext,
) -> Series:
    """The datasets that a factory built itself, as a series of the parent.

    :param header: has instances of its own, which user code may change.
    """
    what = method_of(factory, "build_from_header")
    datasets = call_user_code(what, factory.build_from_header, header, image)
    if isinstance(datasets, Iterator):
        datasets = call_user_code(what, list, datasets)
    return from_user_datasets(datasets, parent, context, what, list((header.env.inputs or {}).values()))


def require_series(result: object, factory: DicomFactory) -> None:
    """Refuse a result that is not a series. :raises UserCodeError: a user's ``build`` returned something else."""
    if not isinstance(result, Series):
        raise UserCodeError(
            f"{method_of(factory, 'build')} returned {type_in_words(result)}",
            remedy="return what super().build(...) returns, or define build_from_header, which returns datasets",
        )


def method_of(factory: DicomFactory, method: str) -> str:
    """The name of a factory's method in errors: "read of MyFactory"."""
    return f"{method} of {type(factory).__name__}"
