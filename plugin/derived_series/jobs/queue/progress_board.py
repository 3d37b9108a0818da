"""ProgressBoard: the progress of attempts at jobs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from derived_series.jobs.plain import printable
from derived_series.jobs.queue.database import Database


@dataclass(frozen=True, slots=True)
class ProgressReport:
    """The last report of an attempt. :param phase: such as "Fetching". :param text: the pipeline's own words."""

    attempt: int
    percent: int
    phase: str = ""
    text: str = ""


class ProgressBoard(ABC):
    """The reports of attempts, which need not survive a crash."""

    @abstractmethod
    def put(self, job_id: str, report: ProgressReport) -> None: ...

    @abstractmethod
    def of(self, job_id: str) -> ProgressReport | None: ...

    @abstractmethod
    def forget(self, job_id: str) -> None: ...


class MemoryBoard(ProgressBoard):
    """Reports in memory, for one process."""

    def __init__(self) -> None:
        self._reports: dict[str, ProgressReport] = {}

    def put(self, job_id: str, report: ProgressReport) -> None:
        self._reports[job_id] = report

    def of(self, job_id: str) -> ProgressReport | None:
        return self._reports.get(job_id)

    def forget(self, job_id: str) -> None:
        self._reports.pop(job_id, None)


class TableBoard(ProgressBoard):
    """Reports in a table, for all Orthancs."""

    def __init__(self, database: Database):
        self._database = database

    def put(self, job_id: str, report: ProgressReport) -> None:
        with self._database.jotting() as db:
            db.execute(
                "INSERT INTO progress (job, attempt, percent, phase, text) VALUES (?, ?, ?, ?, ?) ON CONFLICT (job) DO "
                "UPDATE SET attempt = excluded.attempt, percent = excluded.percent, phase = excluded.phase, "
                "text = excluded.text",
                [job_id, report.attempt, report.percent, printable(report.phase), printable(report.text)],
            )

    def of(self, job_id: str) -> ProgressReport | None:
        with self._database.reading() as db:
            row = db.execute("SELECT attempt, percent, phase, text FROM progress WHERE job = ?", [job_id]).fetchone()
        return None if row is None else ProgressReport(*row)

    def forget(self, job_id: str) -> None:
        with self._database.jotting() as db:
            db.execute("DELETE FROM progress WHERE job = ?", [job_id])
