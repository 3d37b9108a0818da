"""Reads a patient's tags for receivers that may have them."""

from __future__ import annotations

from typing import Any

from derived_series.errors import DerivedSeriesError
from derived_series.jobs.notices.fields import OF_A_PATIENT
from derived_series.orthanc.abstract_gateway import Gateway


def patient_of(gateway: Gateway, series: str) -> dict[str, Any]:
    """The tags of a series, its study and its patient for a notice; empty if the series is gone."""
    try:
        tags = dict(gateway.series(series)["MainDicomTags"])
        study = gateway.get(f"/series/{series}/study")
    except (DerivedSeriesError, ValueError):  # the notice of the job's end must be sent, even without tags
        return {}
    tags |= study.get("MainDicomTags", {}) | study.get("PatientMainDicomTags", {})
    return {name: tags[name] for name in OF_A_PATIENT if name in tags}
