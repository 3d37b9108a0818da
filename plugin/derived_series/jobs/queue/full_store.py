"""What stands in for the jobs where their disk was full at the start."""

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
    """Knows of no job, takes none, and says why. What is on the disk stays as it is.

    :param problem: why.
    """

    def __init__(self, folder: Path, problem: str):
        super().__init__(folder, SqliteDatabase(folder, in_memory=True))
        self.problem = problem
        self._is_shut = False

    def shut(self) -> None:
        """From now on nothing is written, which would be lost."""
        self._is_shut = True

    def add(
        self,
        job: JobRecord,
        image: bytes | None,
        *,
        most: int,
        along: Note | None = None,
    ) -> None:
        raise self._refusal()

    def get(self, job_id: str) -> JobRecord:
        raise self._refusal()

    def page(self, since: int = 0, limit: int = 0) -> list[JobRecord]:
        raise self._refusal()

    def remove_stray_images(self) -> int:
        """None is known to be one."""
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
