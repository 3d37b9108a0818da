"""FullStore: the replacement for the job store if its disk is full at the start."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from derived_series.errors import Busy
from derived_series.jobs.queue.database import Note, Transaction
from derived_series.jobs.queue.sqlite_database import SqliteDatabase
from derived_series.jobs.queue.store import JobStore
from derived_series.jobs.record import JobRecord


class FullStore(JobStore):
    """A job store that has no jobs and refuses new ones; the contents of the disk stay untouched.

    :param problem: why nothing is stored.
    """

    def __init__(self, folder: Path, problem: str):
        super().__init__(folder, SqliteDatabase(folder, in_memory=True))
        self.problem = problem
        self._is_shut = False

    def shut(self) -> None:
        """From now on, refuse to write."""
        self._is_shut = True

    def add(
        self,
        job: JobRecord,
        image: bytes | None,
        *,
        most: int,
        along: Note | None = None,
        leading: bool = False,
    ) -> None:
        raise self._refusal()

    def get(self, job_id: str) -> JobRecord:
        raise self._refusal()

    def page(self, since: int = 0, limit: int = 0) -> list[JobRecord]:
        raise self._refusal()

    def remove_stray_images(self) -> int:
        """Do nothing: no image is known to be stray."""
        return 0

    @contextmanager
    def transaction(self, *, leading: bool = False, before: Note | None = None) -> Iterator[Transaction]:
        if self._is_shut:
            raise self._refusal()
        with super().transaction(leading=leading, before=before) as db:
            yield db

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        if self._is_shut:
            raise self._refusal()
        with super().reading() as db:
            yield db

    def _refusal(self) -> Busy:
        return Busy(f"{self.problem}: nothing is derived", retry_after=60, remedy="make room there and restart Orthanc")
