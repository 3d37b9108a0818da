"""The jobs on Orthanc's page for Prometheus, ``/tools/metrics-prometheus``."""

from __future__ import annotations

from typing import Any

from derived_series.jobs.destination_states import HELD, destinations
from derived_series.jobs.queue.store import JobStore
from derived_series.jobs.record import JobRecord, State
from derived_series.jobs.stored_series import stored_series
from derived_series.orthanc.abstract_gateway import Gateway


class Metrics:
    """Jobs by state; seconds by phase and instances stored, summed up since the start.

    Written by the runner's thread alone.
    """

    def __init__(self, gateway: Gateway, store: JobStore):
        self._gateway = gateway
        self._store = store
        self._sums: dict[str, float] = {}

    def observe(self, job: JobRecord) -> None:
        """A job has another state."""
        for state, count in self._store.counts().items():
            self._gateway.metric(f"derived_series_jobs_{state.value.lower()}", count)
        if job.state is not State.SUCCESS or job.result is None or not stored_series(job.result):
            return
        states = destinations(job)
        if not job.request.get("HoldUntilAccepted") or all(state == HELD for state in states.values()):
            self._stored(job.result)  # one whose held destinations were released has been counted before

    def _stored(self, result: dict[str, Any]) -> None:
        self._add("derived_series_instances_stored", result["InstancesCount"])
        for phase, seconds in result.get("Seconds", {}).items():
            self._add(f"derived_series_seconds_{phase.lower()}", seconds)

    def _add(self, name: str, value: float) -> None:
        self._sums[name] = self._sums.get(name, 0.0) + value
        self._gateway.metric(name, self._sums[name])
