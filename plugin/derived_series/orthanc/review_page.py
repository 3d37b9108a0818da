"""The routes that the review page reads: what there is to compare, and pixels that must be decoded first."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from derived_series.dicomweb.client import Connection
from derived_series.errors import InvalidRequest, NotFound
from derived_series.jobs.plain import json_bytes
from derived_series.jobs.provenance import PROVENANCE
from derived_series.jobs.request import ORTHANC_ID
from derived_series.jobs.spare import Spare
from derived_series.jobs.tasks import decode_for_review, describe_for_review
from derived_series.orthanc.gateway import Gateway
from derived_series.orthanc.http import Answer, Request
from derived_series.orthanc.waiters import PAGE_REMEDY, Waiters, answer_of

_NUMBER = re.compile(r"[0-9]{1,9}")
_NUMBERS = re.compile(r"[0-9]{1,9}(,[0-9]{1,9}){0,4095}")


class ReviewRoutes:
    """``GET /derived-series/review/{id}/manifest`` and ``GET /derived-series/pixels/{instance}/{first}/{count}``."""

    def __init__(self, gateway: Gateway, executor: Spare, connection: Connection, waiters: Waiters, scratch: Path):
        self._gateway = gateway
        self._executor = executor
        self._connection = connection
        self._waiters = waiters
        self._scratch = str(scratch)

    def manifest(self, request: Request) -> Answer:
        """The derived series, the parent that it is compared with, and its provenance.

        ``?parent=`` names the parent: another input of the derivation, or any series for one without provenance.
        """
        series = request.groups[0]
        self._gateway.series(series)
        provenance = self._provenance(series)
        made_with = provenance.get("Request", {})
        parents = sorted(provenance.get("Parents", []), key=lambda each: each["Input"] in made_with.get("Inputs", {}))
        chosen = request.query.get("parent") or self._first_there(parents)
        if chosen is None:
            raise NotFound(
                f"nothing tells what the series {series} was derived from, or its parent is no longer there",
                remedy="name a series to compare it with: ?parent= and its Orthanc identifier",
            )
        self._gateway.series(chosen)
        asked = made_with if parents and chosen == parents[0]["ID"] else {}
        with self._waiters.place(PAGE_REMEDY):
            workers = self._executor.chosen()
            of_derived = workers.submit(describe_for_review, self._connection, series, None, None, self._scratch)
            of_parent = workers.submit(
                describe_for_review,
                self._connection,
                chosen,
                asked.get("Orientation"),
                asked.get("Part"),
                self._scratch,
            )
            document: dict[str, Any] = {"Derived": answer_of(of_derived), "Parent": answer_of(of_parent)}
        document.update(Parents=parents, Provenance=provenance or None)
        return Answer(json_bytes(document))

    def pixels(self, request: Request) -> Answer:
        """Frames ``first`` (from 0) to ``first + count - 1`` of an instance, little endian, as its format says.

        Of several first frames, with commas between them, so many each.
        """
        instance, first, count = request.groups
        if not (_NUMBERS.fullmatch(first) and _NUMBER.fullmatch(count)):
            raise InvalidRequest(f"{first} and {count} are not the first frame and a number of frames")
        firsts = [int(each) for each in first.split(",")]
        if not ORTHANC_ID.fullmatch(instance):
            raise NotFound(f"there is no instance {instance} in Orthanc")
        with self._waiters.place(PAGE_REMEDY):
            data = answer_of(
                self._executor.submit(decode_for_review, self._connection, instance, firsts, int(count), self._scratch)
            )
        return Answer(data, content_type="application/octet-stream")

    def _provenance(self, series: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = self._gateway.get(f"/series/{series}/metadata/{PROVENANCE}")
        except NotFound:
            return {}
        return found

    def _first_there(self, parents: list[dict[str, Any]]) -> str | None:
        for parent in parents:
            try:
                return str(self._gateway.series(parent["ID"])["ID"])
            except NotFound:
                continue
        return None
