"""Does something from time to time, while Orthanc runs."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Periodic:
    """A thread that acts after each pause.

    :param name: the thread's. :param act: must not raise; None: there is nothing to do.
    :param pause: seconds.
    """

    def __init__(self, name: str, act: Callable[[], object] | None, pause: float):
        self._act = act
        self._pause = pause
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        if self._act is not None:
            self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        assert self._act is not None
        while not self._stopping.wait(self._pause):
            self._act()
