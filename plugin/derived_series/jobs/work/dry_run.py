"""What a dry run answers about the series that it did not store."""

from __future__ import annotations

from typing import Any

from derived_series.dicom.explanation import dropped, explain
from derived_series.dicom.preview import picture
from derived_series.dicom.series.interface import Series
from derived_series.dicom.source.parent_series import ParentSeries


def dry_run_report(series: Series, parent: ParentSeries, *, with_picture: bool) -> dict[str, Any]:
    """The explained header, what the parent has and the result has not, and maybe one slice of it."""
    explanation = explain(series)
    report: dict[str, Any] = {"Header": explanation.to_json()["Tags"], "Dropped": dropped(explanation, parent)}
    if with_picture:
        report["Preview"] = picture(series)
    return report
