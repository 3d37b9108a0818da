"""The series that a job has stored, as its answer lists them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: What is said of each series; in an answer with one series at the top, too.
_KEYS = ("ID", "Path", "SeriesInstanceUID", "InstancesCount", "Warnings", "Destinations")


def stored_series(result: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Each with ``Output``, ``ID`` and the rest; none of a job that has stored nothing.

    :param result: the answer of a job; one of a former version, or of a rejection, has no list.
    """
    if result is None or result.get("DryRun"):
        return []
    if "Series" in result:
        return list(result["Series"])
    return [{"Output": "result", **{key: result[key] for key in _KEYS if key in result}}] if "ID" in result else []


def stored_ids(result: Mapping[str, Any] | None) -> list[str]:
    """The Orthanc identifiers."""
    return [str(series["ID"]) for series in stored_series(result)]


def answer_of(series: list[dict[str, Any]], common: Mapping[str, Any]) -> dict[str, Any]:
    """The answer of a job: the series, and where it is one its keys at the top.

    :param common: what is said of the job as a whole.
    """
    if len(series) == 1:
        one = {key: value for key, value in series[0].items() if key != "Output"}
        if "ID" not in one:  # of a dry run
            return {**one, **common}
        return {"Type": "Series", **one, **common, "Series": series}
    warnings = [f"{each['Output']}: {warning}" for each in series for warning in each["Warnings"]]
    total = sum(each["InstancesCount"] for each in series)
    return {"InstancesCount": total, "Warnings": warnings, **common, "Series": series}
