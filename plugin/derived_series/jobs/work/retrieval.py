"""Retrieves inputs from other servers."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from derived_series.dicomweb.client import Client
from derived_series.dicomweb.readback import find_series
from derived_series.errors import Conflict, StorageError
from derived_series.jobs.metadata import RETRIEVED
from derived_series.jobs.own_metadata import retrieval_in
from derived_series.jobs.plain import json_bytes
from derived_series.jobs.requests.retrieval import RetrieveRequest
from derived_series.jobs.work.attempt import Attempt
from derived_series.jobs.work.choice import Asking, chosen_series, nothing_text
from derived_series.jobs.work.peers import Found, Peer, peer_of
from derived_series.jobs.work.series_metadata import metadata_of
from derived_series.pipelines.input import Input


@dataclass(frozen=True, slots=True)
class Retrieved:
    """The result of retrieving an input.

    :param series: its Orthanc identifier; None if it is optional and the server has none.
    :param origin: where it came from, for the job's answer; None if it was here before the job.
    """

    series: str | None
    origin: Mapping[str, Any] | None = None


def retrieved(attempt: Attempt, name: str, wanted: type[Input], asked: RetrieveRequest) -> Retrieved:
    """Find the series of an input at another server, and retrieve it unless it is here.

    It must be of the parent's patient, which is checked at the server and again here. It is of the parent's study or,
    for a prior input, of the latest earlier study that has one.

    :param name: the name of the input.
    :raises NotFound: the server is not configured, or has no matching series.
    :raises Conflict: several series match, or a dry run would have to retrieve one.
    :raises StorageError: the server cannot be queried, or does not send it.
    """
    peer = peer_of(attempt.client, asked.from_)
    parent = Asking.of(attempt.client, attempt.task.series)
    chosen = chosen_series(peer, parent, name, wanted, asked.query)
    if chosen is None:
        attempt.reporter.line(f"{nothing_text(peer, name)}; it is optional")
        return Retrieved(None)
    transfer = _Transfer(attempt, name, peer, parent.patient, chosen)
    here, instances = transfer.held()
    if here is not None and instances >= max(transfer.expected, 1):
        return Retrieved(here, transfer.mark_of_held(here, instances))
    if attempt.task.request.get("DryRun"):
        raise Conflict(
            f"a dry run retrieves nothing: the input {name!r} would be the series {transfer.uid} of {peer.name!r}",
            remedy="retrieve it first, or derive without a dry run",
        )
    return transfer.run(is_new=here is None)


@dataclass(frozen=True, slots=True)
class _Transfer:
    """The retrieval of a series for an input.

    :param patient: Orthanc's identifier of the patient. :param chosen: the series at the server.
    """

    attempt: Attempt
    name: str
    peer: Peer
    patient: str
    chosen: Found

    @property
    def uid(self) -> str:
        """The SeriesInstanceUID."""
        return self.chosen["SeriesInstanceUID"]

    @property
    def expected(self) -> int:
        """The number of instances at the server; 0 if it does not say."""
        count = self.chosen.get("NumberOfSeriesRelatedInstances", "")
        return int(count) if count.isdecimal() else 0

    @property
    def _is_announced(self) -> bool:
        return self.uid in self.attempt.task.announced

    def held(self) -> tuple[str | None, int]:
        """The patient's series with this UID that is here, and its number of instances."""
        client = self.attempt.client
        for each in find_series(client, self.uid):
            if client.get_json(f"/series/{each}/patient")["ID"] == self.patient:
                return each, len(client.get_json(f"/series/{each}")["Instances"])
        return None, 0

    @property
    def _source(self) -> dict[str, Any]:
        return {"Input": self.name, "From": self.peer.name, "SeriesInstanceUID": self.uid}

    def _origin(self, series: str, instances: int) -> dict[str, Any]:
        return {**self._source, "ID": series, "InstancesCount": instances}

    def mark_of_held(self, series: str, instances: int) -> Mapping[str, Any] | None:
        """The mark of a complete series, if this job retrieved it; else None."""
        client, job = self.attempt.client, self.attempt.task.job_id
        mark = _mark_of(client, series, job)
        if mark is None and self._is_announced:  # the attempt that retrieved it was ended before it could mark it
            mark = self._origin(series, instances)
            _mark(client, series, job, mark)
        return mark

    def run(self, *, is_new: bool) -> Retrieved:
        """Retrieve the series. :param is_new: nothing of it was here.

        :raises StorageError: the server does not send all of it.
        """
        attempt, peer, task = self.attempt, self.peer, self.attempt.task
        is_brought = is_new or self._is_announced  # a part that came by itself stays unmarked
        began = time.monotonic()
        attempt.progress.tell("Retrieving")
        if is_brought:
            attempt.progress.announce(self.uid, self._source)
        attempt.reporter.line(
            f"the input {self.name!r}: series {self.uid} is retrieved from the {peer.kind} {peer.name!r}"
        )
        peer.retrieve(
            self.chosen["StudyInstanceUID"],
            self.uid,
            task.retrieve_timeout,
            task.job_id,
            lambda percent: attempt.progress.tell("Retrieving", percent, 100),
        )
        series, instances = self.held()
        if series is None or instances < self.expected:
            raise StorageError(
                f"of the series {self.uid} of {peer.name!r}, {self.expected or 'some'} instances should have come; "
                f"{instances} are here as the patient's",
                remedy="does Orthanc refuse or change what it receives, or has the series another PatientID inside?",
                transient=series is not None,
            )
        origin = {**self._origin(series, instances), "Seconds": round(time.monotonic() - began, 3)}
        if is_brought:
            _mark(attempt.client, series, task.job_id, origin)
        attempt.reporter.line(f"the input {self.name!r}: {instances} instances have come from {peer.name!r}")
        return Retrieved(series, origin)


def _mark(client: Client, series: str, job_id: str, origin: Mapping[str, Any]) -> None:
    client.put(f"/series/{series}/metadata/{RETRIEVED}", json_bytes({"Job": job_id, **origin}))


def _mark_of(client: Client, series: str, job_id: str) -> Mapping[str, Any] | None:
    """The mark that an earlier attempt at the job set on a series that it retrieved; None if there is none."""
    mark = retrieval_in(metadata_of(client, series, RETRIEVED))
    if mark is None or mark["Job"] != job_id:
        return None
    return {key: value for key, value in mark.items() if key != "Job"}
