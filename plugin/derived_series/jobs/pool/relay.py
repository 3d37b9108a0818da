"""Relaying a worker process's log records to the server, through the same pipe as the answers and before them."""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

from derived_series.jobs.plain import printable
from derived_series.jobs.pool.launch import PREPARED

#: The first item of a message with a log record; answers begin with True or False.
LOG = "log"

_LOGGER = "derived_series"


class _Relay(logging.Handler):
    """Sends records through a pipe, only from the process that made it, not from forked ones."""

    def __init__(self, pipe: Connection):
        super().__init__(logging.INFO)
        self._pipe = pipe
        self._process: int | None = os.getpid()

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record. It never raises: only the log line is lost."""
        if os.getpid() != self._process:
            return
        try:
            if (prepared := getattr(record, PREPARED, None)) is not None:
                self._pipe.send_bytes(pickle.dumps((PREPARED, prepared)))
            self._pipe.send_bytes(pickle.dumps((LOG, (record.levelno, printable(self.format(record))))))
        except Exception:  # the boundary to what has no text, and to a pipe that is gone
            return

    def close(self) -> None:
        """Stop sending; when this returns, nothing is being sent any more."""
        self.acquire()
        self._process = None
        self.release()
        super().close()


@contextmanager
def relayed(pipe: Connection) -> Iterator[None]:
    """Send what the package logs to the pipe while a task runs."""
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
