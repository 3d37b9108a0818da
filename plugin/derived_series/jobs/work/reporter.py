"""Reporter: sends the log lines and progress of user code to the server while it runs."""

from __future__ import annotations

import json
import os
import threading
from typing import Any

from derived_series.dicomweb.client import Client, Connection
from derived_series.errors import DerivedSeriesError
from derived_series.jobs.plain import printable
from derived_series.jobs.work.progress import of_process

#: Seconds between two messages, and that a message may take.
_EVERY_SECONDS = 0.25
_PATIENCE_SECONDS = 2.0

#: The most characters of a pipeline's progress text.
_TEXT_CHARACTERS = 200


class Reporter:
    """A thread that sends what was reported since its last message; it starts with the first report.

    :param route: the route for reports in the REST API; None: no reports.
    """

    def __init__(self, connection: Connection, route: str | None, attempt: int):
        self._connection = connection
        self._route = route
        self._attempt = attempt
        self._lines: list[str] = []
        self._progress: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._woken = threading.Event()
        self._closing = threading.Event()
        self._process = os.getpid()
        self._thread: threading.Thread | None = None

    def line(self, text: str) -> None:
        """Report a line of the job's log."""
        self._take(lambda: self._lines.append(text))

    def progress(self, part: float, text: str) -> None:
        """Report the progress of ``process``, from 0 to 1, and what it is doing."""
        update = {"Phase": "Processing", "Progress": of_process(part), "Text": printable(text, _TEXT_CHARACTERS)}
        self._take(lambda: self._progress.update(update))

    def flush(self) -> None:
        """Send the reports so far; errors of the server are ignored."""
        if self._route is None:
            return
        with self._sending:
            with self._lock:
                lines, progress = self._lines, self._progress
                self._lines, self._progress = [], {}
            if lines or progress:
                self._send({"Attempt": self._attempt, **progress, **({"Lines": lines} if lines else {})})

    def close(self) -> None:
        """Send the rest, and end the thread."""
        if os.getpid() != self._process:
            return
        self._closing.set()
        self._woken.set()
        if self._thread is not None:
            self._thread.join()
        self.flush()

    def _take(self, note: Any) -> None:
        if self._route is None or os.getpid() != self._process:  # user code may fork, and these locks with it
            return
        with self._lock:
            note()
            if self._thread is None and not self._closing.is_set():
                self._thread = self._start()
        self._woken.set()

    def _start(self) -> threading.Thread | None:
        """Start the thread; None if there is no memory for it now, when reports wait for the next one or the end."""
        try:
            thread = threading.Thread(target=self._work, name="reporter", daemon=True)
            thread.start()
        except (RuntimeError, MemoryError):
            return None
        return thread

    def _work(self) -> None:
        while not self._closing.is_set():
            self._woken.wait()
            self._woken.clear()
            self.flush()
            self._closing.wait(_EVERY_SECONDS)

    def _send(self, message: dict[str, Any]) -> None:
        try:
            with Client(self._connection) as client:
                url = self._connection.url(self._route or "")
                client.send("POST", url, data=json.dumps(message).encode(), timeout=_PATIENCE_SECONDS)
        except DerivedSeriesError:
            return
