"""The routes of rules: their list with what they did, and simulations."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Executor
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import Field, field_validator

from derived_series.errors import Busy, InvalidRequest, NotFound
from derived_series.jobs.queue.retrievals import Retrievals
from derived_series.jobs.queue.store import JobStore
from derived_series.jobs.requests.derive import OrthancId, parse_json, validated
from derived_series.jobs.rules.evaluate import Case, Evaluation, evaluate_all
from derived_series.jobs.rules.log import FiringLog
from derived_series.jobs.rules.logs import RuleLogs
from derived_series.jobs.rules.model import Rule, check_names
from derived_series.json_model import JsonModel
from derived_series.orthanc.abstract_gateway import Gateway
from derived_series.orthanc.destinations import Destinations
from derived_series.orthanc.http import Answer, Request
from derived_series.orthanc.routes.library import LibraryRoutes
from derived_series.orthanc.rule_problems import problems_of_rule
from derived_series.orthanc.studies import StudyReader, tag_numbers
from derived_series.orthanc.study_watch import StudyWatch

#: The changes that are read at a time, from the newest back.
_PAGE_CHANGES = 2000

#: The most remarks that are listed for a rule.
_LISTED_REMARKS = 10

#: The most seconds for the rules of a client.
_MATCH_SECONDS = 5.0


_MATCHES = "it matches"
_HAS_FIRED = "it has fired for these instances already"
_STABLE_BEFORE = (
    "it matches, but the series was stable before: a rule fires for what becomes stable after it was configured. "
    "POST /series/{id}/derive derives from it"
)


class TryRequest(JsonModel):
    """``Rules`` to try on a series instead of the configuration's."""

    rules: Annotated[list[Rule], Field(max_length=100)] | None = None

    @field_validator("rules")
    @classmethod
    def _named_once(cls, rules: list[Rule] | None) -> list[Rule] | None:
        check_names(rules or [])
        return rules

    @classmethod
    def of(cls, document: object) -> TryRequest:
        """Check the request. :raises InvalidRequest: some keys are wrong; the message lists them."""
        return validated(cls, document)


class SimulateRequest(JsonModel):
    """``Last`` series that became stable, or these ``Series``."""

    last: Annotated[int, Field(ge=1, le=1000)] = 20
    series: Annotated[list[OrthancId], Field(max_length=1000)] | None = None

    @classmethod
    def of(cls, document: object) -> SimulateRequest:
        """Check the request. :raises InvalidRequest: some keys are wrong; the message lists them."""
        if isinstance(document, dict) and "Rules" in document:
            raise InvalidRequest(
                "Rules are tried on one series, at its own address",
                remedy='POST /series/{id}/rules/simulate with {"Rules": [...]}',
            )
        return validated(cls, document)


class _Past:
    """The series that rules have looked at: those that are stable and do not wait.

    Until the log of changes is read to its end, a series may have become stable a moment ago, so none is past.
    """

    def __init__(self, gateway: Gateway, log: FiringLog):
        self._gateway = gateway
        seen = log.seen()
        unread = {} if seen is None else gateway.get(f"/changes?since={seen.seen}&limit={_PAGE_CHANGES}")
        stable = any(change["ChangeType"] == "StableSeries" for change in unread.get("Changes", ()))
        self._is_read = bool(unread.get("Done")) and not stable
        self._waiting = frozenset(log.waiting())

    def has(self, all_series: Iterable[str]) -> bool:
        """Whether no rule will look at any of these series, unless more instances arrive."""
        return self._is_read and all(
            series not in self._waiting and bool(self._gateway.get(f"/series/{series}").get("IsStable"))
            for series in all_series
        )


class RuleRoutes:
    """``GET /derived-series/rules``, ``POST /derived-series/rules/simulate`` and ``/series/{id}/rules/simulate``."""

    def __init__(
        self,
        gateway: Gateway,
        executor: Executor,
        library: LibraryRoutes,
        jobs: JobStore,
        logs: RuleLogs,
        retrievals: Retrievals,
        watch: StudyWatch,
        rules: list[Rule],
        destinations: Destinations,
    ):
        self._log = logs.firings
        self._sendings = logs.sendings
        self._remarks = logs.remarks
        self._retrievals = retrievals
        self._watch = watch
        self._destinations = destinations
        self._gateway = gateway
        self._executor = executor
        self._library = library
        self._jobs = jobs
        self._rules = rules

    def rules(self, request: Request) -> Answer:
        """All rules of the configuration, with what they did."""
        request.check_query()
        fired, sent = self._log.summary(), self._sendings.summary()
        catalogue = self._library.catalogue()
        entries = []
        for rule in self._rules:
            count, last = (fired if rule.derive is not None else sent).get(rule.name, (0, None))
            entries.append(
                {
                    **rule.to_json(),
                    "Fired": count,
                    "LastTime": None if last is None else datetime.fromtimestamp(last.time, UTC).isoformat(),
                    "LastJob": None if last is None else last.job,
                    "Waiting": self._watch.to_json(rule),
                    "Remarks": [each.to_json() for each in self._remarks.of_rule(rule.name, _LISTED_REMARKS)],
                    "Problems": problems_of_rule(rule, catalogue, self._destinations),
                }
            )
        return Answer.of(entries)

    def simulate(self, request: Request) -> Answer:
        """Which series would fire which rules of the configuration. Nothing is derived, and no tag's value is shown."""
        asked = SimulateRequest.of(parse_json(request.body or b"{}", "the body"))
        reader = StudyReader(
            self._gateway, tag_numbers(self._rules, self._gateway.tag_number), self._jobs, self._retrievals
        )
        cases = []
        for series in asked.series if asked.series is not None else self._last_stable(asked.last):
            try:
                cases.append(self._case(reader, self._rules, series))
            except NotFound:
                if asked.series is not None:
                    raise
        outcomes = self._outcomes_of_cases(self._rules, cases)
        for each in outcomes:
            for outcome in each["Rules"]:
                if outcome["Reason"] not in (_MATCHES, _HAS_FIRED, _STABLE_BEFORE):
                    outcome["Reason"] = f"POST {each['Path']}/rules/simulate tells why"
        return Answer.of(outcomes)

    def try_on(self, request: Request) -> Answer:
        """Which rules this series would fire, and why not; ``Rules`` are tried in place of the configuration's."""
        series = request.groups[0]
        asked = TryRequest.of(parse_json(request.body or b"{}", "the body"))
        rules = self._rules if asked.rules is None else asked.rules
        reader = self._reader(rules)
        (outcome,) = self._outcomes_of_cases(rules, [self._case(reader, rules, series)])
        return Answer.of(outcome)

    def _reader(self, rules: list[Rule]) -> StudyReader:
        """A reader of series for rules. :raises InvalidRequest: rules name something other than tags."""
        numbers = tag_numbers(rules, self._gateway.tag_number)
        return StudyReader(self._gateway, numbers, self._jobs, self._retrievals)

    def _case(self, reader: StudyReader, rules: list[Rule], series: str) -> Case:
        """A series, with the others that a rule considers. :raises NotFound: no such series."""
        return Case(
            reader.facts(series),
            reader.study_of(series) if any(rule.inputs or rule.expected for rule in rules) else (),
            tuple(reader.priors_of(series)) if any(rule.priors for rule in rules) else (),
        )

    def _outcomes_of_cases(self, rules: list[Rule], cases: list[Case]) -> list[dict[str, Any]]:
        catalogue = self._library.catalogue()
        problems = {rule.name: problems_of_rule(rule, catalogue, self._destinations) for rule in rules}
        past = _Past(self._gateway, self._log) if rules is self._rules else None
        return [
            {
                "Series": case.series.id,
                "Path": f"/series/{case.series.id}",
                "Rules": [
                    {**outcome, "Problems": problems[rule.name]} if problems[rule.name] else outcome
                    for rule, evaluation in zip(rules, evaluations, strict=True)
                    for outcome in self._outcomes(rule, evaluation, past)
                ],
            }
            for case, evaluations in zip(cases, self._evaluations(rules, cases), strict=True)
        ]

    def _evaluations(self, rules: list[Rule], cases: list[Case]) -> list[list[Evaluation]]:
        """The evaluations by series and rule, in a worker: a client's regular expressions may take long."""
        known = {pattern for rule in self._rules for pattern in rule.patterns()}
        if all(rule.patterns() <= known for rule in rules):
            return evaluate_all(rules, cases)
        future = self._executor.submit(evaluate_all, rules, cases)
        try:
            return future.result(_MATCH_SECONDS)
        except TimeoutError as error:
            started = future.running()
            future.cancel()
            if started:
                raise InvalidRequest(
                    f"the rules took longer than {_MATCH_SECONDS:g} s to match",
                    remedy="try fewer at once, and regular expressions with fewer repetitions",
                ) from error
            raise Busy("no worker was free to try the rules", remedy="try again later, or without Regex") from error

    def _outcomes(self, rule: Rule, evaluation: Evaluation, past: _Past | None) -> list[dict[str, Any]]:
        """The outcome of each rule for a series.

        :param past: None: the rules are the client's, and so would be new.
        """
        if evaluation.reason is not None:
            return [{"Rule": rule.name, "Fires": False, "Reason": evaluation.reason}]
        outcomes = []
        for firing in evaluation.firings:
            before = self._log if rule.derive is not None else self._sendings
            fired = before.find(rule.name, firing.digest)
            outcome: dict[str, Any] = {"Rule": rule.name, "Fires": fired is None, "Reason": _MATCHES}
            if rule.send_to is not None:
                outcome["SendTo"] = rule.send_to
            if fired is not None:
                outcome |= {"Reason": _HAS_FIRED, "Job": fired.job}
            elif past is not None and rule.wait_for is None and past.has(firing.inputs.values()):
                outcome |= {"Fires": False, "Reason": _STABLE_BEFORE}
            if rule.inputs is not None or rule.priors:
                outcome["Inputs"] = dict(firing.inputs)
            outcomes.append(outcome)
        return outcomes

    def _last_stable(self, count: int) -> list[str]:
        """The latest stable series, newest first, by Orthanc's log of changes."""
        series: dict[str, None] = {}
        end = int(self._gateway.get("/changes?last")["Last"])
        while end > 0 and len(series) < count:
            since = max(0, end - _PAGE_CHANGES)
            page = self._gateway.get(f"/changes?since={since}&limit={end - since}")["Changes"]
            for change in reversed(page):
                if change["ChangeType"] == "StableSeries" and change["Seq"] <= end:
                    series.setdefault(change["ID"])
            end = since
        return list(series)[:count]
