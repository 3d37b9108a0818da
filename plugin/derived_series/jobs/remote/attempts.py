"""Attempts: the attempts at jobs on other machines, with the tickets and tokens of their workers.

A ticket is exchanged once for the task and a token. The token is valid until the attempt ends for any reason; after
that, everything that is sent with it is refused (``is_live``). Both are kept only in memory, as digests.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Container
from dataclasses import dataclass, field
from typing import Any

from derived_series.errors import DerivedSeriesError, Superseded
from derived_series.jobs.messages import Outcome

#: The header that carries the token, in every request of a worker on another machine.
HEADER = "X-Derived-Series-Attempt"


@dataclass(slots=True)
class RemoteAttempt:
    """An attempt that has not ended.

    :param key: its key in dask. :param job: its job. :param number: the number of the attempt; 0 if it has no job.
    :param task: the task to hand out for the ticket. :param ended: called with its outcome.
    :param check: returns why a worker with these versions must not have it; None if it may.
    :param worker: the worker that has it; empty if none yet.
    :param heard: when it last reported, by the monotonic clock.
    """

    key: str
    job: str
    number: int
    task: dict[str, Any] = field(repr=False)
    ended: Callable[[Outcome], None] = field(repr=False)
    check: Callable[[dict[str, Any]], DerivedSeriesError | None] = field(repr=False)
    worker: str = ""
    heard: float = 0.0


class Attempts:
    """Keeps track of all attempts on other machines that have not ended.

    :param is_silent: whether another Orthanc may have taken over this one's jobs, because it was frozen or cut off.
    """

    def __init__(self, is_silent: Callable[[], bool] = lambda: False) -> None:
        self._is_silent = is_silent
        self._lock = threading.Lock()
        self._tickets: dict[str, RemoteAttempt] = {}
        self._tokens: dict[str, RemoteAttempt] = {}

    def begin(self, attempt: RemoteAttempt) -> str:
        """Add an attempt and return its ticket."""
        ticket = secrets.token_urlsafe(24)
        with self._lock:
            self._tickets[_digest(ticket)] = attempt
        return ticket

    def claim(self, ticket: str, job_id: str, worker: str, versions: dict[str, Any]) -> tuple[RemoteAttempt, str]:
        """Give an attempt to a worker, with a token; no other worker can get it.

        :raises Superseded: it has ended, or another worker has it, since dask may run a task twice.
        :raises DerivedSeriesError: this worker must not have it, which ends the attempt.
        """
        token = secrets.token_urlsafe(24)
        with self._lock:  # atomically, as an end in between would end neither
            attempt = self._tickets.pop(_digest(ticket), None)
            if attempt is None or attempt.job != job_id or self._may_be_anothers(attempt):
                raise Superseded("this attempt has ended, or another worker has it")
            attempt.worker = worker
            attempt.heard = time.monotonic()
            self._tokens[_digest(token)] = attempt
        if (refusal := attempt.check(versions)) is not None:
            attempt.ended(Outcome(error=refusal))
            self.end(attempt.key)
            raise refusal
        return attempt, token

    def of(self, token: str | None, job_id: str) -> RemoteAttempt:
        """The attempt of a token, if it is of this job; asking counts as a report.

        :raises Superseded: it has ended.
        """
        return self._reporting(token, lambda attempt: attempt.job == job_id)

    def report(self, token: str | None) -> None:
        """Note that the worker with a token is alive.

        :raises Superseded: its attempt has ended.
        """
        self._reporting(token, lambda attempt: True)

    def _reporting(self, token: str | None, is_its: Callable[[RemoteAttempt], bool]) -> RemoteAttempt:
        with self._lock:
            attempt = self._tokens.get(_digest(token or ""))
            if attempt is None or not is_its(attempt) or self._may_be_anothers(attempt):
                raise Superseded("this attempt has ended: what it sends is not wanted any more")
            attempt.heard = time.monotonic()
        return attempt

    def is_live(self, token: str) -> bool:
        """Whether requests with a token are answered."""
        with self._lock:
            attempt = self._tokens.get(_digest(token))
            return attempt is not None and not self._may_be_anothers(attempt)

    def _may_be_anothers(self, attempt: RemoteAttempt) -> bool:
        """Whether another Orthanc may have begun the next attempt at its job, which this one has not noticed yet."""
        return attempt.number > 0 and self._is_silent()

    def end(self, key: str) -> None:
        """End an attempt: nothing that is sent for it is accepted from now on."""
        with self._lock:
            for table in (self._tickets, self._tokens):
                for digest in [digest for digest, attempt in table.items() if attempt.key == key]:
                    del table[digest]

    def silent(self, seconds: float, keys: Container[str]) -> list[RemoteAttempt]:
        """The attempts among these keys whose workers have not reported for ``seconds``."""
        since = time.monotonic() - seconds
        return [attempt for attempt in self.claimed(keys) if attempt.heard < since]

    def has(self, job_id: str) -> bool:
        """Whether a worker on another machine has an attempt at a job."""
        with self._lock:
            return any(attempt.job == job_id for attempt in self._tokens.values())

    def claimed(self, keys: Container[str]) -> list[RemoteAttempt]:
        """The attempts among these keys that a worker has."""
        with self._lock:
            return [attempt for attempt in self._tokens.values() if attempt.key in keys]


def _digest(secret: str) -> str:
    """The digest that is kept instead of a secret, so that looking it up takes the same time for any guess."""
    return hashlib.sha256(secret.encode()).hexdigest()
