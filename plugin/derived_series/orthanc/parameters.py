"""A pipeline's parameters, checked before a job is accepted: a wrong one is an answer, not a failed job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator, ValidationError

from derived_series.errors import InvalidRequest


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
    where = ".".join(map(str, error.path))
    return f"{where}: {error.message}" if where else error.message
