"""References that a version of Orthanc's Python plugin keeps are given back, and no others."""

from __future__ import annotations

import ctypes
import gc
import sys
from typing import Any

from derived_series.orthanc.kept_arguments import let_go

_SHARED = ("", "a", b"", b"\x00", (), 5, None, True)


def keep(values: list[object]) -> None:
    """As the plugin does: a reference to each that nobody has."""
    for value in values:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(value))


def request() -> dict[str, Any]:
    """What a callback gets by name; each object is new."""
    number = "12"
    headers = {"host": f"localhost:{number}", "x-empty": "", "x-short": "a"}
    get = {"limit": f"{number}0"}
    return {"method": f"PO{number}", "groups": (f"a{number}",), "headers": headers, "get": get, "body": bytes(100)}


def objects(arguments: dict[str, Any]) -> list[object]:
    return [*arguments.values(), *arguments["headers"].values(), *arguments["get"].values()]


def counts(arguments: dict[str, Any]) -> list[int]:
    return [sys.getrefcount(value) for value in objects(arguments) if value not in _SHARED]


def test_each_value_is_let_go_once() -> None:
    arguments = request()
    before = counts(arguments)
    keep(objects(arguments))
    assert counts(arguments) == [count + 1 for count in before]
    let_go(arguments)
    assert counts(arguments) == before
    assert arguments == request(), "they are all still there"


def test_what_all_share_is_left_alone() -> None:
    """One reference too few of these would in time end the interpreter."""
    gc.collect()  # others' garbage refers to them, too
    before = [sys.getrefcount(value) for value in _SHARED]
    for _ in range(5000):
        let_go({str(index): value for index, value in enumerate(_SHARED)})
    after = [sys.getrefcount(value) for value in _SHARED]
    assert all(now > then - 2500 for now, then in zip(after, before, strict=True))
