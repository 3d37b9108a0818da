"""What the runner sends to workers and what comes back: values that can be pickled and read anywhere.

This module imports nothing heavy: Orthanc's own process needs no numpy to hand work out.
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

    :param job_id: also the seed of all UIDs: every attempt makes the same instances.
    :param series: the Orthanc identifier of the parent.
    :param request: JSON of ``DeriveRequest``; of a rejection, that of ``ReviewRequest``.
    :param now: what the series is written with; the same in every attempt.
    :param folders: the blueprint folders.
    :param image_path: the uploaded image, where the worker shares the server's disk; else its name.
    :param image_route: the uploaded image in the REST API, for a worker that does not.
    :param image_name: the name of its file, and :param image_size: its bytes.
    :param progress_route: where to send progress.
    :param replaces: Orthanc identifiers of series that are removed when the new one has been verified; not those that
        were accepted.
    :param supersedes: jobs whose series are removed likewise, where they are still there.
    :param accepted: those of these series that a person has accepted, by the record; their metadata may be gone.
    :param rule: what the provenance says of the rule that asked for the job.
    :param by: who asked for the job, and from where, as the provenance says it.
    :param result: the answer of an earlier attempt that stored the series; only destinations are left to do.
    :param scratch: a folder for temporary files, where the worker shares the server's disk.
    :param memory_limit: bytes that the worker may use for this task.
    :param image_limit: bytes that an image may have once it is read (a small compressed file may be huge).
    :param validation: what happens to a series that breaks a rule, where the request does not say.
    :param connections: requests with instances that may be under way at once: jobs that run together share them, so
        that Orthanc has threads and processors left for others.
    :param thorough: instances of a former attempt may still arrive: every instance is compared after it was stored.
    :param retrieve_timeout: seconds that it may take to bring an input from another server.
    :param announced: SeriesInstanceUIDs that an earlier attempt was about to bring from another server.
    :param series_number: the SeriesNumber (0020,0011) that is kept free for the series in the parent's study.
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

    :param result: the JSON of the answer, when the series is stored.
    :param error: why it failed; with a result, a destination did not take the series.
    :param clean: nothing of the derived series is left in Orthanc (of a failed attempt).
    :param sent: requests with instances had been begun; Orthanc or a proxy may still be busy with them.
    """

    result: dict[str, Any] | None = None
    error: DerivedSeriesError | None = None
    clean: bool = True
    sent: bool = False


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What the blueprint folders hold, as JSON, so that it can be told without loading them.

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
    :param discard: removes what an attempt that was cut short left in Orthanc.
    """

    derive: Callable[[DeriveTask], Outcome]
    discard: Callable[[DeriveTask], Outcome]
