"""JobRunner: what other threads ask of the jobs: to submit, wait for, cancel, resubmit and delete them.

One thread (``RunnerThread``) decides everything, and knows the workers only as a ``concurrent.futures.Executor``.
Callers in other threads just write to the store, leave a message, or wait.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from queue import SimpleQueue
from types import MappingProxyType
from typing import Any

from derived_series.errors import Busy, Conflict
from derived_series.jobs.destination_states import reopened
from derived_series.jobs.messages import DeriveTask, Work
from derived_series.jobs.pool.environments import Environments
from derived_series.jobs.queue.announcer import Announcer
from derived_series.jobs.queue.clock import SteadyClock
from derived_series.jobs.queue.completions import Completions
from derived_series.jobs.queue.database import Note, together
from derived_series.jobs.queue.ends import Ends
from derived_series.jobs.queue.leftovers import Leftovers
from derived_series.jobs.queue.limits import Limits
from derived_series.jobs.queue.nodes import CANCEL, NEW, OVER, Nodes, OneNode
from derived_series.jobs.queue.observation import Observation
from derived_series.jobs.queue.progress_board import ProgressReport
from derived_series.jobs.queue.runner_thread import RunnerThread
from derived_series.jobs.queue.running import RunningJobs
from derived_series.jobs.queue.store import JobStore
from derived_series.jobs.queue.task_sender import TaskSender
from derived_series.jobs.queue.turns import Turns
from derived_series.jobs.queue.uploads import KeptUploads, Upload
from derived_series.jobs.queue.waiting import WaitingRoom
from derived_series.jobs.record import JobRecord, State

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

_STOP_SECONDS = 2.0
_SETTLING_SECONDS = 5.0
_UNSURE_SECONDS = 0.2


class JobRunner:
    """Runs the jobs of the store.

    :param work: what workers do with a task.
    :param make_task: the attempt to send out for a record, with what is only known here (address, token).
    :param timeout_of: seconds for one attempt at a record.
    :param observe: called with each job that has another state, by the runner's thread.
    :param leftovers: looks for what arrives after the end of attempts; by default, nothing does.
    :param previews: where a dry run goes while other jobs have all workers; None: it waits like any other.
    :param environments: where the jobs of pipelines run that have an environment of their own.
    :param announcer: tells others what becomes of jobs; what it has to tell is written with the job's record.
    :param nodes: the Orthancs that share the jobs; by default, this one alone.
    :param held: the number of instances in Orthanc by SeriesInstanceUID, for some SeriesInstanceUIDs.
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
        held: Callable[[Iterable[str]], Mapping[str, int]] = lambda series: {},
    ):
        self.store = store
        self.nodes = nodes or OneNode()
        self.limits = limits
        self._executor = executor
        self._previews = previews
        self._environments = Environments() if environments is None else environments  # an empty one is false
        self._messages: SimpleQueue[tuple[str, str]] = SimpleQueue()
        self._running = RunningJobs()
        self._uploads = KeptUploads(store, limits)
        self._room = WaitingRoom()
        self._completions = Completions(store, held, self._room)
        self._stopping = threading.Event()
        clock = SteadyClock()
        sender = TaskSender(
            executor,
            previews,
            work,
            make_task,
            timeout_of,
            self._running,
            done=lambda job_id: self._messages.put(("done", job_id)),
        )
        ends = Ends(
            store=store,
            nodes=self.nodes,
            limits=limits,
            clock=clock,
            leftovers=leftovers or Leftovers(store, 0.0, lambda series_uid: 0),
            announcer=announcer or Announcer(),
            observation=Observation(observe),
            uploads=self._uploads,
            sender=sender,
            room=self._room,
            stopping=self._stopping,
        )
        turns = Turns(store, executor, previews, self._environments, limits, self._running, clock)
        self._thread = RunnerThread(self._messages, turns, sender, ends, self._stopping)

    def start(self) -> None:
        """Run. What is there is taken up by the one that leads."""
        self._thread.start()
        if self.nodes.is_alone:
            self.lead()

    def lead(self) -> None:
        """From now on this Orthanc hands out: take up what a former process or another Orthanc left."""
        self._thread.order("lead")
        self._messages.put((NEW, ""))

    def resign(self) -> None:
        """From now on another Orthanc hands out: end what runs here, which that one takes up."""
        self._thread.order("resign")
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
        self._running.close()
        self._executor.shutdown(wait=False, cancel_futures=True)
        if self._previews is not None:
            self._previews.shutdown(wait=False, cancel_futures=True)
        self._environments.shutdown()
        self._messages.put(("stop", ""))
        self._thread.join(_STOP_SECONDS)

    @property
    def is_running(self) -> bool:
        """Whether its thread is there: without it, no job is begun or ended."""
        return self._thread.is_alive

    @property
    def is_stopping(self) -> bool:
        return self._stopping.is_set()

    def submit(self, job: JobRecord, image: bytes | None, along: Note | None = None, *, leading: bool = False) -> None:
        """Accept a job; it is on disk when this returns. One that has failed already is only told of.

        :param along: see ``JobStore.add``. :param leading: whether only the Orthanc that leads may do so.
        :raises Busy: the queue or the disk is full, or the server stops.
        """
        if self._stopping.is_set():
            raise Busy("the server is stopping", retry_after=30)
        self.store.add(job, image, most=self.limits.queue, along=along, leading=leading)
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
            except Busy:  # the database is temporarily unreachable
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

    def cancel(self, job_id: str, *, wait: bool = True) -> bool:
        """Ask for a job's end; it becomes a failure as soon as nothing of it is left.

        A series that is stored and only sent on stays.

        :param wait: wait some seconds for what becomes of a series that is being completed.
        :returns: False, only without ``wait``: its series is being completed.
        :raises Conflict: it is over, or its series is complete; see ``Completions.cancel``.
        """
        if not self._completions.cancel(job_id, wait=wait):
            return False
        self._say(CANCEL, job_id)
        return True

    def resubmit(self, job_id: str, along: Note | None = None, *, even_cancelled: bool = True) -> None:
        """Run a failed job again; if its series are stored, only to send them on.

        :param along: see ``JobStore.add``. :param even_cancelled: send them on even where that was cancelled.
        :raises Conflict: it has not failed.
        """
        job = self.store.get(job_id)
        if job.state is not State.FAILURE or not self._is_let_go(job_id):
            raise Conflict(f"the job {job_id} {_IN_WORDS[job.state]}: only a failed job can be resubmitted")
        again = dataclasses.replace(
            reopened(job, even_cancelled=even_cancelled),
            state=State.PENDING,
            attempt=0,
            attempts_lost_to_restarts=0,
            progress=0,
            completed=None,
            problem=None,
            next_try=0.0,
        )
        notes = [] if job.result is not None else [self.store.if_image_is_kept(job)]
        notes += [] if along is None else [along]
        self.renew(job, again, together(*notes))

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
        return self._running.wait_until_let_go(job_id, _SETTLING_SECONDS)

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

    def begin_completion(self, job_id: str, attempt: int, series: Mapping[str, int]) -> bool:
        """Let an attempt complete its series; False when it is not wanted. See ``Completions.begin``."""
        return self.runs(job_id, attempt) and self._completions.begin(job_id, attempt, series)

    def settle(self, job_id: str, attempt: int) -> bool:
        """Note that an attempt has verified its series; False when it is not wanted. See ``Completions.settle``."""
        return self.runs(job_id, attempt) and self._completions.settle(job_id, attempt)

    def note_result(self, job_id: str, attempt: int, result: Mapping[str, Any]) -> bool:
        """Note that an attempt only sends its series on; False when it is not wanted. See ``Completions``."""
        return self.runs(job_id, attempt) and self._completions.note_result(job_id, attempt, result)

    def begun(self, job_id: str) -> None:
        """A worker elsewhere has taken a job that was sent out: its time runs from now on."""
        self._messages.put(("begun", job_id))

    def lack(self, job: JobRecord) -> str | None:
        """What a waiting job waits for, other than for running ones; None if nothing."""
        if job.state not in (State.PENDING, State.RETRY):
            return None
        return self._environments.lack(job.request.get("Pipeline"))

    def progress_of(self, job: JobRecord) -> int:
        """Percent."""
        return self._told_of(job)[0]

    def phase_of(self, job: JobRecord) -> str:
        """The phase of a running job, such as "Fetching"; empty until the worker reports it."""
        return self._told_of(job)[1]

    def text_of(self, job: JobRecord) -> str:
        """The last progress text of a running job's pipeline."""
        return self._told_of(job)[2]

    def _told_of(self, job: JobRecord) -> tuple[int, str, str]:
        if job.state is State.RUNNING:
            report = self.nodes.board.of(job.id)
            if report is not None and report.attempt == job.attempt:
                return report.percent, report.phase, report.text
        return job.progress, "", ""

    def nudge(self) -> None:
        """Look again for jobs that can begin: it has become known which pipelines run where."""
        self._messages.put((NEW, ""))

    def failed_uploads(self) -> list[Upload]:
        """The images of failed jobs that are kept, that of the newest failure first."""
        return self._uploads.all()


def _is_told(job: JobRecord) -> bool:
    return job.state.is_final or (job.state is State.RETRY and job.result is not None)
