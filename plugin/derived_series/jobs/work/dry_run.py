"""The report of a dry run about a series that was not stored."""

from __future__ import annotations

from typing import Any

from derived_series.dicom.explanation import dropped, explain
from derived_series.dicom.preview import picture
from derived_series.dicom.series.interface import Series
from derived_series.dicom.source.parent_series import ParentSeries


def dry_run_report(series: Series, parent: ParentSeries, *, with_picture: bool) -> dict[str, Any]:
    """The explained header, the parent's tags that the result lacks, and optionally one slice."""
    explanation = explain(series)
    report: dict[str, Any] = {"Header": explanation.to_json()["Tags"], "Dropped": dropped(explanation, parent)}
    if with_picture:
        report["Preview"] = picture(series)
    return report
