"""Starts and ends all that runs besides the requests, and hands it over between Orthancs."""

from __future__ import annotations

import threading
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
from derived_series.orthanc.memory_return import MemoryReturn
from derived_series.orthanc.reviews import Reviews
from derived_series.orthanc.triggers import RuleTrigger
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
    reviews: Reviews
    memory: MemoryReturn
    files: tuple[AuditFile | JsonLog, ...]

    def begin(self) -> None:
        """Begin when Orthanc has started and answers requests; if jobs cannot be kept, nothing else begins."""
        self.memory.start()
        if self.storage.store.problem is not None:
            return
        self.leftovers.start()
        self.pools.environments.start()
        self.runner.start()  # first: what fails below costs no job
        self.notifier.start()
        self.trigger.start()
        self.bulk.start()
        self.storage.nodes.start(Part(self.lead, self.resign, self.hear))

    def lead(self) -> None:
        """Take up the existing work, as this Orthanc leads from now on."""
        is_alone = self.storage.nodes.is_alone
        if not is_alone:
            self.runner.lead()
        self.trigger.lead()
        self.notifier.wake_here()
        self.bulk.wake()
        if is_alone:
            self.reviews.settle_all()
        else:  # not in the thread that must report every second that this Orthanc is alive
            threading.Thread(target=self.reviews.settle_all, name="reviews", daemon=True).start()

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
            GONE: self.trigger.catch_up,
        }
        if what in acts and self.storage.nodes.leads:
            acts[what]()

    def end(self) -> None:
        """Stop all threads, as Orthanc ends, then let another Orthanc lead."""
        self.storage.nodes.stop()
        self.trigger.stop()
        self.bulk.stop()
        self.pools.pages.shutdown()
        self.runner.stop()
        self.leftovers.stop()
        self.notifier.stop()
        self.memory.stop()
        self.storage.close()
        for file in self.files:
            file.close()
