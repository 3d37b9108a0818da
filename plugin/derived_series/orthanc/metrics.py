"""The metrics of jobs for Prometheus: on Orthanc's page, ``/tools/metrics-prometheus``, and with labels on our own."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

from derived_series.jobs.destination_states import was_over_before
from derived_series.jobs.notices.fields import known_kind
from derived_series.jobs.queue.store import JobStore
from derived_series.jobs.record import JobRecord, State
from derived_series.jobs.stored_series import stored_series
from derived_series.orthanc.abstract_gateway import Gateway
from derived_series.orthanc.prometheus import Family, Histogram, Sample, by_label

#: Upper bounds of the buckets.
_BOUNDS_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)


class Metrics:
    """Jobs by state; seconds by phase, stored instances and failures since the start.

    Written by the runner's thread only, read by any.
    """

    def __init__(self, gateway: Gateway, store: JobStore):
        self._gateway = gateway
        self._store = store
        self._sums: dict[str, float] = {}
        self._phases = Histogram(
            "derived_series_phase_seconds", "Seconds of jobs in each phase", ("pipeline", "phase"), _BOUNDS_SECONDS
        )
        self._jobs = Histogram(
            "derived_series_job_seconds",
            "Seconds that all attempts at a job took",
            ("pipeline", "state"),
            _BOUNDS_SECONDS,
        )
        self._lock = threading.Lock()
        self._instances: Counter[str] = Counter()
        self._failures: Counter[tuple[str, str]] = Counter()

    def observe(self, job: JobRecord) -> None:
        """Note a job's new state."""
        for state, count in self._store.counts().items():
            self._gateway.metric(f"derived_series_jobs_{state.value.lower()}", count)
        if job.is_preview:
            return
        pipeline = derivation_of(job)
        if _begins(job):
            self._phases.observe(max(0.0, (job.started or job.created) - job.created), pipeline, "waiting")
        if job.state.is_final:
            self._jobs.observe(job.runtime, pipeline, job.state.value.lower())
        if job.state is State.FAILURE and job.problem is not None:
            with self._lock:
                self._failures[pipeline, known_kind(job.problem.kind)] += 1
        if job.state is not State.SUCCESS or job.result is None or not stored_series(job.result):
            return
        if not was_over_before(job):  # else it was counted then
            self._stored(pipeline, job.result)

    def _stored(self, pipeline: str, result: dict[str, Any]) -> None:
        self._add("derived_series_instances_stored", result["InstancesCount"])
        with self._lock:
            self._instances[pipeline] += result["InstancesCount"]
        for phase, seconds in result.get("Seconds", {}).items():
            self._add(f"derived_series_seconds_{phase.lower()}", seconds)
            self._phases.observe(seconds, pipeline, phase.lower())

    def _add(self, name: str, value: float) -> None:
        self._sums[name] = self._sums.get(name, 0.0) + value
        self._gateway.metric(name, self._sums[name])

    def families(self) -> list[Family]:
        """The families of jobs on our own page."""
        with self._lock:
            instances, failures = dict(self._instances), dict(self._failures)
        states = {state.value.lower(): float(count) for state, count in self._store.counts().items()}
        return [
            by_label("gauge", "derived_series_jobs", "Jobs that are remembered", "state", states),
            self._phases.family(),
            self._jobs.family(),
            by_label(
                "counter",
                "derived_series_instances_stored_total",
                "Instances that were stored and verified",
                "pipeline",
                {name: float(count) for name, count in instances.items()},
            ),
            Family(
                "derived_series_failures_total",
                "counter",
                "Failed jobs by the class of their error",
                tuple(
                    Sample(count, (("pipeline", pipeline), ("error", kind)))
                    for (pipeline, kind), count in failures.items()
                ),
            ),
        ]


def derivation_of(job: JobRecord) -> str:
    """The name of what a job runs: a pipeline, or for an uploaded image the blueprint and factory as in the address."""
    if "Verdict" in job.request:
        return "rejection"
    return str(job.request.get("Pipeline") or f"{job.request.get('Blueprint')}/{job.request.get('Factory')}")


def _begins(job: JobRecord) -> bool:
    """Whether this is the very first attempt, as a resubmitted job has spent time before."""
    return job.state is State.RUNNING and job.attempt == 1 and not job.runtime and job.result is None
