"""Finds the series of a run: by a query, by a list, or those that a pipeline has made before."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from derived_series.errors import Conflict, NotFound
from derived_series.identifiers import code_digest
from derived_series.jobs.bulk.bulk_log import BulkLog
from derived_series.jobs.bulk.bulk_run import Member, MemberState
from derived_series.jobs.requests.bulk import Again, BulkQuery, BulkRequest, Compare
from derived_series.jobs.requests.verdict import ACCEPTED, REJECTED
from derived_series.orthanc.abstract_gateway import Gateway
from derived_series.orthanc.reviews import Reviews
from derived_series.orthanc.routes.library import LibraryRoutes
from derived_series.orthanc.studies import check_tags

#: The most resources that a query may match.
_MOST_RESOURCES = 100_000

#: The output of a reference that is compared with the first output of the new result.
FIRST_OUTPUT = ""


class MemberFinder:
    """Finds the series of a run through Orthanc's REST API, one after the other."""

    def __init__(self, gateway: Gateway, reviews: Reviews, library: LibraryRoutes, log: BulkLog):
        self._log = log
        self._gateway = gateway
        self._reviews = reviews
        self._library = library

    def members(self, request: BulkRequest, seconds: float | None = None, run: str = "") -> Iterator[Member]:
        """The members by number, from 1; those from which nothing can be derived are skipped, with the reason.

        :param seconds: the time limit. :param run: the members' run. :raises TimeoutError: it took longer.
        :raises Conflict: the request asks for labels, which Orthanc lacks, or matches too much.
        """
        end = None if seconds is None else time.monotonic() + seconds
        for number, (series, more) in enumerate(self._each(request, end, run), 1):
            yield Member(number, series, **more)

    def check(self, request: BulkRequest) -> None:
        """Check the names in a request, without looking for series.

        :raises InvalidRequest: a query names something other than DICOM tags; the message lists these.
        """
        if request.keys.query is not None:
            check_tags(request.keys.query.query, "Query", self._gateway)

    def _each(self, request: BulkRequest, end: float | None, run: str) -> Iterator[tuple[str, dict[str, Any]]]:
        keys = request.keys
        if keys.again is not None:
            yield from self._again(keys.again, end, run)
        elif keys.compare is not None:
            yield from self._compare(keys.compare, end)
        elif keys.resources is not None:
            yield from self._below(dict.fromkeys(keys.resources), keys.derived, end)
        elif keys.query is not None:
            yield from self._below(self._matches(keys.query), keys.derived, end)

    def _matches(self, query: BulkQuery) -> dict[str, str | None]:
        """The matching resources, each with its level. :raises Conflict: there are too many of them."""
        document: dict[str, Any] = {
            "Level": query.level,
            "Query": query.query,
            "CaseSensitive": query.case_sensitive,
            "Expand": False,
            "Limit": _MOST_RESOURCES + 1,
        }
        if query.labels:
            if not self._gateway.get("/system").get("HasLabels"):
                raise Conflict(
                    "this Orthanc has no labels: it would answer all resources",
                    remedy="leave Labels out, or use Orthanc 1.12.0 or a later one",
                )
            document |= {"Labels": query.labels, "LabelsConstraint": query.labels_constraint}
        matches = self._gateway.post("/tools/find", json.dumps(document))
        if len(matches) > _MOST_RESOURCES:  # a part of them would be an accident of their order
            raise Conflict(
                f"the query matches more than {_MOST_RESOURCES:,} resources",
                remedy="begin several runs with narrower queries, for example by StudyDate",
            )
        return dict.fromkeys(matches, query.level)

    def _below(
        self, resources: Mapping[str, str | None], with_derived: bool, end: float | None
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """The series of resources, each once. :param resources: with their levels, if known."""
        seen: set[str] = set()
        for resource, level in resources.items():
            series = self._series_of(resource, level)
            if series is None:
                if level is None:  # its identifier was in the request
                    yield resource, _skipped("there is no such series, study or patient in Orthanc")
                continue
            for each in series:
                _check(end)
                if each in seen:
                    continue
                seen.add(each)
                is_named = level is None and each == resource
                if not (with_derived or is_named) and self._gateway.provenance(each) is not None:
                    yield each, _skipped("this plugin has derived it")
                else:
                    yield each, {}

    def _series_of(self, resource: str, level: str | None) -> list[str] | None:
        if level in (None, "Series") and self._gateway.has_series(resource):
            return [resource]
        if level in (None, "Study") and (study := self._resource(f"/studies/{resource}")) is not None:
            return list(study["Series"])
        if level in (None, "Patient") and (patient := self._resource(f"/patients/{resource}")) is not None:
            studies = [self._resource(f"/studies/{study}") for study in patient["Studies"]]
            return [series for study in studies if study is not None for series in study["Series"]]
        return None

    def _resource(self, path: str) -> dict[str, Any] | None:
        try:
            document: dict[str, Any] = self._gateway.get(path)
        except NotFound:
            return None
        return document

    # -- what was derived before -------------------------------------------------------------------------------

    def _again(self, again: Again, end: float | None, run: str) -> Iterator[tuple[str, dict[str, Any]]]:
        present = self._library.catalogue().pipelines.get(again.pipeline, {})
        code = str(present.get("Code", present.get("Sha256", "")))
        undecided = self._undecided(run)
        for outputs, provenance in self._made_by(again.pipeline, end):
            if not _is_meant(again, provenance, code):
                continue
            states = {self._state_of(series) for series in outputs.values()}
            member: dict[str, Any] = {"reference": outputs, "former": provenance["Request"]}
            member["reference_code"] = code_of(provenance)
            if REJECTED in states:
                member |= _skipped("it was rejected")
            elif others := [undecided[series] for series in outputs.values() if series in undecided]:
                member |= _skipped(f"made again by run {others[0]}, not decided")
            elif not self._gateway.has_series(provenance["ParentSeries"]):
                member |= _skipped("its parent is not in Orthanc any more")
            yield provenance["ParentSeries"], member

    def _undecided(self, run: str) -> dict[str, str]:
        """The old series that other runs have remade, or will, and that are undecided, each with its run."""
        return {
            series: other
            for other, member in self._log.made_again(besides=run)
            if not (member.decision is not None and member.decision.is_done) and self._may_be_there(member)
            for series in member.reference.values()
        }

    def _may_be_there(self, member: Member) -> bool:
        """Whether the new series of a member exists, or will."""
        return not member.state.is_over or any(map(self._gateway.has_series, member.derived.values()))

    def _made_by(self, pipeline: str, end: float | None) -> Iterator[tuple[dict[str, str], dict[str, Any]]]:
        """The series that jobs of a pipeline have made, by output, with their provenance; one pair for each job."""
        seen: set[str] = set()
        for series in self._all_series(end):
            provenance = self._provenance(series)
            if provenance is None or provenance.get("Pipeline") != pipeline or provenance["Job"] in seen:
                continue
            seen.add(provenance["Job"])
            siblings = {each["Output"]: each["ID"] for each in provenance.get("Series", ())}
            outputs = siblings or {str(provenance.get("Output", FIRST_OUTPUT)): series}
            yield {name: each for name, each in outputs.items() if self._gateway.has_series(each)}, provenance

    def _all_series(self, end: float | None) -> Iterator[str]:
        for series in self._gateway.get("/series"):  # in one answer: pages would skip some when others are deleted
            _check(end)
            yield series

    def _provenance(self, series: str) -> dict[str, Any] | None:
        provenance = self._gateway.provenance(series)
        keys = ("Job", "ParentSeries", "Request")
        return provenance if provenance is not None and all(key in provenance for key in keys) else None

    def _state_of(self, series: str) -> str:
        verdict = self._reviews.of(series)
        return "" if verdict is None else str(verdict["State"])

    # -- references --------------------------------------------------------------------------------------------

    def _compare(self, compare: Compare, end: float | None) -> Iterator[tuple[str, dict[str, Any]]]:
        for pair in compare.pairs:
            _check(end)
            yield pair.parent, self._pair(pair.parent, pair.reference)
        if compare.accepted is None:
            return
        for outputs, provenance in self._made_by(compare.accepted, end):
            accepted = {name: series for name, series in outputs.items() if self._state_of(series) == ACCEPTED}
            if accepted and self._gateway.has_series(provenance["ParentSeries"]):
                yield provenance["ParentSeries"], {"reference": accepted, "reference_code": code_of(provenance)}

    def _pair(self, parent: str, reference: str) -> dict[str, Any]:
        for what, series in (("the parent", parent), ("the reference", reference)):
            if not self._gateway.has_series(series):
                return _skipped(f"{what} is not in Orthanc")
        if self._gateway.patient_resource(parent) != self._gateway.patient_resource(reference):
            return _skipped("the reference is of another patient than the parent")
        provenance = self._provenance(reference)
        output = FIRST_OUTPUT if provenance is None else str(provenance.get("Output", FIRST_OUTPUT))
        return {"reference": {output: reference}, "reference_code": "" if provenance is None else code_of(provenance)}


def _skipped(reason: str) -> dict[str, Any]:
    return {"state": MemberState.SKIPPED, "reason": reason}


def _check(end: float | None) -> None:
    if end is not None and time.monotonic() > end:
        raise TimeoutError


def code_of(provenance: Mapping[str, Any]) -> str:
    """The digest of the code that made a series, comparable with the catalogue's (``Code.digest``)."""
    code = provenance.get("Code") or {}
    sha256 = str(code.get("Sha256", ""))
    return code_digest(sha256, {key: code[key] for key in ("Helpers", "Algorithm") if key in code})


def _is_meant(again: Again, provenance: Mapping[str, Any], present: str) -> bool:
    code, sha256 = code_of(provenance), str((provenance.get("Code") or {}).get("Sha256", ""))
    if again.older_than is not None and not _is_older(str(provenance.get("Created", "")), again.older_than):
        return False
    if again.version is not None:
        return code.startswith(again.version) or sha256.startswith(again.version)
    return again.older_than is not None or code != present


def _is_older(created: str, than: str) -> bool:
    try:
        one, other = (datetime.fromisoformat(text).astimezone() for text in (created, than))
    except ValueError:
        return False
    return one < other
