"""Marking lines of the log with the job that they are about."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_JOB: ContextVar[str | None] = ContextVar("job", default=None)


@contextmanager
def about_job(job_id: str) -> Iterator[None]:
    """Mark what this thread logs in this context as being about a job."""
    token = _JOB.set(job_id)
    try:
        yield
    finally:
        _JOB.reset(token)


def job_of(record: logging.LogRecord) -> str | None:
    """The job that a line is about, from the record (``extra={"job": ...}``) or the context.

    It must be called by the thread that logs, as handlers are.
    """
    return getattr(record, "job", None) or _JOB.get() or None
