"""The order in which what runs besides requests begins."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from derived_series.jobs.queue.nodes import Part
from derived_series.orthanc.life_cycle import LifeCycle


class Recorded:
    """An object of the life cycle that notes what is called, and whether Orthanc is alone."""

    def __init__(self, name: str, calls: list[str]):
        self._name = name
        self._calls = calls

    def __getattr__(self, method: str) -> Any:
        return lambda *arguments: self._calls.append(f"{self._name}.{method}")


@pytest.mark.parametrize("is_alone", [True, False])
def test_what_is_left_over_is_known_before_a_job_begins(is_alone: bool) -> None:
    """Else the instances of an attempt that has begun would be taken for an earlier one's."""
    calls: list[str] = []

    def start(part: Part) -> None:
        part.lead()

    nodes = SimpleNamespace(is_alone=is_alone, start=start)
    parts: dict[str, Any] = {
        name: Recorded(name, calls)
        for name in ("leftovers", "runner", "notifier", "trigger", "bulk", "reviews", "memory")
    }
    storage: Any = SimpleNamespace(store=SimpleNamespace(problem=None), nodes=nodes)
    pools: Any = SimpleNamespace(environments=Recorded("environments", calls))
    LifeCycle(storage=storage, pools=pools, files=(), **parts).begin()
    assert calls.count("leftovers.lead") == 1
    begins = "runner.start" if is_alone else "runner.lead"  # one among several begins no job before it leads
    assert calls.index("leftovers.lead") < calls.index(begins)
