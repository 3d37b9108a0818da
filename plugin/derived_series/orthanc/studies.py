"""Reads the series of a study through Orthanc's REST API, as rules see them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from derived_series.errors import InvalidRequest, NotFound
from derived_series.jobs.queue.retrievals import Retrievals
from derived_series.jobs.queue.store import JobStore
from derived_series.jobs.record import State
from derived_series.jobs.rules.evaluate import SeriesFacts
from derived_series.jobs.rules.matching import number_name, unit_name
from derived_series.jobs.rules.model import Rule
from derived_series.jobs.rules.series_conditions import COUNT, DERIVED, METADATA, OUTPUT
from derived_series.orthanc.abstract_gateway import Gateway
from derived_series.software import SOFTWARE

_NUMBER = re.compile(r"([0-9a-fA-F]{4})[,-]?([0-9a-fA-F]{4})")

#: The most steps that are followed from parent to parent.
_DEEPEST_STEPS = 200


def tag_numbers(rules: Iterable[Rule], number_of: Callable[[str], str | None]) -> dict[str, str]:
    """The tags in rules as ``0008,0060``, by their names in the rules.

    :param number_of: the number of a keyword, as Orthanc knows it; None: there is no such tag.
    :raises InvalidRequest: some names are not tags; the message lists them.
    """
    numbers: dict[str, str] = {}
    unknown: list[str] = []
    for rule in rules:
        for name in sorted(rule.names() - {*METADATA, COUNT, DERIVED, OUTPUT}):
            number = _number(name, number_of)
            if number is None:
                unknown.append(f"{name!r} of the rule {rule.name!r}")
            else:
                numbers[name] = number
    if unknown:
        raise InvalidRequest(
            f"Rules: there is no tag {', '.join(unknown)}",
            remedy=f"use keywords or numbers of DICOM tags, or {', '.join((*METADATA, COUNT))}",
        )
    return numbers


def check_tags(names: Iterable[str], what: str, gateway: Gateway) -> None:
    """Require that names are keywords or numbers of DICOM tags.

    :param what: the key that has them. :raises InvalidRequest: some are not; the message lists them.
    """
    unknown = [name for name in names if _number(name, gateway.tag_number) is None]
    if unknown:
        raise InvalidRequest(
            f"{what}: there is no tag {', '.join(repr(name[:64]) for name in unknown)}",
            remedy="use keywords or numbers of DICOM tags",
        )


def _number(name: str, number_of: Callable[[str], str | None]) -> str | None:
    digits = _NUMBER.fullmatch(name)
    if digits is not None:
        return f"{digits[1]},{digits[2]}".lower()
    return number_of(name)


class StudyReader:
    """Reads series, each once: use a new reader for each look at Orthanc.

    :param numbers: see ``tag_numbers``.
    :param jobs: a series that one of them is storing is not complete yet.
    :param retrievals: the series that jobs are retrieving and have not marked yet.
    """

    def __init__(self, gateway: Gateway, numbers: Mapping[str, str], jobs: JobStore, retrievals: Retrievals):
        self._retrievals = retrievals
        self._gateway = gateway
        self._numbers = numbers
        self._jobs = jobs
        self._being_made: set[str] = set()
        self._facts: dict[str, SeriesFacts] = {}
        self._provenances: dict[str, dict[str, Any] | None] = {}
        self._ancestries: dict[str, tuple[int, frozenset[str]]] = {}

    def facts(self, series: str) -> SeriesFacts:
        """The facts of a series. :raises NotFound: it does not exist (any more)."""
        if series not in self._facts:
            self._facts[series] = self._read(series)
        return self._facts[series]

    def study_of(self, series: str) -> list[SeriesFacts]:
        """All series of its study."""
        return self.of_study(self.facts(series).study)

    def of_study(self, study: str) -> list[SeriesFacts]:
        """All series of a study. :raises NotFound: it does not exist (any more)."""
        return self._series_of(self._gateway.get(f"/studies/{study}"))

    def priors_of(self, series: str) -> Iterator[list[SeriesFacts]]:
        """The series of each earlier study of the patient, latest study first."""
        study, others = self._studies(series)
        before = (each for each in others if "" < _when(each)[0] and _when(each) < _when(study))
        return map(self._series_of, sorted(before, key=_when, reverse=True))

    def later_than(self, series: str) -> Iterator[SeriesFacts]:
        """The series of the patient's later studies, earliest study first."""
        study, others = self._studies(series)
        later = (each for each in others if "" < _when(study)[0] and _when(study) < _when(each))
        return itertools.chain.from_iterable(map(self._series_of, sorted(later, key=_when)))

    def _studies(self, series: str) -> tuple[Mapping[str, Any], list[Mapping[str, Any]]]:
        """The study of a series, and all others of its patient."""
        study = self._gateway.get(f"/studies/{self.facts(series).study}")
        patient = self._gateway.get(f"/patients/{study['ParentPatient']}")
        others = (self._study(each) for each in patient["Studies"] if each != study["ID"])
        return study, [each for each in others if each is not None]

    def _study(self, study: str) -> Mapping[str, Any] | None:
        """A study; None if it was removed meanwhile."""
        try:
            document: Mapping[str, Any] = self._gateway.get(f"/studies/{study}")
        except NotFound:
            return None
        return document

    def _series_of(self, document: Mapping[str, Any]) -> list[SeriesFacts]:
        study = []
        for each in sorted(document["Series"]):
            try:
                study.append(self.facts(each))
            except NotFound:
                if self._gateway.has_series(each):  # one of its instances was removed meanwhile
                    raise
        return study

    def is_being_made(self, series: str) -> bool:
        """Whether a job may still be writing a series; its facts then say that it is not stable."""
        self.facts(series)
        return series in self._being_made

    def _read(self, series: str) -> SeriesFacts:
        document = self._gateway.series(series)
        instances = tuple(sorted(document["Instances"]))
        if not instances:
            raise NotFound(f"the series {series} has no instances")
        tags = self._gateway.get(f"/instances/{instances[0]}/tags?short")
        metadata = self._gateway.get(f"/instances/{instances[0]}/metadata?expand")
        values: dict[str, str | None] = {name: _text(tags.get(number)) for name, number in self._numbers.items()}
        values |= {name: _text(metadata.get(name)) for name in METADATA}
        values[COUNT] = str(len(instances))
        if _marks(tags) and self._provenance(series) is None:  # provenance is written last
            if self._a_job_runs_in(document["ParentStudy"]):
                self._being_made.add(series)
            del self._provenances[series]  # it may have been written meanwhile
            self._ancestries.pop(series, None)
        provenance = self._provenance(series)
        values |= _of_derivation(provenance or {})
        depth, chain = self._ancestry(series, 0)
        return SeriesFacts(
            id=series,
            study=document["ParentStudy"],
            instances=instances,
            stable=bool(document["IsStable"]) and series not in self._being_made,
            values=values,
            depth=max(depth, _marks(tags)),
            chain=chain,
            lineage=_lineage(provenance or {}) or series,
            options=frozenset(_rule_of(provenance or {}).get("Options", ())),
            is_retrieved=self._gateway.retrieval(series) is not None
            or self._retrievals.is_expected(document["MainDicomTags"].get("SeriesInstanceUID", "")),
            issuer=_text(tags.get("0010,0021")) or "",
            number=_number_of(_text(tags.get("0020,0011"))),
            job=str((provenance or {}).get("Job", "")),
        )

    def _a_job_runs_in(self, study: str) -> bool:
        for job in self._jobs.unfinished():
            if job.state is not State.PENDING or job.attempt or job.has_leftovers:  # an attempt has begun
                try:
                    if self._gateway.series(job.series)["ParentStudy"] == study:
                        return True
                except NotFound:
                    continue
        return False

    def _ancestry(self, series: str, steps: int) -> tuple[int, frozenset[str]]:
        """Depth and rules of a series, by the provenance of the series and of its parents that still exist."""
        provenance = self._provenance(series)
        if provenance is None or steps > _DEEPEST_STEPS:
            return 0, frozenset()
        if series not in self._ancestries:
            rule = _rule_of(provenance)
            depth, chain = 1, frozenset(rule.get("Chain", ()))
            self._ancestries[series] = depth, chain  # for a series that is among its own parents
            for parent in provenance.get("Parents", ()):
                above, rules = self._ancestry(parent["ID"], steps + 1)
                depth, chain = max(depth, above + 1), chain | rules
            self._ancestries[series] = max(depth, rule.get("Depth", 0)), chain
        return self._ancestries[series]

    def _provenance(self, series: str) -> dict[str, Any] | None:
        if series not in self._provenances:
            self._provenances[series] = self._gateway.provenance(series)
        return self._provenances[series]


def _rule_of(provenance: Mapping[str, Any]) -> Mapping[str, Any]:
    rule = provenance.get("Rule")
    return rule if isinstance(rule, dict) else {}


def _lineage(provenance: Mapping[str, Any]) -> str:
    """What identifies a series each time a rule makes it again; empty if no rule made it."""
    subject = _rule_of(provenance).get("Subject") or ""
    return f"{subject} {provenance.get('Output', '')}" if subject and "Series" in provenance else subject


def _of_derivation(provenance: Mapping[str, Any]) -> dict[str, str | None]:
    """What derived a series, and its numbers as texts; a value that is not a number gets a text that is not one."""
    made_by = provenance.get("Pipeline") or provenance.get("Blueprint")
    values = {DERIVED: _text(made_by), OUTPUT: _text(provenance.get("Output"))}
    numbers = provenance.get("Values")
    for name, value in numbers.items() if isinstance(numbers, dict) else ():
        entry = value if isinstance(value, dict) else {}
        number = entry.get("Value")
        if isinstance(number, bool):
            number = int(number)
        values[number_name(name)] = str(number) if isinstance(number, int | float) else "none"
        values[unit_name(name)] = _text(entry.get("Unit"))
    return values


def _marks(tags: Mapping[str, Any]) -> int:
    """How often a series was derived by this software, here or elsewhere.

    Each time leaves an item in ContributingEquipmentSequence (0018,A001), whose Manufacturer (0008,0070) is ours.
    Rejections leave no item.
    """
    items = tags.get("0018,a001")
    count = sum(_text(item.get("0008,0070")) == SOFTWARE for item in items) if isinstance(items, list) else 0
    return count or int(_text(tags.get("0008,0070")) == SOFTWARE)


def _when(study: Mapping[str, Any]) -> tuple[str, str]:
    tags = study["MainDicomTags"]
    return str(tags.get("StudyDate", "")), str(tags.get("StudyTime", ""))


def _number_of(text: str | None) -> int:
    return int(text) if text and re.fullmatch(r"[+-]?[0-9]{1,12}", text) else 0


def _text(value: object) -> str | None:
    return value.strip(" \0") if isinstance(value, str) else None
