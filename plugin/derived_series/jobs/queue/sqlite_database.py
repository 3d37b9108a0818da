"""SqliteDatabase: the jobs in a file on this machine.

What a transaction has written survives a crash of the process or the machine (WAL, synchronous=FULL).
"""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from derived_series.errors import Busy, Conflict, DerivedSeriesError
from derived_series.jobs.queue.database import Database, Note, Transaction
from derived_series.jobs.queue.schema import VERSION, Dialect, lacking, tables

#: The file in the jobs folder; its version is SQLite's user_version.
DATABASE = "jobs.sqlite"

_DIALECT = Dialect(counter="INTEGER PRIMARY KEY AUTOINCREMENT", bytes="BLOB")

#: Errors that have nothing to do with the disk: trying again would fail the same way.
_REFUSED_VALUES = (sqlite3.DataError, sqlite3.InterfaceError)

#: The bytes that are written at the start to test the disk.
_ROOM_BYTES = 1 << 16


class SqliteDatabase(Database):
    """A database file for one process at a time.

    :param folder: the folder of the file, created if it is missing.
    :param in_memory: whether to keep everything in memory and not use the folder.
    :raises Busy: the disk is full. :raises DerivedSeriesError: the file cannot be used.
    """

    def __init__(self, folder: Path, *, in_memory: bool = False):
        self._folder = folder
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
        """Create the tables of a new database, and update those of an older version."""
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            raise DerivedSeriesError(
                f"{self._folder / DATABASE} has version {version}, this plugin knows {VERSION}",
                remedy="use the plugin's version that wrote it, or another JobsFolder",
            )
        with self._db:
            there = {
                table: [row[1] for row in self._db.execute(f"PRAGMA table_info({table})")]
                for table in ("jobs", "acts", "series_numbers", "firings")
            }
            for table, column in lacking(there):
                self._db.execute(f"ALTER TABLE {table} ADD COLUMN {column}")
            for statement in tables(_DIALECT):
                self._db.execute(statement)
            self._db.execute("UPDATE acts SET seq = rowid WHERE seq IS NULL")
        with self._db:  # test whether there is room for what is written at the start
            self._db.execute("CREATE TABLE IF NOT EXISTS room (one INTEGER PRIMARY KEY, bytes BLOB)")
            self._db.execute("INSERT OR REPLACE INTO room VALUES (1, zeroblob(?))", [_ROOM_BYTES])
        with self._db:
            self._db.execute("DELETE FROM room")

    def try_to_write(self) -> None:
        with self.transaction() as db:
            db.execute("DELETE FROM room WHERE one = 2")
            db.execute("INSERT INTO room VALUES (2, NULL)")

    @property
    def version(self) -> int:
        with self._lock:
            return int(self._db.execute("PRAGMA user_version").fetchone()[0])

    def set_version(self) -> None:
        with self.transaction() as db:
            db.execute(f"PRAGMA user_version={VERSION}")

    def close(self) -> None:
        with self._lock:
            self._db.close()

    @contextmanager
    def transaction(self, *, leading: bool = False, before: Note | None = None) -> Iterator[Transaction]:
        with self._lock:
            try:
                with self._db:
                    if before is not None:
                        before(self._db)
                    yield self._db
            except _REFUSED_VALUES as error:
                raise DerivedSeriesError(f"a job cannot be written down: {error}") from error
            except sqlite3.IntegrityError as error:
                raise Conflict(f"it is written down already: {error}") from error
            except sqlite3.Error as error:
                raise full(self._folder, error) from error

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        with self._lock:
            try:
                yield self._db
            except sqlite3.Error as error:
                raise full(self._folder, error) from error


def is_full(folder: Path, error: Exception) -> bool:
    """Whether an error is caused by a full disk; SQLite reports some only as disk errors."""
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


def full(folder: Path, error: Exception) -> Busy:
    """The error for a disk that refuses a job."""
    what = "is full" if is_full(folder, error) or "full" in str(error) else f"cannot be written: {error}"
    return Busy(f"the disk of the jobs folder {folder} {what}", retry_after=60)
