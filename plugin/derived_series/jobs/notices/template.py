"""The templates of notices: a text, or JSON whose texts contain ``{Field}``; nothing else is evaluated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from string import Formatter
from typing import Any, TypeAlias

from derived_series.jobs.plain import json_bytes, printable

#: A text is sent as text/plain, an object or array as JSON; None: all fields as one JSON object.
Template: TypeAlias = str | dict[str, Any] | list[Any] | None

_JSON, _TEXT = "application/json", "text/plain; charset=utf-8"


def fields_in(template: Template) -> Iterator[str]:
    """The fields that a template uses.

    :raises ValueError: a brace is unmatched, or there is more than a name between them (``{Job.id}``, ``{Job!r}``).
    """
    for text in _texts(template):
        for _, name, form, conversion in _parts(text):
            if name is None:
                continue
            if not name.isidentifier() or form or conversion:
                raise ValueError("between braces there is a field's name alone; a brace itself is written {{ or }}")
            yield name


def rendered(template: Template, fields: Mapping[str, Any]) -> tuple[bytes, str]:
    """Make the body of a notice and its Content-Type.

    :param fields: all fields, including those that the template uses.
    """
    if template is None:
        return json_bytes(dict(fields)), _JSON
    if isinstance(template, str):
        return str(_filled(template, fields, as_text=True)).encode("utf-8", "backslashreplace"), _TEXT
    return json_bytes(_filled(template, fields)), _JSON


def _filled(template: Any, fields: Mapping[str, Any], *, as_text: bool = False) -> Any:
    """Fill in JSON value by value, so that no field can end a text and begin another.

    A text that is only a field becomes that field's value, so that a number stays a number.
    """
    if isinstance(template, dict):
        return {key: _filled(value, fields) for key, value in template.items()}
    if isinstance(template, list):
        return [_filled(value, fields) for value in template]
    if not isinstance(template, str):
        return template
    parts = list(_parts(template))
    if not as_text and len(parts) == 1 and parts[0][0] == "" and parts[0][1] is not None:
        return fields.get(parts[0][1])
    return "".join(literal + ("" if name is None else _text_of(fields.get(name))) for literal, name, _, _ in parts)


def _text_of(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {each}" for key, each in value.items())
    return printable(", ".join(map(str, value)) if isinstance(value, list) else str(value))


def _texts(template: Template) -> Iterator[str]:
    if isinstance(template, str):
        yield template
    elif isinstance(template, dict | list):
        for value in template.values() if isinstance(template, dict) else template:
            yield from _texts(value)


def _parts(text: str) -> Iterable[tuple[str, str | None, str | None, str | None]]:
    return Formatter().parse(text)
