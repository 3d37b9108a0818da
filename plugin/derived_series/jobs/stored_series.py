"""The stored series of a job, as its answer lists them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

#: The keys of each series, which are also at the top of an answer with one series.
_KEYS = ("ID", "Path", "SeriesInstanceUID", "InstancesCount", "Warnings", "Destinations")


def stored_series(result: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """The stored series, each with ``Output``, ``ID`` and the other keys; empty if nothing was stored.

    :param result: the answer of a job; those of older versions and of rejections have no list.
    """
    if result is None or result.get("DryRun"):
        return []
    if "Series" in result:
        return list(result["Series"])
    return [{"Output": "result", **{key: result[key] for key in _KEYS if key in result}}] if "ID" in result else []


def stored_ids(result: Mapping[str, Any] | None) -> list[str]:
    """The Orthanc identifiers of the stored series."""
    return [str(series["ID"]) for series in stored_series(result)]


def with_warnings(result: Mapping[str, Any], warnings: Sequence[str]) -> dict[str, Any]:
    """The answer of a job with more warnings about its first series."""
    first, *others = stored_series(result)
    first = {**first, "Warnings": [*first["Warnings"], *warnings]}
    prefix = f"{first['Output']}: " if others else ""
    at_the_top = [*result["Warnings"], *(f"{prefix}{warning}" for warning in warnings)]
    return {**result, "Warnings": at_the_top, "Series": [first, *others]}


def answer_of(series: list[dict[str, Any]], common: Mapping[str, Any]) -> dict[str, Any]:
    """Make the answer of a job: the series and, if there is only one, its keys at the top.

    :param common: the keys about the job as a whole.
    """
    if len(series) == 1:
        one = {key: value for key, value in series[0].items() if key != "Output"}
        if "ID" not in one:  # of a dry run
            return {**one, **common}
        return {"Type": "Series", **one, **common, "Series": series}
    warnings = [f"{each['Output']}: {warning}" for each in series for warning in each["Warnings"]]
    total = sum(each["InstancesCount"] for each in series)
    return {"InstancesCount": total, "Warnings": warnings, **common, "Series": series}
