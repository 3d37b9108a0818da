"""Watches studies for which rules wait, until each is complete or its time is over."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from derived_series.errors import Busy, DerivedSeriesError, NotFound
from derived_series.jobs.rules.evaluate import (
    Evaluation,
    SeriesFacts,
    concerns,
    evaluate_study,
    instead,
    is_coming,
    missing,
    missing_text,
    subject_of_study,
)
from derived_series.jobs.rules.logs import RuleLogs
from derived_series.jobs.rules.model import OtherDerivation, Rule, WaitFor
from derived_series.jobs.rules.study_waits import StudyWait, WaitState
from derived_series.orthanc.firing import Firer
from derived_series.orthanc.studies import StudyReader

_log = logging.getLogger(__name__)

#: The most late studies that are listed for a rule.
_LISTED_STUDIES = 20


class StudyWatch:
    """The studies for which rules wait. Used by the one thread of the rules, except ``to_json``."""

    def __init__(self, rules: Sequence[Rule], logs: RuleLogs, firer: Firer):
        self._rules = {rule.name: rule for rule in rules if rule.wait_for is not None}
        self._waits = logs.waits
        self._remarks = logs.remarks
        self._firer = firer

    def begin(self) -> None:
        """Forget the waits of rules that no longer wait."""
        self._waits.keep_only(self._rules.keys())

    def look(self, reader: StudyReader, rule: Rule, series: SeriesFacts) -> None:
        """Check whether a new stable series completes its study. :raises Busy: no job is accepted now."""
        if rule.wait_for is None or not concerns(rule, series):
            return
        wait = self._waits.of(rule.name, series.study) or StudyWait(rule.name, series.study, time.time())
        self._settle(reader, rule, wait, reader.study_of(series.id))

    def look_at_time(self, reader: StudyReader, is_stopping: Callable[[], bool]) -> float | None:
        """Handle the studies whose time is over; return the seconds until the next one's.

        :param is_stopping: whether Orthanc's answers may be wrong.
        :raises Busy: no job is accepted now.
        """
        soonest = None
        for wait in self._waits.in_state(WaitState.WAITING):
            rule = self._rules[wait.rule]
            now = time.time()
            if wait.since > now:  # the clock was set back: it begins again, once
                wait = dataclasses.replace(wait, since=now)
                self._waits.put(wait)
            left = wait.since + _seconds_of(rule) - now
            if left > 0:
                soonest = left if soonest is None else min(soonest, left)
                continue
            try:
                study = reader.of_study(wait.study)
                if is_stopping():
                    break
                if study and not is_coming(rule, study):
                    self._settle(reader, rule, wait, study, is_over=True)
            except NotFound:  # it is forgotten with the other missing studies
                continue
            except Busy:
                raise
            except Exception as error:  # the boundary of each study
                is_known = isinstance(error, DerivedSeriesError)
                text = "the rule %s cannot be applied to the study %s: %s"
                _log.error(text, rule.name, wait.study, error if is_known else "", exc_info=not is_known)
        return soonest

    def _settle(
        self,
        reader: StudyReader,
        rule: Rule,
        wait: StudyWait,
        study: list[SeriesFacts],
        is_over: bool = False,
    ) -> None:
        lacking = missing(rule, study)
        evaluation = evaluate_study(rule, study, lambda series: reader.priors_of(series.id))
        now = time.time()
        if not lacking:
            self._complete(rule, wait, evaluation)
        elif wait.state is WaitState.LATE:
            self._derive_late(rule, evaluation)
            self._waits.put(dataclasses.replace(wait, missing=lacking))
        elif is_over:
            late = dataclasses.replace(wait, state=WaitState.LATE, missing=lacking, changed=now)
            self._time_out(rule, late, evaluation, study)
        else:
            since = wait.since if wait.state is WaitState.WAITING else now
            self._waits.put(StudyWait(rule.name, wait.study, since, WaitState.WAITING, lacking, now))

    def _complete(self, rule: Rule, wait: StudyWait, evaluation: Evaluation) -> None:
        """Fire for a complete study, in time or late: the result replaces a late one's incomplete result."""
        jobs = 0 if rule.derive is None else self._firer.fire(rule, evaluation, rule.derive)
        if wait.state is WaitState.COMPLETE and not jobs:
            return
        late = ", after its time" if wait.state is WaitState.LATE else ""
        why = f", but it does not fire: {evaluation.reason}" if evaluation.reason else f": {_jobs_text(jobs)} made"
        self._remark(rule, wait, f"the study is complete{late}{why}")
        self._waits.put(dataclasses.replace(wait, state=WaitState.COMPLETE, missing=None, changed=time.time()))

    def _time_out(self, rule: Rule, late: StudyWait, evaluation: Evaluation, study: list[SeriesFacts]) -> None:
        lacking = f"{_seconds_of(rule):g} s are over, and the study lacks {missing_text(late.missing or {})}"
        if _otherwise(rule) == "Fail":
            if not self._fail(rule, late, evaluation, study, lacking):
                return
            done = "a failed job says so"
        else:
            jobs = self._derive_late(rule, evaluation)
            self._waits.put(late)
            done = (
                "nothing is derived" if _otherwise(rule) == "Nothing" else f"{_jobs_text(jobs)} made from what is there"
            )
            if evaluation.reason and _otherwise(rule) != "Nothing":
                done = f"nothing can be derived: {evaluation.reason}"
        self._remark(rule, late, f"{lacking}: {done}")

    def _derive_late(self, rule: Rule, evaluation: Evaluation) -> int:
        """Derive from the existing series when the time is over, if the rule says so; return the number of jobs."""
        otherwise = _otherwise(rule)
        if isinstance(otherwise, OtherDerivation):
            return self._firer.fire(rule, instead(evaluation), otherwise.derive)
        return self._firer.fire(rule, evaluation, rule.derive) if otherwise == "Run" and rule.derive is not None else 0

    def _fail(
        self, rule: Rule, late: StudyWait, evaluation: Evaluation, study: list[SeriesFacts], lacking: str
    ) -> bool:
        """Write one failed job, together with the wait's end; False if another Orthanc has done so."""
        firing = next(iter(evaluation.firings), None)
        instead_of_it = next(iter(self._concerned(rule, study))).id, subject_of_study(rule, late.study)
        return self._firer.fail(rule, firing, instead_of_it, lacking, self._waits.end(late))

    @staticmethod
    def _concerned(rule: Rule, study: list[SeriesFacts]) -> list[SeriesFacts]:
        return [each for each in study if concerns(rule, each)] or study

    def _remark(self, rule: Rule, wait: StudyWait, text: str) -> None:
        if self._remarks.put(rule.name, f"/studies/{wait.study}", text):
            _log.warning("rule %s, study %s: %s", rule.name, wait.study, text)

    def forget_gone(self, has_study: Callable[[str], bool]) -> None:
        """Forget the studies that no longer exist."""
        self._waits.forget([wait for wait in self._waits.all() if not has_study(wait.study)])

    def to_json(self, rule: Rule) -> list[dict[str, Any]]:
        """The studies for which a rule waits, and the last late ones, with the missing series."""
        waits = self._waits.in_state(WaitState.WAITING) + self._waits.in_state(WaitState.LATE)[-_LISTED_STUDIES:]
        return [_wait_json(rule, wait) for wait in waits if wait.rule == rule.name]


def _otherwise(rule: Rule) -> object:
    return rule.wait_for.otherwise if isinstance(rule.wait_for, WaitFor) else "Nothing"


def _seconds_of(rule: Rule) -> float:
    return rule.wait_for.seconds if rule.wait_for is not None else 0.0


def _wait_json(rule: Rule, wait: StudyWait) -> dict[str, Any]:
    return {
        "Study": wait.study,
        "Path": f"/studies/{wait.study}",
        "State": wait.state.value,
        "Since": datetime.fromtimestamp(wait.since, UTC).isoformat(),
        "Until": datetime.fromtimestamp(wait.since + _seconds_of(rule), UTC).isoformat(),
        "Missing": {name: {"There": there, "Wanted": wanted} for name, (there, wanted) in (wait.missing or {}).items()},
    }


def _jobs_text(count: int) -> str:
    return "1 job is" if count == 1 else f"{count} jobs are"
