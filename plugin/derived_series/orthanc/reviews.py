"""Verdicts on derived series: looked up, written, and applied to the destinations that wait for them."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from derived_series.errors import Conflict, NotFound
from derived_series.jobs.about_job import about_job
from derived_series.jobs.destination_states import (
    DELETED,
    HELD,
    PENDING,
    addressed,
    destinations,
    is_held,
    released,
    withdrawn,
)
from derived_series.jobs.metadata import REVIEW
from derived_series.jobs.notices.notifier import Notifier
from derived_series.jobs.queue.database import Note, together
from derived_series.jobs.queue.runner import JobRunner
from derived_series.jobs.queue.verdict_log import VerdictLog
from derived_series.jobs.record import JobRecord
from derived_series.jobs.requests.verdict import ACCEPTED, LABELS, REJECTED, rejection_job_id, review_json
from derived_series.jobs.stored_series import stored_ids
from derived_series.orthanc.abstract_gateway import Gateway
from derived_series.orthanc.rejection_notes import rejection_in_study
from derived_series.orthanc.verdict_conditions import (
    if_not_being_rejected,
    if_not_judged_since,
    if_not_rejected,
    if_not_sent,
)

_log = logging.getLogger(__name__)

#: The most attempts to write a record that others change meanwhile.
_ATTEMPTS = 5


class Reviews:
    """The verdicts so far; the log has the record, and metadata of each series a copy for other programs."""

    def __init__(self, gateway: Gateway, runner: JobRunner, log: VerdictLog, notifier: Notifier):
        self._log = log
        self._notifier = notifier
        self._gateway = gateway
        self._runner = runner
        self._lock = threading.Lock()  # two threads may settle the same job
        self._reported: set[tuple[str, str]] = set()  # how copies differ, which is logged once

    def provenance(self, series: str) -> dict[str, Any]:
        """The provenance of a derived series.

        :raises NotFound: no such series. :raises Conflict: it was not made here.
        """
        self._gateway.series(series)
        provenance = self._gateway.provenance(series) or self._remembered(series)
        if provenance is None:
            raise Conflict(
                f"the series {series} was not derived by this plugin: there is no verdict on it",
                remedy="GET /series/{id}/derived lists what was derived from a series",
            )
        return provenance

    def _remembered(self, series: str) -> dict[str, Any] | None:
        """The record of a series that was received again without its provenance."""
        job = self._runner.store.maker_of(series)
        if job is not None:
            try:
                uid = self._gateway.series(job.series)["MainDicomTags"]["SeriesInstanceUID"]
            except NotFound:
                return {"Job": job.id, "Parents": []}
            return {"Job": job.id, "Parents": [{"Input": "parent", "ID": job.series, "SeriesInstanceUID": uid}]}
        return None if rejection_in_study(self._gateway, series) is None else {"Job": "", "Parents": []}

    def of(self, series: str) -> dict[str, Any] | None:
        """The verdict on a series: the recorded one, or that of a note in its study that rejects it."""
        verdict = self._kept(series)
        if verdict is not None and verdict["State"] == REJECTED:
            return verdict
        try:
            note = rejection_in_study(self._gateway, series)
        except NotFound:  # the series is gone
            note = None
        return verdict if note is None else note | ({} if verdict is None else {"Former": verdict})

    def _kept(self, series: str) -> dict[str, Any] | None:
        for job in self._runner.store.of_series(series):  # it may just have stored its document
            if verdict := _rejection(job):
                return verdict
        return self._log.of(series)

    def discrepancy(self, series: str) -> str | None:
        """How the copy of a verdict differs from the record, in words; None if it does not."""
        verdict, copy = self._kept(series), self._copy(series)
        if copy == verdict:
            return None
        if copy is None:
            return f"metadata {REVIEW} of the series, the copy of its verdict, was removed: the verdict stands"
        state = copy.get("State", "something unreadable")
        by = f" by {copy['User']}" if isinstance(copy.get("User"), str) else ""
        what = "there is no verdict here" if verdict is None else f"here it is {verdict['State']} by {verdict['User']}"
        return f"metadata {REVIEW} of the series says {state}{by}, which was written past the plugin: {what}"

    def _copy(self, series: str) -> dict[str, Any] | None:
        try:
            copy = self._gateway.metadata(series, REVIEW)
        except ValueError:  # not JSON
            return {}
        return copy if copy is None or isinstance(copy, dict) else {}

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

    def accept(self, series: str, request: dict[str, Any], along: Note | None = None) -> None:
        """Record that a series is accepted; ``write_copy`` is to follow.

        :param along: is written together with it or not at all.
        :raises Conflict: it is rejected, or about to be.
        """
        verdict = review_json(ACCEPTED, request, datetime.now().astimezone().isoformat(), None)
        notes = [if_not_rejected(str(self.provenance(series)["Job"]), [series])]
        notice = self._notifier.of_verdict(series, verdict.get("User"), self._runner.store.maker_of(series))
        notes += [note for note in (notice, along) if note is not None]
        self._log.put(series, verdict, together(*notes))
        self._notifier.wake()

    def lacks_copy(self, series: str) -> bool:
        """Whether the copy of an accepted series' verdict was not written, or was removed."""
        verdict = self._log.of(series)
        return verdict is not None and verdict["State"] == ACCEPTED and self._copy(series) is None

    def write_copy(self, series: str) -> None:
        """Write the copy of an accepted series' verdict: one that differs is only reported and has no effect.

        :raises DerivedSeriesError: Orthanc does not take it; the verdict stands.
        """
        verdict = self._log.of(series)
        self._gateway.put(f"/series/{series}/metadata/{REVIEW}", json.dumps(verdict).encode())
        try:
            self._gateway.put(f"/series/{series}/labels/{LABELS[ACCEPTED]}", b"")
        except NotFound:  # an Orthanc without labels
            return

    def observe(self, job: JobRecord) -> None:
        """Note a job's new state, for which destinations may have waited. A repeated call has no effect."""
        if "Verdict" not in job.request:
            if job.state.is_final:
                self.settle(job)
            return
        self._record(job)
        is_over = job.state.is_final or job.result is not None  # what is held waits while it is open
        if is_over and (derivation := self._runner.store.find(job.request["Derivation"])) is not None:
            self.settle(derivation)

    def resubmit(self, job_id: str, along: Note | None = None, *, even_cancelled: bool = True) -> None:
        """Run a failed job again, unless a verdict is against it.

        :param along: is written together with it or not at all.
        :param even_cancelled: have its series sent on even where that was cancelled.
        :raises Conflict: it has not failed; one of its series is being rejected; or it rejects a series about which
            somebody has decided since, or which is being sent on.
        """
        job = self._runner.store.get(job_id)
        notes = [] if along is None else [along]
        if "Verdict" not in job.request:
            notes = [if_not_being_rejected(job), *notes]
        elif job.result is None:  # else its document is stored, and the verdict stands
            notes = [if_not_judged_since(job), if_not_sent(job.series, job.request["Derivation"]), *notes]
        self._runner.resubmit(job_id, together(*notes), even_cancelled=even_cancelled)

    def settle_all(self, is_stopping: Callable[[], bool] = lambda: False) -> bool:
        """Settle what a former process or another Orthanc did not.

        :param is_stopping: whether Orthanc stops, so that its answers mean nothing.
        :returns: False: something could not be settled; it is to be tried again.
        """
        if self._log.is_new:
            series = {each for job in self._runner.store.newest_series(-1) for each in stored_ids(job.result)}
            copies = {each: copy for each in sorted(series) if (copy := self._copy(each))}
            self._log.take_over(copies)
        rejections = self._runner.store.rejections()
        steps: list[tuple[Callable[[JobRecord], None], JobRecord]] = [(self._record, job) for job in rejections]
        steps += [(self.settle, job) for job in self._runner.store.undelivered()]
        is_settled = True
        for step, job in steps:
            if is_stopping():
                return False
            try:
                step(job)
            except Exception:  # one that cannot be settled does not block the others
                _log.exception("the verdict on a series of job %s has no effect yet", job.id, extra={"job": job.id})
                is_settled = False
        return is_settled

    def _record(self, rejection: JobRecord) -> None:
        """Record that a series is rejected, once its document is stored."""
        verdict = _rejection(rejection)
        if verdict and self._log.of(rejection.series) != verdict:
            self._log.put(rejection.series, verdict)

    def settle(self, job: JobRecord) -> None:
        """Send a job's held series on if they are accepted; release the destinations of rejected or missing ones."""
        with about_job(job.id):
            for series in stored_ids(job.result):
                if destinations(job, series):
                    self._settle(job, series)

    def send_on(
        self,
        job_id: str,
        series: str,
        names: Sequence[str],
        *,
        hold: bool,
        notes: Sequence[Note],
        rule: str,
    ) -> bool:
        """Give a series further destinations, which its job delivers; False while the job is not over.

        Held ones are settled at once if there is a verdict. While the series is being rejected it waits, too.

        :param hold: they wait for a verdict. :param notes: are written together with it or not at all.
        :param rule: the rule that sends the series on.
        :raises Busy: the disk refuses it.
        """
        has_verdict = self.of(series) is not None or self.is_rejected(series)
        with self._lock:
            job = self._runner.store.find(job_id)
            if job is None or not job.state.is_final:
                return False
            last = addressed(job, series, names, HELD if hold else PENDING)
            begins_to_wait = is_held(last, series) and not is_held(job, series) and not has_verdict
            waiting = self._notifier.of_waiting(series, last, rule) if begins_to_wait else None
            conditions = [if_not_being_rejected(job), *([] if hold else [if_not_rejected(job_id, [series])])]
            try:
                self._runner.renew(job, last, together(*conditions, *notes, *([] if waiting is None else [waiting])))
            except Conflict:  # it was changed by another Orthanc meanwhile, or somebody rejects it just now
                return False
        self._notifier.wake()
        if (current := self._runner.store.find(job_id)) is not None:
            self.settle(current)
        return True

    def _settle(self, job: JobRecord, series: str) -> None:
        verdict = self.of(series)
        wrong = self.discrepancy(series)
        if wrong and (series, wrong) not in self._reported and self._gateway.has_series(series):
            self._reported.add((series, wrong))
            _log.warning("series %s: %s", series, wrong)
        if verdict is None:
            if not is_held(job, series) or self._gateway.has_series(series):
                return
            verdict = {"State": DELETED}
        with self._lock:
            for _ in range(_ATTEMPTS):
                current = self._runner.store.find(job.id)
                if current is None or not current.state.is_final:
                    return
                last = _after_verdict(current, verdict["State"], series)
                if last == current:
                    return
                conditions = [if_not_being_rejected(current), if_not_rejected(current.id, [series])]
                try:
                    self._runner.renew(current, last, None if last.state.is_final else together(*conditions))
                    return
                except Conflict:  # it was changed by another Orthanc meanwhile, or somebody rejects it just now
                    continue


def _after_verdict(job: JobRecord, state: str, series: str) -> JobRecord:
    """The record of a finished job after a verdict on one of its series."""
    if state in (REJECTED, DELETED):
        return withdrawn(job, state, series)
    return released(job, series) if state == ACCEPTED and is_held(job, series) else job


def _rejection(job: JobRecord) -> dict[str, Any] | None:
    """The verdict whose document a job has stored."""
    rejection: dict[str, Any] | None = (job.result or {}).get("Verdict") if "Verdict" in job.request else None
    return rejection
