"""The runner's thread: decides which job runs when, and when one is ended."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from concurrent.futures import Executor
from math import inf
from queue import Empty, SimpleQueue

from derived_series.jobs.about_job import about_job
from derived_series.jobs.queue.ends import Ends
from derived_series.jobs.queue.nodes import CANCEL, OVER, Nodes
from derived_series.jobs.queue.outcomes import CANCELLED, DISK_ERRORS, cancelled_job, is_overdue, too_late
from derived_series.jobs.queue.running import Running, RunningJobs
from derived_series.jobs.queue.store import JobStore
from derived_series.jobs.queue.task_sender import DISCARD_SECONDS, TaskSender
from derived_series.jobs.queue.turns import Turns
from derived_series.jobs.record import JobRecord, Problem, State

_log = logging.getLogger(__name__)

_UNSURE_SECONDS = 0.2

#: Seconds after which to look again for what could not be cancelled, when no other Orthanc says how often.
_LOOK_SECONDS = 60.0


class RunnerThread:
    """The one thread that decides everything about jobs, as long as this Orthanc leads.

    :param messages: what other threads tell it: what has happened, and to which job.
    :param stopping: set when the runner stops.
    """

    def __init__(
        self,
        messages: SimpleQueue[tuple[str, str]],
        turns: Turns,
        sender: TaskSender,
        ends: Ends,
        stopping: threading.Event,
    ):
        self._messages = messages
        self._turns = turns
        self._sender = sender
        self._ends = ends
        self._stopping = stopping
        self._store: JobStore = ends.store
        self._nodes: Nodes = ends.nodes
        self._running: RunningJobs = sender.running
        self._orders: SimpleQueue[str] = SimpleQueue()  # to lead, and to resign
        self._in_office = False  # from one to the other, even in moments when it is not sure to lead
        self._recovery = False  # the jobs on disk must be compared with the running ones
        self._look_at = 0.0
        self._thread = threading.Thread(target=self._decide, name="job runner", daemon=True)

    # -- for any thread ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def join(self, seconds: float) -> None:
        """Wait for the thread's end, at most so long."""
        if self._thread.is_alive():
            self._thread.join(seconds)

    def order(self, order: str) -> None:
        """Have it lead (``"lead"``) or let go of what runs (``"resign"``), in the order in which that comes."""
        self._orders.put(order)

    # -- the thread ----------------------------------------------------------------------------------------

    def _decide(self) -> None:
        while not self._stopping.is_set():
            kind, job_id = "", ""
            try:
                try:
                    kind, job_id = self._messages.get(timeout=self._patience())
                except Empty:
                    pass
                self._obey()
                if not self._nodes.leads:
                    self._hold_back(kind, job_id)
                    continue
                if self._recovery:
                    self._take_up()
                self._end_cancelled()
                if kind and not self._stopping.is_set():
                    with about_job(job_id):
                        self._handle(kind, job_id)
                self._end_late_ones()
                self._ends.observation.tell_again(self._store.find)
                self._hand_out()
                self._ends.uploads.tidy_when_due(self._ends.clock.now())
            except DISK_ERRORS as error:
                # The disk is full or gone. Nothing is decided yet, so reports come again.
                _log.error("the jobs cannot be written: %s", error, extra={"job": job_id})
                if kind:
                    self._messages.put((kind, job_id))
                self._stopping.wait(1.0)
            except Exception:  # the one boundary of this thread: without it, nothing would run any more
                _log.exception("the job runner has met an error (%s %s)", kind, job_id, extra={"job": job_id})
                self._stopping.wait(0.1)

    def _patience(self) -> float:
        """Seconds until something is due without a message."""
        now = time.monotonic()
        due = [self._nodes.look_seconds or 60.0]
        if not self._nodes.leads:
            return due[0]
        due += [running.deadline - now for running in self._running.values()]
        due += [due_at - now for due_at in self._ends.observation.due()]
        retry = self._turns.seconds_to_retry()
        if retry is not None:
            due.append(retry)
        return max(0.01, min(due))

    def _handle(self, kind: str, job_id: str) -> None:
        running = self._running.get(job_id)
        if kind == "done" and running is not None and running.future.done():
            self._ends.take(running)
        elif kind == "begun" and running is not None and running.deadline == inf:
            self._sender.begun(running)
        elif kind == CANCEL and not self._store.is_cancelled(job_id):
            return  # its job has ended, and may have been resubmitted
        elif kind == CANCEL and running is not None:
            self._end(running, CANCELLED)
        elif kind == CANCEL:
            self._cancel_waiting(job_id)
        elif kind == OVER and (job := self._store.find(job_id)) is not None:
            self._ends.observation.tell(job)

    # -- who leads -----------------------------------------------------------------------------------------

    def _obey(self) -> None:
        """Do what it has to when it begins to lead, or does so no more, in the order in which that came."""
        while not self._orders.empty():
            self._in_office = self._orders.get() == "lead"
            if not self._in_office:
                self._let_go_of_all()
            self._recovery = self._in_office

    def _hold_back(self, kind: str, job_id: str) -> None:
        """Keep a message until it is known who leads. One who does not needs none: who begins to lead looks at all."""
        if kind and self._in_office:
            self._messages.put((kind, job_id))
            self._stopping.wait(_UNSURE_SECONDS)

    def _let_go_of_all(self) -> None:
        """End what runs here. What becomes of it is another Orthanc's to write."""
        for running in self._running.values():
            running.future.cancel()
        for job_id in list(self._running):
            self._running.let_go(job_id)
        self._ends.observation.clear()

    def _take_up(self) -> None:
        self._recovery = False
        self._look_at = 0.0
        try:
            self._recover()
            self._ends.leftovers.lead()  # what is noted as a result by now is not removed
        except DISK_ERRORS:
            self._recovery = True
            raise

    def _recover(self) -> None:
        for job in self._store.unfinished():
            if job.state is State.RUNNING and job.id not in self._running:
                self._ends.take_up(job)
            elif is_overdue(job, self._ends.clock.now()):
                self._store.update(dataclasses.replace(job, next_try=self._ends.clock.now()))
        for job in self._store.with_leftovers():
            if job.id not in self._running:
                try:
                    self._ends.discard(job)
                except DISK_ERRORS:
                    raise
                except Exception:  # one that cannot be discarded does not block the others
                    _log.exception("what job %s left cannot be removed", job.id, extra={"job": job.id})

    # -- beginning -----------------------------------------------------------------------------------------

    def _hand_out(self) -> None:
        """Give jobs to workers while both are there."""
        while not self._stopping.is_set():
            job, previews = self._turns.next()
            if job is None:
                return
            try:
                with about_job(job.id):
                    self._begin(job, previews)
            except DISK_ERRORS:
                self._running.pop(job.id, None)
                self._recovery = True  # the record will show then whether it has begun
                raise
            except Exception as error:  # the boundary to a job's content, which else stays first for ever
                _log.exception("job %s cannot be begun", job.id, extra={"job": job.id})
                self._ends.give_up(job, error)

    def _begin(self, job: JobRecord, previews: Executor | None) -> None:
        executor = self._turns.executor_of(job, previews)
        begun = job.started or time.time()
        job = dataclasses.replace(
            job,
            state=State.RUNNING,
            attempt=job.attempt + 1,
            progress=0,
            started=begun,
            has_leftovers=job.result is None and not job.is_preview,
        )
        task = self._sender.make_task(job)
        if not self._store.claim(job):
            return  # it was withdrawn, or is another Orthanc's
        self._ends.leftovers.begin(job.id)
        self._sender.derive(job, task, executor)
        self._ends.observation.tell(job)

    # -- ending --------------------------------------------------------------------------------------------

    def _end_cancelled(self) -> None:
        """End what was cancelled at another Orthanc or before a restart, whose word for it may not have come here."""
        if time.monotonic() < self._look_at:
            return
        for job_id in self._store.cancellations():
            running = self._running.get(job_id)
            if running is not None and running.stopping is not None:
                continue
            try:
                with about_job(job_id):
                    self._handle(CANCEL, job_id)
            except DISK_ERRORS:
                raise
            except Exception:  # one that cannot be ended does not block the others
                _log.exception("job %s cannot be cancelled yet", job_id, extra={"job": job_id})
        self._look_at = time.monotonic() + (self._nodes.look_seconds or _LOOK_SECONDS)

    def _end_late_ones(self) -> None:
        now = time.monotonic()
        for running in list(self._running.values()):
            if now >= running.deadline:
                self._end(running, too_late(running.deadline - running.began))

    def _end(self, running: Running, problem: Problem) -> None:
        if running.verdict is not None and problem is CANCELLED:  # the attempt's remains are being removed
            if not running.verdict.state.is_final:
                running.verdict = dataclasses.replace(running.verdict, state=State.FAILURE, problem=CANCELLED)
            return
        running.stopping = running.stopping or problem
        running.deadline = time.monotonic() + DISCARD_SECONDS
        running.future.cancel()

    def _cancel_waiting(self, job_id: str) -> None:
        job = self._store.find(job_id)
        if job is None or job.state.is_final:
            return
        failed = cancelled_job(job)
        if not job.has_leftovers:
            self._ends.apply(failed)
            return
        task = self._sender.make_task(failed)
        if self._store.update(dataclasses.replace(job, state=State.RUNNING)):  # so that it is not begun meanwhile
            self._ends.discard(failed, task)
