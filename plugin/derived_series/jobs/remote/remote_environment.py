"""RemoteEnvironment: an environment on other machines."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from derived_series.errors import DerivedSeriesError, InvalidRequest, StorageError
from derived_series.jobs.messages import Catalogue
from derived_series.jobs.remote.cluster import Cluster
from derived_series.jobs.remote.remote_executor import RemoteExecutor
from derived_series.jobs.remote.wire import catalogue_from_json, catalogue_to_json

_log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


class RemoteEnvironment:
    """An environment whose workers describe its pipelines; the description is kept in a file for when none is there.

    :param file: the file with the description.
    """

    def __init__(self, name: str, cluster: Cluster, executor: RemoteExecutor, file: Path, bundle: Callable[[], str]):
        self.name = name
        self._cluster = cluster
        self._executor = executor
        self._file = file
        self._bundle = bundle
        self._last: Catalogue | None = None  # the last description of a worker; it is in the file too, with disk space

    @property
    def executor(self) -> RemoteExecutor:
        return self._executor

    def listen(self, changed: Callable[[], None]) -> None:
        """Have ``changed`` called when other workers are connected; see ``RemoteExecutor.listen``."""
        self._executor.listen(changed)

    def start(self) -> None:
        """Connect to the scheduler."""
        self._executor.start()

    def describe(self, describe: Callable[[tuple[str, ...]], Any], folders: tuple[str, ...], /) -> Future[Any]:
        """Have a worker describe the blueprint folders; without a worker, return the last description.

        :param describe, folders: not used: they are this machine's, and workers have their own.
        """
        kept = self._kept()
        if kept is not None and (self._executor.lack is not None or kept[0] == self._bundle()):
            return _done(kept[1])
        if (lack := self._executor.lack) is not None:
            return _done(_unknown(f"it {lack}"))
        answer: Future[Catalogue] = Future()
        answer.set_running_or_notify_cancel()
        bundle = self._bundle()
        self._executor.describe().add_done_callback(lambda future: self._take(bundle, future, answer))
        return answer

    def _take(self, bundle: str, future: Future[Any], answer: Future[Catalogue]) -> None:
        try:
            catalogue = catalogue_from_json(future.result())
        except BaseException as error:  # the boundary to a worker: the caller gets the error
            answer.set_exception(error)
            return
        self._last = catalogue
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.write_text(json.dumps({"Bundle": bundle, "Catalogue": catalogue_to_json(catalogue)}))
        except OSError as error:  # if the disk is full, it is requested again at the next start
            _log.warning("%s cannot be written: %s", self._file, error)
        answer.set_result(catalogue)

    def until_described(self) -> Future[Catalogue]:
        """The last description: a worker may describe the folders only after the hours of another Orthanc's job."""
        if self._last is not None:
            return _done(self._last)
        kept = self._kept()
        return _done(_unknown("it waits for a worker that describes them") if kept is None else kept[1])

    def _kept(self) -> tuple[str, Catalogue] | None:
        """The digest of the blueprint folders and the description in the file; None without one."""
        try:
            document = json.loads(self._file.read_text())
            return str(document["Bundle"]), catalogue_from_json(document["Catalogue"])
        except (OSError, ValueError, LookupError, TypeError, InvalidRequest):
            return None

    def fit(self, fit: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Return None: a user in front of a page should not wait for a worker that may be busy for an hour."""

    def elsewhere(self) -> tuple[int, int]:
        return min(self._executor.fitting, self._cluster.workers), self._cluster.workers

    def status(self) -> dict[str, Any]:
        return {
            "Scheduler": self._cluster.scheduler,
            "Problem": self._executor.problem,
            "Waiting": self._executor.lack,
            "Workers": self._cluster.workers,
            "IdleSeconds": self._cluster.idle,
            "Resources": dict(self._cluster.resources),
            "Processes": self._executor.processes(),
        }

    def shutdown(self) -> None:
        self._executor.shutdown()


def _unknown(why: str) -> StorageError:
    return StorageError(f"what its pipelines are is not known yet: {why}", transient=True)


def _done(value: Catalogue | DerivedSeriesError) -> Future[Catalogue]:
    future: Future[Catalogue] = Future()
    if isinstance(value, DerivedSeriesError):
        future.set_exception(value)
    else:
        future.set_result(value)
    return future
