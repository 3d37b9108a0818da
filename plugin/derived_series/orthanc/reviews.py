"""Verdicts on derived series: looked up, written, and what they do to the destinations that wait for them."""

from __future__ import annotations

import json
import threading
from datetime import datetime
from typing import Any

from derived_series.errors import Conflict, NotFound
from derived_series.jobs.hold import DELETED, destinations, is_held, released, withdrawn
from derived_series.jobs.provenance import PROVENANCE
from derived_series.jobs.record import JobRecord, State
from derived_series.jobs.review import ACCEPTED, LABELS, REJECTED, REVIEW, rejection_job_id, review_json
from derived_series.jobs.runner import JobRunner
from derived_series.orthanc.gateway import Gateway


class Reviews:
    """The verdicts that Orthanc holds."""

    def __init__(self, gateway: Gateway, runner: JobRunner):
        self._gateway = gateway
        self._runner = runner
        self._lock = threading.Lock()  # two may settle the same job

    def provenance(self, series: str) -> dict[str, Any]:
        """What a derived series was made from, and by which job.

        :raises NotFound: no such series. :raises Conflict: one that was not made here.
        """
        self._gateway.series(series)
        made = self._metadata(series, PROVENANCE)
        if made is None:
            raise Conflict(
                f"the series {series} was not derived by this plugin: there is no verdict on it",
                remedy="GET /series/{id}/derived lists what was derived from a series",
            )
        return made

    def of(self, series: str) -> dict[str, Any] | None:
        """The verdict on a series, as it is kept."""
        return self._metadata(series, REVIEW)

    def rejection(self, series: str, derivation: str) -> JobRecord | None:
        """The job that rejects a series, if there is one."""
        return self._runner.store.find(rejection_job_id(series, derivation))

    def is_rejected(self, series: str) -> bool:
        """Whether a series is rejected, or is about to be."""
        verdict = self.of(series)
        if verdict is not None and verdict["State"] == REJECTED:
            return True
        try:
            job = self.rejection(series, self.provenance(series)["Job"])
        except Conflict:
            return False
        return job is not None and not job.state.is_final

    def accept(self, series: str, request: dict[str, Any]) -> None:
        """Write that a series is accepted."""
        verdict = review_json(ACCEPTED, request, datetime.now().astimezone().isoformat(), None)
        self._gateway.put(f"/series/{series}/metadata/{REVIEW}", json.dumps(verdict).encode())
        try:
            self._gateway.put(f"/series/{series}/labels/{LABELS[ACCEPTED]}", b"")
        except NotFound:  # an Orthanc without labels
            return

    def observe(self, job: JobRecord) -> None:
        """A job has another state: destinations may have been waiting for it."""
        if "Verdict" not in job.request:
            if job.state is State.SUCCESS:
                self.settle(job)
        elif job.result is not None and (made := self._runner.store.find(job.request["Derivation"])) is not None:
            self.settle(made)

    def settle_all(self) -> None:
        """At the start: what a former process did not come to."""
        for job in self._runner.store.undelivered():
            self.settle(job)

    def settle(self, job: JobRecord) -> None:
        """Send a job's held series on when it is accepted; when it is rejected or gone, send it nowhere any more."""
        if not destinations(job):
            return
        series = str((job.result or {}).get("ID"))
        verdict = self.of(series)
        if verdict is None:
            if not is_held(job) or self._is_there(series):
                return
            verdict = {"State": DELETED}
        with self._lock:
            found = self._runner.store.find(job.id)
            if found is None or not found.state.is_final:
                return
            if verdict["State"] in (REJECTED, DELETED):
                if (last := withdrawn(found, verdict["State"])) != found:
                    self._runner.renew(last)
            elif verdict["State"] == ACCEPTED and is_held(found):
                self._runner.renew(released(found))

    def _is_there(self, series: str) -> bool:
        try:
            return bool(self._gateway.series(series))
        except NotFound:
            return False

    def _metadata(self, series: str, number: int) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self._gateway.get(f"/series/{series}/metadata/{number}")
        except NotFound:
            return None
        return found
