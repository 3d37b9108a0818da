"""The audit trail: each act goes to the job's own record, to the file, and to Orthanc's audit log if there is one."""

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
    """Records who did what. If a record cannot be written, the act still stands, and Orthanc's log has an error."""

    def __init__(self, gateway: Gateway, acts: AuditLog, file: AuditFile):
        self._gateway = gateway
        self._acts = acts
        self._file = file

    def note(self, act: Act) -> Note:
        """A writer that stores an act together with its job; call ``tell`` once that is done."""
        return self._acts.note(act)

    def put(self, act: Act) -> None:
        """Store an act and tell it."""
        try:
            self._acts.put(act)
        except DerivedSeriesError as error:
            with about_job(act.job):
                _log.error("the act %s on the job %s cannot be written down: %s", act.action, act.job, error.message)
        self.tell(act)

    def tell(self, act: Act) -> None:
        """Write an act to the file, and to Orthanc's log if it is about a series."""
        self._file.write(act)
        if not act.series:
            return
        try:
            self._gateway.audit(act.by.get("User") or "", act.series, act.action, act.content())
        except DerivedSeriesError as error:
            with about_job(act.job):
                _log.error(
                    "Orthanc's audit log did not accept %s on the job %s: %s", act.action, act.job, error.message
                )

    def of_job(self, job_id: str) -> list[dict[str, Any]]:
        """The acts on a job, oldest first."""
        return self._acts.of_job(job_id)

    def asked_by(self, job_id: str) -> dict[str, Any]:
        """Who asked for a job: ``UserFrom`` and whatever else is known."""
        keys = ("User", "UserFrom", "Rule", "Bulk", "Address", "ForwardedFor")
        first = next(iter(self._acts.of_job(job_id)), {})
        return {key: first[key] for key in keys if key in first}
