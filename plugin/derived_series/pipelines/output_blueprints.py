"""The blueprint of each output of a pipeline."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import partial
from typing import Any

from pydantic import BaseModel

from derived_series.dicom.blueprints.blueprint import Blueprint
from derived_series.dicom.blueprints.element import StaticElement
from derived_series.dicom.source.parent_series import ParentSeries
from derived_series.kinds import REQUEST_KEYS
from derived_series.pipelines.blueprint_kinds import takes_key
from derived_series.pipelines.library import Library
from derived_series.pipelines.output import Output
from derived_series.pipelines.pipeline import Pipeline
from derived_series.pipelines.user_calls import call_user_code


def output_blueprint(
    name: str,
    pipeline: Pipeline,
    key: str,
    output: Output,
    parent: ParentSeries,
    settings: BaseModel,
    library: Library,
    inputs: Mapping[str, ParentSeries],
) -> Blueprint | None:
    """The output's own, or what ``blueprint_for`` says; it gets what it has parameters of these names for."""
    if isinstance(output.blueprint, str):
        return library.blueprint(output.blueprint).blueprint
    if output.blueprint is not None:
        return output.blueprint
    function: Any = pipeline.blueprint_for
    asked = inspect.signature(function).parameters
    function = partial(function, **{k: v for k, v in {"inputs": inputs, "output": key}.items() if k in asked})
    blueprint: Blueprint | None = call_user_code(
        f"blueprint_for of pipeline {name!r}", function, parent, settings, library.plain_blueprints()
    )
    return blueprint


def with_request(blueprints: Mapping[str, Blueprint | None], extra: Blueprint) -> dict[str, Blueprint | None]:
    """The blueprints with the request's tags; what is of one kind of object goes to the outputs of this kind.

    A SeriesDescription of the request gets the output's name where there are several.
    """
    whole = {}
    for name, blueprint in blueprints.items():
        theirs = extra
        if blueprint is not None and len(blueprints) > 1:
            theirs = extra.copy()
            for key in REQUEST_KEYS:
                takers = [other for other in blueprints.values() if takes_key(other, key)]
                if key.keyword in theirs and takers and not any(blueprint is taker for taker in takers):
                    del theirs[key.keyword]
            if "SeriesDescription" in theirs and (text := getattr(theirs["SeriesDescription"], "value", None)):
                theirs["SeriesDescription"] = StaticElement(
                    "SeriesDescription", "LO", f"{str(text)[: 61 - len(name)]} ({name})"
                )
        whole[name] = None if blueprint is None else blueprint + theirs
    return whole
