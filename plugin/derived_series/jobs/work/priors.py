"""Choosing the series of a prior study for an input if the request names none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from derived_series.dicomweb.client import Client
from derived_series.jobs.work.fit import StudyHeads
from derived_series.pipelines.input import Input


def latest_prior(client: Client, series: str, wanted: type[Input]) -> str | None:
    """Find the series for an input in the latest study of the same patient before that of a series.

    Of several in that study, it is the one with the highest SeriesNumber; None if no prior study has any.

    :param series: the Orthanc identifier of the parent.
    """
    current_study = client.get_json(f"/series/{series}/study")
    patient = client.get_json(f"/series/{series}/patient")
    studies = [client.get_json(f"/studies/{each}") for each in patient["Studies"] if each != current_study["ID"]]
    heads = StudyHeads(client, series, with_itself=True)
    issuer = heads.issuer(client.get_json(f"/series/{series}"))
    before = sorted((each for each in studies if _when(each) < _when(current_study)), key=_when, reverse=True)
    for study in before:
        heads = StudyHeads(client, study["Series"][0], with_itself=True)
        candidates = [
            each for each in heads.others if heads.refusal(each, wanted) is None and heads.issuer(each) == issuer
        ]
        if candidates:
            return str(max(candidates, key=_number)["ID"])
    return None


def _when(study: Mapping[str, Any]) -> tuple[str, str]:
    tags = study["MainDicomTags"]
    return str(tags.get("StudyDate", "")), str(tags.get("StudyTime", ""))


def _number(series: Mapping[str, Any]) -> tuple[int, str]:
    text = str(series["MainDicomTags"].get("SeriesNumber", ""))
    return int(text) if text.lstrip("-").isdigit() else 0, str(series["ID"])
