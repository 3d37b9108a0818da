"""Locks on files for the processes of one machine, which the kernel releases when a process ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, overload


@overload
def locked(file: Path, *, wait: Literal[True] = True) -> int: ...
@overload
def locked(file: Path, *, wait: bool) -> int | None: ...


def locked(file: Path, *, wait: bool = True) -> int | None:
    """Lock a file, which is made if it is not there, also against other locks of this process.

    :return: a file descriptor, to be closed in order to unlock; None if it is locked and ``wait`` is false.
    """
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


@contextmanager
def closing_descriptor(descriptor: int) -> Iterator[None]:
    """Close a file descriptor at the end, which unlocks its file."""
    try:
        yield
    finally:
        os.close(descriptor)
