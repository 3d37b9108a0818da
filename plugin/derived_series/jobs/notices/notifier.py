"""Notifier: notifies the configured receivers about jobs."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from derived_series.jobs.destination_states import destinations
from derived_series.jobs.notices.events import events_of, fields_of, may_tell, verdict_fields, words_of
from derived_series.jobs.notices.fields import OF_NOBODY, REMEDIES, Event, known_kind
from derived_series.jobs.notices.messenger import Messenger
from derived_series.jobs.notices.outbox import Notice, Outbox
from derived_series.jobs.queue.announcer import Announcer
from derived_series.jobs.queue.database import Note, Transaction
from derived_series.jobs.record import JobRecord, Problem, State

_STOP_SECONDS = 2.0


class Notifier(Announcer):
    """Records notices, and has them sent.

    :param server: the name of this Orthanc. :param rule_of: returns the name of the rule that requested a job.
    :param patient_of: returns the tags of a series, study and patient for ``IncludePatientData``.
    :param job_of: returns the record of a job, if it is not forgotten.
    :param tell_who_sends: tells another Orthanc, if that is the one that sends, that there is something to send.
    """

    def __init__(
        self,
        outbox: Outbox,
        messengers: Sequence[Messenger],
        server: str,
        rule_of: Callable[[str], str | None],
        patient_of: Callable[[str], Mapping[str, Any]],
        tell_who_sends: Callable[[], None] = lambda: None,
        job_of: Callable[[str], JobRecord | None] = lambda job_id: None,
    ):
        self._job_of = job_of
        self._tell_who_sends = tell_who_sends
        self._outbox = outbox
        self._messengers = tuple(messengers)
        self._server = server
        self._rule_of = rule_of
        self._patient_of = patient_of

    def start(self) -> None:
        """Start sending, beginning with what a former process left."""
        for messenger in self._messengers:
            messenger.start()

    def stop(self) -> None:
        """Stop sending; unsent notices stay on disk."""
        for messenger in self._messengers:
            messenger.stop()
        end = time.monotonic() + _STOP_SECONDS
        for messenger in self._messengers:
            messenger.join(end - time.monotonic())

    def wake(self) -> None:
        self.wake_here()
        self._tell_who_sends()

    def wake_here(self) -> None:
        """Have recorded notices sent, if this Orthanc is the one that sends."""
        for messenger in self._messengers:
            messenger.wake()

    def status(self) -> list[dict[str, Any]]:
        """Each receiver with the number of notices that wait, were sent and were given up."""
        tallies = self._outbox.tallies()
        return [
            {
                "Name": each.receiver.key,
                "Events": list(each.receiver.events),
                "Waiting": tallies[each.receiver.key].waiting,
                "Sent": tallies[each.receiver.key].sent,
                "GivenUp": tallies[each.receiver.key].given_up,
                "Problem": each.problem,
            }
            for each in self._messengers
        ]

    def of_job(self, job: JobRecord, *, worker_died: bool) -> Note | None:
        if not self._messengers or not may_tell(job, worker_died=worker_died):
            return None
        rule = self._rule_of(job.id)  # before the transaction: it reads the same database
        derivation = self._job_of(str(job.request["Derivation"])) if "Derivation" in job.request else None
        rule_of_derivation = None if derivation is None else self._rule_of(derivation.id)
        of_patient = self._of_patient(job.series, words_of(job))

        def write(db: Transaction) -> None:
            row = db.execute("SELECT state FROM jobs WHERE id = ?", [job.id]).fetchone()
            if row is None:
                return
            for event in events_of(job, State(row[0]), worker_died=worker_died):
                if event == "Rejected":
                    states = destinations(job)
                    fields = verdict_fields(event, job.series, derivation, rule_of_derivation, states)
                else:
                    fields = fields_of(event, job, rule)
                self._put(db, event, fields, of_patient)

        return write

    def of_new_job(self, job: JobRecord, rule: str | None) -> Note:
        """A note that records a job that was over when it was made. :param rule: the rule that requested it."""
        of_patient = self._of_patient(job.series, words_of(job))

        def write(db: Transaction) -> None:
            for event in events_of(job, State.PENDING, worker_died=False):
                self._put(db, event, fields_of(event, job, rule), of_patient)

        return write

    def of_verdict(self, series: str, user: str | None, derivation: JobRecord | None) -> Note | None:
        """A note that records that a series was accepted. :param derivation: the job that made it, if known."""
        rule = None if derivation is None else self._rule_of(derivation.id)
        return self._of_series("Accepted", series, verdict_fields("Accepted", series, derivation, rule), {"User": user})

    def of_waiting(self, series: str, derivation: JobRecord, rule: str) -> Note | None:
        """A note that records that a series waits for a verdict. :param rule: the rule that holds it."""
        fields = verdict_fields("WaitingForReview", series, derivation, rule)
        return self._of_series("WaitingForReview", derivation.series, fields, words_of(derivation))

    def of_rules(self, series: str, problem: Problem) -> Note | None:
        """A note that records that the rules could not be applied to a series."""
        kind = known_kind(problem.kind)
        fields = {
            **{"Text": f"The rules cannot be applied to a series: {kind}", "Parent": series, "Error": kind},
            "PagePath": "/derived-series/",  # it has the rules
        }
        return self._of_series(
            "RuleFailure", series, {**fields, "Remedy": REMEDIES[kind]}, {"Message": problem.message}
        )

    def _of_series(self, event: Event, series: str, fields: Mapping[str, Any], words: Mapping[str, Any]) -> Note | None:
        if not any(each.receiver.wants(event) for each in self._messengers):
            return None
        of_patient = self._of_patient(series, words)
        return lambda db: self._put(db, event, {"Event": event, **fields}, of_patient)

    def _of_patient(self, series: str, words: Mapping[str, Any]) -> Mapping[str, Any]:
        """The fields with patient data; not read if no receiver may have them."""
        if not any(each.receiver.include_patient_data for each in self._messengers):
            return {}
        return {**self._patient_of(series), **words}

    def _put(self, db: Transaction, event: Event, fields: Mapping[str, Any], of_patient: Mapping[str, Any]) -> None:
        notice_id = f"msg_{uuid.uuid4().hex}"
        time_text = datetime.now().astimezone().isoformat(timespec="seconds")
        every = dict.fromkeys(OF_NOBODY)  # so that receivers find every field, in order
        common = {**every, "ID": notice_id, "Time": time_text, "Server": self._server, **fields}
        self._outbox.put(
            db,
            [
                Notice(
                    notice_id,
                    each.receiver.key,
                    {**common, **of_patient} if each.receiver.include_patient_data else common,
                    time.time(),
                )
                for each in self._messengers
                if each.receiver.wants(event)
            ],
        )
