"""Works around a leak of some versions of Orthanc's Python plugin: they keep the keyword arguments of callbacks.

They keep one reference to each of these values, and to each value of a dict among them: with a filter of requests,
about a kilobyte of each request to Orthanc, whoever sends it. Fixed in 4.1 (its NEWS); Debian 12 has 4.0.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping

#: The versions that leak.
VERSIONS = ("4.0",)


def let_go(arguments: Mapping[str, object]) -> None:
    """Release these references. Call it once in each call of a callback, with its keyword arguments."""
    for value in arguments.values():
        if isinstance(value, dict):
            for each in value.values():
                _let_go(each)
        _let_go(value)


def _let_go(value: object) -> None:
    if not _is_shared(value):
        ctypes.pythonapi.Py_DecRef(ctypes.py_object(value))


def _is_shared(value: object) -> bool:
    """Whether the interpreter has one such object for all, whose count is better too high than too low."""
    if isinstance(value, (str, bytes)):
        return len(value) < 2
    return value == () or not isinstance(value, (dict, tuple))
