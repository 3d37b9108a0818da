"""The messages between the runner and workers: values that can be pickled and read anywhere.

This module imports nothing heavy, because Orthanc's own process hands out work without numpy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from derived_series.dicomweb.client import Connection
from derived_series.errors import DerivedSeriesError


@dataclass(frozen=True, slots=True)
class DeriveTask:
    """One attempt at a job.

    :param job_id: the job, and the seed of all UIDs, so that every attempt makes the same instances.
    :param series: the Orthanc identifier of the parent.
    :param request: the JSON of ``DeriveRequest``, or of ``ReviewRequest`` for a rejection.
    :param now: the date and time written into the series, the same in every attempt.
    :param folders: the blueprint folders.
    :param image_path: the uploaded image, for a worker that shares the server's disk; else its name.
    :param image_route: the uploaded image in the REST API, for other workers.
    :param image_name: the name of its file. :param image_size: its size in bytes.
    :param progress_route: where to send progress.
    :param replaces: the Orthanc identifiers of series to remove once the new one is verified, except accepted ones.
    :param supersedes: jobs whose series are removed likewise, if they still exist.
    :param accepted: those of these series that a user has accepted, by the record; their metadata may be gone.
    :param rule: the rule that requested the job, for the provenance.
    :param by: who requested the job and from where, for the provenance.
    :param result: the answer of an earlier attempt that stored the series; only destinations are left.
    :param scratch: a folder for temporary files, for a worker that shares the server's disk.
    :param memory_limit: the bytes of memory that the worker may use for this task.
    :param image_limit: the most bytes of an image in memory (a small compressed file may be huge).
    :param validation: what happens to a series that breaks a rule, if the request does not say.
    :param connections: requests with instances that may run at once; concurrent jobs share them, so that Orthanc has
        threads and processors left for others.
    :param thorough: whether to compare every stored instance, because instances of a former attempt may still arrive.
    :param retrieve_timeout: seconds that retrieving an input from another server may take.
    :param announced: SeriesInstanceUIDs that an earlier attempt was about to retrieve from another server.
    :param series_number: the SeriesNumber (0020,0011) reserved for the series in the parent's study.
    """

    job_id: str
    attempt: int
    series: str
    request: dict[str, Any]
    now: datetime
    connection: Connection
    folders: tuple[str, ...]
    image_path: str | None = None
    image_route: str | None = None
    image_name: str = ""
    image_size: int = 0
    progress_route: str | None = None
    replaces: tuple[str, ...] = ()
    supersedes: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()
    rule: dict[str, Any] | None = None
    by: dict[str, Any] = field(default_factory=dict)
    result: dict[str, Any] | None = None
    scratch: str | None = None
    memory_limit: int | None = None
    image_limit: int = 8 << 30
    validation: Literal["Strict", "Warn", "Off"] = "Strict"
    connections: int = 4
    retrieve_timeout: float = 600.0
    announced: tuple[str, ...] = ()
    series_number: int | None = None
    thorough: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended.

    :param result: the JSON of the answer, if the series is stored.
    :param error: why it failed; with a result, why a destination did not take the series.
    :param clean: whether a failed attempt left nothing of the derived series in Orthanc.
    :param sent: whether requests with instances were begun, with which Orthanc or a proxy may still be busy.
    """

    result: dict[str, Any] | None = None
    error: DerivedSeriesError | None = None
    clean: bool = True
    sent: bool = False


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The contents of the blueprint folders as JSON, so that they can be listed without loading them.

    :param blueprints: name -> description, file, hash, elements; :param pipelines: name -> description, file,
        hash, inputs, parameters; :param factories: name -> description.
    :param problems: files that could not be loaded, and why.
    """

    blueprints: dict[str, dict[str, Any]] = field(default_factory=dict)
    pipelines: dict[str, dict[str, Any]] = field(default_factory=dict)
    factories: dict[str, dict[str, Any]] = field(default_factory=dict)
    problems: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Work:
    """The functions that workers run for the runner; both can be pickled.

    :param derive: makes one attempt at a job; every failure is in the outcome.
    :param discard: removes what an interrupted attempt left in Orthanc.
    """

    derive: Callable[[DeriveTask], Outcome]
    discard: Callable[[DeriveTask], Outcome]
