"""The memory of a worker process: keeping it between tasks, and limiting it for a task.

Getting memory from the kernel is expensive: each new page is cleared and, in a virtual machine, often fetched from the
host, which for a volume may take longer than computing with it.
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
    """Make malloc keep freed memory, including large blocks, for the next task; without glibc this has no effect.

    Until :func:`give_back`, the process stays at its largest size.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, _NEVER_BYTES)
        mallopt(_ARENA_MAX, 1)


def give_back() -> None:
    """Return free memory to the kernel."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


@contextmanager
def memory_bound(limit: int | None) -> Iterator[None]:
    """Limit the process's private memory (RLIMIT_DATA) while a task runs; more raises MemoryError."""
    if limit is None:
        yield
        return
    give_back()  # free memory that was kept counts too
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
