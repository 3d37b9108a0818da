"""The state of a worker process that user code may change, and that the next task must not find changed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)


@contextmanager
def kept_state() -> Iterator[None]:
    """Put back the working folder, the umask and the handlers and mask of signals, and stop timers; main thread only.

    Environment variables stay, as ``prepare`` may set them for all jobs of the process.
    """
    folder = _folder()
    umask = os.umask(0o077)
    os.umask(umask)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    try:
        yield
    finally:
        for timer in _TIMERS:
            signal.setitimer(timer, 0)
        for number, handler in handlers.items():
            if handler is not None and signal.getsignal(number) is not handler:  # None: it is not Python's
                signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.umask(umask)
        _go_to(folder)


def _folder() -> str:
    try:
        return os.getcwd()
    except OSError:  # it has been removed
        return "/"


def _go_to(folder: str) -> None:
    try:
        os.chdir(folder)
    except OSError:
        os.chdir("/")
