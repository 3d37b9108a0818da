"""Progress: reporting the progress of an attempt to the server over HTTP."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from derived_series.dicomweb.client import Client, check
from derived_series.errors import Conflict, DerivedSeriesError, NotFound, StorageError, Superseded

#: Seconds between two messages, between messages of two phases, and that a message may take.
_MESSAGE_SECONDS = 0.25
_PHASE_SECONDS = 0.05
_ANSWER_SECONDS = 2.0

#: Seconds for which a server may be away that has to agree, and between two questions.
_PATIENCE_SECONDS = 10.0
_PAUSE_SECONDS = 0.5

#: The phase that is reported at once, because a pipeline may then run for a long time.
_LONG_PHASE = "Processing"

#: The percentages of the whole at which each phase begins and ends.
_PHASES = {
    "Fetching": (0, 30),
    "Building": (30, 40),
    "Processing": (30, 40),
    "Storing": (40, 99),
    "Delivering": (99, 100),
}

#: The percentages if inputs are retrieved from another server before fetching.
_OF_OTHER_SERVERS = {"Retrieving": (0, 20), "Fetching": (20, 30)}

#: The percentages with a pipeline, which may take long and report its progress.
_OF_A_PIPELINE = {"Processing": (30, 80), "Storing": (80, 99)}

#: The server's statuses for an attempt that it does not know (any more).
_NOT_WANTED = frozenset({Conflict.http_status, NotFound.http_status, Superseded.http_status})

T = TypeVar("T")


def of_process(part: float) -> int:
    """The percentage of the whole during a pipeline's ``process``. :param part: the progress of it, from 0 to 1."""
    low, high = _OF_A_PIPELINE["Processing"]
    return low + round((high - low) * part)


class NotWanted(Exception):
    """The server no longer wants this attempt: it was cancelled, or another one has begun."""


class Progress:
    """Reports how far an attempt is; errors of the server are ignored.

    :param route: the route for reports in the REST API; None: no reports.
    :ivar result: the job's answer, once its series are stored and stay.
    """

    def __init__(self, client: Client, route: str | None, job_id: str, attempt: int):
        self._client = client
        self._route = route
        self._job_id = job_id
        self._attempt = attempt
        self.result: dict[str, Any] | None = None
        self._last_message = time.monotonic()
        self._phase = ""
        self._percent = 0
        self._times: list[tuple[str, float]] = []
        self._parts: dict[tuple[str, str], float] = {}  # seconds by phase and by what was done within it

    def tell(self, phase: str, done: int = 0, total: int = 1) -> None:
        """Report progress; only some of the calls send a message, but a new phase does.

        :raises NotWanted: it was cancelled, or another attempt has begun.
        """
        now = time.monotonic()
        if not self._times or self._times[-1][0] != phase:
            self._times.append((phase, now))
        pause = _MESSAGE_SECONDS if phase == self._phase else 0.0 if phase == _LONG_PHASE else _PHASE_SECONDS
        if self._route is None or now - self._last_message < pause:
            return
        self._last_message, self._phase = now, phase
        begun = {name for name, _ in self._times}
        phases = {
            **_PHASES,
            **(_OF_A_PIPELINE if _LONG_PHASE in begun else {}),
            **(_OF_OTHER_SERVERS if "Retrieving" in begun else {}),
        }
        low, high = phases[phase]
        self._percent = min(low + (high - low) * done // max(total, 1), 99)
        self._send()

    def check(self) -> None:
        """Require that the attempt is still wanted, before it could remove what another one has stored.

        :raises NotWanted: it is not. :raises StorageError: the server cannot say now.
        """
        self._require(self._message())

    def begin_completion(self, series: Mapping[str, int]) -> None:
        """Require that the attempt is wanted, and say that it sends the last instance of its series now.

        From the answer on the job is not just cancelled: of one that is, no series was ever complete.

        :param series: the number of instances by SeriesInstanceUID.
        :raises NotWanted: it is not wanted. :raises StorageError: the server cannot say for some time.
        """
        self._require_soon({"Completes": dict(series)})

    def settle(self) -> None:
        """Require that the attempt is wanted, and say that what follows has to be done to its end.

        :raises NotWanted: it is not wanted. :raises StorageError: the server cannot say for some time.
        """
        self._require_soon({"Settled": True})

    def note_result(self, result: Mapping[str, Any]) -> None:
        """Make the server record that the series are stored: from now on they stay.

        :param result: the job's answer.
        :raises NotWanted: the attempt is not wanted, and the series are to be removed.
        :raises StorageError: the server cannot say for some time; the series stay.
        """
        self.result = dict(result)
        try:
            self._require_soon({"Stored": self.result})
        except NotWanted:
            self.result = None
            raise

    def tell_result(self, result: Mapping[str, Any]) -> None:
        """Tell the server that the series are stored, before they are sent on; see ``note_result``.

        An error of the server is ignored, since it learns the same at the end.
        """
        with suppress(StorageError):
            self.note_result(result)

    def _message(self) -> dict[str, Any]:
        phase = self._times[-1][0] if self._times else ""
        return {"Attempt": self._attempt, "Phase": phase, "Progress": self._percent}

    def _send(self) -> None:
        message = self._message()
        try:
            answer = self._client.send(
                "POST",
                self._client.connection.url(self._route or ""),
                data=json.dumps(message).encode(),
                timeout=_ANSWER_SECONDS,
            )
        except DerivedSeriesError:
            return
        if answer.status_code in _NOT_WANTED:
            raise NotWanted(f"attempt {self._attempt} of job {self._job_id} was superseded")

    def announce(self, series_uid: str, origin: Mapping[str, Any]) -> None:
        """Make the server record which series is about to be retrieved, before anything arrives.

        :raises NotWanted: the attempt is not wanted. :raises StorageError: the server has not recorded it.
        """
        self._require({"Retrieves": {"SeriesInstanceUID": series_uid, **origin}})

    def _require_soon(self, message: Mapping[str, Any]) -> None:
        """Send a message again when the server cannot take it for a moment: the results of the work depend on it."""
        end = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                return self._require(message)
            except StorageError as error:
                if not error.transient or time.monotonic() >= end:
                    raise
            time.sleep(_PAUSE_SECONDS)

    def _require(self, message: Mapping[str, Any]) -> None:
        """Send a message that the server has to accept."""
        if self._route is None:
            return
        url = self._client.connection.url(self._route)
        data = json.dumps({"Attempt": self._attempt, **message}).encode()
        answer = self._client.send("POST", url, data=data)
        if answer.status_code in _NOT_WANTED:
            raise NotWanted(f"attempt {self._attempt} of job {self._job_id} was superseded")
        check(answer)

    def seconds(self) -> dict[str, float]:
        """The seconds so far by phase and part; overlapping work counts once."""
        ends = [began for _, began in self._times[1:]] + [time.monotonic()]
        spent = dict.fromkeys((phase for phase, _ in self._times), 0.0)
        for (phase, began), end in zip(self._times, ends, strict=True):
            spent[phase] += end - began
        for (phase, part), value in self._parts.items():
            spent[phase] = max(0.0, spent.get(phase, 0.0) - value)
            spent[part] = spent.get(part, 0.0) + value
        return {phase: round(value, 3) for phase, value in spent.items()}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time a part of a phase separately, for one thread at a time: ``Encoding``, ``Verifying``."""
        began = time.monotonic()
        try:
            yield
        finally:
            key = (self._times[-1][0] if self._times else name, name)
            self._parts[key] = self._parts.get(key, 0.0) + time.monotonic() - began

    def counted(self, phase: str, items: Iterable[T], total: int) -> Iterator[T]:
        """Pass items on, and report how many there were."""
        for count, item in enumerate(items, 1):
            yield item
            self.tell(phase, count, total)
