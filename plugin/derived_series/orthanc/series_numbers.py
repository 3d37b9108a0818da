"""Reserves SeriesNumbers in Orthanc's studies for jobs that are about to run."""

from __future__ import annotations

from typing import Any

from derived_series.errors import NotFound
from derived_series.identifiers import series_uids_of
from derived_series.jobs.queue.reserved_numbers import SeriesNumbers
from derived_series.jobs.record import JobRecord
from derived_series.orthanc.abstract_gateway import Gateway


def series_number(gateway: Gateway, numbers: SeriesNumbers, job: JobRecord, count: int) -> int | None:
    """Reserve numbers for a job's series; return the first. None if the parent is gone, which the job will report.

    :param count: the number of series that it may make.
    """
    try:
        parent = gateway.series(job.series)
        study = str(parent["ParentStudy"])
        return numbers.reserve(job.id, study, _number(parent), lambda: _in_study(gateway, study, job.id), count)
    except NotFound:
        return None


def _in_study(gateway: Gateway, study: str, job_id: str) -> set[int]:
    own_uids = set(series_uids_of(job_id))
    documents = gateway.get(f"/studies/{study}/series")
    numbers = (_number(each) for each in documents if each["MainDicomTags"].get("SeriesInstanceUID") not in own_uids)
    return {number for number in numbers if number is not None}


def _number(series: dict[str, Any]) -> int | None:
    try:
        return int(series["MainDicomTags"].get("SeriesNumber", ""))
    except ValueError:  # it has none, or one that is not a number
        return None
