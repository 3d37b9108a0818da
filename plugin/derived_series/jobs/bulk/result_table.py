"""The members of a run as a table, in JSON and in CSV (RFC 4180) that is safe from formula injection."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from derived_series.jobs.bulk.agreement import disagreements
from derived_series.jobs.bulk.bulk_run import Member
from derived_series.jobs.requests.bulk import AgreementLimits

COLUMNS = (
    *("Number", "Series", "State", "Reason", "Job", "Derived", "Submitted", "Completed", "Seconds"),
    *(
        "Reference",
        "Correlation",
        "RelativeDifference",
        "LargestDifference",
        "Dice",
        "Agrees",
        "Disagreement",
        "Decision",
    ),
)

#: Characters that begin a formula in a spreadsheet.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def row(member: Member, limits: AgreementLimits) -> dict[str, Any]:
    """A member by column name, with the worst figures of several outputs or labels."""
    figures = list(member.comparison.values())
    correlations = [each["Correlation"] for each in figures if each.get("Correlation") is not None]
    differences = [each["LargestDifference"] for each in figures if each.get("LargestDifference") is not None]
    relative = [each["RelativeDifference"] for each in figures if each.get("RelativeDifference") is not None]
    dice = [value for each in figures for value in each.get("Dice", {}).values() if value is not None]
    spent = None
    if member.submitted is not None and member.completed is not None:
        spent = round(member.completed - member.submitted, 1)
    wrong = [text for each in figures for text in disagreements(each, limits)]
    return {
        "Number": member.number,
        "Series": member.series,
        "State": member.state.value,
        "Reason": member.reason,
        "Job": member.job,
        "Derived": list(member.derived.values()),
        "Submitted": _time(member.submitted),
        "Completed": _time(member.completed),
        "Seconds": spent,
        "Reference": list(member.reference.values()),
        "Correlation": min(correlations, default=None),
        "RelativeDifference": max(relative, default=None),
        "LargestDifference": max(differences, default=None),
        "Dice": min(dice, default=None),
        "Agrees": member.agrees,
        "Disagreement": "; ".join(wrong),
        "Decision": None if member.decision is None else member.decision.value,
    }


def csv_text(members: Iterable[Member], limits: AgreementLimits) -> str:
    """The table as CSV with a heading; lines end with CR LF."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for member in members:
        values: Mapping[str, Any] = row(member, limits)
        writer.writerow([_cell(values[name]) for name in COLUMNS])
    return text.getvalue()


def _cell(value: Any) -> str | float:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return value
    text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
