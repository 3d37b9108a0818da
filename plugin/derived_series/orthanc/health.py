"""Reports whether the plugin can do its work, for monitoring: numbers and states, without patient data."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from derived_series.errors import Busy, DerivedSeriesError
from derived_series.jobs.messages import Catalogue
from derived_series.jobs.notices.outbox import Outbox
from derived_series.jobs.pool.environments import Environments
from derived_series.jobs.pool.executor import ProcessExecutor
from derived_series.jobs.queue.runner import JobRunner
from derived_series.jobs.record import State
from derived_series.jobs.rules.model import Rule
from derived_series.orthanc.catalogues import Catalogues
from derived_series.orthanc.config import Settings
from derived_series.orthanc.destinations import Destinations
from derived_series.orthanc.rule_problems import problems_of_rule

_GIGABYTE = 1 << 30

#: Free space below which nothing can be relied on, and below which somebody should look.
FULL_BYTES, TIGHT_BYTES = _GIGABYTE, 10 * _GIGABYTE

#: The seconds that notices may wait; several attempts have failed by then.
_BEHIND_SECONDS = 900.0


class Grade(Enum):
    """``ERROR``: some or all derivations do not work; ``WARNING``: somebody should look."""

    OK = "Ok"
    WARNING = "Warning"
    ERROR = "Error"


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check. :param figures: its numbers; :param message: the problem."""

    name: str
    grade: Grade = Grade.OK
    message: str | None = None
    figures: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {"Status": self.grade.value, **({"Message": self.message} if self.message else {}), **self.figures}


class Health:
    """Checks this process and its disk, and the names that Orthanc has for servers.

    :param storage: Orthanc's storage folder.
    :param free_bytes: gives the free space on a folder's disk.
    """

    def __init__(
        self,
        runner: JobRunner,
        executor: ProcessExecutor,
        environments: Environments,
        catalogues: Catalogues,
        outbox: Outbox,
        settings: Settings,
        destinations: Destinations,
        storage: Path,
        free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
    ):
        self._runner = runner
        self._store = runner.store
        self._executor = executor
        self._environments_of_pipelines = environments
        self._catalogues = catalogues
        self._outbox = outbox
        self._settings = settings
        self._destinations = destinations
        self._storage = storage
        self._free_bytes = free_bytes

    def checks(self) -> list[Check]:
        """All checks, in a fixed order."""
        return [*self._checks()]

    def _checks(self) -> Iterator[Check]:
        yield self._can_write()
        yield self._disk()
        yield self._scheduler()
        yield self._workers()
        yield self._queue()
        yield self._environments()
        yield self._notices()
        yield self._configuration()

    def _can_write(self) -> Check:
        try:
            self._store.try_to_write()
        except Busy:
            return Check(
                "Store", Grade.ERROR, "the jobs cannot be written: the disk of the jobs folder is full or gone"
            )
        return Check("Store")

    def free_bytes(self) -> int | None:
        """Free space on the fuller disk of Orthanc's storage and the jobs."""
        free = []
        for folder in (self._store.folder, self._storage):
            try:
                free.append(self._free_bytes(folder))
            except OSError:
                continue
        return min(free, default=None)

    def _disk(self) -> Check:
        free = self.free_bytes()
        if free is None:
            return Check("Disk", Grade.ERROR, "the folders of the jobs and of Orthanc's storage cannot be looked at")
        grade = Grade.ERROR if free < FULL_BYTES else Grade.WARNING if free < TIGHT_BYTES else Grade.OK
        return Check("Disk", grade, None if grade is Grade.OK else "there is little room left", {"FreeBytes": free})

    def _scheduler(self) -> Check:
        if self._runner.is_running:
            return Check("Scheduler")
        return Check("Scheduler", Grade.ERROR, "no job is begun: Orthanc starts or stops, or its log says why")

    def alive(self) -> int:
        """The number of living worker processes."""
        self._executor.replace_dead()
        return len(self._executor.processes())

    def _workers(self) -> Check:
        alive, wanted = self.alive(), self._settings.workers
        figures = {"Alive": alive, "Configured": wanted}
        if alive == 0:
            return Check("Workers", Grade.ERROR, "no worker process lives", figures)
        if alive < wanted:
            return Check("Workers", Grade.WARNING, "worker processes are missing", figures)
        return Check("Workers", figures=figures)

    def oldest_seconds(self) -> float:
        """The longest time that a job which never ran has waited; 0 if there is none."""
        oldest = self._store.oldest_waiting()
        return 0.0 if oldest is None else round(max(0.0, time.time() - oldest), 1)

    def _queue(self) -> Check:
        counts = self._store.counts()
        unfinished = sum(counts[state] for state in (State.PENDING, State.RUNNING, State.RETRY))
        oldest = self.oldest_seconds()
        figures = {
            "Waiting": counts[State.PENDING],
            "Running": counts[State.RUNNING],
            "Retry": counts[State.RETRY],
            "QueueSize": self._settings.queue_size,
            "OldestWaitingSeconds": oldest,
        }
        if unfinished >= self._settings.queue_size:
            return Check("Queue", Grade.ERROR, "the queue is full: requests are answered 503", figures)
        if oldest > self._settings.job_timeout:
            return Check("Queue", Grade.WARNING, "a job waits for longer than one may take (JobTimeout)", figures)
        return Check("Queue", figures=figures)

    def _environments(self) -> Check:
        failed = self._catalogues.failed_environments()
        fitting, wanted = self._environments_of_pipelines.elsewhere()
        figures = {
            "Configured": len(self._settings.environments),
            "Failed": len(failed),
            "WorkersElsewhere": fitting,
            "WorkersElsewhereConfigured": wanted,
        }
        if fitting < wanted:
            return Check(
                "Environments", Grade.WARNING, "workers on other machines are missing: /derived-series/status", figures
            )
        if failed:
            return Check(
                "Environments", Grade.WARNING, "an environment cannot be used: /derived-series/status", figures
            )
        return Check("Environments", figures=figures)

    def _notices(self) -> Check:
        tallies = self._outbox.tallies().values()
        oldest = min((each.oldest for each in tallies if each.oldest is not None), default=None)
        behind = 0.0 if oldest is None else round(max(0.0, time.time() - oldest), 1)
        figures = {
            "Receivers": len(tallies),
            "Waiting": sum(each.waiting for each in tallies),
            "OldestWaitingSeconds": behind,
            "GivenUp": sum(each.given_up for each in tallies),
        }
        if behind > _BEHIND_SECONDS:
            return Check("Notifications", Grade.WARNING, "a receiver does not take its notices", figures)
        return Check("Notifications", figures=figures)

    def _configuration(self) -> Check:
        if self._catalogues.is_failed():
            what = "the blueprint folders cannot be loaded, nothing is derived: Orthanc's log says why"
            return Check("Configuration", Grade.ERROR, what, {"Loaded": False})
        catalogue = self._catalogues.peek()
        if catalogue is None:
            return Check("Configuration", figures={"Loaded": False})
        wrong = sum(self._is_wrong(rule, catalogue) for rule in self._settings.rules)
        figures = {"Loaded": True, "Problems": len(catalogue.problems) + wrong}
        if wrong or catalogue.problems:
            what = (
                "files of the blueprint folders cannot be loaded, or rules name what is not there: "
                "/derived-series/status and /derived-series/rules say which"
            )
            return Check("Configuration", Grade.WARNING, what, figures)
        return Check("Configuration", figures=figures)

    def _is_wrong(self, rule: Rule, catalogue: Catalogue) -> bool:
        """Whether each job of a rule would fail; False while Orthanc cannot list its servers."""
        try:
            return bool(problems_of_rule(rule, catalogue, self._destinations))
        except DerivedSeriesError:
            return False


def worst(checks: list[Check]) -> Grade:
    """The worst grade of several checks."""
    grades = [check.grade for check in checks]
    return next((grade for grade in (Grade.ERROR, Grade.WARNING) if grade in grades), Grade.OK)
