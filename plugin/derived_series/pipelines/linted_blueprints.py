"""Builds the blueprints of a pipeline without a parent series, if possible, for ``lint`` to check."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.errors import DerivedSeriesError
from derived_series.pipelines.library import Library, NamedPipeline
from derived_series.pipelines.pipeline import Pipeline
from derived_series.pipelines.user_calls import call_user_code


def blueprints_without_parent(library: Library, named: NamedPipeline) -> dict[str, Blueprint | str]:
    """The blueprint of each output, or the reason why there is none to check.

    ``blueprint_for`` is called without a parent, with the parameters' default values.

    :param library: has the blueprints that outputs name.
    :returns: by the pipeline's name, or ``pipeline.output`` if there are several.
    """
    outputs = named.pipeline.all_outputs()
    blueprints: dict[str, Blueprint | str] = {}
    for key, output in outputs.items():
        title = named.name if len(outputs) == 1 else f"{named.name}.{key}"
        if isinstance(output.blueprint, Blueprint):
            blueprints[title] = output.blueprint
        elif output.blueprint is not None:
            blueprints[title] = library.blueprint(output.blueprint).blueprint
        else:
            blueprints[title] = _of_pipeline(named, key, library.plain_blueprints())
    return blueprints


def _of_pipeline(named: NamedPipeline, output: str, blueprints: Mapping[str, Blueprint]) -> Blueprint | str:
    title = f"blueprint_for of pipeline {named.name!r}"
    try:
        blueprint = call_user_code(title, _blueprint_for_nothing, named.pipeline, output, blueprints)
    except DerivedSeriesError as error:
        return f"blueprint_for cannot be called without a parent series ({error.message})"
    if not isinstance(blueprint, Blueprint):
        return "it has no blueprint: process returns finished datasets"
    return blueprint


def _blueprint_for_nothing(pipeline: type[Pipeline], output: str, blueprints: Mapping[str, Blueprint]) -> Any:
    """The result of ``blueprint_for`` without a parent."""
    function: Any = pipeline().blueprint_for
    choice = {"inputs": {}, "output": output}
    known = inspect.signature(function).parameters
    chosen = {key: value for key, value in choice.items() if key in known}
    return function(None, pipeline.parameters(), blueprints, **chosen)
