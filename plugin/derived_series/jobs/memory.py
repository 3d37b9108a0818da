"""The memory of a worker process between its tasks.

To have memory from the kernel costs: each page that is touched first is cleared, and in a virtual machine often
fetched from the host, which for a volume may take longer than to compute with it.
"""

from __future__ import annotations

import ctypes

#: Parameters of mallopt(3), glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
_NEVER = (1 << 31) - 1


def keep_freed() -> None:
    """Have malloc keep what is freed, large blocks too, for the next task; without glibc nothing changes.

    Until :func:`give_back`, the process stays as large as it was at its largest.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, _NEVER)
        mallopt(_ARENA_MAX, 1)


def give_back() -> None:
    """Give what is free back to the kernel."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
