"""The series that a job reads: still in Orthanc, or deleted while it ran."""

from __future__ import annotations

from collections.abc import Iterator

from derived_series.dicomweb.client import Client
from derived_series.errors import Conflict, DerivedSeriesError, NotFound
from derived_series.jobs.messages import DeriveTask


def check_parents(client: Client, task: DeriveTask) -> None:
    """A result must not bring back a patient or a study that was deleted.

    :raises Conflict: naming what was deleted.
    """
    for what, series in _read_by(task):
        try:
            client.get_json(f"/series/{series}")
        except NotFound as error:
            raise Conflict(
                f"{what} was deleted: there is no series {series} in Orthanc any more",
                remedy="nothing was stored; send the series again and derive from it",
            ) from error


def deletion(client: Client, task: DeriveTask) -> Conflict | None:
    """What was deleted, as the error of an attempt that has failed for whatever came of it."""
    try:
        check_parents(client, task)
    except Conflict as conflict:
        return conflict
    except DerivedSeriesError:  # it cannot be asked: the attempt's own error tells more
        return None
    return None


def _read_by(task: DeriveTask) -> Iterator[tuple[str, str]]:
    yield ("the series" if "Verdict" in task.request else "the parent"), task.series
    for name, series in task.request.get("Inputs", {}).items():
        yield f"the input {name!r}", series
