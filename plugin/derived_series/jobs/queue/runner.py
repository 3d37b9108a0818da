"""Runs the jobs of the store: which one when, how often, and what becomes of it.

One thread decides everything; it speaks to the workers through ``concurrent.futures.Executor`` alone. Callers
in other threads only write to the store, leave a message, or wait.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from math import inf
from queue import Empty, SimpleQueue
from types import MappingProxyType

from derived_series.errors import Busy, Conflict, DerivedSeriesError
from derived_series.jobs.about_job import about_job
from derived_series.jobs.destination_states import reopened
from derived_series.jobs.messages import DeriveTask, Outcome, Work
from derived_series.jobs.pool.environments import Environments
from derived_series.jobs.pool.placed import PlacedExecutor
from derived_series.jobs.queue.announcer import Announcer
from derived_series.jobs.queue.clock import SteadyClock
from derived_series.jobs.queue.database import Note
from derived_series.jobs.queue.leftovers import Leftovers
from derived_series.jobs.queue.limits import Limits
from derived_series.jobs.queue.nodes import CANCEL, NEW, OVER, Nodes, OneNode
from derived_series.jobs.queue.outcomes import CANCELLED, is_death, is_overdue, outcome_of, taken_up, too_late, verdict
from derived_series.jobs.queue.progress_board import ProgressReport
from derived_series.jobs.queue.running import Running
from derived_series.jobs.queue.store import JobStore
from derived_series.jobs.queue.uploads import Upload, failed_uploads, superfluous
from derived_series.jobs.queue.waiting import WaitingRoom
from derived_series.jobs.record import JobRecord, Problem, State
from derived_series.user_code import described

_log = logging.getLogger(__name__)

#: Why a job cannot be resubmitted.
_IN_WORDS = MappingProxyType(
    {
        State.PENDING: "waits for its turn",
        State.RUNNING: "is running",
        State.RETRY: "waits for its next attempt",
        State.SUCCESS: "has succeeded",
        State.FAILURE: "has failed a moment ago and is not put away yet",
    }
)

_DISCARD_ATTEMPTS = 5
_DISCARD_SECONDS = 60.0
_STOP_SECONDS = 2.0
_TELL_AGAIN_SECONDS = 1.0
_TIDY_SECONDS = 3600.0
_SETTLING_SECONDS = 5.0
_UNSURE_SECONDS = 0.2

#: What a disk raises that is full or gone: nothing that a job could help.
_DISK = (Busy, OSError)


class JobRunner:
    """The scheduler.

    :param work: what workers do with a task.
    :param make_task: the attempt to send out for a record, with what is only known here (address, token).
    :param timeout_of: seconds for one attempt at a record.
    :param observe: called with each job that has another state, by the runner's thread.
    :param leftovers: looks for what arrives after the end of attempts; by default, nothing does.
    :param previews: where a dry run goes while other jobs have all workers; None: it waits like any other.
    :param environments: where the jobs of pipelines run that have an environment of their own.
    :param announcer: tells others what becomes of jobs; what it has to tell is written with the job's record.
    :param nodes: the Orthancs that share the jobs; by default, this one alone.
    """

    def __init__(
        self,
        store: JobStore,
        executor: Executor,
        work: Work,
        make_task: Callable[[JobRecord], DeriveTask],
        limits: Limits,
        timeout_of: Callable[[JobRecord], float],
        observe: Callable[[JobRecord], None] = lambda job: None,
        leftovers: Leftovers | None = None,
        previews: Executor | None = None,
        environments: Environments | None = None,
        announcer: Announcer | None = None,
        nodes: Nodes | None = None,
    ):
        self.store = store
        self._announcer = announcer or Announcer()
        self.nodes = nodes or OneNode()
        self.limits = limits
        self._executor = executor
        self._work = work
        self._previews = previews
        self._environments = Environments() if environments is None else environments  # there may be none in it
        self._make_task = make_task
        self._timeout_of = timeout_of
        self._observe = observe
        self._leftovers = leftovers or Leftovers(store, 0.0, lambda series_uid: 0)
        self._messages: SimpleQueue[tuple[str, str]] = SimpleQueue()
        self._running: dict[str, Running] = {}
        self._untold: dict[str, float] = {}  # jobs whose state the observer has still to hear of: when
        self._orders: SimpleQueue[str] = SimpleQueue()  # to lead, and to resign
        self._in_office = False  # between the two: even while it is not sure to lead, what runs here is this Orthanc's
        self._recovery = False  # what is on disk is to be compared with what runs
        self._clock = SteadyClock()
        self._uploads = threading.Lock()  # nothing is resubmitted while its image is being removed
        self._tidy_at = 0.0
        self._look_at = 0.0
        self._room = WaitingRoom()
        self._places = WaitingRoom()  # of those who wait until a job that is over has its place back
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._decide, name="job runner", daemon=True)

    # -- for any thread ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Run. What is there is taken up by the one that leads."""
        self._thread.start()
        if self.nodes.is_alone:
            self.lead()

    def lead(self) -> None:
        """From now on this Orthanc hands out: take up what a former process or another Orthanc left."""
        self._orders.put("lead")
        self._messages.put((NEW, ""))

    def resign(self) -> None:
        """From now on another Orthanc hands out: end what runs here, which that one takes up."""
        self._orders.put("resign")
        self._messages.put((NEW, ""))

    def hear(self, what: str, job_id: str) -> None:
        """One of the Orthancs has said something."""
        if what == OVER:
            self._room.wake(job_id)
        elif what in (NEW, CANCEL) and self.nodes.leads:
            self._messages.put((what, job_id))

    def stop(self) -> None:
        """Let go of all who wait, and of the workers. What runs or waits is taken up at the next start."""
        self._stopping.set()
        self._room.close()
        self._places.close()
        self._executor.shutdown(wait=False, cancel_futures=True)
        if self._previews is not None:
            self._previews.shutdown(wait=False, cancel_futures=True)
        self._environments.shutdown()
        self._messages.put(("stop", ""))
        if self._thread.is_alive():
            self._thread.join(_STOP_SECONDS)

    @property
    def is_running(self) -> bool:
        """Whether its thread is there: without it, no job is begun or ended."""
        return self._thread.is_alive()

    @property
    def is_stopping(self) -> bool:
        return self._stopping.is_set()

    def submit(self, job: JobRecord, image: bytes | None, along: Note | None = None) -> None:
        """Accept a job; it is on disk when this returns. One that has failed already is only told of.

        :param along: see ``JobStore.add``.
        :raises Busy: the queue or the disk is full, or the server stops.
        """
        if self._stopping.is_set():
            raise Busy("the server is stopping", retry_after=30)
        self.store.add(job, image, most=self.limits.queue, along=along)
        self._say(OVER if job.state.is_final else NEW, job.id)

    def wait(self, job_id: str, timeout: float) -> JobRecord:
        """The job once it is over or its series is stored, or as it is after ``timeout`` seconds or at a stop."""
        end = time.monotonic() + timeout
        while True:
            left = end - time.monotonic()
            patience = left if self.nodes.look_seconds is None else min(left, self.nodes.look_seconds)
            try:
                self._room.wait(job_id, patience, lambda: _is_told(self.store.get(job_id)))
                job = self.store.get(job_id)
            except Busy:  # the database is away for a while
                if self.nodes.is_alone or time.monotonic() >= end or self._stopping.wait(_UNSURE_SECONDS):
                    raise
                continue
            if _is_told(job) or time.monotonic() >= end or self._stopping.is_set() or self.nodes.is_alone:
                return job

    def _say(self, what: str, job_id: str) -> None:
        """To this runner, and to that of the Orthanc that leads."""
        self._messages.put((what, job_id))
        if not self.nodes.is_alone:
            self.nodes.tell(what, job_id)

    def cancel(self, job_id: str) -> None:
        """Ask for a job's end; it becomes a failure as soon as nothing of it is left.

        :raises Conflict: it is over.
        """
        if self.store.get(job_id).state.is_final:
            raise Conflict(f"the job {job_id} is over and cannot be cancelled")
        if not self.nodes.is_alone:
            self.nodes.ask_to_cancel(job_id)
        self._messages.put((CANCEL, job_id))

    def resubmit(self, job_id: str) -> None:
        """Run a failed job again. :raises Conflict: it has not failed."""
        job = self.store.get(job_id)
        if job.state is not State.FAILURE or not self._is_let_go(job_id):
            raise Conflict(f"the job {job_id} {_IN_WORDS[job.state]}: only a failed job can be resubmitted")
        again = dataclasses.replace(
            reopened(job),
            state=State.PENDING,
            attempt=0,
            attempts_lost_to_restarts=0,
            progress=0,
            completed=None,
            problem=None,
            next_try=0.0,
        )
        with self._uploads:
            if job.image is not None and job.result is None and self.store.image_size(job) is None:
                raise Conflict(
                    f"the image of job {job_id} is not kept any more",
                    remedy="send it again as a new request; FailedUploadsDays and FailedUploadsMB say what is kept",
                )
            self.renew(job, again)

    def renew(self, former: JobRecord, job: JobRecord, along: Note | None = None) -> None:
        """Write the new record of a job that is over; when it is pending, it runs again.

        :param along: see ``JobStore.add``.
        :raises Conflict: its record is another one than ``former`` by now.
        """
        if not self.store.exchange(former, job, along):
            raise Conflict(f"the job {job.id} has changed meanwhile", remedy="look at it again")
        self._say(NEW, job.id)

    def delete(self, job_id: str) -> None:
        """Forget a job that is over. :raises Conflict: it is not."""
        if not self.store.get(job_id).state.is_final or not self._is_let_go(job_id):
            raise Conflict(f"the job {job_id} is not over", remedy="cancel it first")
        self.store.delete(job_id)

    def _is_let_go(self, job_id: str) -> bool:
        """Whether a job that is over has its place back: that is done a moment after its end is on disk."""
        self._places.wait(job_id, _SETTLING_SECONDS, lambda: job_id not in self._running)
        return job_id not in self._running

    def tell_progress(self, job_id: str, attempt: int, percent: int, phase: str = "", text: str = "") -> bool:
        """Note how far an attempt is; False when it is not the one that runs.

        :param text: what the pipeline says it is at.
        """
        if not self.runs(job_id, attempt):
            return False
        self.nodes.board.put(job_id, ProgressReport(attempt, max(0, min(percent, 99)), phase, text))
        return True

    def runs(self, job_id: str, attempt: int) -> bool:
        """Whether an attempt is the one that runs, and is wanted. :raises Busy: that cannot be known now."""
        if not self.nodes.leads:
            return self.nodes.wants(job_id, attempt)
        running = self._running.get(job_id)
        return not (running is None or running.job.attempt != attempt or running.stopping or running.verdict)

    def begun(self, job_id: str) -> None:
        """A worker elsewhere has taken a job that was sent out: its time runs from now on."""
        self._messages.put(("begun", job_id))

    def lack(self, job: JobRecord) -> str | None:
        """What a job waits for that has not begun, where that is not for others that run."""
        if job.state not in (State.PENDING, State.RETRY):
            return None
        return self._environments.lack(job.request.get("Pipeline"))

    def progress_of(self, job: JobRecord) -> int:
        """Percent."""
        return self._told_of(job)[0]

    def phase_of(self, job: JobRecord) -> str:
        """What a running job is at, such as "Fetching"; empty until the worker reports it."""
        return self._told_of(job)[1]

    def text_of(self, job: JobRecord) -> str:
        """What the pipeline of a running job says it is at."""
        return self._told_of(job)[2]

    def _told_of(self, job: JobRecord) -> tuple[int, str, str]:
        if job.state is State.RUNNING:
            report = self.nodes.board.of(job.id)
            if report is not None and report.attempt == job.attempt:
                return report.percent, report.phase, report.text
        return job.progress, "", ""

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
                if not self.nodes.leads:
                    self._hold_back(kind, job_id)
                    continue
                if self._recovery:
                    self._take_up()
                self._end_cancelled()
                if kind and not self._stopping.is_set():
                    with about_job(job_id):
                        self._handle(kind, job_id)
                self._end_late_ones()
                self._tell_again()
                self._hand_out()
                if time.monotonic() >= self._tidy_at:
                    self._tidy()
            except _DISK as error:
                # The disk is full or gone. Nothing has been decided: what was reported is reported again.
                _log.error("the jobs cannot be written: %s", error, extra={"job": job_id})
                if kind:
                    self._messages.put((kind, job_id))
                self._stopping.wait(1.0)
            except Exception:  # the one boundary of this thread: without it, nothing would run any more
                _log.exception("the job runner has met an error (%s %s)", kind, job_id, extra={"job": job_id})
                self._stopping.wait(0.1)

    def failed_uploads(self) -> list[Upload]:
        """The images of failed jobs that are kept; not in the midst of their removal."""
        with self._uploads:
            return failed_uploads(self.store)

    def _tidy(self) -> None:
        """Remove uploads of failed jobs that are too old or too many."""
        self._tidy_at = time.monotonic() + _TIDY_SECONDS
        with self._uploads:
            for upload, why in superfluous(failed_uploads(self.store), self.limits, self._clock.now()):
                self.store.remove_image(upload.job_id)
                with about_job(upload.job_id):
                    _log.warning("the image of job %s (%d bytes) is removed: %s", upload.job_id, upload.size, why)

    def _patience(self) -> float:
        """Seconds until something is due without a message."""
        now = time.monotonic()
        due = [self.nodes.look_seconds or 60.0]
        if not self.nodes.leads:
            return due[0]
        due += [*(running.deadline - now for running in self._running.values())]
        due += [due_at - now for due_at in self._untold.values()]
        retry = self.store.next_time()
        if retry is not None and (self._has_place or self._environments.ready()):
            due.append(retry - self._clock.now())
        return max(0.01, min(due))

    def _handle(self, kind: str, job_id: str) -> None:
        running = self._running.get(job_id)
        if kind == "done" and running is not None and running.future.done():
            self._take_or_end(running)
        elif kind == "begun" and running is not None and running.deadline == inf:
            running.began = time.monotonic()
            running.deadline = running.began + self._timeout_of(running.job)
        elif kind == CANCEL and running is not None:
            self._end(running, CANCELLED)
        elif kind == CANCEL:
            self._cancel_waiting(job_id)
        elif kind == OVER and (job := self.store.find(job_id)) is not None:
            self._tell(job)

    def _obey(self) -> None:
        """Do what it has to when it begins to lead, or does so no more, in the order in which that came."""
        while not self._orders.empty():
            self._in_office = self._orders.get() == "lead"
            if not self._in_office:
                self._let_go_of_all()
            self._recovery = self._in_office

    def _take_up(self) -> None:
        self._recovery = False
        self._look_at = 0.0
        try:
            self._recover()
        except _DISK:
            self._recovery = True
            raise

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
            self._let_go(job_id)
        self._untold.clear()

    def _recover(self) -> None:
        for job in self.store.unfinished():
            if job.state is State.RUNNING and job.id not in self._running:
                if job.has_leftovers:
                    self._leftovers.expect(job.id)
                self._write(taken_up(job))
            elif is_overdue(job, self._clock.now()):
                self.store.update(dataclasses.replace(job, next_try=self._clock.now()))
        for job in self.store.with_leftovers():
            if job.id not in self._running:
                try:
                    self._discard(job)
                except _DISK:
                    raise
                except Exception:  # one that cannot be discarded keeps no other from being so
                    _log.exception("what job %s left cannot be removed", job.id, extra={"job": job.id})

    def _end_cancelled(self) -> None:
        """End what was cancelled at another Orthanc, whose word for it may not have come here."""
        if self.nodes.look_seconds is None or time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + self.nodes.look_seconds
        for job_id in self.store.cancellations():
            running = self._running.get(job_id)
            if running is None or (running.stopping is None and running.verdict is None):
                with about_job(job_id):
                    self._handle(CANCEL, job_id)

    def _hand_out(self) -> None:
        """Give jobs to workers while both are there."""
        while not self._stopping.is_set():
            job, previews = self._next()
            if job is None:
                return
            try:
                with about_job(job.id):
                    elsewhere = self._environments.executor_of(job.request.get("Pipeline"))
                    self._begin(job, elsewhere or previews or self._executor)
            except _DISK:
                self._running.pop(job.id, None)
                self._recovery = True  # whether it has begun, by what is written, is seen then
                raise
            except Exception as error:  # the boundary to whatever a job says: without it, it would be first for ever
                _log.exception("job %s cannot be begun", job.id, extra={"job": job.id})
                self._give_up(job, error)

    def _next(self) -> tuple[JobRecord | None, Executor | None]:
        """The job to begin now; and where, when that is not with the workers of all jobs."""
        now, elsewhere = self._clock.now(), self._environments.pipelines
        ready = self._environments.ready()
        known = self._environments.is_known
        if self._has_place:
            without = [pipeline for pipeline in elsewhere if pipeline not in ready and self._is_configured(pipeline)]
            return self.store.next_ready(now, without=without, pipelines=known), None
        if ready and (job := self.store.next_ready(now, only=ready)) is not None:
            return job, None
        if self._previews is None or any(running.extra for running in self._running.values()):
            return None, None
        return self.store.next_ready(now, preview=True, without=list(elsewhere), pipelines=known), self._previews

    def _is_configured(self, pipeline: str) -> bool:
        """A job of an environment that there is not is begun, and fails."""
        return self._environments.pipelines[pipeline] in self._environments

    @property
    def _has_place(self) -> bool:
        """Whether a worker of all jobs is there for one more."""
        busy = sum(not running.extra and not running.elsewhere for running in self._running.values())
        return busy < self.limits.parallel

    def nudge(self) -> None:
        """Look again for jobs that can begin: it has become known which pipelines run where."""
        self._messages.put((NEW, ""))

    def _begin(self, job: JobRecord, executor: Executor) -> None:
        begun = job.started or time.time()
        job = dataclasses.replace(
            job,
            state=State.RUNNING,
            attempt=job.attempt + 1,
            progress=0,
            started=begun,
            has_leftovers=job.result is None and not job.is_preview,
        )
        task = self._make_task(job)
        if not self.store.claim(job):
            return  # it was taken back or is another's
        self._leftovers.begin(job.id)
        self._send(job, task, executor)
        self._tell(job)

    def _send(self, job: JobRecord, task: DeriveTask, executor: Executor) -> None:
        now = time.monotonic()
        running = Running(
            job,
            task,
            Future(),
            now,
            now + self._timeout_of(job)
            if not isinstance(executor, PlacedExecutor) or not executor.begins_later
            else inf,
            extra=executor is self._previews,
            elsewhere=executor is not self._executor and executor is not self._previews,
        )
        self._running[job.id] = running  # before the worker has it, which may tell its progress at once
        running.future = executor.submit(self._work.derive, task)
        self._listen(job.id, running.future)

    def _listen(self, job_id: str, future: Future[Outcome]) -> None:
        future.add_done_callback(lambda done: self._messages.put(("done", job_id)))

    def _end_late_ones(self) -> None:
        now = time.monotonic()
        for running in list(self._running.values()):
            if now >= running.deadline:
                self._end(running, too_late(running.deadline - running.began))

    def _end(self, running: Running, problem: Problem) -> None:
        if running.verdict is not None and problem is CANCELLED:
            return  # it has ended already, and what it left is being removed
        running.stopping = running.stopping or problem
        running.deadline = time.monotonic() + _DISCARD_SECONDS
        running.future.cancel()

    def _cancel_waiting(self, job_id: str) -> None:
        job = self.store.find(job_id)
        if job is None or job.state.is_final:
            return
        failed = dataclasses.replace(job, state=State.FAILURE, problem=CANCELLED)
        if job.has_leftovers:
            self._discard(failed)
        else:
            self._apply(failed)

    # -- ends ----------------------------------------------------------------------------------------------

    def _take_or_end(self, running: Running) -> None:
        """Take an outcome; one that cannot be taken ends its own job, on disk, and gives its place back."""
        try:
            self._take_outcome(running)
        except _DISK:
            raise  # it is taken again
        except Exception as error:  # the boundary to whatever a job says: it costs that job alone
            _log.exception("the outcome of job %s cannot be taken", running.job.id)
            ended = self._give_up(running.job, error)
            if ended is not None and ended.has_leftovers and running.verdict is None:
                self._discard(ended, running.task)

    def _give_up(self, job: JobRecord, error: Exception) -> JobRecord | None:
        """End a job that the runner cannot go on with: the record that is on disk, failed. None: it is not there."""
        if not isinstance(error, DerivedSeriesError):
            error = DerivedSeriesError(f"internal error: {described(error)}", remedy="see Orthanc's log")
        problem = Problem.of(error)
        last = self.store.find(job.id)
        if last is not None and not last.state.is_final:
            has_leftovers = last.result is None and last.attempt > 0 and not last.is_preview
            last = dataclasses.replace(
                last, state=State.FAILURE, problem=problem, completed=time.time(), has_leftovers=has_leftovers
            )
            self._write(last)
            if has_leftovers:
                self._leftovers.expect(job.id)
        self.nodes.board.forget(job.id)
        self._let_go(job.id)
        self._wake(job.id)
        return last

    def _tell(self, job: JobRecord) -> None:
        """Tell the observer of a job that has another state; what it raises costs nothing else."""
        self._untold.pop(job.id, None)
        try:
            with about_job(job.id):
                self._observe(job)
        except Busy as error:  # the disk does not take what the observer has to write: told again
            _log.error("the jobs cannot be written: %s", error, extra={"job": job.id})
            self._untold[job.id] = time.monotonic() + _TELL_AGAIN_SECONDS
        except Exception:  # the boundary to observers
            _log.exception("what observes the jobs has met an error (job %s)", job.id, extra={"job": job.id})

    def _tell_again(self) -> None:
        now = time.monotonic()
        for job_id in [job_id for job_id, due in self._untold.items() if due <= now]:
            if (job := self.store.find(job_id)) is not None:
                self._tell(job)
            else:
                del self._untold[job_id]

    def _take_outcome(self, running: Running) -> None:
        outcome = outcome_of(running.future)
        if running.verdict is not None:
            self._after_discard(running, running.verdict, outcome)
            return
        spent = running.job.runtime + time.monotonic() - running.began
        stored = outcome.result or running.job.result  # a complete series stays, whatever comes after
        has_leftovers = not outcome.clean and stored is None and not running.job.is_preview
        if stored is None and outcome.error is not None and (outcome.sent or has_leftovers):
            self._leftovers.expect(running.job.id)
        job = dataclasses.replace(running.job, runtime=spent, has_leftovers=has_leftovers, result=stored)
        worker_died = is_death(running.future) and running.stopping is None
        if outcome.error is None:
            job = dataclasses.replace(job, state=State.SUCCESS, problem=None, progress=100)
        else:
            _log_trace(job, outcome.error)
            if running.stopping is not None:
                job = dataclasses.replace(job, state=State.FAILURE, problem=running.stopping)
            else:
                job = verdict(job, outcome.error, self.limits, self._clock.now())
        if job.has_leftovers:
            self._discard(job, running.task, worker_died=worker_died)
        else:
            self._apply(job, worker_died=worker_died)
            self._let_go(job.id)

    def _discard(
        self, job: JobRecord, task: DeriveTask | None = None, discards: int = 0, *, worker_died: bool = False
    ) -> None:
        """Have a worker remove what attempts left of a job, which then becomes what it is here.

        The job's place among those that run is kept for that.
        """
        self._leftovers.expect(job.id)
        task = task or self._make_task(job)
        future = self._executor.submit(self._work.discard, task)
        now = time.monotonic()
        deadline = now + _DISCARD_SECONDS
        self._running[job.id] = Running(
            job, task, future, now, deadline, verdict=job, discards=discards + 1, worker_died=worker_died
        )
        self._listen(job.id, future)

    def _after_discard(self, running: Running, job: JobRecord, outcome: Outcome) -> None:
        if outcome.error is not None and running.discards < _DISCARD_ATTEMPTS:
            self._stopping.wait(0.2)
            self._discard(job, running.task, running.discards, worker_died=running.worker_died)
            return
        # What could not be removed now is removed by the next attempt, or at the next start.
        last = dataclasses.replace(job, has_leftovers=outcome.error is not None)
        self._apply(last, worker_died=running.worker_died)
        self._let_go(job.id)

    def _let_go(self, job_id: str) -> None:
        """Give a job's place back, and wake those who wait for that."""
        self._running.pop(job_id, None)
        self._places.wake(job_id)

    def _write(self, job: JobRecord, *, worker_died: bool = False) -> bool:
        """Write what has become of an attempt, and what others are told of it: both or neither.

        :returns: False: another attempt counts by now; nothing was written.
        """
        along = self._announcer.of_job(job, worker_died=worker_died)
        is_written = self.store.update(job) if along is None else self.store.update(job, along)
        if not is_written:
            _log.warning("what attempt %d at job %s has come to is late", job.attempt, job.id)
        elif along is not None:
            self._announcer.wake()
        return is_written

    def _apply(self, job: JobRecord, *, worker_died: bool = False) -> None:
        """Write down what has become of a job: on disk first, then for those who wait."""
        if job.result is not None:
            self._leftovers.forget(job.id)
        if not job.state.is_final:
            if not self._write(job, worker_died=worker_died):
                return
            _log.warning("job %s, attempt %d: %s", job.id, job.attempt, job.problem and job.problem.message)
            self._tell(job)
            if job.result is not None:
                self._wake(job.id)
            return
        if not self._write(dataclasses.replace(job, completed=job.completed or time.time()), worker_died=worker_died):
            return
        if job.state is State.SUCCESS:
            self.store.remove_image(job.id)  # a failed job may be resubmitted
        elif job.problem is not None:
            _log.warning("job %s failed: %s", job.id, job.problem.message)
        if job.state is State.FAILURE and job.image is not None:
            self._tidy_at = 0.0
        self.store.forget_oldest(self.limits.history)
        self.nodes.board.forget(job.id)
        self._wake(job.id)
        self._tell(job)

    def _wake(self, job_id: str) -> None:
        """Wake those who wait for a job, wherever."""
        self._room.wake(job_id)
        if not self.nodes.is_alone:
            self.nodes.tell(OVER, job_id)


def _is_told(job: JobRecord) -> bool:
    return job.state.is_final or (job.state is State.RETRY and job.result is not None)


def _log_trace(job: JobRecord, error: DerivedSeriesError) -> None:
    for note in getattr(error, "__notes__", ()):
        _log.error("job %s: %s\n%s", job.id, error, note)
