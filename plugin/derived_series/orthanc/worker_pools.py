"""The pools of workers: for all jobs, for people in front of a page, and for environments."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from derived_series.jobs.pool.environments import Environments
from derived_series.jobs.pool.executor import Keeping, ProcessExecutor
from derived_series.jobs.pool.launch import Interpreter
from derived_series.jobs.pool.overflow import OverflowExecutor
from derived_series.jobs.remote.attempts import Attempts
from derived_series.jobs.remote.bundles import Bundles
from derived_series.jobs.work.entry import warm_up, warm_up_for_pages
from derived_series.orthanc.config import OrthancConfiguration, Settings
from derived_series.orthanc.local_environments import local_environments
from derived_series.orthanc.remote_environments import remote_environments


@dataclass(frozen=True, slots=True)
class WorkerPools:
    """The pools of workers by purpose.

    :param jobs: derivations without an environment.
    :param previews: dry runs: the workers of jobs, or one more while all of them are busy.
    :param pages: requests of pages, likewise.
    :param environments: by the name in a pipeline's ``environment``, here or on other machines.
    """

    jobs: ProcessExecutor
    previews: OverflowExecutor
    pages: OverflowExecutor
    environments: Environments

    @classmethod
    def start(
        cls,
        pool: type[ProcessExecutor],
        interpreter: Interpreter,
        settings: Settings,
        around: OrthancConfiguration,
        folders: tuple[str, ...],
        attempts: Attempts,
        bundles: Bundles,
        kept: Path,
    ) -> WorkerPools:
        """Start the workers of jobs; the others start when there is work for them.

        :param folders: of blueprints. :param kept: a folder for the descriptions of environments on other machines.
        :raises InvalidRequest: a configured environment cannot be used.
        """
        jobs = pool(
            settings.workers,
            initializer=warm_up,
            initargs=(folders,),
            interpreter=interpreter,
            keeping=Keeping(idle=settings.idle_seconds),
        )
        here = local_environments(settings, around.folder, folders)
        elsewhere = remote_environments(settings, around, interpreter, attempts, bundles, kept)
        return cls(
            jobs=jobs,
            previews=OverflowExecutor(
                jobs, partial(pool, 1, initializer=warm_up, initargs=(folders,), interpreter=interpreter)
            ),
            pages=OverflowExecutor(jobs, partial(pool, 1, initializer=warm_up_for_pages, interpreter=interpreter)),
            environments=Environments({**here, **elsewhere}),
        )
