"""Lines of the log: as text for people, as JSON for programs. Each says which job it belongs to."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from derived_series.jobs.about_job import job_of
from derived_series.jobs.plain import LONGEST_CHARACTERS, encodable
from derived_series.shortening import shortened

#: The file of JSON lines and those before it: each has a part of the room.
_FILES = 5

#: Characters of a trace; two of them.
_TRACE_CHARACTERS = 50_000

LOGGER = "derived_series"


class TextLines(logging.Formatter):
    """``derived-series: job 5c0b...: what there is to say``."""

    def __init__(self) -> None:
        super().__init__("%(message)s")

    def format(self, record: logging.LogRecord) -> str:
        text, job = super().format(record), job_of(record)
        return f"derived-series: {text}" if job is None or job in text else f"derived-series: job {job}: {text}"


class JsonLines(logging.Formatter):
    """One object a line: Time, Level, Job, Message, Logger, Process (its number), and of an exception Trace."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "Time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "Level": record.levelname,
            "Job": job_of(record),
            "Message": shortened(record.getMessage(), LONGEST_CHARACTERS),
            "Logger": record.name,
            "Process": getattr(record, "worker", record.process),
        }
        if record.exc_info:
            line["Trace"] = shortened(self.formatException(record.exc_info), _TRACE_CHARACTERS)
        return json.dumps(encodable(line))  # in ASCII: whatever the message holds, it is one line


class JsonLog:
    """The file of JSON lines. When it has its part of the room it becomes ``.1``, that before it ``.2``, up to ``.4``.

    :param room: bytes of all of them.
    """

    def __init__(self, path: Path, room: int):
        self._handler = _File(
            path, maxBytes=max(1, room // _FILES), backupCount=_FILES - 1, encoding="utf-8", delay=True
        )
        self._handler.setFormatter(JsonLines())
        logging.getLogger(LOGGER).addHandler(self._handler)

    def close(self) -> None:
        logging.getLogger(LOGGER).removeHandler(self._handler)
        self._handler.close()


class _File(RotatingFileHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # its name in the standard library
        """What the disk does not take is in Orthanc's log all the same."""
