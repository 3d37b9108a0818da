"""Handles the ends of attempts at jobs: the record is written, and those who wait are notified."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time

from derived_series.errors import DerivedSeriesError
from derived_series.jobs.messages import DeriveTask, Outcome
from derived_series.jobs.queue.announcer import Announcer
from derived_series.jobs.queue.clock import SteadyClock
from derived_series.jobs.queue.completions import closed_result
from derived_series.jobs.queue.database import Note, Transaction, together
from derived_series.jobs.queue.leftovers import Leftovers
from derived_series.jobs.queue.limits import Limits
from derived_series.jobs.queue.nodes import OVER, Nodes
from derived_series.jobs.queue.observation import Observation
from derived_series.jobs.queue.outcomes import (
    CANCELLED,
    DISK_ERRORS,
    cancelled_job,
    is_death,
    outcome_of,
    taken_up,
    verdict,
)
from derived_series.jobs.queue.running import Running
from derived_series.jobs.queue.store import JobStore
from derived_series.jobs.queue.task_sender import TaskSender
from derived_series.jobs.queue.uploads import KeptUploads
from derived_series.jobs.queue.waiting import WaitingRoom
from derived_series.jobs.record import JobRecord, Problem, State
from derived_series.user_code import described

_log = logging.getLogger(__name__)

_DISCARD_ATTEMPTS = 5


@dataclasses.dataclass(frozen=True, slots=True)
class Ends:
    """Takes the outcomes of attempts, by the runner's thread.

    :param leftovers: looks for what arrives after the end of attempts.
    :param announcer: tells others what becomes of jobs; what it has to tell is written with the job's record.
    :param observation: tells of each job that has another state.
    :param room: those who wait for the end of a job.
    :param stopping: set when the runner stops.
    """

    store: JobStore
    nodes: Nodes
    limits: Limits
    clock: SteadyClock
    leftovers: Leftovers
    announcer: Announcer
    observation: Observation
    uploads: KeptUploads
    sender: TaskSender
    room: WaitingRoom
    stopping: threading.Event

    def take(self, running: Running) -> None:
        """Take an outcome; one that cannot be taken ends its own job, on disk, and gives its place back."""
        try:
            self._take_outcome(running)
        except DISK_ERRORS:
            raise  # it will be reported again
        except Exception as error:  # the boundary to the content of a job: an error costs only that job
            _log.exception("the outcome of job %s cannot be taken", running.job.id)
            ended = self.give_up(running.job, error)
            if ended is not None and ended.has_leftovers and running.verdict is None:
                self.discard(ended, running.task)

    def give_up(self, job: JobRecord, error: Exception) -> JobRecord | None:
        """End a job that the runner cannot go on with. The record that is on disk, failed; None: there is none."""
        if not isinstance(error, DerivedSeriesError):
            error = DerivedSeriesError(f"internal error: {described(error)}", remedy="see Orthanc's log")
        problem = Problem.of(error)
        last = self.store.find(job.id)
        if last is not None and not last.state.is_final:
            has_leftovers = last.result is None and last.attempt > 0 and not last.is_preview
            last = dataclasses.replace(
                last, state=State.FAILURE, problem=problem, completed=time.time(), has_leftovers=has_leftovers
            )
            self.write(last)
            if has_leftovers:
                self.leftovers.expect(job.id)
        self.nodes.board.forget(job.id)
        self.sender.running.let_go(job.id)
        self._wake(job.id)
        return last

    def _take_outcome(self, running: Running) -> None:
        outcome = outcome_of(running.future)
        if running.verdict is not None:
            self._after_discard(running, running.verdict, outcome)
            return
        spent = running.job.runtime + time.monotonic() - running.began
        noted = None if outcome.result else closed_result(self.store, running.job.id, running.job.attempt)
        stored = outcome.result or running.job.result or noted  # a complete series stays, whatever comes after
        has_leftovers = not outcome.clean and stored is None and not running.job.is_preview
        if stored is None and outcome.error is not None and (outcome.sent or has_leftovers):
            self.leftovers.expect(running.job.id)
        job = dataclasses.replace(running.job, runtime=spent, has_leftovers=has_leftovers, result=stored)
        worker_died = is_death(running.future) and running.stopping is None
        if outcome.error is None:
            job = dataclasses.replace(job, state=State.SUCCESS, problem=None, progress=100)
        else:
            _log_trace(job, outcome.error)
            if running.stopping is CANCELLED:
                job = cancelled_job(job)
            elif running.stopping is not None:
                job = dataclasses.replace(job, state=State.FAILURE, problem=running.stopping)
            else:
                job = verdict(job, outcome.error, self.limits, self.clock.now())
        try:
            self._finish(job, running, worker_died=worker_died)
        except _Overtaken:
            if self.store.get(job.id).result is not None:  # its delivery has failed, and was cancelled
                self._finish(cancelled_job(job), running)
                return
            # it was cancelled after a long wait for its last instance, or it is a dry run
            failed = cancelled_job(dataclasses.replace(job, result=None, progress=0))
            self._finish(dataclasses.replace(failed, has_leftovers=not job.is_preview), running)

    def _finish(self, job: JobRecord, running: Running, *, worker_died: bool = False) -> None:
        """Write what an attempt has come to, after a worker has removed what it left."""
        if job.has_leftovers:
            self.discard(job, running.task, worker_died=worker_died)
            return
        self.apply(job, worker_died=worker_died)
        self.sender.running.let_go(job.id)

    def take_up(self, job: JobRecord) -> None:
        """Write that a running job waits for its next attempt, as its Orthanc has ended."""
        waiting = taken_up(job)

        def as_it_was(db: Transaction) -> None:
            row = db.execute("SELECT result FROM jobs WHERE id = ?", [job.id]).fetchone()
            if (row[0] is None) != (job.result is None):  # noted meanwhile through another Orthanc
                raise _Overtaken

        try:
            is_written = self.write(waiting, provided=as_it_was)
        except _Overtaken:
            self.take_up(self.store.get(job.id))
            return
        if is_written and waiting.has_leftovers:
            self.leftovers.expect(job.id)

    def discard(
        self, job: JobRecord, task: DeriveTask | None = None, discards: int = 0, *, worker_died: bool = False
    ) -> None:
        """Have a worker remove what attempts left of a job, which then becomes what it is here.

        :param task: the attempt's; by default, another one is made.
        :param discards: how many times this was tried before.
        """
        self.leftovers.expect(job.id)
        self.sender.discard(job, task or self.sender.make_task(job), discards, worker_died=worker_died)

    def _after_discard(self, running: Running, job: JobRecord, outcome: Outcome) -> None:
        if outcome.error is not None and running.discards < _DISCARD_ATTEMPTS:
            self.stopping.wait(0.2)
            self.discard(job, running.task, running.discards, worker_died=running.worker_died)
            return
        # What could not be removed now is removed by the next attempt, or at the next start.
        last = dataclasses.replace(job, has_leftovers=outcome.error is not None)
        self.apply(last, worker_died=running.worker_died)
        self.sender.running.let_go(job.id)

    def write(self, job: JobRecord, *, worker_died: bool = False, provided: Note | None = None) -> bool:
        """Write what has become of an attempt, and what others are told of it: both or neither.

        :param provided: raises in the transaction what keeps it from being written.
        :returns: False: another attempt counts by now; nothing was written.
        """
        along = self.announcer.of_job(job, worker_died=worker_died)
        notes = [note for note in (provided, along) if note is not None]
        is_written = self.store.update(job, together(*notes)) if notes else self.store.update(job)
        if not is_written:
            _log.warning("what attempt %d at job %s has come to is late", job.attempt, job.id)
        elif along is not None:
            self.announcer.wake()
        return is_written

    def apply(self, job: JobRecord, *, worker_died: bool = False) -> None:
        """Write down what has become of a job: on disk first, then for those who wait.

        :raises _Overtaken: it was cancelled, and has a result that was not known before, or another problem.
        """
        if job.result is not None:
            self.leftovers.forget(job.id)
        provided = None if job.result is None else _unless_cancelled(job)
        if not job.state.is_final:
            if not self.write(job, worker_died=worker_died, provided=provided):
                return
            _log.warning("job %s, attempt %d: %s", job.id, job.attempt, job.problem and job.problem.message)
            self.observation.tell(job)
            if job.result is not None:
                self._wake(job.id)
            return
        done = dataclasses.replace(job, completed=job.completed or time.time())
        if not self.write(done, worker_died=worker_died, provided=provided):
            return
        if job.state is State.SUCCESS:
            self.store.remove_image(job.id)  # a failed job may be resubmitted
        elif job.problem is not None:
            _log.warning("job %s failed: %s", job.id, job.problem.message)
        if job.state is State.FAILURE and job.image is not None:
            self.uploads.tidy_soon()
        self.store.forget_oldest(self.limits.history)
        self.nodes.board.forget(job.id)
        self._wake(job.id)
        self.observation.tell(job)

    def _wake(self, job_id: str) -> None:
        """Wake those who wait for a job, at any Orthanc."""
        self.room.wake(job_id)
        if not self.nodes.is_alone:
            self.nodes.tell(OVER, job_id)


class _Overtaken(Exception):
    """Something else was written about a job meanwhile."""


def _unless_cancelled(job: JobRecord) -> Note:
    """Require that a job was not cancelled before it has a result; a delivery may succeed all the same."""
    problem = None if job.problem is None else job.problem.kind
    may_be_cancelled = job.state is not State.FAILURE or problem == CANCELLED.kind

    def check(db: Transaction) -> None:
        cancelled = "SELECT result IS NULL FROM cancellations JOIN jobs ON id = job WHERE job = ?"
        row = db.execute(cancelled, [job.id]).fetchone()
        if row is not None and (row[0] or not may_be_cancelled):
            raise _Overtaken

    return check


def _log_trace(job: JobRecord, error: DerivedSeriesError) -> None:
    for note in getattr(error, "__notes__", ()):
        _log.error("job %s: %s\n%s", job.id, error, note)
