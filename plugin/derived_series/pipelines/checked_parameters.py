"""Checks a request's parameters with the model of their pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from derived_series.errors import InvalidRequest
from derived_series.pipelines.pipeline import Pipeline
from derived_series.wrong_values import problems_in_words


def checked_parameters(pipeline: type[Pipeline], parameters: Mapping[str, Any]) -> BaseModel:
    """The parameters as the pipeline's model.

    :raises InvalidRequest: names each unknown parameter, and each wrong value with what is expected.
    """
    try:
        return pipeline.parameters.model_validate(dict(parameters))
    except ValidationError as error:
        problems = problems_in_words(error.errors(), parameters)
        names = ", ".join(pipeline.parameters.model_fields) or "none"
        raise InvalidRequest(
            f"parameters of pipeline {pipeline.pipeline_name()!r}: {'; '.join(problems)}",
            remedy=f"its parameters are: {names}",
            details="\n".join(problems),
        ) from error
