"""Worker: a worker process, as Orthanc's process sees it, and its death."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from multiprocessing.connection import wait
from typing import Any

from derived_series.errors import UserCodeError
from derived_series.jobs.pool.claims import Claim
from derived_series.jobs.pool.launch import HELLO, PREPARED, Interpreter, check_greeting, launch
from derived_series.jobs.pool.relay import LOG

_log = logging.getLogger(__name__)

#: Seconds that a killed process may take to end.
DEATH_SECONDS = 5.0

#: Seconds that a process may live after closing its pipe.
_LAST_WORDS_SECONDS = 1.0

#: Signals from outside (an administrator, the kernel's out-of-memory killer), after which another attempt makes sense.
_FROM_OUTSIDE = (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGHUP)


class WorkerDied(Exception):
    """The worker ended without an answer; a negative ``exit_code`` is a signal."""

    def __init__(self, exit_code: int | None):
        super().__init__(f"the worker process ended with exit code {exit_code}")
        self.exit_code = exit_code

    @property
    def is_from_outside(self) -> bool:
        """Whether the task is not to blame: a signal from outside, or no process could be started (no exit code)."""
        return self.exit_code is None or self.exit_code in _FROM_OUTSIDE

    def __reduce__(self) -> tuple[object, ...]:
        return (WorkerDied, (self.exit_code,))


class WorkerLost(WorkerDied):
    """A worker on another machine was lost during an attempt. :param why: what was noticed."""

    def __init__(self, why: str):
        super().__init__(None)
        self.why = why

    def __reduce__(self) -> tuple[object, ...]:
        return (WorkerLost, (self.why,))


class Worker:
    """A process in its own group, and the pipe to it.

    :param claim: the resources that belong to it while it lives.
    """

    def __init__(self, interpreter: Interpreter, warm_up: bytes, claim: Claim):
        self.claim = claim
        self.prepared: list[dict[str, Any]] = []
        self.hello: dict[str, str] = {}
        self.started = _now()
        self._interpreter = interpreter
        launched = launch(interpreter, claim.variables())
        self._launched = launched
        self.process = launched.process
        self.pipe = launched.pipe
        self._send(warm_up)

    def _send(self, message: bytes) -> None:
        """Send a message; errors are ignored, because a process that has ended may have sent why."""
        try:
            self.pipe.send_bytes(message)
        except OSError:
            pass

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    def run(self, message: bytes, job_id: str | None = None) -> tuple[bool, Any]:
        """Run a task in the process: (True, result) or (False, exception).

        :param job_id: the task's job, which marks what the process logs.
        :raises WorkerDied: the process ended, or was ended because its answer cannot be read.
        """
        try:
            self._send(message)
            while True:
                wait([self.pipe, self._launched.sentinel])
                if not self.pipe.poll():  # an answer counts even if its sender has died since
                    break
                kind, value = pickle.loads(self.pipe.recv_bytes())
                if kind == HELLO:
                    self._check(value)
                elif kind == PREPARED:
                    self.prepared.append({**value, "Since": _now()})
                elif kind == LOG:
                    _log.log(value[0], "%s", value[1], extra={"job": job_id, "worker": self.process.pid})
                else:
                    return bool(kind), value
        except (OSError, EOFError):
            pass
        except Exception as error:  # an answer that can be sent but not read fails the task, not this thread
            return False, error
        try:
            code = self.process.wait(_LAST_WORDS_SECONDS)
        except subprocess.TimeoutExpired:  # it closed all its files but lives on: this is no death from outside
            code = 1
        self.kill()
        raise WorkerDied(code)

    def _check(self, hello: Mapping[str, str]) -> None:
        self.hello = dict(hello)
        try:
            check_greeting(hello, self._interpreter)
        except UserCodeError:
            self.kill()  # it already has the task, and its answer cannot be trusted
            raise

    def kill(self) -> None:
        """End the process and everything that it started."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            self.process.kill()
        try:
            self.process.wait(DEATH_SECONDS)
        except subprocess.TimeoutExpired:
            _log.error("the worker process %d does not end", self.process.pid)

    def is_unused(self, seconds: float) -> bool:
        """Wait until no program uses its claim any more, when the process has ended; False if some still do then."""
        return bool(wait([self._launched.users], seconds))

    def close(self) -> None:
        """Release the process and its pipe after it has ended."""
        self._launched.close()


def _now() -> str:
    """The time in the format of the status."""
    return datetime.now(UTC).isoformat(timespec="seconds")
