"""Limits the requests that hold one of Orthanc's HTTP threads while they wait, as workers need some too."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from typing import TypeVar

from derived_series.errors import Busy
from derived_series.jobs.pool.worker import WorkerDied

#: Seconds that a page's request waits for a worker; the page asks again after a 503.
_WORKER_SECONDS = 20.0

#: The remedy for a page without a place or a worker.
PAGE_REMEDY = "try again in a moment; raise HttpThreadsCount in Orthanc's configuration if it happens often"

T = TypeVar("T")


class Waiters:
    """A fixed number of places for requests that wait; shared by all routes.

    :param places: 0 if Orthanc has a single HTTP thread.
    """

    def __init__(self, places: int):
        self._places = threading.BoundedSemaphore(places) if places else None

    @contextmanager
    def place(self, remedy: str) -> Iterator[None]:
        """Reserve a place for a waiting request. :raises Busy: all are taken."""
        if self._places is None or not self._places.acquire(blocking=False):
            raise Busy("too many synchronous requests wait already", remedy=remedy)
        try:
            yield
        finally:
            self._places.release()


def answer_of(future: Future[T]) -> T:
    """A worker's answer for a page. :raises Busy: no worker had time, or its worker was ended."""
    try:
        return future.result(_WORKER_SECONDS)
    except (TimeoutError, CancelledError, WorkerDied) as error:
        Future.cancel(future)  # when it still waits; a running task is left to its end
        raise Busy("all workers are busy with derivations", retry_after=2, remedy=PAGE_REMEDY) from error
