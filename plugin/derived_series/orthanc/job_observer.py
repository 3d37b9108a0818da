"""Passes a job's change of state on to everything that depends on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from derived_series.jobs.queue.retrievals import Retrievals
from derived_series.jobs.record import JobRecord, State
from derived_series.jobs.scratch import remove_scratch
from derived_series.jobs.stored_series import stored_ids
from derived_series.orthanc.abstract_gateway import Gateway
from derived_series.orthanc.bulk_driver import BulkDriver
from derived_series.orthanc.metrics import Metrics
from derived_series.orthanc.retrieval_marks import mark_retrieved
from derived_series.orthanc.reviews import Reviews


@dataclass(frozen=True, slots=True)
class JobObserver:
    """Notifies everything that depends on jobs that one has changed.

    :param scratch: the workers' folder for temporary files.
    """

    gateway: Gateway
    scratch: Path
    reviews: Reviews
    bulk: BulkDriver
    retrievals: Retrievals
    metrics: Metrics

    def observe(self, job: JobRecord) -> None:
        """Pass a job's new state on."""
        remove_scratch(self.scratch, job)
        self.reviews.observe(job)
        self.bulk.observe(job)
        mark_retrieved(self.gateway, self.retrievals, job)
        self.metrics.observe(job)
        if job.result is not None and job.state is not State.RUNNING:
            for series in stored_ids(job.result):  # it is complete, so rules on it need not wait for StableAge
                self.gateway.set_stable(series)
