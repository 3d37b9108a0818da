"""Limits: the bounds of the job runner."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of the job runner.

    :param parallel: the most attempts at once, the number of workers.
    :param queue: the most unfinished jobs; further ones are refused.
    :param history: the number of finished jobs to keep.
    :param attempts: the most attempts at a job with transient failures.
    :param timeout: seconds for one attempt.
    :param pause: seconds before the second attempt, doubled for each further one.
    :param upload_days: the days that uploaded images of failed jobs are kept. :param upload_bytes: their most bytes.
    """

    parallel: int = 2
    queue: int = 1000
    history: int = 1000
    attempts: int = 8
    timeout: float = 3600.0
    pause: float = 1.0
    upload_days: float = 7.0
    upload_bytes: int = 10 << 30
