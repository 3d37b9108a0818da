"""Chooses the series for an input at another server, by the parent's patient and a request's query."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from derived_series.dicom.encoding.tags import keyword, to_tag
from derived_series.dicomweb.client import Client
from derived_series.errors import Conflict, InvalidParent, NotFound
from derived_series.jobs.work.peers import Found, Peer
from derived_series.pipelines.input import Input

#: The keys of a query at the study level (PS3.4 C.6.2.1.2); all others are at the series level.
_OF_STUDIES = frozenset(
    {
        *("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "StudyDescription", "AccessionNumber"),
        *("ModalitiesInStudy", "ReferringPhysicianName", "NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances"),
    }
)

#: The return keys of queries for studies and series.
_STUDY_KEYS = ("PatientID", "IssuerOfPatientID", "StudyInstanceUID", "StudyDate", "StudyTime")
_SERIES_KEYS = ("SeriesInstanceUID", "Modality", "SeriesNumber", "SeriesDescription", "NumberOfSeriesRelatedInstances")

#: Required values of an input that a server knows for a whole series.
_REQUIRED_OF_SERIES = frozenset({"Modality", "SeriesDescription", "BodyPartExamined", "ProtocolName", "SeriesNumber"})

#: The most prior studies that are searched; the most series that an error names.
_MOST_STUDIES = 100
_NAMED_SERIES = 5


@dataclass(frozen=True, slots=True)
class Asking:
    """The parent's attributes for queries to other servers.

    :param patient: Orthanc's identifier of the patient.
    :param when: StudyDate and StudyTime.
    """

    patient: str
    patient_id: str
    issuer: str
    study: str
    when: tuple[str, str]

    @classmethod
    def of(cls, client: Client, series: str) -> Asking:
        patient = client.get_json(f"/series/{series}/patient")
        instance = client.get_json(f"/series/{series}")["Instances"][0]
        tags = client.get_json(f"/instances/{instance}/simplified-tags")
        text = {name: str(value).strip(" \0") for name, value in tags.items() if isinstance(value, str)}
        if not text.get("PatientID"):
            raise InvalidParent(
                f"the parent {series} has no PatientID (0010,0020): no other server can be asked for the patient",
                remedy="name the series by Inputs when it is here",
            )
        when = text.get("StudyDate", ""), text.get("StudyTime", "")
        issuer = text.get("IssuerOfPatientID", "")
        return cls(patient["ID"], text["PatientID"], issuer, text["StudyInstanceUID"], when)

    def is_patient_of(self, study: Found) -> bool:
        """Whether a study is the patient's, since a server may take a PatientID as a pattern for others."""
        issuer = study.get("IssuerOfPatientID", "")
        return study.get("PatientID") == self.patient_id and (not self.issuer or not issuer or issuer == self.issuer)


def chosen_series(
    peer: Peer, parent: Asking, name: str, wanted: type[Input], query: Mapping[str, str]
) -> dict[str, str] | None:
    """Choose the one matching series, with its StudyInstanceUID; None if an optional one does not exist."""
    of_study = {key: value for key, value in query.items() if key in _OF_STUDIES}
    of_series = {key: value for key, value in query.items() if key not in _OF_STUDIES}
    for study in _studies(peer, parent, wanted, of_study)[:_MOST_STUDIES]:
        uid = study["StudyInstanceUID"]
        keys = {**dict.fromkeys((*_SERIES_KEYS, *_required(wanted)), ""), **of_series}
        candidates = [
            each
            for each in peer.series(uid, keys)
            if each.get("SeriesInstanceUID")
            and all(matches(each.get(key, ""), value, key) for key, value in of_series.items())
            and _is_taken(wanted, each)
        ]
        if len(candidates) > 1:
            raise _several(peer, name, candidates)
        if candidates:
            return {**candidates[0], "StudyInstanceUID": uid}
    if wanted.optional:
        return None
    raise NotFound(nothing_text(peer, name), remedy="look at its Query, and at what the server has of the patient")


def nothing_text(peer: Peer, name: str) -> str:
    """That a server has no series for an input."""
    return f"the {peer.kind} {peer.name!r} has no series of the patient that is taken as the input {name!r}"


def _several(peer: Peer, name: str, matches: Iterable[Found]) -> Conflict:
    texts = [f"{each['SeriesInstanceUID']} ({each.get('SeriesDescription', '')})" for each in matches]
    more = "" if len(texts) <= _NAMED_SERIES else ", ..."
    return Conflict(
        f"{len(texts)} series of one study at {peer.name!r} match as the input {name!r}: "
        f"{', '.join(texts[:_NAMED_SERIES])}{more}",
        remedy='say more in its Query, such as "SeriesInstanceUID" or "SeriesDescription"',
    )


def _studies(peer: Peer, parent: Asking, wanted: type[Input], query: Mapping[str, str]) -> list[Found]:
    """The patient's studies that may contain an input, latest first."""
    keys = {**dict.fromkeys(_STUDY_KEYS, ""), "PatientID": parent.patient_id}
    is_any_prior = wanted.prior and "StudyInstanceUID" in query
    if not wanted.prior:
        keys["StudyInstanceUID"] = parent.study
    elif not is_any_prior and parent.when[0]:
        keys["StudyDate"] = f"-{parent.when[0]}"
    studies = [
        study
        for study in peer.studies({**keys, **query})
        if parent.is_patient_of(study)
        and study.get("StudyInstanceUID")
        and all(matches(study.get(key, ""), value, key) for key, value in query.items())
    ]
    if not wanted.prior:
        return [study for study in studies if study["StudyInstanceUID"] == parent.study]
    others = [study for study in studies if study["StudyInstanceUID"] != parent.study]
    before = [study for study in others if is_any_prior or ("" < _when(study)[0] and _when(study) < parent.when)]
    return sorted(before, key=_when, reverse=True)


def _when(study: Found) -> tuple[str, str]:
    return study.get("StudyDate", ""), study.get("StudyTime", "")


def _required(wanted: type[Input]) -> dict[str, list[str]]:
    """The values that an input requires, as text, by keyword."""
    required = {}
    for tag, value in wanted.required_values.items():
        if (name := keyword(to_tag(tag))) in _REQUIRED_OF_SERIES:
            values = value if isinstance(value, tuple | list | set | frozenset) else [value]
            required[name] = [str(each) for each in values]
    return required


def _is_taken(wanted: type[Input], series: Found) -> bool:
    """Whether an input may take a series, by its server's answer; the input itself decides later."""
    return all(series.get(name, values[0]) in values for name, values in _required(wanted).items())


def matches(value: str, pattern: str, key: str = "") -> bool:
    """Whether a value matches a query, since not every server supports every key.

    :param value: a value; if it has several parts (``CT\\\\PT``), one must match.
    :param pattern: with ``*`` and ``?``; for dates and times also a range (PS3.4 C.2.2.2.5); of several parts, any.
    """
    if key.endswith(("Date", "Time")) and "-" in pattern:
        low, _, high = pattern.partition("-")
        return bool(value) and low <= value and (not high or value <= high or value.startswith(high))
    patterns = [re.escape(each).replace(r"\*", ".*").replace(r"\?", ".") for each in pattern.split("\\")]
    whole = re.compile("|".join(patterns), re.IGNORECASE)
    return any(whole.fullmatch(part.strip()) for part in (value, *value.split("\\")))
