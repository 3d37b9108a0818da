"""Recognises misspelt attributes of a user's class, such as ``inputs`` for ``input``."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from types import FunctionType

from derived_series.errors import BlueprintError

#: The least similarity of a misspelt name to the known one: "outptus" is 0.86 like "outputs".
_LIKENESS = 0.85

#: The methods that authors override; other methods may have any name.
_METHODS = ("prepare", "blueprint_for", "process", "validate", "get_data")

_LIBRARY = "derived_series"


def check_names(declared: type) -> None:
    """Check the names that an author uses in a class and in his own classes above it.

    A name is the author's own if it resembles no known one, or one that the class has too.

    :param declared: a subclass of Pipeline, Input or Output.
    :raises BlueprintError: an attribute is misspelt; the message names it and the likely one.
    """
    ours = [each for each in declared.__mro__ if each.__module__.split(".")[0] == _LIBRARY]
    authors = [each for each in declared.__mro__ if each not in ours and each is not object]
    known = {name: value for each in ours for name, value in vars(each).items() if not name.startswith("_")}
    there = {name for each in authors for name in vars(each)}
    attributes = [name for name, value in known.items() if not _is_method(value) and name not in there]
    methods = [name for name in _METHODS if name in known and name not in there]
    for each in authors:
        for name, value in vars(each).items():
            if name.startswith("_") or name in known:
                continue
            near = _nearest(name, methods if _is_method(value) else attributes)
            if near is not None:
                raise BlueprintError(
                    f"{each.__name__} has {name!r}, which means nothing: did you mean {near!r}?",
                    remedy=f"write {near}, or give an attribute of your own a name that is less like it",
                )


def _is_method(value: object) -> bool:
    return isinstance(value, FunctionType | classmethod | staticmethod | property)


def _nearest(name: str, known: Iterable[str]) -> str | None:
    return next(iter(difflib.get_close_matches(name.lower(), known, 1, _LIKENESS)), None)
