"""OverflowExecutor: an extra worker while all are busy, for tasks that a user waits for in front of a page."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import ParamSpec, TypeVar

from derived_series.jobs.pool.executor import ProcessExecutor

#: Seconds without a task after which the extra process is ended.
_KEPT_SECONDS = 60.0

P = ParamSpec("P")
T = TypeVar("T")


class OverflowExecutor(Executor):
    """Hands tasks to the shared workers, or to a temporary process while none of them is idle.

    :param usual: the workers of all jobs.
    :param make: makes an executor with one process.
    """

    def __init__(self, usual: ProcessExecutor, make: Callable[[], ProcessExecutor]):
        self._usual = usual
        self._make = make
        self._lock = threading.Lock()
        self._extra: ProcessExecutor | None = None
        self._end: threading.Timer | None = None
        self._stopped = False

    def pick(self) -> ProcessExecutor:
        """Choose the executor for related tasks: the shared workers, or a temporary process if they are busy."""
        with self._lock:
            if self._stopped or self._usual.idle > 0:
                return self._usual
            if self._extra is None:
                self._extra = self._make()
            self._keep()
            return self._extra

    def _keep(self) -> None:
        if self._end is not None:
            self._end.cancel()
        self._end = threading.Timer(_KEPT_SECONDS, self._end_unused)
        self._end.daemon = True
        self._end.start()

    def _end_unused(self) -> None:
        with self._lock:
            if self._extra is not None and self._extra.idle < self._extra.workers and not self._stopped:
                self._keep()  # a preview may take longer
                return
        self._end_extra()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        return self.pick().submit(fn, *args, **kwargs)

    def _end_extra(self) -> None:
        with self._lock:
            extra, self._extra = self._extra, None
        if extra is not None:
            extra.shutdown()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the extra process; the usual workers belong to others."""
        with self._lock:
            self._stopped = True
            if self._end is not None:
                self._end.cancel()
        self._end_extra()
