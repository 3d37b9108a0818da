"""What is told of a run over many series."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from derived_series.jobs.bulk.bulk_run import BulkRun


def run_path(run: BulkRun) -> str:
    return f"/derived-series/bulk/{run.id}"


def shown_request(request: Mapping[str, Any]) -> dict[str, Any]:
    """What a run says of its request: names of ours and of tags, and no value that a patient may have."""
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


def time_text(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
