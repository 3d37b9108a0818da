"""Derived Series for Orthanc: image results as correct DICOM series beside their parents.

It also offers the names of ``derived_series.dicom``, which it imports when they are first used: Orthanc's own process,
which only hands out work, loads neither numpy nor pydicom.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from derived_series.dicom import *  # noqa: F403


def __getattr__(name: str) -> Any:
    is_module = importlib.util.find_spec(f"{__name__}.{name}") is not None  # which an import looks for here first
    if is_module or (name.startswith("__") and name != "__all__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(importlib.import_module("derived_series.dicom"), name)
    except AttributeError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None


def __dir__() -> list[str]:
    return sorted({*globals(), *importlib.import_module("derived_series.dicom").__all__})
