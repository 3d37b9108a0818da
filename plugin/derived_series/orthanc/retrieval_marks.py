"""Marks series that jobs have retrieved from other servers, if their worker could not do so any more."""

from __future__ import annotations

import logging

from derived_series.errors import DerivedSeriesError
from derived_series.jobs.metadata import RETRIEVED
from derived_series.jobs.plain import json_bytes
from derived_series.jobs.queue.retrievals import Retrievals
from derived_series.jobs.record import JobRecord
from derived_series.orthanc.abstract_gateway import Gateway

_log = logging.getLogger(__name__)


def mark_retrieved(gateway: Gateway, retrievals: Retrievals, job: JobRecord) -> None:
    """Mark the series that a finished job has retrieved. Those that have not arrived stay announced for a day."""
    if not job.state.is_final:
        return
    for series_uid, origin in retrievals.of_job(job.id).items():
        try:
            there = [each["ID"] for each in gateway.find_series({"SeriesInstanceUID": series_uid})]
            for series in there:
                if gateway.retrieval(series) is None:
                    document = {"Job": job.id, **origin, "ID": series}
                    gateway.put(f"/series/{series}/metadata/{RETRIEVED}", json_bytes(document))
        except DerivedSeriesError as error:
            _log.error("what job %s has brought cannot be marked: %s", job.id, error)
            continue
        if there:
            retrievals.forget(series_uid, job.id)
