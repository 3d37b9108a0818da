"""Starts and ends all that runs besides the requests, and hands it over between Orthancs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from derived_series.jobs.notices.notifier import Notifier
from derived_series.jobs.queue.audit_log import AuditFile
from derived_series.jobs.queue.leftovers import Leftovers
from derived_series.jobs.queue.nodes import BULK, GONE, NOTICE, STABLE, Part
from derived_series.jobs.queue.runner import JobRunner
from derived_series.orthanc.bulk_driver import BulkDriver
from derived_series.orthanc.job_storage import JobStorage
from derived_series.orthanc.log_format import JsonLog
from derived_series.orthanc.periodic import Periodic
from derived_series.orthanc.triggers import RuleTrigger
from derived_series.orthanc.verdict_settling import Settling
from derived_series.orthanc.worker_pools import WorkerPools


@dataclass(frozen=True, slots=True)
class LifeCycle:
    """All objects with threads of their own.

    :param files: what others have written to, until they have ended.
    """

    storage: JobStorage
    pools: WorkerPools
    leftovers: Leftovers
    runner: JobRunner
    notifier: Notifier
    trigger: RuleTrigger
    bulk: BulkDriver
    settling: Settling
    memory: Periodic
    sweep: Periodic
    files: tuple[AuditFile | JsonLog, ...]

    def begin(self) -> None:
        """Begin when Orthanc has started and answers requests; if jobs cannot be kept, nothing else begins."""
        self.memory.start()
        self.sweep.start()
        if self.storage.store.problem is not None:
            return
        self.leftovers.start()
        self.pools.environments.start()
        self.runner.start()  # first: what fails below costs no job
        self.notifier.start()
        self.trigger.start()
        self.bulk.start()
        self.settling.start()
        self.storage.nodes.start(Part(self.lead, self.resign, self.hear))

    def lead(self) -> None:
        """Take up the existing work, as this Orthanc leads from now on."""
        if not self.storage.nodes.is_alone:
            self.runner.lead()
        self.trigger.lead()
        self.notifier.wake_here()
        self.bulk.wake()
        self.settling.wake()

    def resign(self) -> None:
        """Let go of all that runs and write nothing of it, as this Orthanc no longer leads."""
        self.leftovers.resign()
        self.runner.resign()

    def hear(self, what: str, job_id: str) -> None:
        """Pass on a message of one of the Orthancs."""
        self.runner.hear(what, job_id)
        acts: dict[str, Callable[[], None]] = {
            STABLE: self.trigger.wake,
            BULK: self.bulk.wake,
            NOTICE: self.notifier.wake_here,
            GONE: self._take_over,
        }
        if what in acts and self.storage.nodes.leads:
            acts[what]()

    def _take_over(self) -> None:
        """Do what an Orthanc that is gone may have left undone."""
        self.trigger.catch_up()
        self.settling.wake()

    def end(self) -> None:
        """Stop all threads, as Orthanc ends, then let another Orthanc lead."""
        self.storage.nodes.stop()
        self.trigger.stop()
        self.bulk.stop()
        self.settling.stop()
        self.pools.pages.shutdown()
        self.runner.stop()
        self.leftovers.stop()
        self.notifier.stop()
        self.memory.stop()
        self.sweep.stop()
        self.storage.close()
        for file in self.files:
            file.close()
