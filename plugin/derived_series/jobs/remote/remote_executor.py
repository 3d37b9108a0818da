"""RemoteExecutor: runs jobs on other machines, with the interface of ``concurrent.futures.Executor``.

A separate process (``bridge.py``) speaks to dask, so that Orthanc's process needs neither its event loop nor its
modules. Workers report outcomes over HTTP (``Attempts``); dask only reports attempts that will not have one.
"""

from __future__ import annotations

import json
import logging
import signal
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from multiprocessing.connection import Connection as Pipe
from typing import Any, ParamSpec, TypeVar

from derived_series.errors import Busy, DerivedSeriesError, StorageError, UserCodeError
from derived_series.jobs.messages import Catalogue, DeriveTask, Outcome
from derived_series.jobs.pool.launch import Interpreter, Launched, launch
from derived_series.jobs.pool.placed import PlacedExecutor
from derived_series.jobs.pool.worker import WorkerLost
from derived_series.jobs.remote.attempts import Attempts, RemoteAttempt
from derived_series.jobs.remote.cluster import Cluster, ConnectedWorkers, RemoteWorker
from derived_series.jobs.remote.errand import Errand
from derived_series.jobs.remote.versions import difference
from derived_series.jobs.remote.wire import task_to_json

_log = logging.getLogger(__name__)

#: The module that the bridge process runs.
_BRIDGE = "derived_series.jobs.remote.bridge"

_DEATH_SECONDS = 5.0
_LOOK_SECONDS = 1.0
_START_AGAIN_SECONDS = 5.0
_LOG_AGAIN_SECONDS = 60.0
#: Seconds after which blueprint folders that cannot be read are tried again.
_READ_AGAIN_SECONDS = 10.0

P = ParamSpec("P")
T = TypeVar("T")


class _RemoteFuture(Future[T]):
    """A future whose ``cancel`` ends the attempt at once: nothing that it sends afterwards is accepted."""

    def __init__(self, stop: Callable[[], bool]):
        super().__init__()
        self._stop = stop

    def cancel(self) -> bool:
        return self._stop()


@dataclass(frozen=True, slots=True)
class _Call:
    """An attempt that a worker has or will get.

    :param task: None if it is a request for a catalogue. :param message: its message to the bridge process.
    """

    key: str
    future: Future[Any]
    task: DeriveTask | None
    message: Mapping[str, Any] = field(repr=False)


class RemoteExecutor(PlacedExecutor):
    """Runs attempts at jobs on workers on other machines.

    :param name: the name of the environment. :param versions: the versions that run here.
    :param bundle: returns the digest of the blueprint folders.
    """

    begins_later = True

    def __init__(
        self,
        name: str,
        cluster: Cluster,
        interpreter: Interpreter,
        attempts: Attempts,
        versions: Mapping[str, str],
        bundle: Callable[[], str],
    ):
        self._name = name
        self._cluster = cluster
        self._interpreter = interpreter
        self._attempts = attempts
        self._versions = dict(versions)
        self._bundle = bundle
        self._changed: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._calls: dict[str, _Call] = {}
        self._connected = ConnectedWorkers(cluster, self._versions, (), "the scheduler has not answered yet")
        self._logged: tuple[str | None, float] = "", 0.0  # the problem that was logged last, and when; empty: none
        self._unreadable: str | None = None  # why the blueprint folders cannot be read
        self._stopping = threading.Event()
        self._launched: Launched | None = None
        self._threads = [
            threading.Thread(target=work, name=f"{work.__name__} {name}", daemon=True)
            for work in (self._serve, self._watch)
        ]

    def listen(self, changed: Callable[[], None]) -> None:
        """Have ``changed`` called when other workers are connected than before."""
        self._changed = changed

    def start(self) -> None:
        """Connect to the scheduler, retrying until it succeeds."""
        for thread in self._threads:
            thread.start()

    # -- workers ---------------------------------------------------------------------------------------------------

    @property
    def fitting(self) -> int:
        """The number of connected workers that could take its jobs."""
        return len(self._connected.fitting)

    @property
    def has_place(self) -> bool:
        with self._lock:
            most = min(self._cluster.workers, len(self._connected.fitting))
            jobs = sum(call.task is not None for call in self._calls.values())
            return not self._stopping.is_set() and jobs < most

    @property
    def lack(self) -> str | None:
        """What a waiting job waits for, other than for running ones; None if nothing."""
        if self._unreadable is not None:
            return f"waits until Orthanc can read what its workers need: {self._unreadable}"
        return self._connected.lack

    def processes(self) -> list[dict[str, Any]]:
        """The workers, as entries of the status."""
        with self._lock:
            connected = self._connected
            jobs = {call.key: call.task.job_id for call in self._calls.values() if call.task is not None}
        running = {attempt.worker: attempt.job for attempt in self._attempts.claimed(jobs)}
        return [
            {
                "Pid": report.get("Pid"),
                "Worker": worker.name,
                "Address": worker.address,
                "Idle": worker.name not in running,
                "Job": running.get(worker.name),
                "Started": report.get("Started"),
                "Python": (report.get("Versions") or {}).get("Python"),
                "Prepared": report.get("Prepared") or [],
                "Resources": {name: [f"{count:g}"] for name, count in worker.resources.items()},
                "Problem": connected.refusal(worker),
            }
            for worker in connected.workers
            for report in [worker.report or {}]
        ]

    @property
    def problem(self) -> str | None:
        """Why the scheduler cannot be reached, or is not asked; None if it can."""
        return self._unreadable or self._connected.problem

    # -- calls -----------------------------------------------------------------------------------------------------

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Submit an attempt. :param fn: the function that workers run for attempts. :param args: the ``DeriveTask``.

        The future fails with ``WorkerLost`` if the worker that has the attempt is lost, with a transient
        ``StorageError`` if no worker has it, and with ``CancelledError`` after ``cancel``.

        :raises Busy: the executor has been shut down.
        """
        (task,) = args
        if not isinstance(task, DeriveTask):
            raise TypeError("only attempts at jobs are made on other machines")
        document = {"Task": task_to_json(task)}
        path = f"/series/{task.series}/jobs/{task.job_id}"
        return self._submit(f"{task.job_id}-{task.attempt}", task.job_id, task, document, path, self._cluster.resources)

    def describe(self) -> Future[Catalogue]:
        """Have a worker load and describe the blueprint folders."""
        path = f"/derived-series/environments/{self._name}"
        return self._submit("catalogue", self._name, None, {}, path, {})

    def _submit(
        self,
        title: str,
        job_id: str,
        task: DeriveTask | None,
        document: Mapping[str, Any],
        path: str,
        resources: Mapping[str, int],
    ) -> Future[Any]:
        key = f"derived-series-{title}-{uuid.uuid4().hex[:8]}"
        future: Future[Any] = _RemoteFuture(lambda: self._end(key, CancelledError()))
        future.set_running_or_notify_cancel()
        number = 0 if task is None else task.attempt
        document = {
            **document,
            "Bundle": self._bundle(),
            "IdleSeconds": self._cluster.idle,
            "LostAfter": self._cluster.lost_after,
        }
        attempt = RemoteAttempt(key, job_id, number, document, lambda outcome: self._take(key, outcome), self._check)
        ticket = self._attempts.begin(attempt)
        cluster = self._cluster
        errand = Errand(cluster.url, path, ticket, cluster.ca_bundle, cluster.dicomweb_root, cluster.store_timeout)
        with self._lock:
            fitting = self._connected.fitting
            everybody = len(fitting) == len(self._connected.workers)
            restricted = [] if everybody else [worker.address for worker in fitting]
            message = {"Do": "run", "Key": key, "Errand": errand.to_json(), "Resources": dict(resources)}
            call = _Call(key, future, task, {**message, "Workers": restricted})
            if self._stopping.is_set():
                self._attempts.end(key)
                raise Busy("the workers are being stopped", retry_after=30)
            self._calls[key] = call
            self._send(call.message)
        return future

    def _check(self, versions: Mapping[str, Any]) -> DerivedSeriesError | None:
        different = difference(self._versions, versions, self._cluster.strictness)
        if different is None:
            return None
        return UserCodeError(
            f"the worker of the environment {self._name!r} is refused: {different}",
            remedy="install the same versions there, and start it again",
        )

    def _take(self, key: str, outcome: Outcome) -> None:
        """Take the outcome of an attempt from its worker; nothing else is accepted from it afterwards."""
        call = self._drop(key)
        if call is None:
            return
        if call.task is not None or outcome.error is None:
            call.future.set_result(outcome if call.task is not None else outcome.result)
        else:
            call.future.set_exception(outcome.error)

    def _end(self, key: str, error: BaseException) -> bool:
        call = self._drop(key)
        if call is None:
            return False
        call.future.set_exception(error)
        return True

    def _drop(self, key: str) -> _Call | None:
        """Drop an attempt of this environment: what is sent for it from now on is refused."""
        with self._lock:
            call = self._calls.pop(key, None)
            if call is not None:
                self._attempts.end(key)
                self._send({"Do": "forget", "Key": key})
        return call

    def _lost(self, key: str, why: str) -> None:
        if self._attempts.claimed([key]):
            self._end(key, WorkerLost(why))
            return
        nobody = StorageError(
            f"no worker on another machine has taken the attempt: {why}",
            remedy=f"it is tried again; see that {self._cluster.url} (OrthancUrl of the environment) is this Orthanc "
            "itself and not several of them, and docs/many-machines.md",
            transient=True,
        )
        self._end(key, nobody)

    # -- the process that speaks to dask ---------------------------------------------------------------------------

    def _send(self, message: Mapping[str, Any]) -> None:
        """Send a message to the bridge, under the lock; if it has ended, the next one is told."""
        if self._launched is None:
            return
        try:
            self._launched.pipe.send_bytes(json.dumps(message).encode())
        except OSError:
            return

    def _serve(self) -> None:
        """Run the bridge process, read its messages, and restart it when it ends."""
        self._read_bundle()  # now, because reading the folders may take a while and no job waits for it yet
        while not self._stopping.is_set():
            began = time.monotonic()
            pipe = self._start()
            if pipe is not None:
                self._hear(pipe)
                self._let_go()
            self._stopping.wait(max(0.0, began + _START_AGAIN_SECONDS - time.monotonic()))

    def _read_bundle(self) -> None:
        """Read the blueprint folders, again and again if they cannot be read."""
        while not self._stopping.is_set():
            try:
                self._bundle()
            except StorageError as error:
                if error.message != self._unreadable:
                    _log.error("environment %s: %s", self._name, error)
                self._unreadable = error.message
                self._stopping.wait(_READ_AGAIN_SECONDS)
            else:
                self._unreadable = None
                return

    def _start(self) -> Pipe | None:
        cluster = self._cluster
        connect = {
            "Do": "connect",
            "Scheduler": cluster.scheduler,
            "Ca": cluster.ca,
            "Certificate": cluster.certificate,
            "Key": cluster.key,
            "LostAfter": cluster.lost_after,
        }
        with self._lock:
            if self._stopping.is_set():
                return None
            try:
                self._launched = launch(self._interpreter, {}, module=_BRIDGE)
            except OSError as error:
                _log.error("the process that speaks to %s cannot be started: %s", cluster.scheduler, error)
                return None
            self._send(connect)
            claimed = {attempt.key for attempt in self._attempts.claimed(self._calls)}
            for call in self._calls.values():
                if call.key not in claimed:  # a worker that has one goes on, and reports to Orthanc
                    self._send(call.message)
            return self._launched.pipe

    def _hear(self, pipe: Pipe) -> None:
        while True:
            try:
                message = json.loads(pipe.recv_bytes())
            except (OSError, EOFError, ValueError):
                return
            what = message.get("Say")
            if what == "state":
                self._note(message)
            elif what == "ended":
                self._lost(str(message["Key"]), str(message["Why"]))
            elif what == "failed":
                error = UserCodeError(
                    f"a worker of the environment {self._name!r} cannot take jobs: {message['Why']}",
                    remedy="install the plugin there as docs/many-machines.md says, and start it again",
                )
                self._end(str(message["Key"]), error)
            elif what == "log":
                _log.log(int(message["Level"]), "environment %s: %s", self._name, message["Text"])

    def _note(self, message: Mapping[str, Any]) -> None:
        workers = tuple(
            RemoteWorker(*(each[key] for key in ("Address", "Name", "Resources", "Report", "Threads", "Silent")))
            for each in message["Workers"]
        )
        with self._lock:
            before = self._connected
            now = self._connected = before.with_report(workers, message["Problem"])
            gone = [
                call.key
                for call in self._calls.values()
                if call.message["Workers"] and now.problem is None and not now.addresses & set(call.message["Workers"])
            ]
        for key in gone:
            self._lost(key, "it is not connected any more")
        if now.differs_from(before):
            self._changed()
        self._log_problem(message["Problem"])

    def _log_problem(self, problem: str | None) -> None:
        """Log a problem once, although dask's words may change with every try."""
        now = time.monotonic()
        was, since = self._logged
        if problem == was or (problem and was and now - since < _LOG_AGAIN_SECONDS):
            return
        self._logged = problem, now
        scheduler = self._cluster.scheduler
        if problem is None:
            _log.warning("environment %s: the scheduler %s is connected", self._name, scheduler)
        else:
            _log.warning("environment %s: the scheduler %s is not reached: %s", self._name, scheduler, problem)

    def _let_go(self) -> None:
        with self._lock:
            launched, self._launched = self._launched, None
            self._connected = self._connected.with_report((), "the process that speaks to it has ended")
        if launched is not None:
            _end_process(launched)
        if not self._stopping.is_set():
            _log.error(
                "environment %s: the process that speaks to the scheduler has ended; another is started", self._name
            )
            self._changed()

    def _watch(self) -> None:
        """Give up attempts on silent workers."""
        while not self._stopping.wait(min(_LOOK_SECONDS, self._cluster.lost_after / 4)):
            with self._lock:
                keys = set(self._calls)
            for attempt in self._attempts.silent(self._cluster.lost_after, keys):
                self._lost(attempt.key, f"nothing was heard of {attempt.worker} for {self._cluster.lost_after:g} s")

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Drop all attempts; their workers are told with their next report."""
        self._stopping.set()
        with self._lock:
            calls: Sequence[_Call] = list(self._calls.values())
            launched = self._launched
        for call in calls:
            self._end(call.key, CancelledError())
        if launched is not None:
            launched.process.send_signal(signal.SIGTERM)
        for thread in self._threads:
            if thread.is_alive():
                thread.join(_DEATH_SECONDS / len(self._threads))


def _end_process(launched: Launched) -> None:
    launched.process.kill()
    launched.process.wait(_DEATH_SECONDS)
    launched.close()
