"""Derived Series for Orthanc: image results as correct DICOM series beside their parents."""

from derived_series.dicom import *  # noqa: F403  # the names that the tutorial and notebooks use
from derived_series.dicom import __all__ as _names

__all__ = [*_names]
