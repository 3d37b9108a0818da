"""Finding which pipelines take a series, from its first instance, before anything is derived."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from pydicom.dataset import Dataset

from derived_series.dicom.encoding.tags import describe, to_tag
from derived_series.dicom.source.multiframe.split import split_into_slices
from derived_series.dicomweb.client import Client, Connection
from derived_series.errors import DerivedSeriesError, NotFound
from derived_series.jobs.metadata import PROVENANCE
from derived_series.jobs.own_metadata import provenance_in
from derived_series.jobs.work.catalogue import described_library, library_of
from derived_series.jobs.work.series_metadata import metadata_of
from derived_series.pipelines.input import Input
from derived_series.pipelines.library import NamedPipeline
from derived_series.user_code import raised_message

_log = logging.getLogger(__name__)

#: The most series of a study that are checked for a pipeline's other inputs.
_MOST_SERIES = 200


class StudyHeads:
    """The first instance of each series of a study, each read once.

    :param of: the Orthanc identifier of a series of the study. :param with_itself: whether ``others`` includes it.
    """

    def __init__(self, client: Client, of: str, *, with_itself: bool = False):
        self._client = client
        self.study = client.get_json(f"/series/{of}/study")
        others = [
            each for each in client.get_json(f"/studies/{self.study['ID']}/series") if with_itself or each["ID"] != of
        ]
        self.others: list[dict[str, Any]] = others[:_MOST_SERIES]
        self._read: dict[str, Dataset | str] = {}

    def refusal(self, series: Mapping[str, Any], wanted: type[Input]) -> str | None:
        """Why an input does not take a series; None if it does."""
        head = self._head(series)
        return head if isinstance(head, str) else _asked(wanted, head)

    def is_readable(self, series: Mapping[str, Any]) -> bool:
        """Whether the first instance can be read."""
        return not isinstance(self._head(series), str)

    def issuer(self, series: Mapping[str, Any]) -> str:
        """IssuerOfPatientID of a series; empty if it is missing."""
        head = self._head(series)
        return "" if isinstance(head, str) else str(head.get("IssuerOfPatientID") or "")

    def _head(self, series: Mapping[str, Any]) -> Dataset | str:
        identifier = str(series["ID"])
        if identifier not in self._read:
            self._read[identifier] = self._first(series)
        return self._read[identifier]

    def _first(self, series: Mapping[str, Any]) -> Dataset | str:
        """Read the first instance without pixels, or say why that is impossible."""
        try:
            instance = self._client.get_json(f"/instances/{series['Instances'][0]}")
            url = self._client.connection.dicomweb_url(
                *("studies", self.study["MainDicomTags"]["StudyInstanceUID"]),
                *("series", series["MainDicomTags"]["SeriesInstanceUID"]),
                *("instances", instance["MainDicomTags"]["SOPInstanceUID"], "metadata"),
            )
            answer = self._client.send("GET", url, headers={"Accept": "application/dicom+json"})
            answer.raise_for_status()
            head = Dataset.from_json(answer.json()[0], bulk_data_uri_handler=lambda *_: None)
            return head
        except DerivedSeriesError as error:
            return error.message
        except (OSError, ValueError, TypeError, AttributeError, LookupError) as error:  # OSError: of requests, too
            return f"its first instance cannot be read: {error}"


def _asked(wanted: type[Input], head: Dataset) -> str | None:
    try:
        return wanted.refusal(head if wanted.reads_objects() else split_into_slices([head])[0])
    except DerivedSeriesError as error:
        return error.message
    except Exception as error:  # the boundary to a pipeline's own refusal
        _log.info("refusal of the input %s", wanted.__name__, exc_info=True)
        return raised_message(f"refusal of the input {wanted.__name__}", error)


def fitting(connection: Connection, series: str, folders: tuple[str, ...]) -> list[dict[str, Any]]:
    """All pipelines as in the catalogue, with whether they take a series.

    ``Fits``, and ``Reason`` if it does not; ``Others``: for each other input the series of the study, each with ``ID``,
    ``Modality``, ``Number``, ``Description``, ``Fits`` and ``Reason``; ``Lacking``: the inputs that no series fits, if
    only these are missing.

    :param series: the Orthanc identifier of the possible parent.
    :raises NotFound: no such series.
    """
    known = described_library(folders)
    with Client(connection) as client:
        parent = client.get_json(f"/series/{series}")
        heads = StudyHeads(client, series)
        return [
            {**entry, **_fit(known.library.pipelines[name], parent, heads)} for name, entry in known.pipelines.items()
        ]


def fitting_each(
    connection: Connection, series: Sequence[str], folders: tuple[str, ...], pipeline: str
) -> list[dict[str, Any]]:
    """Whether a pipeline takes each of several series, without quoting values of tags.

    ``Fits`` (None: unknown now), ``Reason`` if it does not, and ``Inputs``: for each other input the one series of the
    study that it takes.

    :param series: the Orthanc identifiers.
    """
    named = library_of(folders).pipelines.get(pipeline)
    with Client(connection) as client:
        return [_fit_of(client, each, named, pipeline) for each in series]


def _fit_of(client: Client, series: str, named: NamedPipeline | None, pipeline: str) -> dict[str, Any]:
    if named is None:
        return _refused(f"there is no pipeline {pipeline!r} in its Python")
    try:
        parent = client.get_json(f"/series/{series}")
        heads = StudyHeads(client, series)
    except NotFound:
        return _refused("it is not in Orthanc any more")
    except DerivedSeriesError:
        return {"Fits": None, "Reason": "Orthanc did not answer", "Inputs": {}}
    if not heads.is_readable(parent):
        return {"Fits": None, "Reason": "its first instance cannot be read", "Inputs": {}}
    wanted = named.pipeline.input
    parent_name = named.pipeline.parent_name()
    if heads.refusal(parent, wanted[parent_name]) is not None:
        return _refused(f"the input {parent_name!r} does not take it{_wish(wanted[parent_name])}")
    inputs: dict[str, str] = {}
    for name, each in wanted.items():
        if name == parent_name or each.prior:
            continue
        taken = [str(other["ID"]) for other in heads.others if heads.refusal(other, each) is None]
        if len(taken) > 1:  # skip series that a run itself has made
            taken = [other for other in taken if not _is_derived(client, other)]
        if len(taken) > 1:
            return _refused(f"{len(taken)} series of its study are taken as the input {name!r}: derive it by itself")
        if not taken and not each.optional:
            return _refused(f"no other series of its study is taken as the input {name!r}{_wish(each)}")
        if taken:
            inputs[name] = taken[0]
    return {"Fits": True, "Reason": "", "Inputs": inputs}


def _is_derived(client: Client, series: str) -> bool:
    return provenance_in(metadata_of(client, series, PROVENANCE)) is not None


def _refused(reason: str) -> dict[str, Any]:
    return {"Fits": False, "Reason": reason, "Inputs": {}}


def _wish(wanted: type[Input]) -> str:
    """What an input requires by its class, without values of the series."""
    values = [
        f"{describe(to_tag(tag))} {' or '.join(map(repr, value if isinstance(value, tuple | list) else [value]))}"
        for tag, value in wanted.required_values.items()
    ]
    wishes = [*values, *(describe(to_tag(tag)) for tag in wanted.required_tags)]
    return f", which wants {', '.join(wishes)}" if wishes else ""


def _fit(named: NamedPipeline, parent: Mapping[str, Any], heads: StudyHeads) -> dict[str, Any]:
    pipeline = named.pipeline
    parent_name = pipeline.parent_name()
    reason = heads.refusal(parent, pipeline.input[parent_name])
    others = {
        name: list(map(partial(_other, heads, wanted), heads.others))
        for name, wanted in pipeline.input.items()
        if name != parent_name and reason is None and not wanted.prior
    }
    lacking = [
        name
        for name, candidates in others.items()
        if not pipeline.input[name].optional and not any(each["Fits"] for each in candidates)
    ]
    if lacking:
        reason = "; ".join(
            f"no other series of the study is taken as the input {name!r}{_reasons(others[name])}" for name in lacking
        )
    return {"Fits": reason is None, "Reason": reason, "Others": others, "Lacking": lacking}


def _other(heads: StudyHeads, wanted: type[Input], series: Mapping[str, Any]) -> dict[str, Any]:
    tags = series["MainDicomTags"]
    reason = heads.refusal(series, wanted)
    return {
        "ID": series["ID"],
        "Modality": tags.get("Modality", ""),
        "Number": tags.get("SeriesNumber", ""),
        "Description": tags.get("SeriesDescription", ""),
        "Fits": reason is None,
        "Reason": reason,
    }


def _reasons(others: Iterable[Mapping[str, Any]]) -> str:
    reasons = dict.fromkeys(str(each["Reason"]) for each in others)
    return f": {', '.join(reasons)}" if reasons else ""
