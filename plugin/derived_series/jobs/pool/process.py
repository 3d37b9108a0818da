"""The main function of a worker process: tasks in, results out, and no life after its parent."""

from __future__ import annotations

import fcntl
import gc
import multiprocessing
import os
import pickle
import select
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from derived_series.jobs.pool.memory import give_back, keep_freed
from derived_series.jobs.pool.relay import relayed
from derived_series.user_code import described

#: Orthanc, and who looks at images, go first where there are too few processors for all.
NICENESS = 10
#: Seconds without a task after which a process gives its free memory back.
_IDLE = 5.0


def serve(pipe: Connection, initializer: Callable[..., None], initargs: tuple[Any, ...]) -> None:
    """Run pickled (function, args, kwargs) until the parent closes the pipe."""
    os.setpgid(0, 0)  # so that whatever a pipeline starts can be ended with us
    os.nice(NICENESS)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C at Orthanc's terminal is for Orthanc
    end_with_parent()
    keep_freed()
    with one_process():
        initializer(*initargs)
    gc.collect()
    gc.freeze()  # what is loaded stays: later collections need not look at it
    while True:
        try:
            if not pipe.poll(_IDLE):
                give_back()
            function, args, kwargs = pickle.loads(pipe.recv_bytes())
        except (EOFError, OSError):
            return
        answer: tuple[bool, Any]
        try:
            with one_process(), relayed(pipe):
                answer = (True, function(*args, **kwargs))
        except BaseException as error:  # SystemExit of a pipeline is its error too
            answer = (False, error)
        pipe.send_bytes(_pickled(answer))
        del answer, function, args, kwargs
        gc.collect()  # an error holds the frames, and with them the images, of its task: not while the next one runs


@contextmanager
def one_process() -> Iterator[None]:
    """Around user code, which may fork: the copy of this process ends when it comes out of there again, before it
    stores what this one stores, and answers where this one answers."""
    own = os.getpid()
    try:
        yield
    finally:
        if os.getpid() != own:
            os._exit(1)


def _pickled(answer: tuple[bool, Any]) -> bytes:
    try:
        message = pickle.dumps(answer)
        if not answer[0]:
            pickle.loads(message)  # many exceptions can be written but not read
        return message
    except Exception as error:  # the boundary to what user code has raised or returned
        return pickle.dumps((False, RuntimeError(f"{type(answer[1]).__name__} cannot be sent: {described(error)}")))


def end_with_parent() -> None:
    """Have the kernel end this process group when the parent is gone, however it went.

    The parent holds the other end of a pipe; when that closes, the kernel sends SIGIO, whose default is to
    end the process. A thread that watches the pipe would not do: native code may hold the GIL for ever.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    pipe = parent.sentinel
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(pipe, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | os.O_ASYNC)
    poll = select.poll()
    poll.register(pipe, select.POLLIN | select.POLLHUP)
    if poll.poll(0):  # it went before the kernel was asked
        os._exit(1)
