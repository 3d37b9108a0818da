"""Sends derived series on by rules, as the destination of a result may depend on it."""

from __future__ import annotations

import logging
import time

from derived_series.jobs.queue.audit_log import Act
from derived_series.jobs.queue.store import JobStore
from derived_series.jobs.rules.evaluate import Firing, SeriesFacts
from derived_series.jobs.rules.logs import RuleLogs
from derived_series.jobs.rules.model import Rule
from derived_series.jobs.rules.sendings import Sending
from derived_series.jobs.stored_series import stored_ids
from derived_series.orthanc.audit import Audit
from derived_series.orthanc.reviews import Reviews

_log = logging.getLogger(__name__)


class Forwarding:
    """Gives derived series further destinations: the job that made a series delivers it, as if that had been requested.

    :param hold: whether they wait for a reviewer's "Accept", unless a rule says otherwise.
    """

    def __init__(self, store: JobStore, reviews: Reviews, logs: RuleLogs, audit: Audit, hold: bool):
        self._store = store
        self._reviews = reviews
        self._sendings = logs.sendings
        self._remarks = logs.remarks
        self._audit = audit
        self._hold = hold

    def send(self, rule: Rule, series: SeriesFacts, firing: Firing) -> bool:
        """Send a series to a rule's destinations, once; False if it has to be tried again.

        :raises Busy: the disk refuses it.
        """
        if rule.send_to is None or self._sendings.find(rule.name, firing.digest) is not None:
            return True
        job = self._store.find(series.job)
        if job is not None and not job.state.is_final:  # its result may not be written yet
            return False
        if job is None or series.id not in stored_ids(job.result):
            self._remark(rule, series, "it is not sent: the job that made it is not remembered any more")
            return True
        sending = Sending(rule.name, firing.digest, series.id, job.id, tuple(rule.send_to), time.time())
        by = {"UserFrom": "Rule", "Rule": rule.name}
        act = Act("Send", by, series.id, job.id, {"Destinations": list(rule.send_to)})
        notes = (self._sendings.note(sending), self._audit.note(act))
        hold = self._hold if rule.hold_until_accepted is None else rule.hold_until_accepted
        is_rejected = self._reviews.is_rejected(series.id)
        hold_it = hold or is_rejected
        if not self._reviews.send_on(job.id, series.id, rule.send_to, hold=hold_it, notes=notes, rule=rule.name):
            return False
        self._audit.tell(act)
        when = " when it is accepted" if hold else ""
        text = "it is sent nowhere: it is rejected" if is_rejected else f"it is sent to {', '.join(rule.send_to)}{when}"
        self._remark(rule, series, text)
        return True

    def _remark(self, rule: Rule, series: SeriesFacts, text: str) -> None:
        if self._remarks.put(rule.name, f"/series/{series.id}", text):
            _log.warning("rule %s, series %s: %s", rule.name, series.id, text)
