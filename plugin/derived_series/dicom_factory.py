"""The names of the tutorial "Create a dicom series", for code that only changes its import line."""

from derived_series.dicom import *  # noqa: F403
from derived_series.dicom import __all__ as _names

__all__ = [*_names]
