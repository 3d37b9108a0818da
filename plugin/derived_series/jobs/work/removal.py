"""Removing series: those that a new one replaces, and what an interrupted attempt left."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from derived_series.dicomweb.client import Client
from derived_series.dicomweb.readback import find_any_series, remove_series
from derived_series.errors import DerivedSeriesError
from derived_series.identifiers import series_uids_of
from derived_series.jobs.messages import DeriveTask, Outcome
from derived_series.jobs.metadata import REVIEW
from derived_series.jobs.requests.verdict import ACCEPTED
from derived_series.jobs.stored_series import with_warnings
from derived_series.jobs.work.attempt import Attempt
from derived_series.jobs.work.series_metadata import metadata_of

#: The key of a job's answer with the series that it still has to remove, as its own replace them.
REPLACING = "Replacing"


def with_former(attempt: Attempt, result: Mapping[str, Any]) -> dict[str, Any]:
    """The answer of a job with the series that its own replace, which are noted before the first of them is removed.

    :raises NotWanted: the attempt is not wanted. :raises StorageError: the server cannot record it now.
    """
    former = [*attempt.task.replaces]
    for job in attempt.task.supersedes:
        former += find_any_series(attempt.client, series_uids_of(job))
    if not former:
        return dict(result)
    replacing = {**result, REPLACING: former}
    attempt.progress.note_result(replacing)
    return replacing


def without_former(attempt: Attempt, result: Mapping[str, Any]) -> dict[str, Any]:
    """Remove the series that a job's own replace, except accepted ones; return the answer, with warnings of these."""
    task = attempt.task
    answer = {key: value for key, value in result.items() if key != REPLACING}
    kept = []
    for series in result.get(REPLACING, ()):
        if series in task.accepted or _is_accepted(attempt.client, series):
            kept.append(f"the series {series} is not replaced: it was accepted; delete it yourself")
        else:
            attempt.client.delete(f"/series/{series}")
    return with_warnings(answer, kept) if kept else answer


def _is_accepted(client: Client, series: str) -> bool:
    verdict = metadata_of(client, series, REVIEW)
    return isinstance(verdict, dict) and verdict.get("State") == ACCEPTED


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
