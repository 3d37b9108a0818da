"""ProcessExecutor: worker processes with the interface of ``concurrent.futures.Executor``.

It provides what a server needs and the standard executors do not: the death of a worker, at any moment and with any
exit code, ends only its own task and at once; ``cancel`` ends a running task; ``shutdown`` takes a bounded time. Each
worker is served by a thread that blocks on its pipe and its end, so nothing is polled.

Pebble's ``ProcessPool`` (5.2.3) was tried instead: a worker killed while idle broke the whole pool, ``cancel`` returned
before the process had ended, and a task that exited with status 0 was waited for forever.
"""

from __future__ import annotations

import logging
import pickle
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future
from concurrent.futures import wait as wait_for
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, ParamSpec, TypeVar

from derived_series.errors import Busy, UserCodeError
from derived_series.jobs.pool.claims import Claims
from derived_series.jobs.pool.launch import Interpreter, refusal_of
from derived_series.jobs.pool.placed import PlacedExecutor
from derived_series.jobs.pool.worker import DEATH_SECONDS, Worker, WorkerDied

_log = logging.getLogger(__name__)

#: Seconds that a process's claim is kept for programs that are ended after it, such as containers.
_USERS_SECONDS = 120.0
#: Seconds that ``shutdown`` waits for the end of all.
_SHUTDOWN_SECONDS = 20.0

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(slots=True)
class _Call:
    """A task that waits for a worker or is with one. :param job: the identifier of its job, if any."""

    future: Future[Any]
    message: bytes
    job: str | None = None
    worker: Worker | None = None
    cancelled: bool = False


class _TaskFuture(Future[T]):
    """A future whose ``cancel`` also ends a running task, which has stopped when it returns True."""

    def __init__(self, stop: Callable[[Future[Any]], bool]):
        super().__init__()
        self._stop = stop

    def cancel(self) -> bool:
        return super().cancel() or self._stop(self)


@dataclass(frozen=True, slots=True)
class Keeping:
    """How long processes are kept, and what each claims.

    :param always: whether processes start at once and again when they end; else they start when there is a task.
    :param idle: seconds without a task after which a process ends that has prepared a pipeline, or is not kept always;
        None: never.
    :param wanted: the units of each resource that each process claims.
    """

    always: bool = True
    idle: float | None = None
    wanted: Mapping[str, int] = field(default_factory=dict)


class _Seat:
    """A place for one process, with the thread that serves it and the process's claim."""

    def __init__(self, number: int):
        self.number = number
        self.inbox: SimpleQueue[_Call | None] = SimpleQueue()
        self.worker: Worker | None = None
        self.refusal: UserCodeError | None = None
        self.is_idle = True

    def release(self) -> None:
        """End the process if it is idle; see ``claims.Holder``."""
        self.inbox.put(None)


class ProcessExecutor(PlacedExecutor):
    """Runs functions in a bounded number of spawned processes.

    :param workers: the number of processes.
    :param initializer: called in each new process, with ``initargs``.
    :param interpreter: the Python to run; by default the one that runs here.
    :param keeping: by default all processes start at once, to be warm when work comes, and stay.
    :param claims: where the processes' claims are registered.
    """

    def __init__(
        self,
        workers: int,
        *,
        initializer: Callable[..., None],
        initargs: tuple[Any, ...] = (),
        interpreter: Interpreter | None = None,
        keeping: Keeping | None = None,
        claims: Claims | None = None,
    ):
        self.workers = workers
        self._interpreter = interpreter or Interpreter.ours()
        self._keeping = keeping or Keeping()
        self._claims = claims or Claims({})
        self._warm_up = pickle.dumps((initializer, initargs))
        self._lock = threading.Lock()
        self._stopped = False
        self._pending: deque[_Call] = deque()
        self._calls: dict[Future[Any], _Call] = {}  # all calls that are not done
        self._seats = [_Seat(number) for number in range(workers)]
        self._waiting: list[_Seat] = []  # the last one worked most recently, so its process has most loaded
        self._threads = [
            threading.Thread(target=self._serve, args=(seat,), name=f"worker {seat.number}", daemon=True)
            for seat in self._seats
        ]
        for thread in self._threads:
            thread.start()

    @property
    def idle(self) -> int:
        """The number of processes that would take a task at once."""
        with self._lock:
            return max(0, self.workers - len(self._calls))

    @property
    def has_place(self) -> bool:
        """Whether a task would begin now: in a waiting process, or in a new one that can have a claim."""
        with self._lock:
            if self._stopped or len(self._calls) >= self.workers:
                return False
            ready = any(seat.is_idle and seat.worker is not None and seat.worker.is_alive for seat in self._seats)
        return ready or self._claims.are_there(self._keeping.wanted)

    def processes(self) -> list[dict[str, Any]]:
        """The living processes, as entries of the status."""
        with self._lock:
            living = [(seat, worker) for seat in self._seats if (worker := seat.worker) is not None]
            jobs = {id(call.worker): call.job for call in self._calls.values() if call.worker is not None}
        return [
            {
                "Pid": worker.process.pid,
                "Idle": seat.is_idle,
                "Job": jobs.get(id(worker)),
                "Started": worker.started,
                **{key: worker.hello[key] for key in ("Python", "Executable") if key in worker.hello},
                "Prepared": list(worker.prepared),
                "Resources": {name: list(units) for name, units in worker.claim.units.items()},
            }
            for seat, worker in living
            if worker.is_alive
        ]

    def replace_dead(self) -> None:
        """Replace processes that ended while waiting, before a task finds them gone."""
        with self._lock:
            for seat in self._waiting:
                if seat.worker is not None and not seat.worker.is_alive:
                    seat.inbox.put(None)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run ``fn`` in a worker; it and its arguments must be picklable.

        The future fails with ``WorkerDied`` if the process ends without an answer, and with ``CancelledError`` after
        ``cancel``, which ends a running task by ending its process.

        :raises Busy: the executor has been shut down.
        """
        message = pickle.dumps((fn, args, kwargs))
        job = getattr(args[0], "job_id", None) if args else None
        call = _Call(_TaskFuture(self._stop_running), message, job)
        with self._lock:
            if self._stopped:
                raise Busy("the workers are being stopped", retry_after=30)
            self._calls[call.future] = call
            if self._waiting:
                seat = self._waiting.pop()
                seat.is_idle = False
                seat.inbox.put(call)
            else:
                self._pending.append(call)
        return call.future

    def _serve(self, seat: _Seat) -> None:
        """The thread of a seat: give its process one task after the other, and replace it when it has died."""
        if self._keeping.always:
            self._start(seat, lambda: True)
        while (call := self._next(seat)) is not None:
            if not call.future.set_running_or_notify_cancel():
                with self._lock:
                    self._calls.pop(call.future, None)
                continue
            if seat.worker is None or not seat.worker.is_alive:
                self._end(seat)
                self._start(seat, lambda call=call: not call.cancelled)  # type: ignore[misc]
            with self._lock:
                worker = call.worker = seat.worker
            if worker is None or call.cancelled:
                refusal = seat.refusal or WorkerDied(None)
                self._finish(call, False, CancelledError() if call.cancelled else refusal)
                continue
            try:
                self._finish(call, *worker.run(call.message, call.job))
            except WorkerDied as death:
                seat.is_idle = True  # so that others wait for its claim
                self._finish(call, False, CancelledError() if call.cancelled else death)
                self._end(seat)
                seat.is_idle = False
                if self._keeping.always:
                    self._start(seat, lambda: True)
        self._end(seat)

    def _next(self, seat: _Seat) -> _Call | None:
        """The next task of a seat; None at the end. A process that waits too long, or should end, is ended here."""
        with self._lock:
            if self._pending:
                return self._pending.popleft()
            if self._stopped:
                return None
            seat.is_idle = True
            self._waiting.append(seat)
        while True:
            try:
                call = seat.inbox.get(timeout=self._patience(seat))
            except Empty:
                call = None
            if call is not None:
                return call
            with self._lock:
                if self._stopped:
                    return None
                if seat not in self._waiting:
                    continue  # a task was just put there
            self._end(seat)
            if self._keeping.always:
                self._start(seat, lambda: True)

    def _patience(self, seat: _Seat) -> float | None:
        """Seconds that the seat's process may still wait."""
        worker = seat.worker
        if worker is None or (self._keeping.always and not worker.prepared):
            return None
        return self._keeping.idle

    def _start(self, seat: _Seat, is_wanted: Callable[[], bool]) -> None:
        """Start the seat's process as soon as its claim can be taken."""
        seat.refusal = None
        claim = self._claims.take(self._keeping.wanted, seat, lambda: is_wanted() and not self._stopped)
        if claim is None:
            return
        with self._lock:
            if not self._stopped:
                try:
                    seat.worker = Worker(self._interpreter, self._warm_up, claim)
                    return
                except OSError as error:  # out of memory or processes: the next task tries again
                    _log.error("a worker process of %s cannot be started: %s", self._interpreter.described, error)
                    seat.refusal = refusal_of(error, self._interpreter)
        self._claims.give_back(claim)

    def _end(self, seat: _Seat) -> None:
        """End the seat's process, if any, and give its claim back when nothing uses it any more."""
        with self._lock:
            worker, seat.worker = seat.worker, None
        if worker is not None:
            worker.kill()
            if not worker.is_unused(_USERS_SECONDS):
                _log.error("a program of the worker process %d has not ended after it", worker.process.pid)
            worker.close()
            self._claims.give_back(worker.claim)

    def _finish(self, call: _Call, succeeded: bool, value: Any) -> None:
        with self._lock:
            self._calls.pop(call.future, None)
        if call.future.done():
            return
        if succeeded:
            call.future.set_result(value)
        else:
            call.future.set_exception(value)

    def _stop_running(self, future: Future[Any]) -> bool:
        with self._lock:
            call = self._calls.get(future)
            if call is None:
                return False
            call.cancelled = True
            if call.worker is not None:
                call.worker.kill()  # under the lock, so that its thread cannot give it another task meanwhile
        wait_for([future], DEATH_SECONDS)
        return future.done() and isinstance(future.exception(), CancelledError)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End all processes at once, and wait until what they had running has ended, for a limited time.

        Running and waiting tasks fail with CancelledError.

        Both arguments are part of the Executor interface and have no effect: a server that stops does not wait.
        """
        with self._lock:
            if self._stopped:
                return
            self._stopped = True
            calls = list(self._calls.values())
            workers = [seat.worker for seat in self._seats if seat.worker is not None]
            for call in calls:
                call.cancelled = True
        for worker in workers:
            worker.kill()
        for seat in self._seats:
            seat.inbox.put(None)
        for call in calls:
            Future.cancel(call.future)
        end = time.monotonic() + _SHUTDOWN_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
