"""Whose turn it is: which job begins next, and where."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass

from derived_series.jobs.pool.environments import Environments
from derived_series.jobs.queue.clock import SteadyClock
from derived_series.jobs.queue.limits import Limits
from derived_series.jobs.queue.running import RunningJobs
from derived_series.jobs.queue.store import JobStore
from derived_series.jobs.record import JobRecord


@dataclass(frozen=True, slots=True)
class Turns:
    """Chooses the job that begins next.

    :param executor: the workers of all jobs.
    :param previews: where a dry run goes while other jobs have all workers; None: it waits like any other.
    :param environments: where the jobs of pipelines run that have an environment of their own.
    """

    store: JobStore
    executor: Executor
    previews: Executor | None
    environments: Environments
    limits: Limits
    running: RunningJobs
    clock: SteadyClock

    @property
    def has_place(self) -> bool:
        """Whether the workers of all jobs have a place for one more."""
        busy = sum(not running.extra and not running.elsewhere for running in self.running.values())
        return busy < self.limits.parallel

    def next(self) -> tuple[JobRecord | None, Executor | None]:
        """The job to begin now, and the executor of a preview that goes beside the other jobs."""
        now, elsewhere = self.clock.now(), self.environments.pipelines
        ready = self.environments.ready()
        known = self.environments.is_known
        if self.has_place:
            without = [pipeline for pipeline in elsewhere if pipeline not in ready and self._is_configured(pipeline)]
            return self.store.next_ready(now, without=without, pipelines=known), None
        if ready and (job := self.store.next_ready(now, only=ready)) is not None:
            return job, None
        if self.previews is None or any(running.extra for running in self.running.values()):
            return None, None
        return self.store.next_ready(now, preview=True, without=list(elsewhere), pipelines=known), self.previews

    def executor_of(self, job: JobRecord, previews: Executor | None) -> Executor:
        """The executor that runs a job. :param previews: as ``next`` returned it."""
        return self.environments.executor_of(job.request.get("Pipeline")) or previews or self.executor

    def seconds_to_retry(self) -> float | None:
        """Seconds until a job that waits for its next attempt could begin; None: none waits, or no place is free."""
        retry = self.store.next_time()
        if retry is None or not (self.has_place or self.environments.ready()):
            return None
        return retry - self.clock.now()

    def _is_configured(self, pipeline: str) -> bool:
        """A job of an environment that is not configured is begun, and fails."""
        return self.environments.pipelines[pipeline] in self.environments
