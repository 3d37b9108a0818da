"""SliceThickness (0018,0050) as a number."""

from __future__ import annotations

from typing import Any

from pydicom.dataset import Dataset

from derived_series.dicom.grid import FARTHEST_MM


def thickness_of(dataset: Dataset) -> float | None:
    """The thickness of an image's slice in mm (PS3.3 C.7.6.2); None where it tells none that a slice may have."""
    return as_thickness(dataset.get("SliceThickness"))


def as_thickness(value: Any) -> float | None:
    """A value of SliceThickness in mm; None where it is none that a slice may have."""
    try:
        thickness = float(value or 0)
    except (TypeError, ValueError):
        return None
    return thickness if 0 < thickness < FARTHEST_MM else None
