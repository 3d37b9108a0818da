"""The functions that workers run.

Functions and arguments can be pickled and run anywhere that reaches the server by HTTP. This module imports nothing
heavy: Orthanc's own process names these functions and loads no numpy for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from derived_series.dicomweb.client import Connection
from derived_series.jobs.messages import Catalogue, DeriveTask, Outcome, Work

if TYPE_CHECKING:
    from derived_series.dicom.source.selection import Part, Plane


def derive(task: DeriveTask) -> Outcome:
    """Make an attempt. Every failure is in the outcome."""
    from derived_series.jobs.work.attempt import make_attempt

    if "Verdict" in task.request:  # a rejection, which is a job like any other: see ``requests.verdict``
        from derived_series.jobs.work.rejection import reject as work
    else:
        from derived_series.jobs.work.deriving import derive as work
    return make_attempt(task, work)


def discard(task: DeriveTask) -> Outcome:
    """Remove what an attempt that was cut short left in Orthanc."""
    from derived_series.jobs.work.removal import remove_leftovers

    return remove_leftovers(task)


#: What the runner has workers do.
WORK = Work(derive, discard)


def describe(folders: tuple[str, ...]) -> Catalogue:
    """Load the blueprint folders and tell what they hold."""
    from derived_series.jobs.work.catalogue import catalogue

    return catalogue(folders)


def fit(connection: Connection, series: str, folders: tuple[str, ...]) -> list[dict[str, Any]]:
    """All pipelines, and what a series is to each."""
    from derived_series.jobs.work.fit import fitting

    return fitting(connection, series, folders)


def fit_each(
    connection: Connection, series: Sequence[str], folders: tuple[str, ...], pipeline: str
) -> list[dict[str, Any]]:
    """Whether one pipeline takes each of several series."""
    from derived_series.jobs.work.fit import fitting_each

    return fitting_each(connection, series, folders, pipeline)


def compare(connection: Connection, pairs: Sequence[tuple[str, str, str]], scratch: str) -> dict[str, Any]:
    """How pairs of series differ, by output. :param pairs: output, former and new Orthanc identifiers."""
    from derived_series.jobs.work.comparing import compare_each

    return compare_each(connection, pairs, scratch)


def warm_up(folders: tuple[str, ...]) -> None:
    """Do once in a new worker what every task needs: imports, the user's files, the tables of the standard."""
    from derived_series.dicom.validation import warm_up as read_tables
    from derived_series.jobs.work.catalogue import library_of

    library_of(folders)
    read_tables()


def describe_for_review(
    connection: Connection,
    series: str,
    orientation: Plane | Sequence[float] | None,
    part: Part | None,
    scratch: str,
) -> dict[str, Any]:
    """A series as the review page reads it. :param orientation, part: what was taken of it, as a request says."""
    from derived_series.jobs.work.review_page import describe as describe_series

    return describe_series(connection, series, orientation, part, scratch)


def decode_for_review(connection: Connection, instance: str, firsts: Sequence[int], count: int, scratch: str) -> bytes:
    """Frames of an instance as plain little-endian bytes."""
    from derived_series.jobs.work.review_page import decode

    return decode(connection, instance, firsts, count, scratch)


def warm_up_for_pages() -> None:
    """Do once in a worker for pages alone what its tasks need."""
    import derived_series.jobs.work.review_page  # noqa: F401
