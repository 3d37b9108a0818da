"""The main function of a worker process: tasks in, results out, and no life after its server."""

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

from derived_series.jobs.pool.launch import greet
from derived_series.jobs.pool.memory import give_back, keep_freed
from derived_series.jobs.pool.relay import relayed
from derived_series.user_code import described

#: Orthanc, and who looks at images, go first where there are too few processors for all.
NICENESS = 10
#: Seconds without a task after which a process gives its free memory back.
_IDLE_SECONDS = 5.0


def main(pipe: int, life: int, ending: int, *, greets: bool) -> None:
    """Serve over a file descriptor.

    :param life: ends with the server; :param ending: stays open until this process ends.
    :param greets: the Python at the other end is another one.
    """
    for number in (pipe, life, ending):
        os.set_inheritable(number, False)
    os.nice(NICENESS)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C at Orthanc's terminal is for Orthanc
    end_with(life)
    connection = Connection(pipe)
    if greets:
        greet(connection)
    serve(connection)


def serve(pipe: Connection) -> None:
    """Run pickled (function, args, kwargs), the first of them to warm up, until the server closes the pipe."""
    keep_freed()
    try:
        initializer, initargs = pickle.loads(pipe.recv_bytes())
    except (EOFError, OSError):
        return
    with one_process():
        initializer(*initargs)
    gc.collect()
    gc.freeze()  # what is loaded stays: later collections need not look at it
    while True:
        try:
            if not pipe.poll(_IDLE_SECONDS):
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
            pickle.loads(message)  # many exceptions can be written but not read
        return message
    except Exception as error:  # the boundary to what user code has raised or returned
        return pickle.dumps((False, RuntimeError(f"{type(answer[1]).__name__} cannot be sent: {described(error)}")))


def end_with(life: int) -> None:
    """Have the kernel end this process group when the server is gone, however it went.

    The server holds the other end of the pipe ``life``; when that closes, the kernel sends SIGIO, whose default is to
    end the process. A thread that watches the pipe would not do: native code may hold the GIL for ever.
    """
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(life, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(life, fcntl.F_SETFL, fcntl.fcntl(life, fcntl.F_GETFL) | os.O_ASYNC)
    poll = select.poll()
    poll.register(life, select.POLLIN | select.POLLHUP)
    if poll.poll(0):  # it went before the kernel was asked
        os._exit(1)
