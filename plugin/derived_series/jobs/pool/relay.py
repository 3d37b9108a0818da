"""What a worker process logs, on its way to the server's log: sent before the answers, by the same pipe."""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

from derived_series.jobs.plain import printable
from derived_series.jobs.pool.launch import PREPARED

#: What a message begins with that is a log record; the others are answers, and begin with True or False.
LOG = "log"

_LOGGER = "derived_series"


class _Relay(logging.Handler):
    """Sends records to the other end of a pipe. Only the process that made it speaks: not one that it forked."""

    def __init__(self, pipe: Connection):
        super().__init__(logging.INFO)
        self._pipe = pipe
        self._process: int | None = os.getpid()

    def emit(self, record: logging.LogRecord) -> None:
        """Never raises: a log line costs nothing but itself."""
        if os.getpid() != self._process:
            return
        try:
            if (prepared := getattr(record, PREPARED, None)) is not None:
                self._pipe.send_bytes(pickle.dumps((PREPARED, prepared)))
            self._pipe.send_bytes(pickle.dumps((LOG, (record.levelno, printable(self.format(record))))))
        except Exception:  # the boundary to what has no text, and to a pipe that is gone
            return

    def close(self) -> None:
        """When this returns, nothing is being sent any more."""
        self.acquire()
        self._process = None
        self.release()
        super().close()


@contextmanager
def relayed(pipe: Connection) -> Iterator[None]:
    """While a task runs, what the package logs goes to the pipe."""
    logger = logging.getLogger(_LOGGER)
    handler = _Relay(pipe)
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        handler.close()
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate
