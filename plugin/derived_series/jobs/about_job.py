"""Which job a line of the log is about."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_JOB: ContextVar[str | None] = ContextVar("job", default=None)


@contextmanager
def about_job(job_id: str) -> Iterator[None]:
    """What is logged meanwhile, by this thread, belongs to a job."""
    token = _JOB.set(job_id)
    try:
        yield
    finally:
        _JOB.reset(token)


def job_of(record: logging.LogRecord) -> str | None:
    """The job that a line is about: as it says itself (``extra={"job": ...}``), or by where it was logged.

    Is asked by the thread that logs, as handlers are.
    """
    return getattr(record, "job", None) or _JOB.get() or None
