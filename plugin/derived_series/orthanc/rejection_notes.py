"""Finds rejection notes in a study: Key Object Selection documents (PS3.16 TID 2010; IHE IOCM), whoever wrote them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from derived_series.errors import NotFound
from derived_series.jobs.requests.verdict import REASONS, REJECTED
from derived_series.orthanc.abstract_gateway import Gateway

#: The document titles in CID 7010 that reject instances, with their meanings.
_TITLES = dict(reason.title for reason in REASONS) | {
    "113038": "Incorrect Modality Worklist Entry",
    "113039": "Data Retention Policy Expired",
}
_TITLE_MODIFIER = "113011"
_PERSON_OBSERVER_NAME = "121008"
_DESCRIPTION = "113012"


def rejection_in_study(gateway: Gateway, series: str) -> dict[str, Any] | None:
    """The verdict of a note in the study of a series, with the keys of a verdict; None if no note rejects it.

    :param series: an Orthanc identifier. :raises NotFound: no such series.
    """
    document = gateway.series(series)
    uid = document["MainDicomTags"]["SeriesInstanceUID"]
    # /tools/find by StudyInstanceUID and Modality gets slower with every series in Orthanc
    for note in gateway.get(f"/studies/{document['ParentStudy']}/series"):
        if note["MainDicomTags"].get("Modality") != "KO":
            continue
        for instance in note["Instances"]:
            try:
                tags = gateway.get(f"/instances/{instance}/tags?short")
            except NotFound:  # removed meanwhile
                continue
            if _code(tags, "0040,a043") in _TITLES and uid in _referenced_series(tags):
                return _verdict(note, tags)
    return None


def _verdict(note: dict[str, Any], tags: dict[str, Any]) -> dict[str, Any]:
    title = _code(tags, "0040,a043")
    items = {_code(item, "0040,a043"): item for item in _items(tags, "0040,a730")}
    modifier = items.get(_TITLE_MODIFIER, {})
    reason = _code(modifier, "0040,a168") or title
    meanings = {each.code: each.meaning for each in REASONS}
    verdict = {
        "State": REJECTED,
        "User": _text(items.get(_PERSON_OBSERVER_NAME, {}), "0040,a123"),
        "Time": _time(tags),
        "Code": reason,
        "Meaning": meanings.get(reason) or _meaning(modifier) or _TITLES[title],
        "Title": _TITLES[title],
        "Reason": _text(items.get(_DESCRIPTION, {}), "0040,a160"),
    }
    key_objects = {
        "ID": note["ID"],
        "SeriesInstanceUID": note["MainDicomTags"]["SeriesInstanceUID"],
        "SOPInstanceUID": _text(tags, "0008,0018"),
    }
    return {key: value for key, value in verdict.items() if value} | {"KeyObjects": key_objects}


def _referenced_series(tags: dict[str, Any]) -> set[str]:
    """The SeriesInstanceUIDs in CurrentRequestedProcedureEvidenceSequence, which lists all that a document names."""
    studies = _items(tags, "0040,a375")
    return {_text(series, "0020,000e") for study in studies for series in _items(study, "0008,1115")}


def _time(tags: dict[str, Any]) -> str:
    """The time of a document in ISO 8601, from ContentDate, ContentTime and TimezoneOffsetFromUTC."""
    day, clock, zone = (_text(tags, tag) for tag in ("0008,0023", "0008,0033", "0008,0201"))
    if len(day) != 8 or len(clock) < 6:
        return day
    offset = f"{zone[:3]}:{zone[3:]}" if len(zone) == 5 else ""
    return f"{day[:4]}-{day[4:6]}-{day[6:]}T{clock[:2]}:{clock[2:4]}:{clock[4:]}{offset}"


def _code(item: dict[str, Any], sequence: str) -> str:
    """The code value of the first item of a sequence, if its scheme is DCM."""
    for code in _items(item, sequence):
        if _text(code, "0008,0102") == "DCM":
            return _text(code, "0008,0100")
        break
    return ""


def _meaning(item: dict[str, Any]) -> str:
    return next((_text(code, "0008,0104") for code in _items(item, "0040,a168")), "")


def _items(item: dict[str, Any], sequence: str) -> Iterator[dict[str, Any]]:
    items = item.get(sequence)
    yield from (each for each in items if isinstance(each, dict)) if isinstance(items, list) else ()


def _text(item: dict[str, Any], tag: str) -> str:
    value = item.get(tag)
    return value.strip(" \0") if isinstance(value, str) else ""
