"""The jobs on Orthanc's page for Prometheus, ``/tools/metrics-prometheus``."""

from __future__ import annotations

from derived_series.jobs.record import JobRecord, State
from derived_series.jobs.store import JobStore
from derived_series.orthanc.gateway import Gateway


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
        if job.state is not State.SUCCESS or job.result is None or "ID" not in job.result:
            return
        self._add("derived_series_instances_stored", job.result["InstancesCount"])
        for phase, seconds in job.result.get("Seconds", {}).items():
            self._add(f"derived_series_seconds_{phase.lower()}", seconds)

    def _add(self, name: str, value: float) -> None:
        self._sums[name] = self._sums.get(name, 0.0) + value
        self._gateway.metric(name, self._sums[name])
