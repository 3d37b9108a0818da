"""The blueprint of each output of a pipeline."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import partial
from typing import Any

from pydantic import BaseModel

from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.blueprints.element import StaticElement
from derived_series.errors import BlueprintError, NotFound
from derived_series.kinds import REQUEST_KEYS
from derived_series.pipelines.blueprint_kinds import takes_key
from derived_series.pipelines.input_series import InputSeries
from derived_series.pipelines.library import Library
from derived_series.pipelines.output import Output
from derived_series.pipelines.pipeline import Pipeline
from derived_series.pipelines.user_calls import call_user_code


def output_blueprints(
    library: Library, name: str, pipeline: Pipeline, inputs: InputSeries, settings: BaseModel
) -> dict[str, Blueprint | None]:
    """The blueprint of each output: its own, or that of ``blueprint_for``; None if neither exists.

    :param name: the pipeline's, in the library.
    :raises BlueprintError: an output names a blueprint that the library lacks.
    """
    return {
        key: _blueprint(library, output, f"the output {key!r} of pipeline {name!r}")
        if output.blueprint is not None
        else _of_pipeline(library, name, pipeline, key, inputs, settings)
        for key, output in pipeline.all_outputs().items()
    }


def _blueprint(library: Library, output: Output, title: str) -> Blueprint | None:
    if not isinstance(output.blueprint, str):
        return output.blueprint
    try:
        return library.blueprint(output.blueprint).blueprint
    except NotFound as error:
        raise BlueprintError(f"{title}: {error.message}", remedy=error.remedy) from error


def _of_pipeline(
    library: Library, name: str, pipeline: Pipeline, output: str, inputs: InputSeries, settings: BaseModel
) -> Blueprint | None:
    """The result of ``blueprint_for`` for an output; optional arguments are passed if the method has them."""
    function: Any = pipeline.blueprint_for
    parameters = inspect.signature(function).parameters
    choice = {"inputs": inputs.copies, "output": output}
    function = partial(function, **{key: value for key, value in choice.items() if key in parameters})
    blueprint: Blueprint | None = call_user_code(
        f"blueprint_for of pipeline {name!r}", function, inputs.parent_copy, settings, library.plain_blueprints()
    )
    return blueprint


def with_requested(blueprints: Mapping[str, Blueprint | None], extra: Blueprint) -> dict[str, Blueprint | None]:
    """The blueprints with the request's elements; elements for one kind of object go only to the outputs of this kind.

    If there are several outputs, a SeriesDescription of the request gets the output's name.
    """
    if len(blueprints) == 1:
        return {name: None if blueprint is None else blueprint + extra for name, blueprint in blueprints.items()}
    return {
        name: None if blueprint is None else blueprint + _of_output(name, blueprint, blueprints, extra)
        for name, blueprint in blueprints.items()
    }


def _of_output(
    name: str, blueprint: Blueprint, blueprints: Mapping[str, Blueprint | None], extra: Blueprint
) -> Blueprint:
    """The request's elements for one output among several."""
    elements = extra.copy()
    for key in REQUEST_KEYS:
        takers = [other for other in blueprints.values() if takes_key(other, key)]
        if key.keyword in elements and takers and not any(blueprint is taker for taker in takers):
            del elements[key.keyword]
    if "SeriesDescription" in elements and (text := getattr(elements["SeriesDescription"], "value", None)):
        described = f"{str(text)[: 61 - len(name)]} ({name})"
        elements["SeriesDescription"] = StaticElement("SeriesDescription", "LO", described)
    return elements
