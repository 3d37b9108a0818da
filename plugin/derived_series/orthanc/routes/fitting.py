"""The routes for the plugin's pages: which pipelines take a series, and the latest derived series."""

from __future__ import annotations

import logging
from collections.abc import Container
from concurrent.futures import Executor, Future
from datetime import UTC, datetime
from typing import Any

from derived_series.dicomweb.client import Connection
from derived_series.errors import DerivedSeriesError, NotFound
from derived_series.jobs.pool.environments import Environments
from derived_series.jobs.queue.runner import JobRunner
from derived_series.jobs.record import JobRecord
from derived_series.jobs.stored_series import stored_series
from derived_series.jobs.work.entry import fit
from derived_series.orthanc.abstract_gateway import Gateway
from derived_series.orthanc.catalogues import OURS, Catalogues
from derived_series.orthanc.http import Answer, Request
from derived_series.orthanc.reviews import Reviews
from derived_series.orthanc.waiters import PAGE_REMEDY, Waiters, answer_of, leave

_log = logging.getLogger(__name__)

#: The number of derived series in the list.
_MOST_RECENT = 50


class FittingRoutes:
    """``GET /series/{id}/pipelines`` and ``GET /derived-series/recent``."""

    def __init__(
        self,
        gateway: Gateway,
        executor: Executor,
        environments: Environments,
        catalogues: Catalogues,
        runner: JobRunner,
        reviews: Reviews,
        connection: Connection,
        waiters: Waiters,
        folders: tuple[str, ...],
    ):
        self._gateway = gateway
        self._executor = executor
        self._environments = environments
        self._catalogues = catalogues
        self._runner = runner
        self._reviews = reviews
        self._connection = connection
        self._waiters = waiters
        self._folders = folders

    def pipelines(self, request: Request) -> Answer:
        """All pipelines, with whether they take the series and why not; a worker checks its first instance.

        Each Python that runs pipelines checks its own.
        """
        request.check_query()
        series = request.groups[0]
        self._gateway.series(series)
        asked = (self._connection, series, self._folders)
        with self._waiters.place(PAGE_REMEDY):
            answers = {OURS: self._executor.submit(fit, *asked)}
            elsewhere = {name: each.fit(fit, *asked) for name, each in self._environments.items()}
            answers |= {name: answer for name, answer in elsewhere.items() if answer is not None}
            try:
                ours = answer_of(answers[OURS])
                entries = {entry["Name"]: entry for entry in self._of(OURS, ours)}
                entries |= self._unseen([name for name, answer in elsewhere.items() if answer is None], ours)
                for name in answers.keys() - {OURS}:
                    entries |= self._of_environment(name, answers[name])
            finally:
                for answer in answers.values():
                    leave(answer)
        return Answer.of([entries[name] for name in sorted(entries)])

    def _unseen(self, environments: Container[str], ours: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """Pipelines that run on other machines, as Orthanc's own Python describes them; else a job finds out."""
        known = {entry["Name"]: entry for entry in ours}
        return {
            name: {"Fits": True, "Reason": None, "Others": {}, **known.get(name, entry), "Environment": environment}
            for name, entry in self._catalogues.catalogue().pipelines.items()
            if (environment := entry.get("Environment")) in environments
        }

    def _of_environment(self, name: str, answer: Future[list[dict[str, Any]]]) -> dict[str, dict[str, Any]]:
        """The pipelines that run in an environment, by name; none if it does not answer."""
        try:
            return {entry["Name"]: entry for entry in self._of(name, answer_of(answer))}
        except DerivedSeriesError as error:
            _log.warning("the environment %s does not say which series its pipelines take: %s", name, error)
            return {}

    def _of(self, environment: str, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The pipelines that run in an environment."""
        return [
            {**entry, "Environment": environment or None}
            for entry in entries
            if self._catalogues.environment_of(entry) == environment
        ]

    def recent(self, request: Request) -> Answer:
        """The latest derived series that are still in Orthanc, newest first, with their verdicts; no patient data."""
        request.check_query()
        jobs = self._runner.store.newest_series(_MOST_RECENT)
        entries = [self._recent(job, series) for job in jobs for series in stored_series(job.result)]
        return Answer.of([each for each in entries if each is not None])

    def _recent(self, job: JobRecord, derived: dict[str, Any]) -> dict[str, Any] | None:
        try:
            series = self._gateway.series(str(derived["ID"]))
        except NotFound:
            return None
        verdict = self._reviews.of(series["ID"]) or {"State": "Unreviewed"}
        return {
            "ID": series["ID"],
            "Path": f"/series/{series['ID']}",
            "ParentSeries": job.series,
            "Job": job.id,
            "Created": datetime.fromtimestamp(job.created, UTC).isoformat(),
            "By": job.request.get("Pipeline") or job.request.get("Blueprint"),
            "Output": derived["Output"],
            "Warnings": len(derived.get("Warnings", [])),
            "State": verdict["State"],
            "User": verdict.get("User"),
        }
