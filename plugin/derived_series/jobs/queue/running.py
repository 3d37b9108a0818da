"""The jobs that are with workers."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass

from derived_series.jobs.messages import DeriveTask, Outcome
from derived_series.jobs.queue.waiting import WaitingRoom
from derived_series.jobs.record import JobRecord, Problem


@dataclass(slots=True)
class Running:
    """A job that is with a worker: the runner's own notes, which change while it runs.

    :param began: when the attempt began, by the monotonic clock.
    :param deadline: when it is ended, by the monotonic clock.
    :param stopping: why the attempt is being ended from outside.
    :param verdict: what the job becomes once a worker has removed what the attempt left, which it is doing now.
    :param discards: how many times a worker was asked to remove what the attempt left.
    :param worker_died: whether the attempt ended because its worker process did.
    :param extra: whether it is a preview beside the jobs that have all workers.
    :param elsewhere: whether it runs in an environment.
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


class RunningJobs(dict[str, Running]):
    """The jobs that are with workers, by their identifiers.

    A job that is over keeps its place here for a moment: until its end is on disk and nothing of it is left.
    """

    def __init__(self) -> None:
        super().__init__()
        self._room = WaitingRoom()  # for threads that wait until a job has returned its place

    def let_go(self, job_id: str) -> None:
        """Give a job's place back, and wake those who wait for that."""
        self.pop(job_id, None)
        self._room.wake(job_id)

    def wait_until_let_go(self, job_id: str, timeout: float) -> bool:
        """Wait until a job has no place here, at most ``timeout`` seconds; whether it has none now."""
        self._room.wait(job_id, timeout, lambda: job_id not in self)
        return job_id not in self

    def close(self) -> None:
        """Wake all who wait."""
        self._room.close()
