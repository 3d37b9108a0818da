"""Returns free memory to the system, as Orthanc itself does from 1.11.3 on (its memory_consumption.txt).

Each thread of Orthanc's HTTP server frees memory in an arena of its own, of which glibc returns at most the end: an
older Orthanc's process grows for days by the gaps between.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable

_PAUSE_SECONDS = 30.0


class MemoryReturn:
    """Trims the heaps of this process from time to time, while Orthanc runs.

    :param trim: returns the memory; None: the C library has no such function.
    """

    def __init__(self, trim: Callable[[], None] | None, pause: float = _PAUSE_SECONDS):
        self._trim = trim
        self._pause = pause
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory", daemon=True)

    def start(self) -> None:
        if self._trim is not None:
            self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        assert self._trim is not None
        while not self._stopping.wait(self._pause):
            self._trim()


def trim_of_libc() -> Callable[[], None] | None:
    """malloc_trim(3), which only glibc has; other threads run meanwhile."""
    function = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if function is None:
        return None
    function.argtypes, function.restype = (ctypes.c_size_t,), ctypes.c_int
    return lambda: function(0)
