"""SliceThickness (0018,0050) as a number."""

from __future__ import annotations

from pydicom.dataset import Dataset

from derived_series.dicom.grid import FARTHEST_MM


def thickness_of(dataset: Dataset) -> float | None:
    """The thickness of an image's slice in mm (PS3.3 C.7.6.2); None where it tells none that a slice may have."""
    try:
        thickness = float(dataset.get("SliceThickness") or 0)
    except (TypeError, ValueError):
        return None
    return thickness if 0 < thickness < FARTHEST_MM else None
