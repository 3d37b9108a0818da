"""WaitingRoom: threads that wait for the end of a job."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable


class WaitingRoom:
    """Lets threads sleep until a job is over, without holding the interpreter lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: defaultdict[str, set[threading.Event]] = defaultdict(set)
        self._closed = False

    def wait(self, job_id: str, timeout: float, is_over: Callable[[], bool]) -> None:
        """Return when ``wake(job_id)`` is called, after ``timeout`` seconds, or when the room is closed.

        :param is_over: called after the thread is registered, so that a job that ends meanwhile is not missed.
        """
        event = threading.Event()
        with self._lock:
            if self._closed:
                return
            self._events[job_id].add(event)
        try:
            if not is_over():
                event.wait(timeout)
        finally:
            with self._lock:
                self._events[job_id].discard(event)
                if not self._events[job_id]:
                    del self._events[job_id]

    def wake(self, job_id: str) -> None:
        """Wake the threads that wait for a job."""
        with self._lock:
            for event in self._events.get(job_id, ()):
                event.set()

    @property
    def is_closed(self) -> bool:
        """Whether no thread sleeps here any more."""
        return self._closed

    def close(self) -> None:
        """Wake all threads, and let none sleep any more."""
        with self._lock:
            self._closed = True
            for events in self._events.values():
                for event in events:
                    event.set()
