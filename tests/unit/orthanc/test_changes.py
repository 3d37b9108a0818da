"""Orthanc's log of changes, read with and without the filter that newer Orthancs have."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from derived_series.jobs.queue.store import JobStore
from derived_series.jobs.rules.log import FiringLog
from derived_series.orthanc.changes import ChangeReader
from route_client import FakeGateway


class ChangesGateway(FakeGateway):
    """An Orthanc with a log of changes. :param has_types: whether it knows ``?type=``; others pass over it."""

    def __init__(self, folder: Path, has_types: bool):
        super().__init__(folder, {})
        self.log: list[tuple[str, str]] = []
        self.asked: list[str] = []
        self.read: list[str] = []  # of resources
        self.has_types = has_types
        if has_types:
            self.resources["/system"] = {"Capabilities": {"HasExtendedChanges": True}}

    def add(self, kind: str, resource: str) -> None:
        self.log.append((kind, resource))

    def get(self, path: str) -> Any:
        parts = urlsplit(path)
        if parts.path != "/changes":
            self.read.append(path)
            return super().get(path)
        if parts.query == "last":
            return {"Last": len(self.log)}
        self.asked.append(path)
        query = {name: values[0] for name, values in parse_qs(parts.query, separator="&").items()}
        types = query["type"].split(";") if self.has_types and "type" in query else None
        since = int(query["since"])
        changes = [
            {"Seq": seq, "ChangeType": kind, "ID": resource}
            for seq, (kind, resource) in enumerate(self.log, 1)
            if seq > since and (types is None or kind in types)
        ]
        return {"Changes": changes, "Last": changes[-1]["Seq"] if changes else since, "Done": True}


@pytest.mark.parametrize("has_types", [False, True])
def test_the_series_that_became_stable_wait_whatever_orthanc_leaves_out(tmp_path: Path, has_types: bool) -> None:
    gateway, log = ChangesGateway(tmp_path, has_types), FiringLog(JobStore(tmp_path / "jobs"))
    gateway.add("StableSeries", "before the first look")
    reader = ChangeReader(gateway, log, 1.0)
    reader.catch_up()
    for kind, resource in [("NewInstance", "i"), ("StableSeries", "a"), ("NewSeries", "c"), ("StableSeries", "b")]:
        gateway.add(kind, resource)
    reader.read()
    reader.read()
    assert log.waiting() == ["a", "b"]
    for series in log.waiting():
        log.done(series)
    gateway.add("NewInstance", "i")
    gateway.resources["/instances/i"] = {"ParentSeries": "of an instance before the end"}
    gateway.add("StableSeries", "while nobody looked")
    again = ChangeReader(gateway, log, 1.0)
    again.catch_up()
    assert {"of an instance before the end", "while nobody looked"} <= set(log.waiting())
    gateway.add("StableSeries", "later")
    again.read()
    assert log.waiting()[-1] == "later"
    assert all(("type=StableSeries" in path) == has_types for path in gateway.asked)
    assert any("NewInstance" in path for path in gateway.asked) == has_types


def test_the_instances_of_a_series_are_not_asked_for_one_by_one(tmp_path: Path) -> None:
    """As many may have come while the plugin was away as an archive holds that was copied."""
    gateway, log = ChangesGateway(tmp_path, False), FiringLog(JobStore(tmp_path / "jobs"))
    ChangeReader(gateway, log, 1.0).catch_up()
    instances = {f"s{series}": [f"i{series}-{number}" for number in range(50)] for series in range(20)}
    for number in range(50):  # they come in turns
        for series in instances:
            gateway.add("NewInstance", instances[series][number])
    for series, names in instances.items():
        gateway.resources[f"/series/{series}"] = {"Instances": names}
        gateway.resources |= {f"/instances/{name}": {"ParentSeries": series} for name in names}
    ChangeReader(gateway, log, 1.0).catch_up()
    assert log.waiting() == list(instances)
    assert len([path for path in gateway.read if path != "/system"]) == 2 * len(instances)
