"""Validating series against PS3.3, and blueprints before they make one."""

from derived_series.dicom.validation.attributes import warm_up
from derived_series.dicom.validation.finding import Finding, Severity, errors
from derived_series.dicom.validation.lint import IODS, lint
from derived_series.dicom.validation.whole_series import validate

__all__ = ["IODS", "Finding", "Severity", "errors", "lint", "validate", "warm_up"]
