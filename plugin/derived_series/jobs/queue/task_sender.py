"""Sends jobs to workers: attempts at them, and the removal of what an attempt left."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from math import inf

from derived_series.jobs.messages import DeriveTask, Outcome, Work
from derived_series.jobs.pool.placed import PlacedExecutor
from derived_series.jobs.queue.running import Running, RunningJobs
from derived_series.jobs.record import JobRecord

#: Seconds that a worker has to remove what an attempt left.
DISCARD_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class TaskSender:
    """Hands tasks to executors, and notes in ``running`` what they are about.

    :param executor: the workers of all jobs. :param previews: where dry runs go beside other jobs.
    :param work: what workers do with a task.
    :param make_task: the attempt to send out for a record, with what is only known here (address, token).
    :param timeout_of: seconds for one attempt at a record.
    :param done: called with a job's identifier when a worker has done with its task, by any thread.
    """

    executor: Executor
    previews: Executor | None
    work: Work
    make_task: Callable[[JobRecord], DeriveTask]
    timeout_of: Callable[[JobRecord], float]
    running: RunningJobs
    done: Callable[[str], None]

    def derive(self, job: JobRecord, task: DeriveTask, executor: Executor) -> None:
        """Send an attempt to the workers of an executor."""
        now = time.monotonic()
        running = Running(
            job,
            task,
            Future(),
            now,
            now + self.timeout_of(job)
            if not isinstance(executor, PlacedExecutor) or not executor.begins_later
            else inf,
            extra=executor is self.previews,
            elsewhere=executor is not self.executor and executor is not self.previews,
        )
        self.running[job.id] = running  # before the worker gets it, as it may report progress at once
        running.future = executor.submit(self.work.derive, task)
        self._listen(job.id, running.future)

    def begun(self, running: Running) -> None:
        """Let the time of an attempt run from now on: a worker elsewhere has taken it."""
        running.began = time.monotonic()
        running.deadline = running.began + self.timeout_of(running.job)

    def discard(self, job: JobRecord, task: DeriveTask, discards: int, *, worker_died: bool) -> None:
        """Have a worker remove what attempts left of a job. Its place among those that run is kept for that.

        :param job: what it becomes after that.
        :param discards: how many times this was tried before.
        """
        future = self.executor.submit(self.work.discard, task)
        now = time.monotonic()
        self.running[job.id] = Running(
            job,
            task,
            future,
            now,
            now + DISCARD_SECONDS,
            verdict=job,
            discards=discards + 1,
            worker_died=worker_died,
        )
        self._listen(job.id, future)

    def _listen(self, job_id: str, future: Future[Outcome]) -> None:
        future.add_done_callback(lambda _: self.done(job_id))
