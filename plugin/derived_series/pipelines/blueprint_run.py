"""Derives a series from a parent and an image file by a named blueprint and factory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from derived_series.dicom.blueprints.build_context import BuildContext
from derived_series.dicom.blueprints.filling import FillingStrategy
from derived_series.dicom.factories.kinds import FACTORIES
from derived_series.dicom.series.interface import Series
from derived_series.dicom.source.parent_series import ParentSeries
from derived_series.pipelines.blueprint_kinds import require_keys_of_kind
from derived_series.pipelines.library import Library
from derived_series.pipelines.run_options import Options
from derived_series.pipelines.user_calls import call_user_code
from derived_series.pipelines.user_factories import builds_itself, method_of, require_series, series_built_by


def run_blueprint(
    library: Library,
    blueprint: str,
    factory: str,
    parent: ParentSeries,
    image: Path | None,
    options: Options,
    context: BuildContext,
) -> Series:
    """Apply a named blueprint and factory to an image file.

    :param image: .npy, .nii or .nii.gz; None takes the parent's own real-world values.
    :return: the checked series, ready to be written out.
    """
    named = library.blueprint(blueprint)
    kind = library.factory(factory)
    instance = call_user_code(f"the constructor of {kind.__name__}", kind)
    if options.nan is not None:
        instance.nan = options.nan
    strategy = options.strategy or FillingStrategy.DISCARD
    whole = named.blueprint + options.extra
    context = replace(context, maker=context.maker or _maker(blueprint, factory))
    header = call_user_code(
        method_of(instance, "make_series_header"), instance.make_series_header, parent, whole, strategy, context
    )
    require_keys_of_kind(header, options.extra)
    if image is None:
        result = call_user_code(method_of(instance, "own_image"), instance.own_image, parent)
    else:
        result = call_user_code(method_of(instance, "read"), instance.read, image)
    if builds_itself(instance):
        return options.ready(series_built_by(instance, header.of(parent.detached()), result, parent, context), parent)
    chosen = options if image is not None else replace(options, resampling=None)
    series: Series = call_user_code(method_of(instance, "build"), chosen.build, instance, header, result, None)
    require_series(series, instance)
    return options.ready(series.with_identity(parent), parent)


def _maker(blueprint: str, factory: str) -> str:
    """The name of the derivation's algorithm: its blueprint, and a factory from outside this package."""
    return blueprint if factory in FACTORIES else f"{blueprint}, {factory}"
