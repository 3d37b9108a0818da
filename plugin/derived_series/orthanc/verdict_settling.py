"""Carries out what follows from verdicts when the Orthanc that took one has ended before it did."""

from __future__ import annotations

import logging
import threading

from derived_series.jobs.queue.nodes import Nodes
from derived_series.orthanc.reviews import Reviews

_log = logging.getLogger(__name__)

#: Seconds between two looks, and after one that could not settle everything.
_LOOK_SECONDS, _LOOK_SOON_SECONDS = 300.0, 10.0
_STOP_SECONDS = 2.0


class Settling:
    """A thread that settles all jobs when this Orthanc begins to lead or another one is gone, and now and then."""

    def __init__(self, reviews: Reviews, nodes: Nodes, pause: float = _LOOK_SECONDS, soon: float = _LOOK_SOON_SECONDS):
        self._reviews = reviews
        self._nodes = nodes
        self._pause = pause
        self._soon = soon
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="reviews", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Have it look now. Returns at once."""
        self._woken.set()

    def stop(self) -> None:
        """Stop the thread; what is open is settled at the next start."""
        self._stopping.set()
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_SECONDS)

    def _work(self) -> None:
        while not self._stopping.is_set():
            self._woken.clear()
            self._woken.wait(self._pause if self._has_settled() else self._soon)

    def _has_settled(self) -> bool:
        try:
            return not self._nodes.leads or self._reviews.settle_all(self._stopping.is_set)
        except Exception:  # the one boundary of this thread
            if not self._stopping.is_set():
                _log.exception("verdicts cannot be settled yet")
            return False
