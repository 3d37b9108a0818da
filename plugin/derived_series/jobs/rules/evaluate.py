"""Evaluating rules: what a rule does with a stable series, computed from facts without a server or database."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from derived_series.jobs.rules.matching import Values, refusal
from derived_series.jobs.rules.model import Rule
from derived_series.jobs.rules.series_conditions import Match

#: The most combinations of a study's series for which a rule with several inputs fires at once.
_MOST_FIRINGS = 16
_MOST_COMBINATIONS = 10_000


@dataclass(frozen=True, slots=True)
class SeriesFacts:
    """A series as rules see it.

    :param instances: Orthanc identifiers, sorted.
    :param depth: the number of derivation steps from series that were not derived.
    :param chain: the rules of these steps.
    :param is_retrieved: whether a job retrieved it as one of its inputs.
    :param lineage: identifies the series each time it is made again: the subject of the firing that made it, with its
        output if the job made several series, or its identifier.
    :param options: the optional inputs on the way to it; see ``Firing``.
    :param issuer: IssuerOfPatientID (0010,0021); :param number: SeriesNumber (0020,0011).
    :param job: the job that derived it.
    """

    id: str
    study: str
    instances: tuple[str, ...]
    stable: bool
    values: Values
    depth: int = 0
    chain: frozenset[str] = frozenset()
    lineage: str = ""
    options: frozenset[str] = frozenset()
    is_retrieved: bool = False
    issuer: str = ""
    number: int = 0
    job: str = ""


@dataclass(frozen=True, slots=True)
class Firing:
    """One derivation that a rule requests.

    :param inputs: the series by input name; the input of a rule with a single one has an empty name.
    :param subject: identifies the result; a later firing with the same subject and options replaces it.
    :param digest: the digest of the instances of all inputs; a rule fires once for each digest.
    :param chain: the rules from the first series on, including this one. :param depth: the depth of the result.
    :param options: identify the optional inputs that it has, and those on the way to its inputs. A later firing with
        the same subject and more of them replaces the result, too; one with others makes another result.
    """

    rule: str
    inputs: Mapping[str, str]
    subject: str
    digest: str
    chain: tuple[str, ...]
    depth: int
    options: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The result of evaluating a rule for a series: firings, or the reason why there are none."""

    firings: tuple[Firing, ...] = ()
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """A series with its context.

    :param study: the series of its study, for rules with several inputs.
    :param priors: the series of each earlier study of the patient, latest first, for rules with priors.
    """

    series: SeriesFacts
    study: Sequence[SeriesFacts] = ()
    priors: Sequence[Sequence[SeriesFacts]] = ()


def evaluate(
    rule: Rule,
    series: SeriesFacts,
    study: Callable[[], Iterable[SeriesFacts]],
    priors: Callable[[], Iterable[Sequence[SeriesFacts]]] = tuple,
) -> Evaluation:
    """Evaluate a rule for a series: the firings that have the series among their inputs.

    :param study: returns the series of the study; called only for rules with several inputs.
    :param priors: returns the series of each earlier study, latest first; called only for rules with priors.
    """
    if series.is_retrieved:
        return Evaluation(reason="it was retrieved as an input of another derivation")
    refusals = {name: ineligible(rule, name, series) for name in rule.wanted}
    takes = [name for name, why in refusals.items() if why is None]
    if not takes:
        return Evaluation(reason=_joined(refusals))
    before = _priors(rule, series, priors)
    if lacking := [name for name in rule.priors if name not in before and name not in rule.optional]:
        return Evaluation(reason=f"no study before has a stable series for {', '.join(lacking)}")
    if rule.inputs is None:
        return Evaluation((_firing(rule, {"": series}, before),))
    return _combinations(rule, series, takes, list(study()), before)


def evaluate_all(rules: Sequence[Rule], cases: Sequence[Case]) -> list[list[Evaluation]]:
    """Evaluate all rules for each series."""
    return [[_evaluate_case(rule, case) for rule in rules] for case in cases]


def _evaluate_case(rule: Rule, case: Case) -> Evaluation:
    evaluation = evaluate(rule, case.series, lambda: case.study, lambda: case.priors)
    if evaluation.reason is None and (lacking := missing(rule, case.study)):
        return Evaluation(reason=f"the study is not complete: {missing_text(lacking)}")
    return evaluation


def evaluate_study(
    rule: Rule, study: Sequence[SeriesFacts], priors: Callable[[SeriesFacts], Iterable[Sequence[SeriesFacts]]]
) -> Evaluation:
    """Evaluate a rule for all series of a study: each firing once, or the reason for a series that the rule is for.

    :param priors: returns the priors of a series; see ``evaluate``.
    """
    firings: dict[str, Firing] = {}
    reasons = []
    for series in study:
        evaluation = evaluate(rule, series, lambda: study, lambda series=series: priors(series))  # type: ignore[misc]
        firings |= {firing.digest: firing for firing in evaluation.firings}
        if evaluation.reason is not None and any(ineligible(rule, name, series) is None for name in rule.wanted):
            reasons.append(evaluation.reason)
    if firings:
        return Evaluation(tuple(firings.values()))
    return Evaluation(reason=reasons[0] if reasons else "no stable series of the study is an input of it")


def instead(evaluation: Evaluation) -> Evaluation:
    """The firings for another derivation instead of the rule's own, for which the same inputs can still fire."""
    firings = (dataclasses.replace(each, digest=_hash([each.digest, "Otherwise"])) for each in evaluation.firings)
    return Evaluation(tuple(firings), evaluation.reason)


def subject_of_study(rule: Rule, study: str) -> str:
    """The subject of a job for a study as a whole."""
    return _hash([rule.name, "study", study])


def missing(rule: Rule, study: Iterable[SeriesFacts]) -> dict[str, tuple[int, int]]:
    """What a study lacks that a rule waits for: by name, the number of stable series that exist and are wanted."""
    there = list(study)
    counts = {name: sum(_counts(rule, each, match) for each in there) for name, match in rule.expected.items()}
    return {name: (counts[name], match.count) for name, match in rule.expected.items() if counts[name] < match.count}


def missing_text(lacking: Mapping[str, tuple[int, int]]) -> str:
    """Describe in words what is missing."""
    return ", ".join(f"{name} ({there} of {wanted})" for name, (there, wanted) in lacking.items())


def is_coming(rule: Rule, study: Iterable[SeriesFacts]) -> bool:
    """Whether a series that a rule waits for exists but is not stable yet."""
    return any(
        not each.stable and unfit(rule, match, each) is None for each in study for match in rule.expected.values()
    )


def concerns(rule: Rule, series: SeriesFacts) -> bool:
    """Whether a rule that waits for a study needs this series, to wait for it or to derive from it."""
    matches = (*rule.wanted.values(), *rule.expected.values())
    return not series.is_retrieved and any(_counts(rule, series, match) for match in matches)


def _counts(rule: Rule, series: SeriesFacts, match: Match) -> bool:
    return series.stable and unfit(rule, match, series) is None


def is_prior_of(rule: Rule, series: SeriesFacts) -> bool:
    """Whether a rule can use a series as a prior of others."""
    return not series.is_retrieved and any(_is_prior(rule, match, series) for match in rule.priors.values())


def _is_prior(rule: Rule, match: Match, series: SeriesFacts) -> bool:
    return series.stable and unfit(rule, match, series) is None


def _priors(
    rule: Rule, series: SeriesFacts, priors: Callable[[], Iterable[Sequence[SeriesFacts]]]
) -> dict[str, SeriesFacts]:
    """For each prior, the series of the latest study that has one; of several, that with the highest SeriesNumber."""
    before: dict[str, SeriesFacts] = {}
    if not rule.priors:
        return before
    for study in priors():
        for name, match in rule.priors.items():
            candidates = [each for each in study if each.issuer == series.issuer and _is_prior(rule, match, each)]
            if name not in before and candidates:
                before[name] = max(candidates, key=lambda each: (each.number, each.id))
        if len(before) == len(rule.priors):
            break
    return before


def ineligible(rule: Rule, name: str, series: SeriesFacts) -> str | None:
    """Why a series cannot be an input of a rule now; None if it can."""
    if why := unfit(rule, rule.wanted[name], series):
        return why
    return None if series.stable else "it is not stable yet"


def unfit(rule: Rule, match: Match, series: SeriesFacts) -> str | None:
    """Why a series does not fit a match of a rule, stable or not; None if it does."""
    if why := refusal(match, series.values):
        return why
    if rule.name in series.chain:
        return "it comes from this rule itself"
    if series.depth > (most := rule.deepest(match)):
        return f"it is derived ({series.depth} step(s) deep), MaxDepth is {most}"
    return None


def _combinations(
    rule: Rule, series: SeriesFacts, takes: list[str], study: list[SeriesFacts], before: Mapping[str, SeriesFacts]
) -> Evaluation:
    """All choices of one series for each input that include the new one and agree in the tags that must be the same.

    Optional inputs are left out only if no series goes with the others.
    """
    choices: dict[str, list[SeriesFacts | None]] = {}
    for name in rule.wanted:
        others = [each for each in study if each.id != series.id and ineligible(rule, name, each) is None]
        candidates = ([series] if name in takes else []) + others
        choices[name] = [*candidates, *([None] if name in rule.optional else [])]
    lacking = [name for name, candidates in choices.items() if not candidates]
    if lacking:
        return Evaluation(reason=f"there is no stable series for {', '.join(lacking)} in the study")
    too_many = Evaluation(reason=f"more than {_MOST_FIRINGS} combinations of series match: narrow its Inputs")
    if math.prod(map(len, choices.values())) > _MOST_COMBINATIONS:
        return too_many
    fitting: list[dict[str, SeriesFacts]] = []
    most = _MOST_FIRINGS << len(set(rule.optional).intersection(choices))
    apart: str | None = "the inputs must be different series"
    for combination in itertools.product(*choices.values()):
        chosen = {name: each for name, each in zip(choices, combination, strict=True) if each is not None}
        ids = {each.id for each in chosen.values()}
        if series.id not in ids or len(ids) < len(chosen):
            continue
        if (why := _differing(rule, chosen.values())) is None:
            fitting.append(chosen)
        else:
            apart = why
        if len(fitting) > most:  # each complete choice has at most that many parts
            return too_many
    whole = [chosen for chosen in fitting if not any(chosen.items() < more.items() for more in fitting)]
    if len(whole) > _MOST_FIRINGS:
        return too_many
    return Evaluation(tuple(_firing(rule, chosen, before) for chosen in whole), None if whole else apart)


def _differing(rule: Rule, chosen: Iterable[SeriesFacts]) -> str | None:
    chosen = list(chosen)
    for name in rule.same:
        values = {each.values.get(name) or "" for each in chosen}
        if "" in values:
            return f"{name} is missing in an input"
        if len(values) > 1:
            return f"{name} is not the same in all inputs"
    return None


def _firing(rule: Rule, current: Mapping[str, SeriesFacts], before: Mapping[str, SeriesFacts]) -> Firing:
    """Make a firing. :param current: the inputs that its result belongs to. :param before: the priors."""
    inputs = {**current, **before}
    digest = _hash([[name, each.id, each.instances] for name, each in sorted(inputs.items())])
    needed = [(name, each) for name, each in sorted(current.items()) if name not in rule.optional]
    subject = [rule.name, *([name, each.lineage or each.id] for name, each in needed)]
    chain = {name: None for each in inputs.values() for name in sorted(each.chain)}
    optional = ((name, each) for name, each in current.items() if name in rule.optional)
    options = frozenset(_hash([rule.name, name, each.lineage or each.id]) for name, each in optional)
    return Firing(
        rule=rule.name,
        inputs={name: each.id for name, each in inputs.items()},
        subject=_hash(subject if rule.if_more_instances == "Replace" else [*subject, digest]),
        digest=digest,
        chain=(*chain, rule.name),
        depth=1 + max(each.depth for each in inputs.values()),
        options=options.union(*(each.options for each in current.values())),
    )


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def _joined(refusals: Mapping[str, str | None]) -> str:
    if list(refusals) == [""]:
        return refusals[""] or ""
    return "; ".join(f"for {name}: {why}" for name, why in refusals.items())
