"""The routes for the review page: the sources of a series, what can be shown of it, and pixels that must be decoded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from derived_series.dicomweb.client import Connection
from derived_series.errors import InvalidRequest, NotFound
from derived_series.jobs.plain import json_bytes
from derived_series.jobs.pool.overflow import OverflowExecutor
from derived_series.jobs.requests.derive import ORTHANC_ID, Cosines, validated
from derived_series.jobs.work.entry import decode_for_review, describe_for_review
from derived_series.orthanc.abstract_gateway import Gateway
from derived_series.orthanc.http import Answer, Request
from derived_series.orthanc.waiters import PAGE_REMEDY, Waiters, answer_of

_NUMBER = re.compile(r"[0-9]{1,9}")
_NUMBERS = re.compile(r"[0-9]{1,9}(,[0-9]{1,9}){0,4095}")


class ReviewRoutes:
    """``GET /series/{id}/sources``, ``/series/{id}/manifest`` and ``GET /instances/{id}/pixels/{first}/{count}``."""

    def __init__(
        self, gateway: Gateway, executor: OverflowExecutor, connection: Connection, waiters: Waiters, scratch: Path
    ):
        self._gateway = gateway
        self._executor = executor
        self._connection = connection
        self._waiters = waiters
        self._scratch = str(scratch)

    def sources(self, request: Request) -> Answer:
        """The sources of a series, the URL's input first, each with whether it still exists; and the derivation."""
        series = request.groups[0]
        self._gateway.series(series)
        provenance = self._gateway.provenance(series) or {}
        original = provenance.get("Request", {})
        parent = provenance.get("ParentSeries")
        inputs = original.get("Inputs", {})
        parents = sorted(
            provenance.get("Parents", []),
            key=lambda each: (parent is not None and each["ID"] != parent, each.get("Input") in inputs),
        )
        parents = [{**each, "IsThere": self._gateway.has_series(each["ID"])} for each in parents]
        return Answer.of({"ID": series, "Parents": parents, "Provenance": provenance or None})

    def manifest(self, request: Request) -> Answer:
        """A series for the page; ``?orientation=`` (a name or six numbers) and ``?part=`` choose a part of it."""
        series = request.groups[0]
        self._gateway.series(series)
        chosen = _Chosen.of(request.query)
        with self._waiters.place(PAGE_REMEDY):
            document = answer_of(
                self._executor.submit(
                    describe_for_review, self._connection, series, chosen.orientation, chosen.part, self._scratch
                )
            )
        return Answer(json_bytes(document))

    def pixels(self, request: Request) -> Answer:
        """Frames ``first`` (from 0) to ``first + count - 1`` of an instance, little endian, in its FrameFormat.

        Several first frames are separated by commas; each gets ``count`` frames.
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


class _Chosen(BaseModel):
    """The part of a series to show, in the words of a derivation's request."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    orientation: Literal["Axial", "Sagittal", "Coronal"] | Cosines | None = None
    part: Literal["Magnitude", "Phase", "Real", "Imaginary"] | None = None

    @classmethod
    def of(cls, query: Mapping[str, str]) -> _Chosen:
        """Check the choice. :raises InvalidRequest: some values are wrong; the message lists them."""
        document: dict[str, Any] = dict(query)
        if "," in document.get("orientation", ""):
            document["orientation"] = document["orientation"].split(",")
        return validated(cls, document)
