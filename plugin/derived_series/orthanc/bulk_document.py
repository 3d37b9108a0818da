"""Describes a run over many series in JSON."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from derived_series.jobs.bulk.bulk_log import BulkLog
from derived_series.jobs.bulk.bulk_run import BulkRun, MemberState, RunState
from derived_series.jobs.bulk.pace import RATE_ENDS, expected_end, per_hour
from derived_series.jobs.queue.job_files import JobFiles
from derived_series.jobs.requests.bulk import BulkRequest
from derived_series.orthanc.bulk_driver import BulkDriver


@dataclass(frozen=True, slots=True)
class BulkDocuments:
    """Describes runs. :param reports: the folder of the reports."""

    log: BulkLog
    driver: BulkDriver
    reports: JobFiles

    def of(self, run: BulkRun) -> dict[str, Any]:
        """The state of a run: its progress, its expected end, and what it waits for."""
        asked = BulkRequest.of(run.request)
        counts = self.log.counts(run.id)
        left = counts[MemberState.WAITING] + counts[MemberState.SUBMITTED]
        now, pace = time.time(), self.driver.pace_of(asked)
        rate = per_hour(self.log.last_ends(run.id, RATE_ENDS))
        what, until = pace.waits(now, self.log.submitted_since(run.id, now - 3600.0))
        goes_on = run.state is RunState.RUNNING
        document: dict[str, Any] = {
            "ID": run.id,
            "Path": run_path(run),
            "Name": asked.keys.name,
            "State": run.state.value,
            "CreationTime": _time(run.created),
            "CompletionTime": _time(run.completed),
            "By": run.by,
            "Asked": shown_request(run.request),
            "Versions": run.versions,
            "Series": sum(counts.values()),
            "Counts": {state.value: count for state, count in counts.items()},
            "PerHour": None if rate is None else round(rate, 1),
            "ExpectedEnd": _time(expected_end(now, left, rate, pace.hours)) if goes_on else None,
            "Waits": {"For": what, "Until": _time(until)} if goes_on and what and left else None,
            "Throttle": {"AtOnce": pace.at_once, "PerHour": pace.per_hour},
            "Problem": run.problem,
            "Audit": list(run.acts),
        }
        if asked.keys.compares:
            agreeing = self.log.agreeing(run.id)
            document["Compared"] = {"Agree": agreeing[True], "Disagree": agreeing[False]}
            if self.reports.has_report(run.id):
                document["Report"] = f"{run_path(run)}/report"
        return document


def run_path(run: BulkRun) -> str:
    """The path of a run, below Orthanc's root."""
    return f"/derived-series/bulk/{run.id}"


def shown_request(request: Mapping[str, Any]) -> dict[str, Any]:
    """The request of a run without values that may be a patient's: only our own names and those of tags."""
    keys = (
        "Pipeline",
        "Blueprint",
        "Factory",
        "IfExists",
        "Priority",
        "Again",
        "Limits",
        "Throttle",
        "Hours",
        "Derived",
    )
    document: dict[str, Any] = {key: request[key] for key in keys if request.get(key) is not None}
    if request.get("Query"):
        query = request["Query"]
        document["Query"] = {"Level": query.get("Level", "Study"), "Tags": sorted(query.get("Query", {}))}
    if request.get("Resources") is not None:
        document["Resources"] = len(request["Resources"])
    if request.get("Compare"):
        compare = request["Compare"]
        document["Compare"] = {"Pairs": len(compare.get("Pairs", [])), "Accepted": compare.get("Accepted")}
    return document


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
