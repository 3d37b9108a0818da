"""JobStore: the jobs, as rows of a database, and the images that were uploaded for them.

Once ``add`` has returned, a job survives a crash of the process or the machine. An image is on disk before the row that
names it.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

from derived_series.errors import Busy, Conflict, DerivedSeriesError, NotFound
from derived_series.jobs.destination_states import CLOSED, HELD
from derived_series.jobs.plain import encodable
from derived_series.jobs.queue.database import Database, Note, Transaction
from derived_series.jobs.queue.job_files import FolderFiles, JobFiles
from derived_series.jobs.queue.schema import VERSION
from derived_series.jobs.queue.sqlite_database import SqliteDatabase, full
from derived_series.jobs.record import JobRecord, Problem, State
from derived_series.jobs.stored_series import stored_series

_FIELDS = tuple(field.name for field in dataclasses.fields(JobRecord))
#: Columns that are named differently from their fields, as in databases of older versions.
_COLUMN_OF = {"has_leftovers": "dirty", "attempts_lost_to_restarts": "lost"}
_COLUMNS = tuple(_COLUMN_OF.get(name, name) for name in _FIELDS)
#: Columns with values extracted from the JSON of others.
_DERIVED = ("pipeline", "replaces", "preview", "verdict", "made", "held", "undelivered")
_JSON = frozenset({"request", "result"})
_UNFINISHED = "state IN ('Pending', 'Running', 'Retry')"

#: By how much the clocks of several Orthancs may differ.
_CLOCKS_DIFFER_SECONDS = 60.0

#: The LIMIT of a query without a limit.
_ALL = 1 << 62


class JobStore:
    """Stores all jobs. Safe for threads.

    :param folder: the jobs folder, created if it is missing.
    :param database: the database of the rows; by default a file in the folder, for one process at a time.
    :param files: where images and logs are kept; by default in the folder.
    :raises Busy: its disk is full. :raises DerivedSeriesError: it cannot be written.
    """

    #: Why nothing is derived; None if jobs are accepted.
    problem: str | None = None

    def __init__(self, folder: Path, database: Database | None = None, files: JobFiles | None = None):
        self.folder = folder
        self.files = FolderFiles(folder) if files is None else files
        self.database = SqliteDatabase(folder) if database is None else database
        try:
            if self.database.version < VERSION:
                self._bring_up_to_date()
        except DerivedSeriesError:
            self.database.close()
            raise

    def _bring_up_to_date(self) -> None:
        """Fill in the derived columns that older versions did not write."""
        with self.database.transaction() as db:
            rows = db.execute("SELECT id, request, result FROM jobs").fetchall()
            changed = [
                [*_looked_for(_object(request), _object(result)).values(), job_id] for job_id, request, result in rows
            ]
            db.executemany(f"UPDATE jobs SET {', '.join(f'{name} = ?' for name in _DERIVED)} WHERE id = ?", changed)
        self.database.set_version()

    def close(self) -> None:
        self.database.close()

    def transaction(self, *, leading: bool = False, before: Note | None = None) -> AbstractContextManager[Transaction]:
        """Begin a transaction that writes; see ``Database.transaction``."""
        return self.database.transaction(leading=leading, before=before)

    def reading(self) -> AbstractContextManager[Transaction]:
        """Begin a transaction that reads; see ``Database.reading``."""
        return self.database.reading()

    def add(
        self,
        job: JobRecord,
        image: bytes | None,
        *,
        most: int,
        along: Note | None = None,
        leading: bool = False,
    ) -> None:
        """Accept a job, which is on disk when this returns.

        :param most: the most unfinished jobs.
        :param along: writes data that belongs to the job, in the same transaction.
        :param leading: whether only the Orthanc that leads may do so.
        :raises Busy: there are that many, or the disk is full; nothing of the job is stored.
        """
        self._check_room(most)
        accepted = False
        try:
            if image is not None and job.image is not None and self.files.apart:
                self.files.write_image(None, job.id, job.image, image)
            before = None if self.files.apart else self._image_of(job, image)
            with self.transaction(leading=leading, before=before) as db:
                if self._count_unfinished(db) >= most:
                    raise _queue_full(most)
                row = _to_row(job)
                marks = ", ".join("?" * len(row))
                db.execute(f"INSERT INTO jobs ({', '.join(row)}) VALUES ({marks})", list(row.values()))
                if along is not None:
                    along(db)
            accepted = True
        except OSError as error:
            raise full(self.folder, error) from error
        finally:
            if not accepted and self.files.apart:
                self.remove_image(job.id)

    def _image_of(self, job: JobRecord, image: bytes | None) -> Note | None:
        name = job.image
        if image is None or name is None:
            return None
        return lambda db: self.files.write_image(db, job.id, name, image)

    def _check_room(self, most: int) -> None:
        with self.database.reading() as db:
            if self._count_unfinished(db) >= most:
                raise _queue_full(most)

    @staticmethod
    def _count_unfinished(db: Transaction) -> int:
        count: int = db.execute(f"SELECT count(*) FROM jobs WHERE {_UNFINISHED}").fetchone()[0]
        return count

    def image_path(self, job: JobRecord) -> Path | None:
        """The uploaded image's file; None if it is not a file on this machine."""
        return None if job.image is None else self.files.image_path(job.id, job.image)

    def image_size(self, job: JobRecord) -> int | None:
        """The size of the uploaded image in bytes; None if there is none (any more)."""
        return None if job.image is None else self.files.image_size(job.id, job.image)

    def read_image(self, job: JobRecord, start: int = 0, count: int | None = None) -> bytes:
        """Read bytes of the uploaded image. :param count: None: the rest. :raises NotFound: there is none."""
        return self.files.read_image(job.id, job.image or "", start, count)

    def remove_image(self, job_id: str) -> None:
        """Remove the uploaded image of a job."""
        self.files.remove_image(job_id)

    def remove_image_of_failed(self, job_id: str) -> bool:
        """Remove the uploaded image of a job, unless it was resubmitted. :returns: whether it was removed."""
        with self.transaction() as db:
            failed = "SELECT 1 FROM jobs WHERE id = ? AND state = 'Failure'"
            if db.execute(failed, [job_id]).fetchone() is None:
                return False
            self.files.remove_image(job_id, db)
            return True

    def if_image_is_kept(self, job: JobRecord) -> Note:
        """A note that requires the uploaded image of a job. It raises ``Conflict`` if that was removed."""
        name = job.image

        def check(db: Transaction) -> None:
            if name is not None and not self.files.has_image(db, job.id, name):
                raise Conflict(
                    f"the image of job {job.id} is not kept any more",
                    remedy="send it again as a new request; FailedUploadsDays and FailedUploadsMB say what is kept",
                )

        return check

    def remove_stray_images(self) -> int:
        """Remove images whose jobs were never accepted, succeeded or are gone (after a crash between two steps)."""
        return self.files.remove_stray_images(self._is_done_with)

    def _is_done_with(self, job_id: str) -> bool:
        job = self.find(job_id)
        return job is None or job.state is State.SUCCESS

    def find(self, job_id: str) -> JobRecord | None:
        jobs = self._select("WHERE id = ?", [job_id])
        return jobs[0] if jobs else None

    def get(self, job_id: str) -> JobRecord:
        """The record of a job. :raises NotFound: there is no such job."""
        job = self.find(job_id)
        if job is None:
            raise NotFound(f"there is no job {job_id}", remedy="GET /derived-series/jobs lists them")
        return job

    def page(self, since: int = 0, limit: int = 0) -> list[JobRecord]:
        """A page of jobs in the order of their acceptance. :param limit: 0: all of them."""
        return self._select("ORDER BY seq LIMIT ? OFFSET ?", [limit or _ALL, since])

    def of_series(self, series: str) -> list[JobRecord]:
        """The jobs with a series as their parent, including those that reject it, in the order of acceptance."""
        return self._select("WHERE series = ? ORDER BY seq", [series])

    def unfinished(self) -> list[JobRecord]:
        return self._select(f"WHERE {_UNFINISHED} ORDER BY seq")

    def with_leftovers(self) -> list[JobRecord]:
        """Failed jobs that may have left something in Orthanc."""
        return self._select("WHERE state = 'Failure' AND dirty <> 0 ORDER BY seq")

    def failed_with_image(self) -> list[JobRecord]:
        """Failed jobs with an uploaded image."""
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
        """The job to run next: the one with the highest priority, then the oldest.

        A job that replaces waits while another one on its subject runs, because two would not see each other's series.

        :param preview: take only dry runs, which store and replace nothing.
        :param only: take only jobs of these pipelines; None: of any.
        :param without: take no jobs of these pipelines. :param pipelines: False: take no jobs of any pipeline.
        """
        wanted: list[str] = []
        names: list[str] = []
        if preview:
            wanted.append("preview <> 0")
        if not pipelines:
            wanted.append("pipeline IS NULL")
        if only is not None:
            wanted.append(f"pipeline IN ({_marks(only)})")
            names += only
        if without:
            wanted.append(f"(pipeline IS NULL OR pipeline NOT IN ({_marks(without)}))")
            names += without
        jobs = self._select(
            "AS waiting WHERE (state = 'Pending' OR (state = 'Retry' AND next_try <= ?)) AND (replaces = 0 OR NOT "
            "EXISTS (SELECT 1 FROM jobs AS other WHERE other.state = 'Running' AND other.subject = waiting.subject)) "
            f"{''.join(f'AND {each} ' for each in wanted)}ORDER BY priority DESC, seq LIMIT 1",
            [now, *names],
        )
        return jobs[0] if jobs else None

    def oldest_waiting(self) -> float | None:
        """When the oldest job that has never run was accepted, in seconds since 1970; None if there is none."""
        with self.database.reading() as db:
            row = db.execute("SELECT min(created) FROM jobs WHERE state = 'Pending' AND started IS NULL").fetchone()
        return row[0]  # type: ignore[no-any-return]

    def try_to_write(self) -> None:
        """Test writing. :raises Busy: the disk refuses it."""
        self.database.try_to_write()

    def next_time(self) -> float | None:
        """When the first job that waits for another attempt is due; None if there is none."""
        with self.database.reading() as db:
            row = db.execute("SELECT min(next_try) FROM jobs WHERE state = 'Retry'").fetchone()
        return row[0]  # type: ignore[no-any-return]

    def with_digest(self, digest: str) -> list[JobRecord]:
        """The jobs with a digest that have stored their series or may still do so, newest first.

        One that has failed is among them if only its delivery did, and one that is to be cancelled if its series stay.
        """
        goes_on = "state <> 'Failure' AND id NOT IN (SELECT job FROM cancellations)"
        return self._select(f"WHERE digest = ? AND (made <> '' OR ({goes_on})) ORDER BY seq DESC", [digest])

    def stored_before(self, job: JobRecord) -> list[JobRecord]:
        """The jobs on a job's subject that were accepted before it and have stored their series, delivered or not.

        Those that were accepted later have the newer result, even if this one runs after them.
        """
        return self._select(
            "WHERE subject = ? AND made <> '' AND verdict IS NULL AND seq < (SELECT seq FROM jobs WHERE id = ?) "
            "ORDER BY seq",
            [job.subject, job.id],
        )

    def undelivered(self) -> list[JobRecord]:
        """The jobs that are over with destinations that did not take their series, or that wait for a verdict."""
        return self._select("WHERE state IN ('Success', 'Failure') AND undelivered <> 0 ORDER BY seq")

    def maker_of(self, series: str) -> JobRecord | None:
        """The job that stored a series. :param series: its Orthanc identifier."""
        jobs = self._select("WHERE made LIKE ? ESCAPE '!' AND verdict IS NULL ORDER BY seq LIMIT 1", [_pattern(series)])
        return jobs[0] if jobs else None

    def newest_series(self, most: int) -> list[JobRecord]:
        """The jobs that stored series, newest first. :param most: -1: all of them."""
        limit = _ALL if most < 0 else most
        return self._select("WHERE made <> '' AND verdict IS NULL ORDER BY seq DESC LIMIT ?", [limit])

    def rejections(self) -> list[JobRecord]:
        """The jobs that rejected a series and stored a rejection note."""
        return self._select("WHERE result IS NOT NULL AND verdict = 'Reject' ORDER BY seq")

    def cancellations(self) -> list[str]:
        """The identifiers of the jobs to be cancelled."""
        with self.database.reading() as db:
            return [job for (job,) in db.execute("SELECT job FROM cancellations").fetchall()]

    def is_cancelled(self, job_id: str) -> bool:
        """Whether a job is to be cancelled."""
        with self.database.reading() as db:
            return db.execute("SELECT 1 FROM cancellations WHERE job = ?", [job_id]).fetchone() is not None

    def counts(self) -> dict[State, int]:
        """The number of jobs in each state."""
        with self.database.reading() as db:
            rows = db.execute("SELECT state, count(*) FROM jobs GROUP BY state").fetchall()
        counts = {State(state): count for state, count in rows}
        return {state: counts.get(state, 0) for state in State}

    def _select(self, condition: str, values: Sequence[Any] = ()) -> list[JobRecord]:
        with self.database.reading() as db:
            rows = db.execute(f"SELECT {', '.join(_COLUMNS)} FROM jobs {condition}", values).fetchall()
        return [_from_row(row) for row in rows]

    def claim(self, job: JobRecord) -> bool:
        """Record the beginning of an attempt, as the Orthanc that leads; it is on disk when this returns.

        :param job: the record of the new attempt.
        :returns: False if the job no longer waits, or another attempt has begun.
        :raises Busy: the disk refuses it.
        """
        return self._write(job, "attempt = ? AND state IN ('Pending', 'Retry')", [job.attempt - 1], None)

    def update(self, job: JobRecord, along: Note | None = None) -> bool:
        """Write what became of an attempt, as the Orthanc that leads; it is on disk when this returns.

        :param along: writes data that belongs to it, in the same transaction, while the record is still the old one.
        :returns: False if the job is at another attempt by now, or gone; nothing was written.
        :raises Busy: the disk refuses it.
        """
        return self._write(job, "attempt = ?", [job.attempt], along)

    def _write(self, job: JobRecord, condition: str, values: Sequence[Any], along: Note | None) -> bool:
        with self.transaction(leading=True) as db:
            if along is not None and _is_there(db, job, condition, values):
                along(db)
            return _written(db, job, condition, values)

    def exchange(self, former: JobRecord, job: JobRecord, along: Note | None = None) -> bool:
        """Replace a job's record, whoever leads; it is on disk when this returns.

        :param former: the record that the new one is based on. :param along: see ``update``.
        :returns: False if the record has changed meanwhile; nothing was written.
        :raises Busy: the disk refuses it.
        """
        with self.transaction() as db:
            row = db.execute(f"SELECT {', '.join(_COLUMNS)} FROM jobs WHERE id = ?", [former.id]).fetchone()
            if row is None or _from_row(row) != former:
                return False
            if along is not None:
                along(db)
            return _written(db, job, "id = id", [])

    def delete(self, job_id: str) -> None:
        """Delete a job that is over, with its image and log. :raises Conflict: it is not over (any more)."""
        with self.transaction() as db:
            db.execute("DELETE FROM jobs WHERE id = ? AND state IN ('Success', 'Failure')", [job_id])
            if db.execute("SELECT 1 FROM jobs WHERE id = ?", [job_id]).fetchone() is not None:
                raise Conflict(f"the job {job_id} is not over", remedy="cancel it first")
        self.files.remove(job_id)

    def forget_oldest(self, keep: int) -> None:
        """Delete the jobs that are over, except the ``keep`` that ended last, like Orthanc's JobsHistorySize.

        Those whose destinations wait for a verdict are kept. One that ended in the future did so before the clock was
        set back.
        """
        over = "state IN ('Success', 'Failure') AND dirty = 0 AND held = 0"
        ended = "CASE WHEN completed <= ? THEN completed ELSE 0 END"
        values = [time.time() + _CLOCKS_DIFFER_SECONDS, _ALL, keep]
        old = self._select(f"WHERE {over} ORDER BY {ended} DESC, seq DESC LIMIT ? OFFSET ?", values)
        for job in old:
            with suppress(Conflict):  # it was resubmitted just now
                self.delete(job.id)


def is_wanted(db: Transaction, job_id: str, attempt: int) -> bool:
    """Whether an attempt is running and its job not to be cancelled."""
    row = db.execute(
        "SELECT 1 FROM jobs WHERE id = ? AND state = 'Running' AND attempt = ? "
        "AND id NOT IN (SELECT job FROM cancellations)",
        [job_id, attempt],
    ).fetchone()
    return row is not None


def _is_there(db: Transaction, job: JobRecord, condition: str, values: Sequence[Any]) -> bool:
    row = db.execute(f"SELECT 1 FROM jobs WHERE id = ? AND {condition}", [job.id, *values]).fetchone()
    return row is not None


def _written(db: Transaction, job: JobRecord, condition: str, values: Sequence[Any]) -> bool:
    row = _to_row(job)
    del row["id"]
    columns = ", ".join(f"{name} = ?" for name in row)
    changed = db.execute(f"UPDATE jobs SET {columns} WHERE id = ? AND {condition}", [*row.values(), job.id, *values])
    if job.state.is_final and changed.rowcount == 1:
        db.execute("DELETE FROM cancellations WHERE job = ?", [job.id])
        db.execute("DELETE FROM completions WHERE job = ?", [job.id])
    elif job.state is not State.RUNNING and not job.has_leftovers and changed.rowcount == 1:
        db.execute(  # nothing is there that could become complete, and nothing is on its way
            "DELETE FROM completions WHERE job = ? AND settled = 0 AND job NOT IN (SELECT job FROM leftovers)", [job.id]
        )
    return changed.rowcount == 1


def _queue_full(most: int) -> Busy:
    return Busy(f"the queue is full: {most} jobs wait or run", remedy="try again later, or raise QueueSize")


def _marks(values: Collection[str]) -> str:
    """The placeholders for a list of values; for an empty list, one that matches nothing."""
    return ", ".join("?" * len(values)) or "NULL"


def _pattern(series: str) -> str:
    """The LIKE pattern for a list that contains a series."""
    escaped = series.replace("!", "!!").replace("%", "!%").replace("_", "!_")
    return f"% {escaped} %"


def _object(text: str | None) -> dict[str, Any]:
    """Read a JSON object; an empty one if it is not an object."""
    try:
        value = None if text is None else json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _looked_for(request: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    """The values of the derived columns."""
    series = [each["ID"] for each in stored_series(result) if isinstance(each.get("ID"), str)]
    destinations = result.get("Destinations")
    states = set(destinations.values()) if isinstance(destinations, dict) else set()
    preview = bool(request.get("DryRun"))
    return {
        "pipeline": request.get("Pipeline"),
        "replaces": int(request.get("IfExists") == "Replace" and not preview),
        "preview": int(preview),
        "verdict": request.get("Verdict"),
        "made": f" {' '.join(series)} " if series else "",
        "held": int(HELD in states),
        "undelivered": int(bool(states - (CLOSED - {HELD}))),
    }


def _to_row(job: JobRecord) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name, column in zip(_FIELDS, _COLUMNS, strict=True):
        value = getattr(job, name)
        if isinstance(value, State):
            value = value.value
        elif isinstance(value, Problem):
            value = json.dumps(encodable(value.to_json()))
        elif name in _JSON and value is not None:
            value = json.dumps(encodable(value))
        elif isinstance(value, bool):
            value = int(value)
        row[column] = value
    return {**row, **_looked_for(job.request, job.result or {})}


def _from_row(row: Sequence[Any]) -> JobRecord:
    fields = dict(zip(_FIELDS, row, strict=True))
    for name in _JSON:
        fields[name] = None if fields[name] is None else json.loads(fields[name])
    fields["state"] = State(fields["state"])
    fields["has_leftovers"] = bool(fields["has_leftovers"])
    fields["problem"] = None if fields["problem"] is None else Problem.from_json(json.loads(fields["problem"]))
    return JobRecord(**fields)
