"""A job that is with a worker."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass

from derived_series.jobs.messages import DeriveTask, Outcome
from derived_series.jobs.record import JobRecord, Problem


@dataclass(slots=True)
class Running:
    """The runner's own notes of it; they change while it runs.

    :param deadline: of the monotonic clock.
    :param stopping: why the attempt is being ended from outside.
    :param verdict: the attempt is over and what it left is being removed; what the job becomes after that.
    :param worker_died: the attempt ended because its worker process did.
    :param extra: a preview beside the jobs that have the workers; :param elsewhere: it runs in an environment.
    """

    job: JobRecord
    task: DeriveTask
    future: Future[Outcome]
    began: float
    deadline: float
    stopping: Problem | None = None
    verdict: JobRecord | None = None
    discards: int = 0
    worker_died: bool = False
    extra: bool = False
    elsewhere: bool = False
