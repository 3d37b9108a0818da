"""Returns free memory to the system, as Orthanc itself does from 1.11.3 on (its memory_consumption.txt).

Each thread of Orthanc's HTTP server frees memory in an arena of its own, of which glibc returns at most the end: an
older Orthanc's process grows for days by the gaps between.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable


def trim_of_libc() -> Callable[[], None] | None:
    """malloc_trim(3), which only glibc has; other threads run meanwhile."""
    function = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if function is None:
        return None
    function.argtypes, function.restype = (ctypes.c_size_t,), ctypes.c_int
    return lambda: function(0)
