"""Capturing what user code prints and logs during a job, as a limited number of lines in the log."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cache
from typing import Any

from derived_series.jobs.plain import LONGEST_CHARACTERS, printable

_log = logging.getLogger(__name__)

#: The most lines of a job, and characters of a line.
_MOST_LINES = 1000
_LINE_CHARACTERS = 2000

#: Libraries whose many messages are for their developers; user code can lower their level.
_QUIET = (
    "derived_series",
    "pydicom",
    "highdicom",
    "nibabel",
    "urllib3",
    "requests",
    "PIL",
    "charset_normalizer",
    "asyncio",
)

#: The prefix of the modules of blueprint folders: see ``pipelines.library``.
_OF_THE_LIBRARY = "derived_series_library_"


def timed(text: str) -> str:
    """Make a line of a job's log: the time of day and the text."""
    return f"{datetime.now():%H:%M:%S} {printable(text, _LINE_CHARACTERS)}"


class _Lines:
    """Passes lines on until there are too many."""

    def __init__(self, job_id: str, also: Callable[[str], None]):
        self._job_id = job_id
        self._also = also
        self._left = _MOST_LINES
        self._lock = threading.Lock()
        self._process = os.getpid()

    def tell(self, level: int, text: str) -> None:
        if os.getpid() != self._process:  # user code may fork, and this lock with it
            return
        with self._lock:
            self._left -= 1
            left = self._left
        if left >= 0:
            self._also(timed(text))
            _log.log(max(level, logging.WARNING), "job %s: %s", self._job_id, printable(text, _LINE_CHARACTERS))
        elif left == -1:
            self._also(f"... more than {_MOST_LINES} lines are left out")
            _log.warning("job %s: its output goes on; more than %d lines are left out", self._job_id, _MOST_LINES)


class _Stream(io.RawIOBase):
    """The raw stream under ``sys.stdout``, which passes on each line to the current job when it is complete.

    There is one for all jobs of the process: a log handler that is made in ``prepare`` keeps the one of its time.
    """

    def __init__(self, number: int):
        super().__init__()
        self._number = number
        self._lines: _Lines | None = None
        self._rest = b""

    def begin(self, lines: _Lines) -> None:
        """Pass lines on to another job."""
        self._lines = lines
        self._rest = b""

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        """The descriptor for programs that are started with the stream; their output is not captured here."""
        return self._number

    def write(self, data: Any) -> int:
        written = bytes(data)
        *lines, rest = (self._rest + written).replace(b"\r", b"\n").split(b"\n")
        self._rest = rest[: 4 * LONGEST_CHARACTERS]  # an endless line is not kept forever
        for line in lines:
            self._tell_line(line)
        return len(written)

    def close(self) -> None:
        """Do nothing: user code that closes ``sys.stdout`` does so for its job."""

    def end(self) -> None:
        """Pass on an incomplete last line."""
        rest, self._rest = self._rest, b""
        self._tell_line(rest)

    def _tell_line(self, line: bytes) -> None:
        if line.strip() and self._lines is not None:
            self._lines.tell(logging.WARNING, line.decode("utf-8", "backslashreplace"))


@cache
def _stream(number: int) -> _Stream:
    """The stream of this process with a number: 1 or 2."""
    return _Stream(number)


class _Records(logging.Handler):
    """Passes on the records of user code's loggers."""

    def __init__(self, lines: _Lines):
        super().__init__(logging.INFO)
        self._lines = lines

    def filter(self, record: logging.LogRecord) -> bool:
        return record.name.split(".")[0] not in _QUIET and bool(super().filter(record))

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
        except Exception as error:  # the boundary to what user code logs
            text = f"a message that cannot be written ({type(error).__name__})"
        name = record.name
        if name.startswith(_OF_THE_LIBRARY):
            name = name.removeprefix(_OF_THE_LIBRARY).partition("_")[2]
        self._lines.tell(record.levelno, f"{record.levelname} {name}: {text}")


@contextlib.contextmanager
def output_of(job_id: str, also: Callable[[str], None]) -> Iterator[None]:
    """Capture what is printed, and logged from INFO on, during a job, in this package's log.

    :param also: called with the same lines, prefixed with the time of day.
    """
    lines = _Lines(job_id, also)
    raw = [_stream(number) for number in (1, 2)]
    for each in raw:
        each.begin(lines)
    out, err = (io.TextIOWrapper(each, "utf-8", "backslashreplace", write_through=True) for each in raw)  # type: ignore[type-var]
    root, handler = logging.getLogger(), _Records(lines)
    level = root.level
    root.addHandler(handler)
    root.setLevel(min(level, logging.INFO) if level else logging.INFO)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        for each in raw:
            each.end()
