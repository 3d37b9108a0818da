"""Limits the requests that hold one of Orthanc's HTTP threads while they wait, as workers need some too."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from typing import Any, TypeVar

from derived_series.errors import Busy
from derived_series.jobs.pool.worker import WorkerDied

_log = logging.getLogger(__name__)

#: Seconds that a page's request waits for a worker; the page asks again after a 503.
_WORKER_SECONDS = 20.0
#: Seconds that a worker may go on with a task after its request has given up: the next one may profit from it.
_LEFT_SECONDS = 120.0

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
        leave(future)
        raise Busy("all workers are busy with derivations", retry_after=2, remedy=PAGE_REMEDY) from error


def leave(future: Future[Any]) -> None:
    """Wait no longer for a task: it does not begin any more, or is ended if it goes on for too long.

    User code that hangs, such as a pipeline's ``refusal``, would otherwise keep the worker from derivations for ever.
    """
    if Future.cancel(future) or future.done():
        return
    timer = threading.Timer(_LEFT_SECONDS, _end, (future,))
    timer.daemon = True
    timer.start()
    future.add_done_callback(lambda _: timer.cancel())


def _end(future: Future[Any]) -> None:
    if future.cancel():
        _log.error("a task of a page was ended: its request has waited for it %g s ago in vain", _LEFT_SECONDS)
