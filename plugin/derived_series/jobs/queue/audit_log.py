"""The audit trail: who did what to jobs and their series, in the jobs database and in a file of JSON lines."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Literal, TypeAlias

from derived_series.jobs.plain import json_bytes
from derived_series.jobs.queue.database import Note, Transaction
from derived_series.jobs.queue.store import JobStore

_log = logging.getLogger(__name__)

#: The number of files, the current one and older ones, that share the room.
_FILES = 5

OfJob: TypeAlias = Literal["Derive", "Reuse", "Accept", "Reject", "Cancel", "Resubmit", "Delete", "Send"]
OfRun: TypeAlias = Literal[
    "StartRun", "PauseRun", "ResumeRun", "CancelRun", "RetryRun", "DeleteRun", "ReplaceInRun", "DiscardInRun"
]
Action: TypeAlias = OfJob | OfRun


@dataclass(frozen=True, slots=True)
class Act:
    """An act of a user.

    :param by: the user and where the request came from, as the JSON of a caller.
    :param series: the Orthanc identifier of the job's parent or, for verdicts, of the judged series; empty for an act
        on a run over many series.
    :param job: the job that was requested or acted on; empty likewise.
    :param more: more details, such as the pipeline.
    """

    action: Action
    by: Mapping[str, Any]
    series: str
    job: str
    more: Mapping[str, Any] = field(default_factory=dict)
    time: str = field(default_factory=lambda: datetime.now().astimezone().isoformat())

    def to_json(self) -> dict[str, Any]:
        return {
            "Time": self.time,
            "Action": self.action,
            **self.by,
            **({"Series": self.series} if self.series else {}),
            **({"Job": self.job} if self.job else {}),
            **self.more,
        }

    def content(self) -> bytes:
        """The act as one line of JSON, for the database, the file and Orthanc's log."""
        return json_bytes(self.to_json())


class AuditLog:
    """The acts on each job in the database."""

    def __init__(self, store: JobStore):
        self._store = store

    def note(self, act: Act) -> Note:
        """A note that writes an act; for ``JobRunner.submit(along=...)``."""
        text = act.content().decode()

        def write(db: Transaction) -> None:
            db.execute("DELETE FROM acts WHERE job NOT IN (SELECT id FROM jobs)")  # acts on forgotten jobs
            ((number,),) = db.execute("SELECT coalesce(max(seq), 0) + 1 FROM acts WHERE job = ?", [act.job]).fetchall()
            db.execute("INSERT INTO acts (job, act, seq) VALUES (?, ?, ?)", [act.job, text, number])

        return write

    def put(self, act: Act) -> None:
        """Write an act. :raises Busy: the disk refuses it."""
        with self._store.transaction() as db:
            self.note(act)(db)

    def of_job(self, job_id: str) -> list[dict[str, Any]]:
        """The acts on a job, oldest first."""
        with self._store.reading() as db:
            rows = db.execute("SELECT act FROM acts WHERE job = ? ORDER BY seq", [job_id]).fetchall()
        return [json.loads(act) for (act,) in rows]


class AuditFile:
    """A file of JSON lines, one for each act. When it is full it is renamed to ``.1``, the former one to ``.2``, up to
    ``.4``.

    :param room: the total bytes of all files.
    """

    def __init__(self, path: Path, room: int):
        self._handler = _Lines(
            path, maxBytes=max(1, room // _FILES), backupCount=_FILES - 1, encoding="utf-8", delay=True
        )

    def write(self, act: Act) -> None:
        """Write an act. It never raises: if the disk refuses it, that is an error in Orthanc's log."""
        line = act.content().decode()
        self._handler.handle(logging.LogRecord("audit", logging.INFO, "", 0, line, None, None))

    def close(self) -> None:
        self._handler.close()


class _Lines(RotatingFileHandler):
    def format(self, record: logging.LogRecord) -> str:
        return str(record.msg)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # its name in the standard library
        """Log that writing has failed."""
        _log.exception("an entry of the audit file cannot be written: %s", record.msg)
