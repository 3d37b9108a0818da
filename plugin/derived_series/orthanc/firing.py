"""Turns what a rule wants into a job, written together with the record of its firing."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Mapping

from derived_series.errors import Conflict
from derived_series.jobs.about_job import about_job
from derived_series.jobs.notices.notifier import Notifier
from derived_series.jobs.queue.audit_log import Act
from derived_series.jobs.queue.database import Note, together
from derived_series.jobs.queue.runner import JobRunner
from derived_series.jobs.record import JobRecord, Problem, State
from derived_series.jobs.requests.derive import DeriveRequest
from derived_series.jobs.rules.evaluate import Evaluation, Firing
from derived_series.jobs.rules.log import Fired
from derived_series.jobs.rules.logs import RuleLogs
from derived_series.jobs.rules.model import Rule
from derived_series.orthanc.audit import Audit
from derived_series.orthanc.config import Settings
from derived_series.orthanc.routes.library import LibraryRoutes

_log = logging.getLogger(__name__)


class Firer:
    """Submits the jobs of rules, each once."""

    def __init__(
        self,
        runner: JobRunner,
        library: LibraryRoutes,
        logs: RuleLogs,
        settings: Settings,
        audit: Audit,
        notifier: Notifier,
    ):
        self._notifier = notifier
        self._runner = runner
        self._library = library
        self._log = logs.firings
        self._remarks = logs.remarks
        self._settings = settings
        self._audit = audit

    def fire(self, rule: Rule, evaluation: Evaluation, asked: DeriveRequest) -> int:
        """Submit the jobs that a rule has not fired yet; return their number.

        :param asked: what to derive: the rule's Derive, or its alternative.
        :raises Busy: no job is accepted now.
        """
        count = 0
        for firing in evaluation.firings:
            if self._log.find(rule.name, firing.digest) is None and self._submit(rule, firing, asked):
                count += 1
        return count

    def _submit(self, rule: Rule, firing: Firing, asked: DeriveRequest) -> bool:
        inputs = self._inputs_for(rule, firing.inputs, asked)
        if inputs is None:
            text = "it does not fire: the input that the pipeline takes as its parent is not there"
            self._remarks.put(rule.name, f"/series/{next(iter(firing.inputs.values()))}", text)
            return False
        job = self._job(rule, asked, *inputs, subject=firing.subject, digest=firing.digest)
        try:
            self._accept(job, rule, self._log.note(Fired(firing, job.id, job.created)))
        except Conflict:  # the Orthanc that led before has fired it meanwhile
            return False
        with about_job(job.id):
            _log.warning("rule %s fires for the series %s: job %s", rule.name, job.series, job.id)
        return True

    def fail(self, rule: Rule, firing: Firing | None, instead: tuple[str, str], why: str, along: Note) -> bool:
        """Write a failed job in place of one that cannot run; if resubmitted, it derives from the series that are here.

        :returns: False if ``along`` raised ``Conflict``: the Orthanc that led before has written it.

        :param firing: what could be derived from them; None: nothing.
        :param instead: the series and the subject of the job in this case.
        :param why: the message of its error. :param along: see ``JobStore.add``.
        """
        if rule.derive is None:
            return False
        named = None if firing is None else self._inputs_for(rule, firing.inputs, rule.derive)
        series, inputs = named or (instead[0], {})
        subject = instead[1] if firing is None else firing.subject
        job = self._job(rule, rule.derive, series, inputs, subject=subject, digest=subject)
        error = Conflict(
            why, remedy="send what is missing: the rule fires then. Resubmit the job to derive from what is here"
        )
        job = dataclasses.replace(job, state=State.FAILURE, problem=Problem.of(error), completed=time.time())
        try:
            self._accept(job, rule, along, self._notifier.of_new_job(job, rule.name))
        except Conflict:
            return False
        self._notifier.wake()
        with about_job(job.id):
            _log.warning("rule %s: job %s has failed: %s", rule.name, job.id, why)
        return True

    def _job(
        self,
        rule: Rule,
        asked: DeriveRequest,
        series: str,
        inputs: Mapping[str, str],
        *,
        subject: str,
        digest: str,
    ) -> JobRecord:
        request = self._settings.document(asked) | {"IfExists": rule.if_more_instances}
        if inputs:
            request["Inputs"] = dict(inputs)
        return JobRecord.new(series, request, subject=subject, digest=digest, priority=asked.priority)

    def _accept(self, job: JobRecord, rule: Rule, *more: Note) -> None:
        act = Act("Derive", {"UserFrom": "Rule", "Rule": rule.name}, job.series, job.id)
        self._runner.submit(job, None, together(*more, self._audit.note(act)), leading=True)
        self._audit.tell(act)

    def _inputs_for(
        self, rule: Rule, inputs: Mapping[str, str], asked: DeriveRequest
    ) -> tuple[str, dict[str, str]] | None:
        """The parent and the other inputs of a derivation; None without a parent.

        A pipeline that does not exist is left to the job to report. An alternative's pipeline need not have all inputs
        of the rule.
        """
        others = dict(inputs)
        known = self._library.catalogue().pipelines.get(asked.pipeline or "")
        first = next((name for name in rule.wanted if name in inputs), next(iter(rule.wanted)))
        named = first if known is None else str(known.get("ParentInput", first))
        parent = named if rule.inputs is not None and named in rule.inputs else first
        if parent not in others:
            return None
        series = others.pop(parent)
        if asked is not rule.derive:
            names = others if known is None else known["Inputs"]
            others = {} if asked.pipeline is None else {name: each for name, each in others.items() if name in names}
        return series, others
