"""Fires rules: a thread looks at every series that has become stable, and submits the jobs that rules want."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections import Counter

from derived_series.errors import Busy, DerivedSeriesError, NotFound
from derived_series.jobs.queue.audit_log import Act
from derived_series.jobs.queue.runner import JobRunner
from derived_series.jobs.record import JobRecord
from derived_series.jobs.rules.evaluate import Firing, SeriesFacts, evaluate, is_prior_of
from derived_series.jobs.rules.log import Fired, FiringLog
from derived_series.jobs.rules.model import Rule
from derived_series.orthanc.abstract_gateway import Gateway
from derived_series.orthanc.audit import Audit
from derived_series.orthanc.changes import ChangeReader
from derived_series.orthanc.config import Settings
from derived_series.orthanc.routes.library import LibraryRoutes
from derived_series.orthanc.studies import StudyReader

_log = logging.getLogger(__name__)

#: Seconds between two looks at the log of changes when nothing wakes the thread, and when series wait.
_LOOK_SECONDS = 10.0
_LOOK_SOON_SECONDS = 0.5

#: Errors after which a series is given up.
_ATTEMPTS = 5

_STOP_SECONDS = 2.0

#: Seconds for which all firings are kept, and between two looks for those that are older.
_KEPT_SECONDS = 30 * 86400.0
_PRUNE_SECONDS = 86400.0


class RuleTrigger:
    """The thread. Orthanc's callback only wakes it: what it has to do is in Orthanc's log of changes and on disk.

    :param numbers: see ``tag_numbers``.
    """

    def __init__(
        self,
        gateway: Gateway,
        runner: JobRunner,
        library: LibraryRoutes,
        log: FiringLog,
        changes: ChangeReader,
        settings: Settings,
        numbers: dict[str, str],
        audit: Audit,
    ):
        self._gateway = gateway
        self._runner = runner
        self._library = library
        self._log = log
        self._changes = changes
        self._settings = settings
        self._rules = settings.rules
        self._numbers = numbers
        self._audit = audit
        self._failures: Counter[str] = Counter()
        self._prune_at = 0.0
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="rules", daemon=True)

    def start(self) -> None:
        """Begin with what came since the last look of the former process."""
        if self._rules:
            self._thread.start()
        else:
            self._log.forget_seen()

    def wake(self) -> None:
        """A series has become stable. Returns at once."""
        self._woken.set()

    def stop(self) -> None:
        """What waits is on disk."""
        self._stopping.set()
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_SECONDS)

    def _work(self) -> None:
        caught_up = False
        while not self._stopping.is_set():
            self._woken.clear()
            patience = _LOOK_SECONDS
            try:
                if not caught_up:
                    self._changes.catch_up()
                    caught_up = True
                self._changes.read()
                if time.monotonic() >= self._prune_at:
                    self._prune()
                patience = _LOOK_SECONDS if self._look_at_all() else _LOOK_SOON_SECONDS
            except Busy as error:  # the queue or the disk is full: all that waits is tried again
                _log.info("rules wait: %s", error)
                patience = _LOOK_SOON_SECONDS
            except Exception:  # the one boundary of this thread
                if not self._stopping.is_set():
                    _log.exception("the rules' thread has met an error")
            self._woken.wait(patience)

    def _prune(self) -> None:
        """Forget old firings on series that are gone: there is nothing left that could fire them a second time."""
        self._prune_at = time.monotonic() + _PRUNE_SECONDS
        gone = []
        for fired in self._log.before(time.time() - _KEPT_SECONDS):
            if self._stopping.is_set():  # what Orthanc answers now may be wrong
                return
            if not all(map(self._gateway.has_series, fired.firing.inputs.values())):
                gone.append(fired)
        if gone and not self._stopping.is_set():
            self._log.forget(gone)
            _log.warning("%d firings of rules are forgotten, whose series are gone", len(gone))

    def _look_at_all(self) -> bool:
        """Whether all series that waited are done."""
        done = True
        for series in self._log.waiting():
            if self._stopping.is_set():
                return True
            if self._is_done(series):
                if not self._stopping.is_set():  # else what Orthanc answered may be wrong
                    self._log.done(series)
                    self._failures.pop(series, None)
            else:
                done = False
        return done

    def _is_done(self, series: str) -> bool:
        """Fire what is to be fired for a series; False when it has to be looked at again.

        :raises Busy: no job is taken now.
        """
        reader = StudyReader(self._gateway, self._numbers, self._runner.store)
        try:
            facts = reader.facts(series)
            if reader.is_being_made(series):
                return False
            for rule in self._rules:
                self._look(reader, rule, facts)
                for each in reader.later_than(series) if is_prior_of(rule, facts) else ():
                    self._look(reader, rule, each)
        except NotFound:  # it was removed, and with it all reason to look
            return True
        except Busy:
            raise
        except DerivedSeriesError as error:
            self._failures[series] += 1
            _log.error("rules cannot be applied to the series %s: %s", series, error)
            return self._failures[series] >= _ATTEMPTS
        return True

    def _look(self, reader: StudyReader, rule: Rule, facts: SeriesFacts) -> None:
        """Fire a rule for a series, where it has not fired for the same inputs."""
        series = facts.id
        evaluation = evaluate(rule, facts, lambda: reader.study_of(series), lambda: reader.priors_of(series))
        for firing in evaluation.firings:
            if self._log.find(rule.name, firing.digest) is None:
                self._fire(rule, firing)

    def _fire(self, rule: Rule, firing: Firing) -> None:
        inputs = dict(firing.inputs)
        series = inputs.pop(self._parent_input(rule))
        request = self._settings.document(rule.derive) | {"IfExists": rule.if_more_instances}
        if inputs:
            request["Inputs"] = inputs
        job = JobRecord.new(
            series, request, subject=firing.subject, digest=firing.digest, priority=rule.derive.priority
        )
        act = Act("Derive", {"UserFrom": "Rule", "Rule": rule.name}, series, job.id)
        notes = (self._log.note(Fired(firing, job.id, job.created)), self._audit.note(act))

        def along(db: sqlite3.Connection) -> None:
            for note in notes:
                note(db)

        self._runner.submit(job, None, along)
        self._audit.tell(act)
        _log.warning("rule %s fires for the series %s: job %s", rule.name, series, job.id)

    def _parent_input(self, rule: Rule) -> str:
        """The input that is the parent; a pipeline that is not there leaves it to the job to say so."""
        first = next(iter(rule.wanted))
        if rule.inputs is None:
            return first
        known = self._library.catalogue().pipelines.get(rule.derive.pipeline or "", {})
        named = known.get("ParentInput", first)
        return named if named in rule.inputs else first
