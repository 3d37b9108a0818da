"""Checks a pipeline's parameters before a job is accepted, so that a wrong one is an answer, not a failed job."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from jsonschema import Draft202012Validator, ValidationError

from derived_series.errors import InvalidRequest
from derived_series.wrong_values import problems_in_words

#: pydantic's error for a value that is not of a type of JSON schema.
_OF_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "array": "list_type",
        "boolean": "bool_type",
        "integer": "int_type",
        "null": "none_required",
        "number": "float_type",
        "object": "dict_type",
        "string": "string_type",
    }
)

#: pydantic's error for a broken keyword of JSON schema, and its name of the keyword's value.
_OF_BOUNDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "exclusiveMaximum": ("less_than", "lt"),
        "exclusiveMinimum": ("greater_than", "gt"),
        "maxItems": ("too_long", "max_length"),
        "maxLength": ("string_too_long", "max_length"),
        "maximum": ("less_than_equal", "le"),
        "minItems": ("too_short", "min_length"),
        "minLength": ("string_too_short", "min_length"),
        "minimum": ("greater_than_equal", "ge"),
        "multipleOf": ("multiple_of", "multiple_of"),
        "pattern": ("string_pattern_mismatch", "pattern"),
    }
)

#: Stands for one of several schemas in a place, like pydantic's names of branches.
_BRANCH = "<any>"


def check_parameters(pipeline: str, schema: Mapping[str, Any], parameters: Mapping[str, Any]) -> None:
    """Check parameters by the JSON schema of their pipeline; the worker checks what the schema cannot express.

    :raises InvalidRequest: names each wrong parameter and value, in the worker's words.
    """
    errors = sorted(Draft202012Validator(schema).iter_errors(dict(parameters)), key=lambda error: list(error.path))
    if errors:
        problems = problems_in_words([item for error in _first_of_type(errors) for item in _items(error)], parameters)
        names = ", ".join(schema.get("properties", {})) or "none"
        raise InvalidRequest(
            f"parameters of pipeline {pipeline!r}: {'; '.join(problems)}",
            remedy=f"its parameters are: {names}",
            details="\n".join(problems),
        )


def _first_of_type(errors: list[ValidationError]) -> list[ValidationError]:
    """The errors of values with a wrong type only, without their further errors."""
    of_type = [list(error.path) for error in errors if error.validator == "type"]
    return [error for error in errors if error.validator == "type" or list(error.path) not in of_type]


def _items(error: ValidationError, place: tuple[int | str, ...] = ()) -> Iterator[dict[str, Any]]:
    """The errors in pydantic's form. :param place: the place where the error's path starts."""
    place, keyword = (*place, *error.path), str(error.validator)
    bound: Any = error.validator_value
    instance: Any = error.instance
    schema: Any = error.schema
    item = {"loc": place, "input": instance, "msg": error.message, "ctx": {}}
    if keyword in ("anyOf", "oneOf") and error.context:
        for each in error.context:
            yield from _items(each, (*place, _BRANCH))
    elif keyword == "type":
        yield from (item | {"type": _OF_TYPES[each]} for each in ([bound] if isinstance(bound, str) else bound))
    elif keyword in _OF_BOUNDS:
        kind, name = _OF_BOUNDS[keyword]
        yield item | {"type": kind, "ctx": {name: bound}}
    elif keyword in ("enum", "const"):
        yield item | {"type": "enum", "ctx": {"expected": _listed(bound if keyword == "enum" else [bound])}}
    elif keyword == "required":
        yield from (item | {"type": "missing", "loc": (*place, key)} for key in bound if key not in instance)
    elif keyword == "additionalProperties":
        unknown = [key for key in instance if key not in schema.get("properties", {})]
        yield from (item | {"type": "extra_forbidden", "loc": (*place, key)} for key in unknown)
    else:
        yield item | {"type": keyword}


def _listed(values: list[Any]) -> str:
    *others, last = map(repr, values)
    return f"{', '.join(others)} or {last}" if others else last
