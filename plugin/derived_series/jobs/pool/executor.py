"""Worker processes behind the ``concurrent.futures.Executor`` shape.

What the ready ones do not do, and a server needs: the death of one worker, at any moment and with any exit
code, ends its own task only and at once; ``cancel`` ends a running task; ``shutdown`` is bounded.
One thread a worker serves it, and blocks on its pipe and on its end: nothing is polled.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future
from concurrent.futures import wait as wait_for
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

from derived_series.errors import Busy
from derived_series.jobs.pool.process import serve
from derived_series.jobs.pool.relay import LOG

_log = logging.getLogger(__name__)

#: Seconds that a killed process may take to be gone.
_DEATH = 5.0

#: Seconds that a process may live on without its pipe.
_LAST_WORDS = 1.0

#: Signals that come from outside (an administrator, the kernel's out-of-memory killer): worth another attempt.
_FROM_OUTSIDE = (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGHUP)

P = ParamSpec("P")
T = TypeVar("T")


class WorkerDied(Exception):
    """The worker ended without an answer; a negative ``exit_code`` is a signal's."""

    def __init__(self, exit_code: int | None):
        super().__init__(f"the worker process ended with exit code {exit_code}")
        self.exit_code = exit_code

    @property
    def is_from_outside(self) -> bool:
        """Whether it was no fault of the task; so it is when there was no process to be had (no exit code)."""
        return self.exit_code is None or self.exit_code in _FROM_OUTSIDE

    def __reduce__(self) -> tuple[object, ...]:
        return (WorkerDied, (self.exit_code,))


@dataclass(slots=True)
class _Call:
    """A task that waits for a worker or is with one."""

    future: Future[Any]
    message: bytes
    worker: _Worker | None = None
    cancelled: bool = False


class _TaskFuture(Future[T]):
    """A future whose ``cancel`` also ends a running task: when it returns True, the task has stopped."""

    def __init__(self, stop: Callable[[Future[Any]], bool]):
        super().__init__()
        self._stop = stop

    def cancel(self) -> bool:
        return super().cancel() or self._stop(self)


class _Worker:
    """A spawned process, the leader of a process group of its own, and the pipe to it."""

    def __init__(self, initializer: Callable[..., None], initargs: tuple[Any, ...]):
        context = multiprocessing.get_context("spawn")  # never fork: a child would inherit Orthanc's sockets
        self.pipe: Connection
        self.pipe, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(
            target=serve, args=(theirs, initializer, initargs), name="derived-series worker"
        )
        self.process.start()
        if self.process.pid is None:
            raise OSError("the worker process has no pid")
        self._group = self.process.pid
        theirs.close()

    def run(self, message: bytes) -> tuple[bool, Any]:
        """Have a task run: (True, its result) or (False, its exception).

        :raises WorkerDied: the process ended, or ends now because its answer cannot be read.
        """
        try:
            self.pipe.send_bytes(message)
            while True:
                wait([self.pipe, self.process.sentinel])
                if not self.pipe.poll():  # an answer counts even when its sender has died since
                    break
                kind, value = pickle.loads(self.pipe.recv_bytes())
                if kind != LOG:
                    return bool(kind), value
                _log.log(value[0], "%s", value[1])
        except (OSError, EOFError):
            pass
        except Exception as error:  # what can be sent cannot always be read: it costs its task, not the worker's thread
            return False, error
        end = time.monotonic() + _LAST_WORDS
        while (mute := self.process.is_alive()) and time.monotonic() < end:
            time.sleep(0.01)  # join would wait for ever for one that has closed all its files and lives on
        self.kill()
        raise WorkerDied(1 if mute else self.process.exitcode)  # mute: no death from outside

    def kill(self) -> None:
        """End the process and all that it started."""
        try:
            os.killpg(self._group, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            self.process.kill()  # it has no group of its own yet
        self.process.join(_DEATH)


class ProcessExecutor(Executor):
    """Runs functions in a fixed number of spawned processes.

    :param workers: number of processes, all started at once so that they are warm when work comes.
    :param initializer: is called in each new process, with ``initargs``.
    :param executable: the Python to spawn; needed inside Orthanc, where ``sys.executable`` is none.
    """

    def __init__(
        self,
        workers: int,
        *,
        initializer: Callable[..., None],
        initargs: tuple[Any, ...] = (),
        executable: Path | None = None,
    ):
        if executable is not None:
            multiprocessing.set_executable(str(executable))
        self.workers = workers
        self._initializer = initializer
        self._initargs = initargs
        self._lock = threading.Lock()
        self._stopped = False
        self._queue: SimpleQueue[_Call | None] = SimpleQueue()
        self._calls: dict[Future[Any], _Call] = {}  # all that are not done
        self._processes: dict[int, _Worker] = {}
        self._threads = [
            threading.Thread(target=self._serve, args=(number,), name=f"worker {number}", daemon=True)
            for number in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def idle(self) -> int:
        """How many processes would take a task at once."""
        with self._lock:
            return max(0, self.workers - len(self._calls))

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run ``fn`` in a worker; it and its arguments must be picklable.

        The future fails with ``WorkerDied`` when the process ended without an answer, and with
        ``CancelledError`` after ``cancel``, which ends a running task by ending its process.

        :raises Busy: the executor has been shut down.
        """
        message = pickle.dumps((fn, args, kwargs))
        call = _Call(_TaskFuture(self._stop_running), message)
        with self._lock:
            if self._stopped:
                raise Busy("the workers are being stopped", retry_after=30)
            self._calls[call.future] = call
        self._queue.put(call)
        return call.future

    def _serve(self, number: int) -> None:
        """A worker's thread: give it one task after the other; replace it when it has died."""
        worker = self._start(number)
        while (call := self._queue.get()) is not None:
            if not call.future.set_running_or_notify_cancel():
                with self._lock:
                    self._calls.pop(call.future, None)
                continue
            if worker is None or not worker.process.is_alive():
                worker = self._start(number)
            with self._lock:
                call.worker = worker
            if worker is None or call.cancelled:
                self._finish(call, False, CancelledError() if call.cancelled else WorkerDied(None))
                continue
            try:
                self._finish(call, *worker.run(call.message))
            except WorkerDied as death:
                self._finish(call, False, CancelledError() if call.cancelled else death)
                worker = self._start(number)

    def _start(self, number: int) -> _Worker | None:
        with self._lock:
            if self._stopped:
                return None
            try:
                self._processes[number] = _Worker(self._initializer, self._initargs)
            except OSError as error:  # no memory or no process left: the next task tries again
                _log.error("a worker process cannot be started: %s", error)
                return None
            return self._processes[number]

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
                call.worker.kill()  # under the lock: its thread cannot give it another task meanwhile
        wait_for([future], _DEATH)
        return future.done() and isinstance(future.exception(), CancelledError)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End all processes at once, whatever they do; what runs or waits fails with CancelledError.

        Both arguments are of the Executor shape and change nothing: a server that stops does not wait.
        """
        with self._lock:
            if self._stopped:
                return
            self._stopped = True
            calls = list(self._calls.values())
            workers = list(self._processes.values())
            for call in calls:
                call.cancelled = True
        for worker in workers:
            worker.kill()
        for _ in self._threads:
            self._queue.put(None)
        for call in calls:
            Future.cancel(call.future)
        for thread in self._threads:
            thread.join(_DEATH / max(1, len(self._threads)))
