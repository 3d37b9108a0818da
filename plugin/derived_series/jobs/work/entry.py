"""The functions that workers run.

Functions and arguments can be pickled and run anywhere that reaches the server over HTTP. This module imports nothing
heavy, because Orthanc's own process refers to these functions without loading numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from derived_series.dicomweb.client import Connection
from derived_series.jobs.messages import Catalogue, DeriveTask, Outcome, Work

if TYPE_CHECKING:
    from derived_series.dicom.source.selection import Part, Plane


def derive(task: DeriveTask) -> Outcome:
    """Make an attempt; the outcome has any failure."""
    from derived_series.jobs.work.attempt import make_attempt

    if "Verdict" in task.request:  # a rejection, which is a job like any other: see ``requests.verdict``
        from derived_series.jobs.work.rejection import reject as work
    else:
        from derived_series.jobs.work.deriving import derive as work
    return make_attempt(task, work)


def discard(task: DeriveTask) -> Outcome:
    """Remove what an interrupted attempt left in Orthanc."""
    from derived_series.jobs.work.removal import remove_leftovers

    return remove_leftovers(task)


#: The work of the runner.
WORK = Work(derive, discard)


def describe(folders: tuple[str, ...]) -> Catalogue:
    """Load and describe the blueprint folders."""
    from derived_series.jobs.work.catalogue import catalogue

    return catalogue(folders)


def fit(connection: Connection, series: str, folders: tuple[str, ...]) -> list[dict[str, Any]]:
    """Find for all pipelines whether they take a series."""
    from derived_series.jobs.work.fit import fitting

    return fitting(connection, series, folders)


def fit_each(
    connection: Connection, series: Sequence[str], folders: tuple[str, ...], pipeline: str
) -> list[dict[str, Any]]:
    """Find for several series whether a pipeline takes them."""
    from derived_series.jobs.work.fit import fitting_each

    return fitting_each(connection, series, folders, pipeline)


def compare(connection: Connection, pairs: Sequence[tuple[str, str, str]], scratch: str) -> dict[str, Any]:
    """Compare pairs of series, by output. :param pairs: output, and Orthanc identifiers of former and new series."""
    from derived_series.jobs.work.comparing import compare_each

    return compare_each(connection, pairs, scratch)


def warm_up(folders: tuple[str, ...]) -> None:
    """Load in a new worker what every task needs: modules, the user's files, the tables of the standard."""
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
    """Describe a series for the review page. :param orientation, part: what was taken of it, as in a request."""
    from derived_series.jobs.work.review_page import describe as describe_series

    return describe_series(connection, series, orientation, part, scratch)


def decode_for_review(connection: Connection, instance: str, firsts: Sequence[int], count: int, scratch: str) -> bytes:
    """Decode frames of an instance to plain little-endian bytes."""
    from derived_series.jobs.work.review_page import decode

    return decode(connection, instance, firsts, count, scratch)


def warm_up_for_pages() -> None:
    """Load what the tasks of a worker for pages need."""
    import derived_series.jobs.work.review_page  # noqa: F401
