"""Removing series: those that a new one replaces, and what an interrupted attempt left."""

from __future__ import annotations

from derived_series.dicomweb.client import Client
from derived_series.dicomweb.readback import find_any_series, remove_series
from derived_series.errors import DerivedSeriesError, NotFound
from derived_series.identifiers import series_uids_of
from derived_series.jobs.messages import DeriveTask, Outcome
from derived_series.jobs.metadata import REVIEW
from derived_series.jobs.requests.verdict import ACCEPTED
from derived_series.jobs.work.attempt import Attempt


def remove_former(attempt: Attempt) -> list[str]:
    """Remove the series that the job's series replaces, except accepted ones; return warnings."""
    client, task = attempt.client, attempt.task
    former = [*task.replaces]
    for job in task.supersedes:
        former += find_any_series(client, series_uids_of(job))
    kept = [series for series in former if series in task.accepted or _is_accepted(client, series)]
    if former:
        attempt.progress.settle()
    for series in former:
        if series not in kept:
            client.delete(f"/series/{series}")
    return [f"the series {series} is not replaced: it was accepted; delete it yourself" for series in kept]


def _is_accepted(client: Client, series: str) -> bool:
    try:
        return bool(client.get_json(f"/series/{series}/metadata/{REVIEW}")["State"] == ACCEPTED)
    except NotFound:  # no verdict, or no series
        return False


def remove_leftovers(task: DeriveTask) -> Outcome:
    """Remove the series of a job whose attempt was interrupted.

    Orthanc may still be processing what the dead worker sent: see ``Leftovers``.
    """
    with Client(task.connection) as client:
        try:
            while remove_series(client, *series_uids_of(task.job_id)):
                continue
        except DerivedSeriesError as error:
            return Outcome(error=error, clean=False)
    return Outcome()
