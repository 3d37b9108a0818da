"""Checks every series before it is stored or written."""

from __future__ import annotations

from typing import Literal

from derived_series.dicom.series.interface import Series
from derived_series.dicom.series.required import of_other_modality
from derived_series.dicom.source.parent_series import ParentSeries
from derived_series.dicom.validation import Finding, errors, validate
from derived_series.errors import ValidationFailed

#: ``Strict`` refuses a series with an error, ``Warn`` turns errors into warnings, ``Off`` checks nothing.
Validation = Literal["Strict", "Warn", "Off"]
STRICT: Validation = "Strict"


def check_series(series: Series, parent: ParentSeries, mode: Validation) -> Series:
    """The series, with the findings added to its warnings.

    :raises ValidationFailed: in ``Strict``, with all broken rules.
    """
    if mode == "Off":
        return series
    findings: tuple[Finding, ...] = validate(series, parent)
    wrong = errors(findings)
    if wrong and mode == "Strict":
        other = of_other_modality(series.sop_class_uid, parent.modality)
        texts = [str(finding) for finding in wrong]
        if other is not None:
            raise ValidationFailed(texts, what=f"the derived series has {other.what}: it", remedy=other.remedy)
        raise ValidationFailed(texts)
    return series.with_warnings(*map(str, findings)) if findings else series
