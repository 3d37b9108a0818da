"""How many requests may hold one of Orthanc's HTTP threads while workers, who need some too, do their work."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from derived_series.errors import Busy


class Waiters:
    """A fixed number of places for requests that wait; shared by all routes.

    :param places: how many; 0 where Orthanc has a single HTTP thread.
    """

    def __init__(self, places: int):
        self._places = threading.BoundedSemaphore(places) if places else None

    @contextmanager
    def place(self, remedy: str) -> Iterator[None]:
        """Hold a place. :raises Busy: at once, when there is none; it names the remedy."""
        if self._places is None or not self._places.acquire(blocking=False):
            raise Busy("too many synchronous requests wait already", remedy=remedy)
        try:
            yield
        finally:
            self._places.release()
