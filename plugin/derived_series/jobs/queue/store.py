"""The jobs on disk: SQLite, and a folder for each job that has an image.

What ``add`` has returned from survives a crash of the process and of the machine (WAL, synchronous=FULL;
files are flushed before the row that names them is written).
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from derived_series.errors import Busy, DerivedSeriesError, NotFound
from derived_series.jobs.plain import encodable
from derived_series.jobs.record import JobRecord, Problem, State

#: The file in the jobs folder, and its version: SQLite's user_version.
DATABASE, VERSION = "jobs.sqlite", 1

_FIELDS = tuple(field.name for field in dataclasses.fields(JobRecord))
#: Columns whose names are not those of the fields: databases of older versions have them.
_COLUMN_OF = {"has_leftovers": "dirty", "attempts_lost_to_restarts": "lost"}
_COLUMNS = tuple(_COLUMN_OF.get(name, name) for name in _FIELDS)
_JSON = frozenset({"request", "result"})
#: SQLite ends a whole query at one text that is not JSON (a NaN in it, say): such a row is passed over.
_REQUEST, _RESULT = (f"CASE WHEN json_valid({name}) THEN {name} END" for name in ("request", "result"))
_WITH_DESTINATIONS = f"EXISTS (SELECT 1 FROM json_each({_RESULT}, '$.Destinations') AS destination WHERE %s)"
_HELD = "destination.value = 'Held'"
_OPEN = "destination.value NOT IN ('Success', 'Rejected', 'Deleted')"
_UNFINISHED = "state IN ('Pending', 'Running', 'Retry')"

#: What the disk has no part in: trying again would end the same.
_REFUSED_VALUES = (sqlite3.DataError, sqlite3.InterfaceError)

_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS jobs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    {", ".join(name for name in _COLUMNS if name != "id")}
);
CREATE TABLE IF NOT EXISTS room (one INTEGER PRIMARY KEY, bytes BLOB);
CREATE INDEX IF NOT EXISTS by_state ON jobs (state, next_try);
CREATE INDEX IF NOT EXISTS by_digest ON jobs (digest);
CREATE INDEX IF NOT EXISTS by_subject ON jobs (subject);
CREATE INDEX IF NOT EXISTS by_series ON jobs (series);
"""


#: Bytes that are tried at a start.
_ROOM_BYTES = 1 << 16


class JobStore:
    """All jobs, of one process at a time. Safe for threads.

    :param folder: is made when it is not there.
    :param in_memory: nothing of it is read or written.
    :raises Busy: its disk is full. :raises DerivedSeriesError: it cannot be written.
    """

    #: Why nothing is derived, where nothing is.
    problem: str | None = None

    def __init__(self, folder: Path, *, in_memory: bool = False):
        self.folder = folder
        self._lock = threading.Lock()
        try:
            if not in_memory:
                folder.mkdir(parents=True, exist_ok=True)
            place = ":memory:" if in_memory else folder / DATABASE
            self._db = sqlite3.connect(place, timeout=5, check_same_thread=False)
            try:
                self._prepare()
            except (OSError, sqlite3.Error, DerivedSeriesError):
                self._db.close()
                raise
        except (OSError, sqlite3.Error) as error:
            if is_full(folder, error):
                raise Busy(f"the disk of the jobs folder {folder} is full", retry_after=60) from error
            raise DerivedSeriesError(
                f"the jobs folder {folder} cannot be used: {error}",
                remedy="name a folder that Orthanc may write to: JobsFolder in the configuration",
            ) from error

    def _prepare(self) -> None:
        """Give a new database its tables, and one of an older version what it lacks."""
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, VERSION):
            raise DerivedSeriesError(
                f"{self.folder / DATABASE} has version {version}, this plugin knows {VERSION}",
                remedy="use the plugin's version that wrote it, or another JobsFolder",
            )
        self._db.executescript(_SCHEMA)
        if "lost" not in {row[1] for row in self._db.execute("PRAGMA table_info(jobs)")}:  # jobs of older versions
            self._db.execute("ALTER TABLE jobs ADD COLUMN lost DEFAULT 0")
        self._db.execute(f"PRAGMA user_version={VERSION}")
        with self._db:  # whether there is room for what is written at a start
            self._db.execute("INSERT OR REPLACE INTO room VALUES (1, zeroblob(?))", [_ROOM_BYTES])
        with self._db:
            self._db.execute("DELETE FROM room")

    def close(self) -> None:
        with self._lock:
            self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One writer at a time.

        :raises Busy: the disk does not take it; nothing was changed.
        """
        with self._lock:
            try:
                with self._db:
                    yield self._db
            except _REFUSED_VALUES as error:
                raise DerivedSeriesError(f"a job cannot be written down: {error}") from error
            except sqlite3.Error as error:
                raise _full(self.folder, error) from error

    def add(
        self,
        job: JobRecord,
        image: bytes | None,
        *,
        most: int,
        along: Callable[[sqlite3.Connection], None] | None = None,
    ) -> None:
        """Accept a job: when this returns, it is on disk.

        :param most: so many jobs may be unfinished.
        :param along: writes what is kept with the job or not at all: it is called in the same transaction.
        :raises Busy: there are that many, or the disk is full. Nothing is left of the job.
        """
        self._check_room(most)
        accepted = False
        try:
            if image is not None and job.image is not None:
                self._write_image(job, image)
            with self.transaction() as db:
                if self._count_unfinished(db) >= most:
                    raise _queue_full(most)
                marks = ", ".join("?" * len(_COLUMNS))
                db.execute(f"INSERT INTO jobs ({', '.join(_COLUMNS)}) VALUES ({marks})", _to_row(job))
                if along is not None:
                    along(db)
            accepted = True
        except OSError as error:
            raise _full(self.folder, error) from error
        finally:
            if not accepted:
                self.remove_image(job.id)

    def _check_room(self, most: int) -> None:
        with self._lock:
            if self._count_unfinished(self._db) >= most:
                raise _queue_full(most)

    @staticmethod
    def _count_unfinished(db: sqlite3.Connection) -> int:
        count: int = db.execute(f"SELECT count(*) FROM jobs WHERE {_UNFINISHED}").fetchone()[0]
        return count

    def job_folder(self, job_id: str) -> Path:
        return self.folder / "images" / job_id

    def log_path(self, job_id: str) -> Path:
        """The file of what a job's code has said."""
        return self.folder / "logs" / f"{job_id}.log"

    def image_path(self, job: JobRecord) -> Path | None:
        """The uploaded image's file."""
        return None if job.image is None else self.job_folder(job.id) / job.image

    def _write_image(self, job: JobRecord, image: bytes) -> None:
        folder = self.job_folder(job.id)
        folder.mkdir(parents=True)
        with (folder / (job.image or "")).open("wb") as file:
            file.write(image)
            file.flush()
            os.fsync(file.fileno())
        for directory in (folder, folder.parent):
            handle = os.open(directory, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)

    def remove_image(self, job_id: str) -> None:
        """Forget the uploaded image of a job."""
        shutil.rmtree(self.job_folder(job_id), ignore_errors=True)

    def remove_stray_images(self) -> int:
        """Remove images whose jobs were never accepted, have succeeded or are gone (a crash between two steps)."""
        root = self.folder / "images"
        strays = [path for path in root.glob("*") if self._is_done_with(path.name)] if root.exists() else []
        for path in strays:
            shutil.rmtree(path, ignore_errors=True)
        return len(strays)

    def _is_done_with(self, job_id: str) -> bool:
        job = self.find(job_id)
        return job is None or job.state is State.SUCCESS

    def find(self, job_id: str) -> JobRecord | None:
        jobs = self._select("WHERE id = ?", [job_id])
        return jobs[0] if jobs else None

    def get(self, job_id: str) -> JobRecord:
        """:raises NotFound: no such job."""
        job = self.find(job_id)
        if job is None:
            raise NotFound(f"there is no job {job_id}", remedy="GET /derived-series/jobs lists them")
        return job

    def page(self, since: int = 0, limit: int = 0) -> list[JobRecord]:
        """Jobs in the order of their acceptance; ``limit`` 0 is all of them."""
        return self._select("ORDER BY seq LIMIT ? OFFSET ?", [limit or -1, since])

    def of_series(self, series: str) -> list[JobRecord]:
        """Jobs whose parent a series is, in the order of their acceptance; those that reject it, too."""
        return self._select("WHERE series = ? ORDER BY seq", [series])

    def unfinished(self) -> list[JobRecord]:
        return self._select(f"WHERE {_UNFINISHED} ORDER BY seq")

    def with_leftovers(self) -> list[JobRecord]:
        """Failed jobs of which something may still be in Orthanc."""
        return self._select("WHERE state = 'Failure' AND dirty ORDER BY seq")

    def failed_with_image(self) -> list[JobRecord]:
        """Failed jobs whose image was uploaded."""
        return self._select("WHERE state = 'Failure' AND image IS NOT NULL ORDER BY seq")

    def next_ready(
        self,
        now: float,
        *,
        preview: bool = False,
        only: Collection[str] | None = None,
        without: Collection[str] = (),
        pipelines: bool = True,
    ) -> JobRecord | None:
        """The job to run next: the highest priority, then the oldest.

        One that replaces waits until no other on its subject runs: two would not see each other's series.

        :param preview: only dry runs, which store nothing and so replace nothing.
        :param only: the pipelines of which jobs are taken; None takes any job.
        :param without: the pipelines of which no job is taken; with ``pipelines=False`` none of any pipeline is.
        """
        request = _REQUEST.replace("request", "waiting.request")
        jobs = self._select(
            "AS waiting WHERE (state = 'Pending' OR (state = 'Retry' AND next_try <= ?)) AND NOT EXISTS ("
            "SELECT 1 FROM jobs AS other WHERE other.state = 'Running' AND other.subject = waiting.subject "
            f"AND json_extract({request}, '$.IfExists') = 'Replace' "
            f"AND NOT ifnull(json_extract({request}, '$.DryRun'), 0)) "
            f"AND (NOT ? OR json_extract({request}, '$.DryRun')) "
            f"AND (? OR json_extract({request}, '$.Pipeline') IN (SELECT value FROM json_each(?))) "
            f"AND ifnull(json_extract({request}, '$.Pipeline'), '') NOT IN (SELECT value FROM json_each(?)) "
            f"AND (? OR json_extract({request}, '$.Pipeline') IS NULL) "
            "ORDER BY priority DESC, seq LIMIT 1",
            [now, preview, only is None, json.dumps(list(only or ())), json.dumps(list(without)), pipelines],
        )
        return jobs[0] if jobs else None

    def oldest_waiting(self) -> float | None:
        """When the oldest of the jobs that have never run was accepted, in seconds since 1970."""
        with self._lock:
            row = self._db.execute(
                "SELECT min(created) FROM jobs WHERE state = 'Pending' AND started IS NULL"
            ).fetchone()
        return row[0]  # type: ignore[no-any-return]

    def try_to_write(self) -> None:
        """Write a little. :raises Busy: the disk does not take it."""
        with self.transaction() as db:
            db.execute("DELETE FROM room WHERE one = 2")
            db.execute("INSERT INTO room VALUES (2, NULL)")

    def next_time(self) -> float | None:
        """When the first of the jobs that wait for another attempt is due."""
        with self._lock:
            row = self._db.execute("SELECT min(next_try) FROM jobs WHERE state = 'Retry'").fetchone()
        return row[0]  # type: ignore[no-any-return]

    def with_digest(self, digest: str) -> list[JobRecord]:
        """Jobs of the same digest that have not failed, newest first."""
        return self._select("WHERE digest = ? AND state <> 'Failure' ORDER BY seq DESC", [digest])

    def succeeded_on(self, subject: str, *, but: str) -> list[JobRecord]:
        """Jobs on the same subject that succeeded, all but one."""
        return self._select("WHERE subject = ? AND state = 'Success' AND id <> ? ORDER BY seq", [subject, but])

    def undelivered(self) -> list[JobRecord]:
        """Jobs that are over and have destinations that did not take their series, or wait for a verdict."""
        return self._select(f"WHERE state IN ('Success', 'Failure') AND {_WITH_DESTINATIONS % _OPEN} ORDER BY seq")

    def maker_of(self, series: str) -> JobRecord | None:
        """The job that stored a series. :param series: its Orthanc identifier."""
        jobs = self._select(
            f"WHERE (json_extract({_RESULT}, '$.ID') = ? OR EXISTS (SELECT 1 FROM json_each({_RESULT}, '$.Series') AS "
            "each WHERE json_extract(each.value, '$.ID') = ?)) "
            f"AND json_extract({_REQUEST}, '$.Verdict') IS NULL LIMIT 1",
            [series, series],
        )
        return jobs[0] if jobs else None

    def newest_series(self, most: int) -> list[JobRecord]:
        """The jobs that stored series, newest first."""
        return self._select(
            f"WHERE ifnull(json_extract({_RESULT}, '$.ID'), json_extract({_RESULT}, '$.Series[0].ID')) IS NOT NULL "
            f"AND json_extract({_REQUEST}, '$.Verdict') IS NULL "
            "ORDER BY seq DESC LIMIT ?",
            [most],
        )

    def rejections(self) -> list[JobRecord]:
        """The jobs that rejected a series and stored the document that says so."""
        return self._select("WHERE result IS NOT NULL AND json_extract(request, '$.Verdict') = 'Reject' ORDER BY seq")

    def counts(self) -> dict[State, int]:
        """The number of jobs in each state."""
        with self._lock:
            rows = self._db.execute("SELECT state, count(*) FROM jobs GROUP BY state").fetchall()
        counts = {State(state): count for state, count in rows}
        return {state: counts.get(state, 0) for state in State}

    def _select(self, condition: str, values: Sequence[Any] = ()) -> list[JobRecord]:
        with self._lock:
            rows = self._db.execute(f"SELECT {', '.join(_COLUMNS)} FROM jobs {condition}", values).fetchall()
        return [_from_row(row) for row in rows]

    def update(self, job: JobRecord, along: Callable[[sqlite3.Connection], None] | None = None) -> JobRecord:
        """Write a job's new record; it is on disk when this returns.

        :param along: writes what is kept with it or not at all: it is called in the same transaction, and sees the
            record as it was.
        :raises Busy: the disk does not take it.
        """
        names = [name for name in _COLUMNS if name != "id"]
        values = dict(zip(_COLUMNS, _to_row(job), strict=True))
        with self.transaction() as db:
            if along is not None:
                along(db)
            db.execute(
                f"UPDATE jobs SET {', '.join(f'{name} = ?' for name in names)} WHERE id = ?",
                [*(values[name] for name in names), job.id],
            )
        return job

    def delete(self, job_id: str) -> None:
        """Forget a job, its image and its log."""
        with self.transaction() as db:
            db.execute("DELETE FROM jobs WHERE id = ?", [job_id])
        self.remove_image(job_id)
        with contextlib.suppress(OSError):
            self.log_path(job_id).unlink(missing_ok=True)

    def forget_oldest(self, keep: int) -> None:
        """Forget the oldest jobs that are over, but for the newest ``keep``; as Orthanc's JobsHistorySize.

        Those whose destinations wait for a verdict are kept.
        """
        over = f"state IN ('Success', 'Failure') AND NOT dirty AND NOT {_WITH_DESTINATIONS % _HELD}"
        old = self._select(f"WHERE {over} ORDER BY seq DESC LIMIT -1 OFFSET ?", [keep])
        for job in old:
            self.delete(job.id)


def _queue_full(most: int) -> Busy:
    return Busy(f"the queue is full: {most} jobs wait or run", remedy="try again later, or raise QueueSize")


def is_full(folder: Path, error: Exception) -> bool:
    """Whether an error comes of a full disk. SQLite tells of some only that they are errors of the disk."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return True
    if code not in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN):
        return False
    try:
        free = os.statvfs(folder)
    except OSError:
        return False
    is_tight = free.f_bavail * free.f_frsize < 4 * _ROOM_BYTES or free.f_favail == 0 < free.f_files
    return is_tight and not free.f_flag & os.ST_RDONLY


def _full(folder: Path, error: Exception) -> Busy:
    """The disk does not take a job: nothing that trying again at once would mend."""
    what = "is full" if is_full(folder, error) or "full" in str(error) else f"cannot be written: {error}"
    return Busy(f"the disk of the jobs folder {folder} {what}", retry_after=60)


def _to_row(job: JobRecord) -> list[Any]:
    row = []
    for name in _FIELDS:
        value = getattr(job, name)
        if isinstance(value, State):
            value = value.value
        elif isinstance(value, Problem):
            value = json.dumps(encodable(value.to_json()))
        elif name in _JSON and value is not None:
            value = json.dumps(encodable(value))
        row.append(value)
    return row


def _from_row(row: Sequence[Any]) -> JobRecord:
    fields = dict(zip(_FIELDS, row, strict=True))
    for name in _JSON:
        fields[name] = None if fields[name] is None else json.loads(fields[name])
    fields["state"] = State(fields["state"])
    fields["has_leftovers"] = bool(fields["has_leftovers"])
    fields["problem"] = None if fields["problem"] is None else Problem.from_json(json.loads(fields["problem"]))
    return JobRecord(**fields)
