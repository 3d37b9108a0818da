"""The memory of a worker process: between its tasks, and how much a task may have.

To have memory from the kernel costs: each page that is touched first is cleared, and in a virtual machine often
fetched from the host, which for a volume may take longer than to compute with it.
"""

from __future__ import annotations

import ctypes
import resource
from collections.abc import Iterator
from contextlib import contextmanager

#: Parameters of mallopt(3), glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
_NEVER_BYTES = (1 << 31) - 1


def keep_freed() -> None:
    """Have malloc keep what is freed, large blocks too, for the next task; without glibc nothing changes.

    Until :func:`give_back`, the process stays as large as it was at its largest.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, _NEVER_BYTES)
        mallopt(_ARENA_MAX, 1)


def give_back() -> None:
    """Give what is free back to the kernel."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


@contextmanager
def memory_bound(limit: int | None) -> Iterator[None]:
    """Bound the process's private memory (RLIMIT_DATA) while a task runs: beyond it is a MemoryError."""
    if limit is None:
        yield
        return
    give_back()  # what is kept free counts too
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
