"""Fills the paths and parameters of a job into the arguments of a command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Formatter
from typing import Any, TypeAlias

from derived_series.errors import BlueprintError, InvalidRequest

#: Arguments; an inner list is a group that is left out if a name in it has no value, or is False.
Arguments: TypeAlias = Sequence[str | Sequence[str]]


def names_in(argument: str) -> list[str]:
    """The names in braces. :raises BlueprintError: braces with something else in them."""
    try:
        parts = [(name, spec, conversion) for _, name, spec, conversion in Formatter().parse(argument)]
    except ValueError as error:
        raise BlueprintError(f"the argument {argument!r} has braces that are not closed", remedy=_BRACES) from error
    names = []
    for name, spec, conversion in parts:
        if name is None:
            continue
        if spec or conversion or not name.isidentifier():
            raise BlueprintError(f"the argument {argument!r} has {{{name}}}, which is not a name", remedy=_BRACES)
        names.append(name)
    return names


_BRACES = "write {{ and }} for braces that are the command's own"


def check(arguments: Arguments, known: Sequence[str], where: str) -> None:
    """Check the names in the arguments.

    :raises BlueprintError: an argument is not a text, or names nothing that exists.
    """
    if isinstance(arguments, str):
        raise BlueprintError(f"{where} is one text", remedy='give a list: ["program", "-i", "{ct}"]')
    for argument in arguments:
        if isinstance(argument, list | tuple):
            check(argument, known, where)
            continue
        if not isinstance(argument, str):
            raise BlueprintError(f"{where} has the argument {argument!r}", remedy="give every argument as text")
        for name in names_in(argument):
            if name not in known:
                raise BlueprintError(
                    f"{where} has {{{name}}}, which is not an input, parameter or folder",
                    remedy=f"use one of {', '.join(known)}; {_BRACES}",
                )


def placed(arguments: Arguments, values: Mapping[str, Any]) -> list[str]:
    """The arguments as the program gets them. An argument stays one, but a list as the whole argument gives several.

    :param values: paths and the request's parameters; None and False leave their group out, True adds no text.
    :raises InvalidRequest: the program would take a text of the request for an option.
    """
    texts: list[str] = []
    for argument in arguments:
        if not isinstance(argument, str):
            absent = [name for each in argument for name in names_in(each) if values[name] in (None, False)]
            texts += [] if absent else placed(argument, values)
            continue
        names = names_in(argument)
        if names and argument == f"{{{names[0]}}}":  # the whole argument
            texts += _whole(names[0], values[names[0]])
        else:
            texts.append(argument.format_map({name: _text(values[name]) for name in names}))
    return texts


def _whole(name: str, value: Any) -> list[str]:
    if value is True:
        return []
    if isinstance(value, list | tuple):
        return [text for each in value for text in _whole(name, each)]
    text = _text(value)
    if isinstance(value, str) and text.startswith("-"):
        raise InvalidRequest(
            f"the parameter {name!r} is {value!r}: the command would take it for an option of its own",
            remedy="give a text that does not begin with '-'",
        )
    return [text]


def _text(value: Any) -> str:
    text = str(value if not isinstance(value, Path) else value.absolute())
    if "\0" in text:
        raise InvalidRequest(f"{text!r} has a NUL character, which no argument can have")
    return text
