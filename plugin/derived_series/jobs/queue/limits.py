"""How much at once, how long and how often."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of a runner.

    :param parallel: attempts at once: the executor's workers.
    :param queue: jobs that may be unfinished at once; the next one is refused.
    :param history: finished jobs that are kept.
    :param attempts: attempts at a job whose failures are transient.
    :param timeout: seconds for one attempt.
    :param pause: seconds before the second attempt; doubled with each further one.
    :param upload_days: how long uploaded images of failed jobs are kept; :param upload_bytes: how much of them.
    """

    parallel: int = 2
    queue: int = 1000
    history: int = 1000
    attempts: int = 8
    timeout: float = 3600.0
    pause: float = 1.0
    upload_days: float = 7.0
    upload_bytes: int = 10 << 30
