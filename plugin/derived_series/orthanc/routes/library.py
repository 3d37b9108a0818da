"""The routes of the library: status, blueprints, factories, pipelines."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

from derived_series.errors import DerivedSeriesError, NotFound
from derived_series.jobs.messages import Catalogue
from derived_series.jobs.notices.notifier import Notifier
from derived_series.jobs.pool.environments import Environments
from derived_series.jobs.pool.executor import ProcessExecutor
from derived_series.jobs.queue.runner import JobRunner
from derived_series.jobs.record import JobRecord
from derived_series.orthanc.catalogues import Catalogues
from derived_series.orthanc.config import Settings
from derived_series.orthanc.http import Answer, Request
from derived_series.software import version

Kind: TypeAlias = Literal["blueprint", "factory", "pipeline"]


class LibraryRoutes:
    """The contents of the blueprint folders, as a worker reports them."""

    def __init__(
        self,
        executor: ProcessExecutor,
        environments: Environments,
        runner: JobRunner,
        settings: Settings,
        folders: tuple[str, ...],
        ohif: bool,
        features: Mapping[str, bool],
        notifier: Notifier,
    ):
        self._notifier = notifier
        self._ohif = ohif
        self._version = version()  # now, because an upgrade replaces the installed files while this process runs
        self._features = dict(features)
        self._runner = runner
        self._settings = settings
        self._folders = folders
        self._executor = executor
        self._environments = environments
        self.catalogues = Catalogues(executor, environments, folders, settings.chosen_environments, runner.nudge)

    def catalogue(self) -> Catalogue:
        """The catalogue of the blueprint folders.

        :raises Busy: it is not loaded yet. :raises UserCodeError: a file of the folders ends the process.
        """
        return self.catalogues.catalogue()

    def outputs_of(self, job: JobRecord) -> int:
        """The number of series that a job may make; 1 if its pipeline is unknown (now), which the job will report."""
        try:
            known = self.catalogue().pipelines.get(str(job.request.get("Pipeline")), {})
        except DerivedSeriesError:
            return 1
        return len(known.get("Outputs", [1]))

    def status(self, request: Request) -> Answer:
        catalogue = self.catalogue()
        store = self._runner.store
        counts = store.counts()
        uploads = self._runner.failed_uploads()
        limits = self._settings.limits
        problems = [] if store.problem is None else [{"File": str(store.folder), "Message": store.problem}]
        return Answer.of(
            {
                "Version": self._version,
                "Python": platform.python_version(),
                "Workers": self._settings.workers,
                "Processes": self._executor.processes(),
                "IdleSeconds": self._settings.idle_seconds,
                "Environments": {name: each.status() for name, each in self._environments.items()},
                "QueueSize": self._settings.queue_size,
                "MaxImageMB": self._settings.max_image_mb,
                "Jobs": {state.value: count for state, count in counts.items()},
                "BlueprintFolders": list(self._folders),
                "Blueprints": list(catalogue.blueprints),
                "Factories": list(catalogue.factories),
                "Pipelines": list(catalogue.pipelines),
                "Rules": [rule.name for rule in self._settings.rules],
                "Deriving": store.problem is None,
                "Nodes": self._runner.nodes.status(),
                "FailedUploads": {
                    "Count": len(uploads),
                    "Bytes": sum(upload.size for upload in uploads),
                    "MaxBytes": limits.upload_bytes,
                    "MaxDays": limits.upload_days,
                },
                "Problems": [*problems, *catalogue.problems],
                "Notify": self._notifier.status(),
                "Ohif": self._ohif,
                "Orthanc": self._features,
            }
        )

    def blueprints(self, request: Request) -> Answer:
        return _list(request, self.catalogue().blueprints)

    def blueprint(self, request: Request) -> Answer:
        return _one("blueprint", request, self.catalogue())

    def factories(self, request: Request) -> Answer:
        return _list(request, self.catalogue().factories)

    def pipelines(self, request: Request) -> Answer:
        return _list(request, self.catalogue().pipelines)

    def pipeline(self, request: Request) -> Answer:
        return _one("pipeline", request, self.catalogue())


def _list(request: Request, there: dict[str, dict[str, Any]]) -> Answer:
    """Names, or with ``?expand`` full entries, as Orthanc lists its resources."""
    request.check_query("expand")
    return Answer.of(list(there.values()) if "expand" in request.query else list(there))


def _one(kind: Kind, request: Request, catalogue: Catalogue) -> Answer:
    return Answer.of(named(kind, request.groups[0], catalogue))


def named(kind: Kind, name: str, catalogue: Catalogue) -> dict[str, Any]:
    """An entry of the library.

    :raises NotFound: there is none; the message names the existing ones, and the files that failed.
    """
    there: dict[str, dict[str, Any]] = getattr(catalogue, f"{kind}s" if kind != "factory" else "factories")
    if name in there:
        return there[name]
    failed = {Path(problem["File"]).name: problem["Message"] for problem in catalogue.problems}
    known = f"use one of: {', '.join(there) or 'none is loaded'}"
    if load_error := failed.get(f"{name}.py"):
        raise NotFound(
            f"there is no {kind} {name!r}: {name}.py could not be loaded: {load_error}",
            remedy=f"mend the file and restart Orthanc, or {known}",
        )
    others = f"; files that could not be loaded: {', '.join(failed)} (GET /derived-series/status says why)"
    raise NotFound(f"there is no {kind} {name!r}", remedy=known + (others if failed else ""))
