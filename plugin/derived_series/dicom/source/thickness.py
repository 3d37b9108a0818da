"""SliceThickness (0018,0050) as a number."""

from __future__ import annotations

from typing import Any

from pydicom.dataset import Dataset

from derived_series.dicom.grid import FARTHEST_MM


def thickness_of(dataset: Dataset) -> float | None:
    """The thickness of an image's slice in mm (PS3.3 C.7.6.2); None if it is missing or impossible."""
    return as_thickness(dataset.get("SliceThickness"))


def as_thickness(value: Any) -> float | None:
    """A value of SliceThickness in mm; None if it is missing or impossible."""
    try:
        thickness = float(value or 0)
    except (TypeError, ValueError):
        return None
    return thickness if 0 < thickness < FARTHEST_MM else None
