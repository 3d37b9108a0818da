"""Makes the task that a worker gets for a job, and its timeout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from derived_series.dicomweb.client import Connection
from derived_series.jobs.messages import DeriveTask
from derived_series.jobs.pool.environments import Environments
from derived_series.jobs.queue.leftovers import Leftovers
from derived_series.jobs.queue.reserved_numbers import SeriesNumbers
from derived_series.jobs.queue.retrievals import Retrievals
from derived_series.jobs.queue.store import JobStore
from derived_series.jobs.queue.verdict_log import VerdictLog
from derived_series.jobs.record import JobRecord, State
from derived_series.jobs.requests.verdict import ACCEPTED
from derived_series.jobs.rules.log import Fired, FiringLog
from derived_series.jobs.stored_series import stored_ids
from derived_series.orthanc.abstract_gateway import Gateway
from derived_series.orthanc.answers import job_path
from derived_series.orthanc.audit import Audit
from derived_series.orthanc.config import Settings
from derived_series.orthanc.series_numbers import series_number

#: The most requests at a time that store instances, of all running jobs.
_CONNECTIONS = 4


@dataclass(frozen=True, slots=True)
class DeriveTasks:
    """Makes the tasks of jobs from the settings and records at the moment that they start.

    :param firings: which rule asked for which job.
    :param folders: of blueprints.
    :param scratch: the workers' folder for temporary files.
    :param outputs_of: the number of series that a job may make.
    """

    gateway: Gateway
    settings: Settings
    connection: Connection
    folders: tuple[str, ...]
    scratch: Path
    environments: Environments
    store: JobStore
    firings: FiringLog
    verdicts: VerdictLog
    retrievals: Retrievals
    series_numbers: SeriesNumbers
    leftovers: Leftovers
    audit: Audit
    outputs_of: Callable[[JobRecord], int]

    def timeout_of(self, job: JobRecord) -> float:
        """Seconds that an attempt at a job may take: the request's, or the configuration's."""
        return float(job.request.get("Timeout") or self.settings.timeout(job.request.get("Pipeline")))

    def task_of(self, job: JobRecord) -> DeriveTask:
        """The task of the next attempt at a job."""
        path = job.image and str(self.store.image_path(job) or job.image)
        fired = self.firings.of_job(job.id)
        superseded = [] if fired is None else self.firings.replaced_by(fired)
        replaced = replaced_jobs(job, fired, self.store, self.firings)
        former = [*replaced, *(each for name in superseded if (each := self.store.find(name)) is not None)]
        former_series = [series for each in former for series in stored_ids(each.result)]
        pipeline = job.request.get("Pipeline")
        return DeriveTask(
            job_id=job.id,
            attempt=job.attempt,
            series=job.series,
            request=job.request,
            now=job.now,
            connection=self.connection,
            folders=self.folders,
            image_path=path,
            image_route=None if path is None else f"{job_path(job)}/image",
            image_name=job.image or "",
            image_size=self.store.image_size(job) or 0,
            progress_route=f"{job_path(job)}/progress",
            result=job.result,
            replaces=tuple(series for each in replaced for series in stored_ids(each.result)),
            supersedes=tuple(superseded),
            accepted=tuple(filter(self._is_accepted, former_series)),
            rule=None if fired is None else fired.to_json(),
            by=self.audit.asked_by(job.id),
            scratch=str(self.scratch),
            thorough=self.leftovers.is_expected(job.id),
            series_number=series_number(self.gateway, self.series_numbers, job, self.outputs_of(job)),
            validation=self.settings.validation,
            connections=max(1, _CONNECTIONS // (1 + self.store.counts().get(State.RUNNING, 0))),
            memory_limit=self.settings.memory_limit(pipeline, self.environments.name_of(pipeline)),
            image_limit=self.settings.image_limit,
            retrieve_timeout=self.settings.retrieve_timeout,
            announced=tuple(self.retrievals.of_job(job.id)),
        )

    def _is_accepted(self, series: str) -> bool:
        return (self.verdicts.of(series) or {}).get("State") == ACCEPTED


def replaced_jobs(job: JobRecord, fired: Fired | None, store: JobStore, firings: FiringLog) -> list[JobRecord]:
    """The earlier jobs on a job's subject whose series its own replace; a rule's firing keeps those with other options.

    :param fired: the firing that requested the job, if any.
    """
    if job.request.get("IfExists") != "Replace":
        return []
    kept = [] if fired is None else firings.kept_beside(fired)
    return [each for each in store.stored_before(job) if each.id not in kept]
