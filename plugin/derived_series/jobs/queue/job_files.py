"""JobFiles: the uploaded image and the log of each job, and the reports of runs."""

from __future__ import annotations

import contextlib
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from derived_series.errors import NotFound
from derived_series.jobs.queue.database import Database, Transaction

#: The bytes of an image in one row.
_PART_BYTES = 1 << 20

#: The bytes of a log that are read at once.
_PAGE_BYTES = 1 << 18


class JobFiles(ABC):
    """Files by the identifier of their job. Safe for threads."""

    #: Whether an image is written outside its job's transaction, and so must be removed if that fails.
    apart: bool

    @abstractmethod
    def write_image(self, db: Transaction | None, job_id: str, name: str, image: bytes) -> None:
        """Write an image. :param db: the transaction to write it in, unless it is a file."""

    @abstractmethod
    def image_path(self, job_id: str, name: str) -> Path | None:
        """The image's file; None if it is not a file on this machine."""

    @abstractmethod
    def image_size(self, job_id: str, name: str) -> int | None:
        """The size of an image in bytes; None if it does not exist (any more)."""

    @abstractmethod
    def read_image(self, job_id: str, name: str, start: int = 0, count: int | None = None) -> bytes:
        """Read bytes of an image. :param count: None: all from ``start`` on. :raises NotFound: it does not exist."""

    @abstractmethod
    def has_image(self, db: Transaction, job_id: str, name: str) -> bool:
        """Whether an image exists. :param db: the transaction to look in, unless it is a file."""

    @abstractmethod
    def remove_image(self, job_id: str, db: Transaction | None = None) -> None:
        """Remove an image. :param db: a transaction to remove it in, unless it is a file."""

    @abstractmethod
    def remove_stray_images(self, is_done_with: Callable[[str], bool]) -> int:
        """Remove the images that no job needs. :returns: how many."""

    @abstractmethod
    def append_log(self, job_id: str, text: bytes, most: int, full: bytes) -> None:
        """Append to a job's log.

        :param most: the most bytes of a log; a longer one is cut and ends with ``full``.
        :raises OSError: the disk refuses it.
        """

    @abstractmethod
    def read_log(self, job_id: str, start: int) -> bytes:
        """Read a part of a log from an offset on; empty if there is none."""

    @abstractmethod
    def remove(self, job_id: str) -> None:
        """Remove all files of a job."""

    @abstractmethod
    def write_report(self, run: str, report: bytes) -> None:
        """Write the report of a run over many series, completely or not at all.

        :raises OSError: the disk refuses it. :raises Busy: the database does.
        """

    @abstractmethod
    def read_report(self, run: str) -> bytes | None:
        """The report of a run; None if there is none."""

    @abstractmethod
    def has_report(self, run: str) -> bool: ...


class FolderFiles(JobFiles):
    """Files in the jobs folder. Images are on disk when writing returns, logs soon after."""

    apart = True

    def __init__(self, folder: Path):
        self._folder = folder

    def job_folder(self, job_id: str) -> Path:
        return self._folder / "images" / job_id

    def log_path(self, job_id: str) -> Path:
        return self._folder / "logs" / f"{job_id}.log"

    def write_image(self, db: Transaction | None, job_id: str, name: str, image: bytes) -> None:
        folder = self.job_folder(job_id)
        folder.mkdir(parents=True)
        with (folder / name).open("wb") as file:
            file.write(image)
            file.flush()
            os.fsync(file.fileno())
        for directory in (folder, folder.parent):
            handle = os.open(directory, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)

    def image_path(self, job_id: str, name: str) -> Path | None:
        return self.job_folder(job_id) / name

    def image_size(self, job_id: str, name: str) -> int | None:
        try:
            return (self.job_folder(job_id) / name).stat().st_size
        except OSError:  # removed before
            return None

    def read_image(self, job_id: str, name: str, start: int = 0, count: int | None = None) -> bytes:
        try:
            with (self.job_folder(job_id) / name).open("rb") as file:
                file.seek(start)
                return file.read(-1 if count is None else count)
        except FileNotFoundError as error:
            raise _no_image(job_id) from error

    def has_image(self, db: Transaction, job_id: str, name: str) -> bool:
        return (self.job_folder(job_id) / name).exists()

    def remove_image(self, job_id: str, db: Transaction | None = None) -> None:
        shutil.rmtree(self.job_folder(job_id), ignore_errors=True)

    def remove_stray_images(self, is_done_with: Callable[[str], bool]) -> int:
        root = self._folder / "images"
        strays = [path for path in root.glob("*") if is_done_with(path.name)] if root.exists() else []
        for path in strays:
            shutil.rmtree(path, ignore_errors=True)
        return len(strays)

    def append_log(self, job_id: str, text: bytes, most: int, full: bytes) -> None:
        path = self.log_path(job_id)
        path.parent.mkdir(exist_ok=True)
        with path.open("ab") as file:
            file.write(_fitting(text, file.tell(), most, full))

    def read_log(self, job_id: str, start: int) -> bytes:
        try:
            with self.log_path(job_id).open("rb") as file:
                file.seek(start)
                return file.read(_PAGE_BYTES)
        except OSError:  # it has no lines
            return b""

    def remove(self, job_id: str) -> None:
        self.remove_image(job_id)
        with contextlib.suppress(OSError):
            self.log_path(job_id).unlink(missing_ok=True)

    def _report_path(self, run: str) -> Path:
        return self._folder / "reports" / f"{run}.html"

    def write_report(self, run: str, report: bytes) -> None:
        path = self._report_path(run)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".part")
        with partial.open("wb") as file:
            file.write(report)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)

    def read_report(self, run: str) -> bytes | None:
        try:
            return self._report_path(run).read_bytes()
        except OSError:
            return None

    def has_report(self, run: str) -> bool:
        return self._report_path(run).exists()


class TableFiles(JobFiles):
    """Rows in the jobs database, which all Orthancs can read."""

    apart = False

    def __init__(self, database: Database):
        self._database = database

    def write_image(self, db: Transaction | None, job_id: str, name: str, image: bytes) -> None:
        if db is None:
            raise TypeError("an image is written in the transaction of its job")
        view = memoryview(image)
        rows = ([job_id, start, bytes(view[start : start + _PART_BYTES])] for start in _starts(len(view)))
        db.executemany("INSERT INTO images (job, place, bytes) VALUES (?, ?, ?)", rows)

    def image_path(self, job_id: str, name: str) -> Path | None:
        return None

    def image_size(self, job_id: str, name: str) -> int | None:
        with self._database.reading() as db:
            row = db.execute("SELECT max(place + length(bytes)) FROM images WHERE job = ?", [job_id]).fetchone()
        return None if row[0] is None else int(row[0])

    def read_image(self, job_id: str, name: str, start: int = 0, count: int | None = None) -> bytes:
        size = self.image_size(job_id, name)
        if size is None:
            raise _no_image(job_id)
        end = size if count is None else min(size, start + count)
        parts = []
        for place in _starts(end):
            if place + _PART_BYTES > start:
                part = self._part(job_id, place)
                parts.append(part[max(0, start - place) : end - place])
        return b"".join(parts)

    def _part(self, job_id: str, place: int) -> bytes:
        with self._database.reading() as db:
            row = db.execute("SELECT bytes FROM images WHERE job = ? AND place = ?", [job_id, place]).fetchone()
        if row is None:  # removed meanwhile
            raise _no_image(job_id)
        return bytes(row[0])

    def has_image(self, db: Transaction, job_id: str, name: str) -> bool:
        return db.execute("SELECT 1 FROM images WHERE job = ?", [job_id]).fetchone() is not None

    def remove_image(self, job_id: str, db: Transaction | None = None) -> None:
        if db is None:
            self._delete("images", job_id)
        else:
            db.execute("DELETE FROM images WHERE job = ?", [job_id])

    def remove_stray_images(self, is_done_with: Callable[[str], bool]) -> int:
        with self._database.reading() as db:
            jobs = [job for (job,) in db.execute("SELECT DISTINCT job FROM images").fetchall()]
        strays = [job for job in jobs if is_done_with(job)]
        for job in strays:
            self.remove_image(job)
        return len(strays)

    def append_log(self, job_id: str, text: bytes, most: int, full: bytes) -> None:
        with self._database.transaction() as db:
            (size,) = _sizes(db.execute("SELECT max(place + length(bytes)) FROM logs WHERE job = ?", [job_id]))
            if kept := _fitting(text, size, most, full):
                db.execute("INSERT INTO logs (job, place, bytes) VALUES (?, ?, ?)", [job_id, size, kept])

    def read_log(self, job_id: str, start: int) -> bytes:
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT place, bytes FROM logs WHERE job = ? AND place + length(bytes) > ? ORDER BY place LIMIT 64",
                [job_id, start],
            ).fetchall()
        text = b"".join(bytes(part)[max(0, start - place) :] for place, part in rows)
        return text[:_PAGE_BYTES]

    def remove(self, job_id: str) -> None:
        self.remove_image(job_id)
        self._delete("logs", job_id)

    def write_report(self, run: str, report: bytes) -> None:
        with self._database.transaction() as db:
            db.execute("DELETE FROM reports WHERE run = ?", [run])
            db.execute("INSERT INTO reports (run, bytes) VALUES (?, ?)", [run, report])

    def read_report(self, run: str) -> bytes | None:
        with self._database.reading() as db:
            row = db.execute("SELECT bytes FROM reports WHERE run = ?", [run]).fetchone()
        return None if row is None else bytes(row[0])

    def has_report(self, run: str) -> bool:
        with self._database.reading() as db:
            return db.execute("SELECT 1 FROM reports WHERE run = ?", [run]).fetchone() is not None

    def _delete(self, table: str, job_id: str) -> None:
        with self._database.transaction() as db:
            db.execute(f"DELETE FROM {table} WHERE job = ?", [job_id])


def _sizes(rows: Any) -> Sequence[int]:
    return [int(value or 0) for value in rows.fetchone()]


def _starts(end: int) -> Iterator[int]:
    yield from range(0, end, _PART_BYTES)


def _fitting(text: bytes, size: int, most: int, full: bytes) -> bytes:
    """The part of a text that still fits a log of ``size`` bytes."""
    if size + len(text) <= most:
        return text
    return full + b"\n" * (most - size) if size < most else b""


def _no_image(job_id: str) -> NotFound:
    return NotFound(f"the job {job_id} has no image (any more)")
