"""A pipeline's parameters, checked before a job is accepted: a wrong one is an answer, not a failed job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator, ValidationError

from derived_series.errors import InvalidRequest
from derived_series.shortening import shortened
from derived_series.wrong_values import place_text

#: Of one message of jsonschema's, which quotes names and values.
_MESSAGE_CHARACTERS = 300


def check_parameters(pipeline: str, schema: Mapping[str, Any], parameters: Mapping[str, Any]) -> None:
    """:param schema: the JSON schema of the pipeline's parameters. What it cannot say the worker checks.

    :raises InvalidRequest: with each wrong name and value.
    """
    problems = sorted(Draft202012Validator(schema).iter_errors(dict(parameters)), key=lambda error: list(error.path))
    if problems:
        names = ", ".join(schema.get("properties", {})) or "none"
        raise InvalidRequest(
            f"parameters of pipeline {pipeline!r}: " + "; ".join(map(_problem_text, problems)),
            remedy=f"its parameters are: {names}",
            details="\n".join(map(_problem_text, problems)),
        )


def _problem_text(error: ValidationError) -> str:
    where = place_text(list(error.path))
    message = shortened(error.message, _MESSAGE_CHARACTERS)
    return f"{where}: {message}" if where else message
