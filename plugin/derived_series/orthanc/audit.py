"""The audit trail: each act is told to the job's own record, to the file, and to Orthanc where it keeps such a log."""

from __future__ import annotations

import logging
from typing import Any

from derived_series.errors import DerivedSeriesError
from derived_series.jobs.about_job import about_job
from derived_series.jobs.queue.audit_log import Act, AuditFile, AuditLog
from derived_series.jobs.queue.database import Note
from derived_series.orthanc.abstract_gateway import Gateway

_log = logging.getLogger(__name__)


class Audit:
    """Where acts are told. What has been done is done: that it cannot be told is an error in Orthanc's log."""

    def __init__(self, gateway: Gateway, acts: AuditLog, file: AuditFile):
        self._gateway = gateway
        self._acts = acts
        self._file = file

    def note(self, act: Act) -> Note:
        """What writes an act beside its job, together with the job itself; ``tell`` it when that is done."""
        return self._acts.note(act)

    def put(self, act: Act) -> None:
        """Write an act down and tell it."""
        try:
            self._acts.put(act)
        except DerivedSeriesError as error:
            with about_job(act.job):
                _log.error("the act %s on the job %s cannot be written down: %s", act.action, act.job, error.message)
        self.tell(act)

    def tell(self, act: Act) -> None:
        """To the file, and to Orthanc, whose log is about resources."""
        self._file.write(act)
        if not act.series:
            return
        try:
            self._gateway.audit(act.by.get("User") or "", act.series, act.action, act.content())
        except DerivedSeriesError as error:
            with about_job(act.job):
                _log.error("Orthanc's audit log has not taken %s on the job %s: %s", act.action, act.job, error.message)

    def of_job(self, job: str) -> list[dict[str, Any]]:
        """The acts on a job, the oldest first."""
        return self._acts.of_job(job)

    def asked_by(self, job: str) -> dict[str, Any]:
        """Who asked for a job: ``UserFrom`` and what else is known."""
        keys = ("User", "UserFrom", "Rule", "Bulk", "Address", "ForwardedFor")
        first = next(iter(self._acts.of_job(job)), {})
        return {key: first[key] for key in keys if key in first}
