"""Formats the log's lines: as text for people, as JSON for programs. Each line names its job."""

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

#: The number of files, which share the space equally.
_FILES = 5

#: The most characters of a traceback.
_TRACE_CHARACTERS = 50_000

LOGGER = "derived_series"


class TextLines(logging.Formatter):
    """Lines such as ``derived-series: job 5c0b...: the message``."""

    def __init__(self) -> None:
        super().__init__("%(message)s")

    def format(self, record: logging.LogRecord) -> str:
        text, job = super().format(record), job_of(record)
        return f"derived-series: {text}" if job is None or job in text else f"derived-series: job {job}: {text}"


class JsonLines(logging.Formatter):
    """One object a line: Time, Level, Job, Message, Logger, Process (its number), and Trace for an exception."""

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
        return json.dumps(encodable(line))  # in ASCII, so that any message is one line


class JsonLog:
    """The file of JSON lines. A full file becomes ``.1``, the one before it ``.2``, up to ``.4``.

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
        """Ignore errors of the disk, as Orthanc's log has the line too."""
