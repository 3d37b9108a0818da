"""Messenger: sends the notices of one receiver in order, in its own thread, so that none delays another."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import requests

from derived_series.errors import Busy
from derived_series.jobs.notices.outbox import Notice, Outbox
from derived_series.jobs.notices.receiver import Receiver
from derived_series.jobs.notices.signature import signed_headers
from derived_series.jobs.notices.template import rendered
from derived_series.jobs.queue.clock import SteadyClock
from derived_series.software import version

_log = logging.getLogger(__name__)

_LONGEST_PAUSE_SECONDS = 3600.0
_LOOK_SECONDS = 60.0
_DISK_SECONDS = 1.0
_HOUR_SECONDS = 3600.0

#: Statuses (RFC 9110 15.5) about the content of a notice, which would be refused again while others wait.
_REFUSALS = frozenset({400, 405, 410, 413, 414, 415, 422, 501})


class Result(Enum):
    """How sending ended; after ``FAILED`` it is tried again."""

    SENT = "sent"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Reply:
    """The reply of a receiver to a notice.

    :param reason: why it was not taken, without the address, which may contain a token.
    :param pause: seconds to wait before the next notice, as the receiver asks.
    """

    result: Result
    reason: str = ""
    pause: float = 0.0


class Messenger:
    """The thread of one receiver.

    :param verify: a file with the certificates to trust; True: Python's own.
    :param leads: whether this Orthanc is the one that sends.
    """

    def __init__(
        self,
        receiver: Receiver,
        outbox: Outbox,
        verify: str | bool = True,
        leads: Callable[[], bool] = lambda: True,
    ):
        self._leads = leads
        self._receiver = receiver
        self._outbox = outbox
        self._verify = verify
        self._clock = SteadyClock()
        self._problem: str | None = None
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"notices {receiver.key}", daemon=True)

    @property
    def receiver(self) -> Receiver:
        return self._receiver

    @property
    def problem(self) -> str | None:
        """What prevents sending, or why the last attempt failed; None if nothing is wrong."""
        return self._missing_bundle() or self._problem

    def _missing_bundle(self) -> str | None:
        if not isinstance(self._verify, str) or Path(self._verify).exists():
            return None
        return f"its CaBundle {self._verify} is not there"

    def start(self) -> None:
        if missing := self._missing_bundle():
            _log.warning('the receiver "%s" of notices: %s', self._receiver.key, missing)
        self._thread.start()

    def wake(self) -> None:
        """Look for something to send."""
        self._woken.set()

    def stop(self) -> None:
        """Stop sending; unsent notices stay on disk."""
        self._stopping.set()
        self._woken.set()

    def join(self, seconds: float) -> None:
        """Wait for the thread's end. A request in progress may last longer; its notice is sent again later."""
        if self._thread.is_alive():
            self._thread.join(max(0.0, seconds))

    def _work(self) -> None:
        while not self._stopping.is_set():
            self._woken.clear()
            try:
                pause = self._step()
            except Busy as error:
                _log.error("the notices for %s cannot be read: %s", self._receiver.key, error.message)
                pause = _DISK_SECONDS
            except Exception:  # the boundary of this thread: without it, this receiver would get no more notices
                _log.exception("the notices for %s cannot be sent now", self._receiver.key)
                pause = _LOOK_SECONDS
            if pause > 0 and not self._stopping.is_set():
                self._woken.wait(pause)

    def _step(self) -> float:
        """Send what is due; return the seconds until something may be due again."""
        if not self._leads():
            return _LOOK_SECONDS
        notice = self._outbox.first(self._receiver.key)
        if notice is None:
            return _LOOK_SECONDS
        wait = notice.next_try - self._clock.now()
        if 0 < wait <= _LONGEST_PAUSE_SECONDS:  # if longer, the clock was set back
            return min(wait, _LOOK_SECONDS)
        self._settle(notice, self._send(notice))
        return 0.0

    def _settle(self, notice: Notice, reply: Reply) -> None:
        receiver, about = self._receiver, {"job": notice.fields.get("Job")}
        self._problem = reply.reason or None
        event = notice.fields.get("Event")
        if reply.result is Result.SENT:
            self._insist(lambda: self._outbox.sent(notice))
            _log.info('the notice "%s" has reached "%s"', event, receiver.key, extra=about)
            return
        age = self._clock.now() - notice.created
        if reply.result is Result.REFUSED or age > receiver.give_up_hours * _HOUR_SECONDS:
            self._insist(lambda: self._outbox.give_up(notice))
            count = notice.attempts + 1
            text = 'the notice "%s" was not taken by "%s" and is given up after %d %s: %s'
            attempts = "attempt" if count == 1 else "attempts"
            _log.error(text, event, receiver.key, count, attempts, reply.reason, extra=about)
            return
        pause = min(receiver.retry_pause * 2.0 ** min(notice.attempts, 30), _LONGEST_PAUSE_SECONDS)
        pause = min(max(pause, reply.pause), _LONGEST_PAUSE_SECONDS)
        self._insist(lambda: self._outbox.postpone(notice, self._clock.now() + pause))
        level = logging.WARNING if notice.attempts == 0 else logging.INFO
        text = 'the notice "%s" has not reached "%s" yet: %s; next attempt in %g s'
        _log.log(level, text, event, receiver.key, reply.reason, round(pause, 1), extra=about)

    def _insist(self, write: Callable[[], None]) -> None:
        """Write what became of a notice, and retry until the disk takes it, since it is not sent again before."""
        while True:
            try:
                write()
                return
            except Busy:
                if self._stopping.wait(_DISK_SECONDS):
                    return

    def _send(self, notice: Notice) -> Reply:
        receiver = self._receiver
        body, content_type = rendered(receiver.template, notice.fields)
        headers = {
            "User-Agent": f"derived-series-orthanc/{version()}",
            "Content-Type": content_type,
            **receiver.headers,
            **signed_headers(notice.id, int(time.time()), body, receiver.secret),
        }
        try:
            with (
                requests.Session() as session,
                session.post(
                    receiver.url,
                    data=body,
                    headers=headers,
                    auth=_as_it_is if "@" not in receiver.url else None,
                    timeout=receiver.timeout,
                    allow_redirects=False,
                    stream=True,  # the body of the answer, which may be long, is not needed
                    verify=self._verify,
                ) as answer,
            ):
                return _read(answer)
        except (requests.RequestException, OSError, ValueError) as error:
            return Reply(Result.FAILED, type(error).__name__)


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Add no authentication; without this, requests would read .netrc."""
    return request


def _read(answer: requests.Response) -> Reply:
    status = answer.status_code
    if 200 <= status < 300:
        return Reply(Result.SENT)
    wait = answer.headers.get("Retry-After", "")
    pause = float(wait) if wait.isascii() and wait.isdigit() else 0.0
    return Reply(Result.REFUSED if status in _REFUSALS else Result.FAILED, f"HTTP {status}", pause)
