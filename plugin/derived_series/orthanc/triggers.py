"""Fires rules: a thread looks at every series that has become stable, and submits the jobs that rules want."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence

from derived_series.errors import Busy, DerivedSeriesError, NotFound
from derived_series.jobs.notices.notifier import Notifier
from derived_series.jobs.queue.nodes import STABLE, Nodes
from derived_series.jobs.queue.retrievals import Retrievals
from derived_series.jobs.queue.runner import JobRunner
from derived_series.jobs.record import Problem
from derived_series.jobs.rules.evaluate import SeriesFacts, evaluate, ineligible, is_prior_of
from derived_series.jobs.rules.logs import RuleLogs
from derived_series.jobs.rules.matching import lacking_numbers
from derived_series.jobs.rules.model import Rule
from derived_series.orthanc.abstract_gateway import Gateway
from derived_series.orthanc.changes import ChangeReader
from derived_series.orthanc.firing import Firer
from derived_series.orthanc.forwarding import Forwarding
from derived_series.orthanc.studies import StudyReader
from derived_series.orthanc.study_watch import StudyWatch

_log = logging.getLogger(__name__)

#: Seconds between two looks at the log of changes when nothing wakes the thread, and when series wait.
_LOOK_SECONDS = 10.0
_LOOK_SOON_SECONDS = 0.5

#: Seconds from an error with a series to the next look at it. After one more error it is given up: in about 15 minutes,
#: as Orthanc's file storage may be away for some of them.
_PAUSES_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 300.0, 300.0)

_STOP_SECONDS = 2.0

#: Seconds for which all firings are kept, and seconds between two searches for older ones.
_KEPT_SECONDS = 30 * 86400.0
_PRUNE_SECONDS = 86400.0


class RuleTrigger:
    """The thread that fires rules.

    Orthanc's callback only wakes it: its work is in Orthanc's log of changes and on disk.

    :param numbers: see ``tag_numbers``.
    :param nodes: the Orthancs that share the jobs, of which only the leader fires rules.
    """

    def __init__(
        self,
        gateway: Gateway,
        runner: JobRunner,
        logs: RuleLogs,
        retrievals: Retrievals,
        changes: ChangeReader,
        rules: Sequence[Rule],
        numbers: Mapping[str, str],
        firer: Firer,
        watch: StudyWatch,
        forwarding: Forwarding,
        notifier: Notifier,
        nodes: Nodes,
    ):
        self._notifier = notifier
        self._nodes = nodes
        self._losses = 0  # the known ends of Orthancs, and those after which the log was read again
        self._caught_up_with = -1
        self._gateway = gateway
        self._runner = runner
        self._log = logs.firings
        self._sendings = logs.sendings
        self._remarks = logs.remarks
        self._retrievals = retrievals
        self._changes = changes
        self._rules = rules
        self._numbers = numbers
        self._firer = firer
        self._watch = watch
        self._forwarding = forwarding
        self._failures: Counter[str] = Counter()
        self._resume_at: dict[str, float] = {}  # when to look again at series with errors, in monotonic seconds
        self._problems: dict[str, Problem] = {}  # why series are given up
        self._prune_at = 0.0
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="rules", daemon=True)

    def start(self) -> None:
        """Look while this Orthanc leads."""
        if self._rules:
            self._thread.start()

    def lead(self) -> None:
        """Begin with the changes since the last look of the former process, or of another Orthanc."""
        self._watch.begin()
        if self._rules:
            self.catch_up()
        else:
            self._log.forget_seen()

    def catch_up(self) -> None:
        """Look again, as an Orthanc that has ended may not have reported all its stable series. Returns at once."""
        self._losses += 1
        self._woken.set()

    def wake(self) -> None:
        """Note that a series has become stable here. Returns at once."""
        self._woken.set()
        if not self._nodes.is_alone and not self._nodes.leads:
            self._nodes.tell(STABLE)

    def stop(self) -> None:
        """Stop the thread; waiting series stay on disk."""
        self._stopping.set()
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_SECONDS)

    def _work(self) -> None:
        while not self._stopping.is_set():
            self._woken.clear()
            patience = _LOOK_SECONDS
            if not self._nodes.leads:
                self._woken.wait(_LOOK_SECONDS)
                continue
            try:
                if (losses := self._losses) != self._caught_up_with:
                    self._changes.catch_up()
                    self._caught_up_with = losses
                self._changes.read()
                if time.monotonic() >= self._prune_at:
                    self._prune()
                patience = _LOOK_SECONDS if self._look_at_all() else _LOOK_SOON_SECONDS
                left = self._watch.look_at_time(self._reader(), self._stopping.is_set)
                if left is not None:
                    patience = max(_LOOK_SOON_SECONDS, min(patience, left))
            except Busy as error:  # the queue or the disk is full: all that waits is tried again
                _log.info("rules wait: %s", error)
                patience = _LOOK_SOON_SECONDS
            except Exception:  # the one boundary of this thread
                if not self._stopping.is_set():
                    _log.exception("the rules' thread has met an error")
            self._woken.wait(patience)

    def _prune(self) -> None:
        """Forget old firings for series that are gone, as nothing could fire them again."""
        self._prune_at = time.monotonic() + _PRUNE_SECONDS
        gone, unsent = [], []
        for fired in self._log.before(time.time() - _KEPT_SECONDS):
            if self._stopping.is_set():  # Orthanc's answers may be wrong now
                return
            if not all(map(self._gateway.has_series, fired.firing.inputs.values())):
                gone.append(fired)
        for sending in self._sendings.before(time.time() - _KEPT_SECONDS):
            if self._stopping.is_set():
                return
            if not self._gateway.has_series(sending.series):
                unsent.append(sending)
        self._watch.forget_gone(self._has_study)
        if (gone or unsent) and not self._stopping.is_set():
            self._log.forget(gone)
            self._sendings.forget(unsent)
            _log.warning("%d firings of rules are forgotten, whose series are gone", len(gone) + len(unsent))

    def _has_study(self, study: str) -> bool:
        try:
            return bool(self._gateway.get(f"/studies/{study}"))
        except NotFound:
            return self._stopping.is_set()  # Orthanc's answers may be wrong then

    def _look_at_all(self) -> bool:
        """Look at all waiting series; return whether all are done."""
        done = True
        for series in self._log.waiting():
            if self._stopping.is_set():
                return True
            if self._resume_at.get(series, 0.0) > time.monotonic():
                done = False
            elif self.apply(series):
                if not self._stopping.is_set():  # otherwise Orthanc's answer may be wrong
                    self._leave(series)
            else:
                done = False
        return done

    def _leave(self, series: str) -> None:
        """Drop a series from the waiting ones; if that is due to an error, send a notice of it."""
        problem = self._problems.pop(series, None)
        along = None if problem is None else self._notifier.of_rules(series, problem)
        self._log.done(series, along)
        self._failures.pop(series, None)
        self._resume_at.pop(series, None)
        self._notifier.wake()

    def apply(self, series: str) -> bool:
        """Do what the rules want for a series; False if it must be looked at again.

        :raises Busy: no job is accepted now.
        """
        try:
            return self._apply_rules(series)
        except Busy:
            raise
        except Exception as error:  # the boundary of each series
            return self._is_gone(series) or self._is_given_up(series, error)

    def _apply_rules(self, series: str) -> bool:
        """Apply all rules to a series; what one of them meets does not keep the others from it."""
        reader = self._reader()
        facts = reader.facts(series)
        if reader.is_being_made(series):
            return False
        done, errors = [], []
        for rule in self._rules:
            try:
                done.append(self._is_applied(reader, rule, facts))
            except Busy:
                raise
            except Exception as error:  # raised below, and logged with the series
                errors.append(error)
        if errors:
            raise errors[0]
        return all(done)

    def _is_gone(self, series: str) -> bool:
        """Whether a series was removed, so that there is nothing to look at."""
        try:
            return not self._gateway.has_series(series)
        except Busy:
            raise
        except DerivedSeriesError:
            return False

    def _is_given_up(self, series: str, error: Exception) -> bool:
        """Note an error with a series: it is looked at again after longer and longer pauses, then given up."""
        if isinstance(error, DerivedSeriesError):
            _log.error("rules cannot be applied to the series %s: %s", series, error)
        else:  # its text may quote patient data
            _log.error("rules cannot be applied to the series %s", series, exc_info=error)
            error = DerivedSeriesError(f"an error of the plugin ({type(error).__name__}): Orthanc's log has more")
        self._failures[series] += 1
        if self._failures[series] <= len(_PAUSES_SECONDS):
            self._resume_at[series] = time.monotonic() + _PAUSES_SECONDS[self._failures[series] - 1]
            return False
        self._problems[series] = Problem.of(error)
        return True

    def _reader(self) -> StudyReader:
        return StudyReader(self._gateway, self._numbers, self._runner.store, self._retrievals)

    def _is_applied(self, reader: StudyReader, rule: Rule, facts: SeriesFacts) -> bool:
        if rule.derive is None:
            return self._is_sent(rule, facts)
        self._look(reader, rule, facts)
        for each in reader.later_than(facts.id) if is_prior_of(rule, facts) else ():
            self._look(reader, rule, each)
        return True

    def _look(self, reader: StudyReader, rule: Rule, facts: SeriesFacts) -> None:
        """Fire a rule for a series, unless it has fired for the same inputs."""
        self._tell_lacking(rule, facts)
        if rule.wait_for is not None:
            self._watch.look(reader, rule, facts)
            return
        series = facts.id
        evaluation = evaluate(rule, facts, lambda: reader.study_of(series), lambda: reader.priors_of(series))
        if rule.derive is not None:
            self._firer.fire(rule, evaluation, rule.derive)

    def _is_sent(self, rule: Rule, facts: SeriesFacts) -> bool:
        self._tell_lacking(rule, facts)
        return all([self._forwarding.send(rule, facts, firing) for firing in evaluate(rule, facts, tuple).firings])

    def _tell_lacking(self, rule: Rule, facts: SeriesFacts) -> None:
        """Remark and log that a series lacks a number that a rule compares, as a person expects an effect."""
        if any(ineligible(rule, name, facts) is None for name in rule.wanted):
            return
        for lacking in itertools.chain.from_iterable(
            lacking_numbers(match, facts.values) for match in rule.wanted.values()
        ):
            text = f"it does not fire: {lacking}"
            if self._remarks.put(rule.name, f"/series/{facts.id}", text):
                _log.warning("rule %s, series %s: %s", rule.name, facts.id, text)
