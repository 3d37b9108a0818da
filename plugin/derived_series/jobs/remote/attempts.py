"""Attempts that are made on other machines: who may take one, who may speak for it, and until when.

A ticket is exchanged once for the task and a token. The token is good until the attempt ends, however it ends: what is
sent with it after that is refused, whatever it is (``is_live``). Both are kept in memory alone, by their digests.
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
    """One attempt while it is there.

    :param key: what dask calls it; :param job: its job, and :param number: which attempt at that; 0: not at a job.
    :param task: what is handed out for the ticket. :param ended: is called with its outcome.
    :param check: why a worker may not have it, by the versions that it tells; None: it may.
    :param worker: who has it; empty: nobody yet. :param heard: when it was last heard of, of the monotonic clock.
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
    """All attempts on other machines that have not ended.

    :param is_silent: whether another Orthanc may have taken up the jobs of this one by now: it was frozen, or cut off.
    """

    def __init__(self, is_silent: Callable[[], bool] = lambda: False) -> None:
        self._is_silent = is_silent
        self._lock = threading.Lock()
        self._tickets: dict[str, RemoteAttempt] = {}
        self._tokens: dict[str, RemoteAttempt] = {}

    def begin(self, attempt: RemoteAttempt) -> str:
        """The ticket for an attempt."""
        ticket = secrets.token_urlsafe(24)
        with self._lock:
            self._tickets[_digest(ticket)] = attempt
        return ticket

    def claim(self, ticket: str, job: str, worker: str, versions: dict[str, Any]) -> tuple[RemoteAttempt, str]:
        """Give an attempt to a worker, with a token; nobody else gets it any more.

        :raises Superseded: it has ended, or somebody has it: dask may run a task twice.
        :raises DerivedSeriesError: this worker may not have it; the attempt has ended with that.
        """
        token = secrets.token_urlsafe(24)
        with self._lock:  # both at once: an end in between would end neither
            attempt = self._tickets.pop(_digest(ticket), None)
            if attempt is None or attempt.job != job or self._may_be_anothers(attempt):
                raise Superseded("this attempt has ended, or another worker has it")
            attempt.worker = worker
            attempt.heard = time.monotonic()
            self._tokens[_digest(token)] = attempt
        if (refusal := attempt.check(versions)) is not None:
            attempt.ended(Outcome(error=refusal))
            self.end(attempt.key)
            raise refusal
        return attempt, token

    def of(self, token: str | None, job: str) -> RemoteAttempt:
        """The attempt that a token speaks for, which is heard of by that.

        :raises Superseded: it has ended.
        """
        with self._lock:
            attempt = self._tokens.get(_digest(token or ""))
            if attempt is None or attempt.job != job or self._may_be_anothers(attempt):
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
        """From now on, nothing that is sent for the attempt is taken."""
        with self._lock:
            for table in (self._tickets, self._tokens):
                for digest in [digest for digest, attempt in table.items() if attempt.key == key]:
                    del table[digest]

    def silent(self, seconds: float) -> list[RemoteAttempt]:
        """Those that a worker has and that were not heard of for so long."""
        since = time.monotonic() - seconds
        with self._lock:
            return [attempt for attempt in self._tokens.values() if attempt.heard < since]

    def has(self, job: str) -> bool:
        """Whether a worker on another machine has an attempt at a job."""
        with self._lock:
            return any(attempt.job == job for attempt in self._tokens.values())

    def claimed(self, keys: Container[str]) -> list[RemoteAttempt]:
        """Those of these that a worker has."""
        with self._lock:
            return [attempt for attempt in self._tokens.values() if attempt.key in keys]


def _digest(secret: str) -> str:
    """What is kept in place of it: looking it up takes as long whatever it begins with."""
    return hashlib.sha256(secret.encode()).hexdigest()
