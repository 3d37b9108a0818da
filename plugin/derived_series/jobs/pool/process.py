"""The main function of a worker process, which receives tasks, sends results, and ends with its server."""

from __future__ import annotations

import fcntl
import gc
import os
import pickle
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from derived_series import claim_users
from derived_series.jobs.pool.launch import greet
from derived_series.jobs.pool.memory import give_back, keep_freed
from derived_series.jobs.pool.process_state import kept_state
from derived_series.jobs.pool.relay import relayed
from derived_series.user_code import described

#: The priority of workers, below Orthanc and people looking at images, if processors are scarce.
NICENESS = 10
#: Seconds without a task after which a process returns its free memory.
_IDLE_SECONDS = 5.0


def main(pipe: int, life: int, *, greets: bool) -> None:
    """Serve over a file descriptor.

    :param life: a pipe that closes when the server ends.
    :param greets: whether to send a greeting, because the other end runs another Python.
    """
    for number in (pipe, life, *claim_users.descriptors()):
        os.set_inheritable(number, False)
    os.nice(NICENESS)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in Orthanc's terminal is for Orthanc only
    end_with(life)
    connection = Connection(pipe)
    if greets:
        greet(connection)
    serve(connection)


def serve(pipe: Connection) -> None:
    """Run pickled (function, args, kwargs) until the server closes the pipe; the first one warms up."""
    keep_freed()
    try:
        initializer, initargs = pickle.loads(pipe.recv_bytes())
    except (EOFError, OSError):
        return
    with one_process():
        initializer(*initargs)
    gc.collect()
    gc.freeze()  # what is loaded now stays, so collections can skip it
    while True:
        try:
            if not pipe.poll(_IDLE_SECONDS):
                give_back()
            function, args, kwargs = pickle.loads(pipe.recv_bytes())
        except (EOFError, OSError):
            return
        answer: tuple[bool, Any]
        try:
            with one_process(), relayed(pipe), kept_state():
                answer = (True, function(*args, **kwargs))
        except BaseException as error:  # a pipeline's SystemExit is an error too
            answer = (False, error)
        pipe.send_bytes(_pickled(answer))
        del answer, function, args, kwargs
        gc.collect()  # an error keeps its task's frames and images alive; free them before the next task


@contextmanager
def one_process() -> Iterator[None]:
    """Guard user code, which may fork: a forked copy ends when it leaves this context.

    Otherwise it would store and answer what this process does.
    """
    pid = os.getpid()
    try:
        yield
    finally:
        if os.getpid() != pid:
            os._exit(1)


def _pickled(answer: tuple[bool, Any]) -> bytes:
    try:
        message = pickle.dumps(answer)
        if not answer[0]:
            pickle.loads(message)  # many exceptions can be pickled but not unpickled
        return message
    except Exception as error:  # the boundary to what user code has raised or returned
        return pickle.dumps((False, RuntimeError(f"{type(answer[1]).__name__} cannot be sent: {described(error)}")))


def end_with(life: int) -> None:
    """Make the kernel end this process group when the server is gone, for any reason.

    The server holds the other end of the pipe ``life``; when it closes, the kernel sends SIGIO, which by default ends
    the process. A watching thread would not do, because native code may hold the GIL forever.
    """
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(life, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(life, fcntl.F_SETFL, fcntl.fcntl(life, fcntl.F_GETFL) | os.O_ASYNC)
    poll = select.poll()
    poll.register(life, select.POLLIN | select.POLLHUP)
    if poll.poll(0):  # it was gone before the kernel was asked
        os._exit(1)
