"""Box: runs attempts at jobs on another machine, inside a dask worker.

dask's process gets the task from Orthanc and reports how it ended. The work is done in a child process like Orthanc's
own workers; it is ended when Orthanc no longer wants the attempt, and ends with dask's process.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError, Future, TimeoutError
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from derived_series.dicomweb.client import Client, Connection, check, quoted
from derived_series.errors import Conflict, DerivedSeriesError, StorageError, Superseded
from derived_series.jobs.box.cache import BundleCache
from derived_series.jobs.box.file_lock import locked
from derived_series.jobs.box.threaded import threaded
from derived_series.jobs.messages import Outcome
from derived_series.jobs.pool.executor import Keeping, ProcessExecutor
from derived_series.jobs.pool.launch import Interpreter
from derived_series.jobs.queue.outcomes import outcome_of
from derived_series.jobs.remote.attempts import HEADER
from derived_series.jobs.remote.errand import Errand
from derived_series.jobs.remote.versions import versions
from derived_series.jobs.remote.wire import catalogue_to_json, outcome_to_json, task_from_json
from derived_series.jobs.scratch import remove_folders
from derived_series.jobs.work.entry import derive, describe, warm_up
from derived_series.no_answer import is_untrusted

_log = logging.getLogger(__name__)

#: Seconds between two reports to Orthanc, that one may take, and between two tries of one.
_BEAT_SECONDS = 1.0
_ANSWER_SECONDS = 10.0
_AGAIN_SECONDS = 0.5
#: Seconds after which trying to get a task from Orthanc is given up.
_CLAIM_SECONDS = 20.0

#: Seconds after which an Orthanc that refused is asked again.
_REFUSED_SECONDS = 60.0

_REFUSED = frozenset({401, 403})
#: Statuses that come from something else than the plugin's routes.
_ELSEWHERE = frozenset({301, 302, 303, 307, 308, 404, 405})
_NOT_WANTED = frozenset({404, Superseded.http_status})

T = TypeVar("T")


@dataclass(slots=True)
class _Ready:
    """A child process for one bundle of blueprint folders."""

    bundle: str
    folders: tuple[str, ...]
    executor: ProcessExecutor


@dataclass(frozen=True, slots=True)
class Place:
    """The folder and identity of a box.

    :param scratch: a folder for the files of running jobs, and for blueprint folders.
    :param headers: the headers that identify it to Orthanc.
    """

    scratch: Path
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)


class Box:
    """Runs one errand at a time.

    :param name: the worker's name in the scheduler.
    :raises Conflict: a worker of this name has the folder.
    """

    def __init__(self, name: str, place: Place):
        self._name = name
        self._place = place
        self._jobs = place.scratch / f"jobs-{name.replace('/', '_')}"
        self._jobs.mkdir(parents=True, exist_ok=True)
        lock = locked(self._jobs / "lock", wait=False)
        if lock is None:
            raise Conflict(
                f"another worker named {name!r} runs with the folder {place.scratch}",
                remedy="give each worker a --name of its own",
            )
        self._lock_of_jobs = lock
        self._cache = BundleCache(place.scratch / "blueprints")
        remove_folders(self._jobs)  # left by a process that was killed
        self._versions = versions()
        self._ready: _Ready | None = None
        self._lock = threading.Lock()
        self._one = threading.Lock()
        self._closing = threading.Event()
        self._is_closed = False
        self._running: Future[Any] | None = None  # the work that was begun last
        self._unreached: dict[str, str] = {}  # by Orthanc's URL, why it is not reached
        self._started = datetime.now(UTC).isoformat(timespec="seconds")

    def report(self) -> dict[str, Any]:
        """What Orthanc's status says about this worker; it travels through dask."""
        with self._lock:
            ready = self._ready
        prepared = [each for process in (ready.executor.processes() if ready else []) for each in process["Prepared"]]
        return {
            "Versions": self._versions,
            "Pid": os.getpid(),
            "Started": self._started,
            "Prepared": prepared,
            "Unreached": dict(self._unreached),
        }

    def _look_for(self, errand: Errand, why: str) -> None:
        """Report that an errand's Orthanc is not reached, so that it sends no jobs here until it is."""
        with self._lock:
            if errand.url in self._unreached:
                return
            self._unreached = {**self._unreached, errand.url: why}
        _log.error("no jobs are taken from Orthanc at %s until that has changed: %s", errand.url, why)
        threading.Thread(target=self._wait_for, args=(errand,), name="looks for Orthanc", daemon=True).start()

    def _wait_for(self, errand: Errand) -> None:
        with _trusted(errand) as verify:  # the errand, and with it its certificate file, has ended
            connection = self._connection(errand, verify)
            end = time.monotonic() + _REFUSED_SECONDS
            while not self._closing.wait(_BEAT_SECONDS):
                with Client(connection) as client:
                    try:
                        answer = client.send("GET", connection.url("/system"), timeout=_ANSWER_SECONDS)
                    except StorageError as error:
                        # another errand may bring other certificates
                        if error.__cause__ is not None and is_untrusted(error.__cause__) and time.monotonic() > end:
                            break
                        continue
                # a server that refuses may refuse only this address
                if answer.status_code not in _REFUSED or time.monotonic() > end:
                    break
        with self._lock:
            self._unreached = {url: why for url, why in self._unreached.items() if url != errand.url}
        _log.warning("Orthanc at %s is asked for jobs again", errand.url)

    def _connection(self, errand: Errand, verify: bool | str) -> Connection:
        return Connection(
            errand.url,
            headers=self._place.headers,
            dicomweb_root=errand.dicomweb_root,
            store_timeout=errand.store_timeout,
            verify=verify,
        )

    def run(self, errand: str) -> str:
        """Run the attempt of an errand and send its outcome to Orthanc.

        :raises StorageError: Orthanc cannot be reached.
        """
        task = Errand.from_json(errand)
        with self._one, _trusted(task) as verify:
            connection = self._connection(task, verify)
            try:
                document = self._claim(connection, task)
            except Superseded as error:
                return error.message
            token = (*connection.headers, (HEADER, document["Token"]))
            self._make(task, dataclasses.replace(connection, headers=token), document)
            return "done"

    def _claim(self, connection: Connection, errand: Errand) -> dict[str, Any]:
        body = {"Ticket": errand.ticket, "Worker": self._name, "Versions": self._versions}
        if (why := self._unreached.get(errand.url)) is not None:
            raise self._not_reached(errand, why)
        end = time.monotonic() + _CLAIM_SECONDS
        with Client(connection) as client:
            while True:
                if self._closing.is_set():
                    raise _stopped()
                try:
                    return _claimed(client, f"{errand.path}/claim", body)
                except StorageError as error:
                    if not error.transient or time.monotonic() > end:
                        why = error.message if error.remedy is None else f"{error.message} ({error.remedy})"
                        self._look_for(errand, why)
                        raise self._not_reached(errand, why) from error
                self._closing.wait(_AGAIN_SECONDS)

    def _not_reached(self, errand: Errand, why: str) -> StorageError:
        """The error when Orthanc cannot be reached; transient, because another worker may reach it."""
        return StorageError(
            f"the worker {self._name} does not reach Orthanc at {errand.url}: {why}",
            remedy="see to it on the worker's machine, or take the environment's OrthancUrl and CaBundle for it",
            transient=True,
        )

    def _make(self, errand: Errand, connection: Connection, document: Mapping[str, Any]) -> None:
        with Client(connection) as client:
            try:
                outcome = self._outcome(client, errand, document)
            except _NotWanted:
                _log.info("an attempt is not wanted any more")
                return
            except DerivedSeriesError as error:
                outcome = Outcome(error=error, clean=False)
            self._tell(client, errand, outcome, float(document["LostAfter"]))

    def _outcome(self, client: Client, errand: Errand, document: Mapping[str, Any]) -> Outcome:
        folders = self._folders(client, errand, document)
        executor = self._executor(str(document["Bundle"]), folders, float(document["IdleSeconds"]))
        if "Task" not in document:
            return self._ended(self._watched(client, errand, document, lambda: executor.submit(_described, folders)))
        task = task_from_json(document["Task"], client.connection, folders, str(self._jobs))
        try:
            return self._ended(self._watched(client, errand, document, lambda: executor.submit(derive, task)))
        finally:
            remove_folders(self._jobs)

    def _ended(self, attempted: Future[Outcome]) -> Outcome:
        if self._closing.is_set() and (attempted.cancelled() or attempted.exception() is not None):
            return Outcome(error=_stopped(), clean=False, sent=True)
        return outcome_of(attempted)

    def _folders(self, client: Client, errand: Errand, document: Mapping[str, Any]) -> tuple[str, ...]:
        """The blueprint folders; while they are fetched, which may take long, Orthanc hears of it."""
        bundle = str(document["Bundle"])
        route = f"/derived-series/bundles/{bundle}"

        def fetch(future: Future[tuple[str, ...]]) -> tuple[str, ...]:
            with Client(client.connection) as fetcher:

                def get(path: str) -> bytes:
                    if future.cancelled():
                        raise Superseded("the blueprint folders are not wanted any more")
                    return fetcher.get_bytes(path)

                return self._cache.folders(
                    bundle, lambda: get(route), lambda sha256, offset: get(f"{route}/{sha256}?offset={offset}")
                )

        fetched = self._watched(client, errand, document, lambda: threaded(fetch, "fetches blueprint folders"))
        if fetched.cancelled():
            raise _stopped()
        return fetched.result()

    def _executor(self, bundle: str, folders: tuple[str, ...], idle: float) -> ProcessExecutor:
        with self._lock:
            if self._ready is not None and self._ready.bundle != bundle:
                self._ready.executor.shutdown()
                self._ready = None
            if self._ready is None:
                executor = ProcessExecutor(
                    1,
                    initializer=warm_up,
                    initargs=(folders,),
                    interpreter=Interpreter.ours(Path(sys.executable)),
                    keeping=Keeping(always=False, idle=idle),
                )
                self._ready = _Ready(bundle, folders, executor)
            return self._ready.executor

    def _watched(
        self, client: Client, errand: Errand, document: Mapping[str, Any], begin: Callable[[], Future[T]]
    ) -> Future[T]:
        """Begin some work and wait for it; it ends when this does, however it does.

        :return: its future; cancelled, or with an error, if the worker is being stopped.
        :raises StorageError: the worker is being stopped.
        :raises _NotWanted: see ``_wait``.
        """
        with self._lock:  # so that close ends what has begun, and nothing begins afterwards
            if self._closing.is_set():
                raise _stopped()
            future = self._running = begin()
        try:
            return self._wait(client, errand, document, future)
        finally:
            future.cancel()

    def _wait(self, client: Client, errand: Errand, document: Mapping[str, Any], future: Future[T]) -> Future[T]:
        """Wait for a future, and meanwhile report to Orthanc, which may end the attempt.

        :raises _NotWanted: Orthanc has ended the attempt, or was not reached for so long that it has given up.
        """
        heard = time.monotonic()
        while True:
            try:
                future.exception(_BEAT_SECONDS)
            except TimeoutError:
                pass
            except CancelledError:
                return future
            if future.done():
                return future
            try:
                _post(client, f"{errand.path}/attempt", {}, timeout=_ANSWER_SECONDS)
                heard = time.monotonic()
            except DerivedSeriesError as error:
                lost = time.monotonic() - heard > float(document["LostAfter"])
                if lost:
                    self._look_for(errand, error.message)
                if isinstance(error, Superseded) or lost or not getattr(error, "transient", False):
                    raise _NotWanted from error

    def _tell(self, client: Client, errand: Errand, outcome: Outcome, seconds: float) -> None:
        """Send the outcome to Orthanc until it is received or not wanted."""
        end = time.monotonic() + seconds
        while True:
            try:
                _post(client, f"{errand.path}/outcome", outcome_to_json(outcome))
                return
            except DerivedSeriesError as problem:
                is_late = self._closing.is_set() or time.monotonic() >= end
                if not getattr(problem, "transient", False) or is_late:
                    _log.warning("the outcome of an attempt is not taken: %s", problem.message)
                    return
            time.sleep(_AGAIN_SECONDS)

    def close(self) -> None:
        """End the running attempt, and tell Orthanc that it was stopped."""
        with self._lock:
            self._closing.set()
            ready, running = self._ready, self._running
        if ready is not None:
            ready.executor.shutdown()
        if running is not None:
            running.cancel()
        with self._one:  # wait until that is done
            if not self._is_closed:
                self._is_closed = True
                remove_folders(self._jobs)
                self._cache.close()
                os.close(self._lock_of_jobs)


class _NotWanted(Exception):
    """Orthanc has ended the attempt."""


def _stopped() -> StorageError:
    """The error of an attempt whose worker is being stopped; transient, because another worker may take it."""
    return StorageError("the worker on another machine was stopped", transient=True)


def _post(client: Client, path: str, body: Mapping[str, Any], *, timeout: float | None = None) -> None:
    """POST to Orthanc. :raises Superseded: the attempt has ended. :raises DerivedSeriesError: it fails otherwise."""
    answer = client.send(
        "POST", client.connection.url(path), data=json.dumps(body).encode(), timeout=timeout or _ANSWER_SECONDS
    )
    if answer.status_code in _NOT_WANTED:
        raise Superseded("Orthanc does not want this attempt any more")
    try:
        check(answer).json()
    except ValueError as error:  # such as the page of a proxy during maintenance
        what = f"POST {answer.url} answered {quoted(answer)}, which is not JSON"
        raise StorageError(what, transient=True) from error


def _claimed(client: Client, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Exchange a ticket for the task.

    :raises Superseded: the attempt has ended.
    :raises StorageError: Orthanc does not give it; not transient if this worker will never get it.
    """
    url = client.connection.url(path)
    answer = client.send("POST", url, data=json.dumps(body).encode(), timeout=_ANSWER_SECONDS)
    status = answer.status_code
    if status == Superseded.http_status:
        raise Superseded("Orthanc does not want this attempt any more")
    if status in _REFUSED:
        raise StorageError(
            f"POST {url} answered {status} {answer.reason}",
            remedy="Orthanc refuses the worker's user: compare the file of --credentials with RegisteredUsers, or with "
            "the rights in docs/authorization.md, and start the worker again",
        )
    try:
        document = None if status in _ELSEWHERE else check(answer).json()
    except ValueError:  # not JSON
        document = None
    if not isinstance(document, dict) or "Token" not in document:
        raise StorageError(
            f"POST {url} answered {status}, which is not an answer of the plugin",
            remedy="the OrthancUrl of the environment leads to something else than the Orthanc with the plugin",
        )
    return document


@contextmanager
def _trusted(errand: Errand) -> Iterator[bool | str]:
    """A file with the certificates to trust, for requests' ``verify``; True if the errand brings none."""
    if errand.ca is None:
        yield True
        return
    with tempfile.NamedTemporaryFile("w", prefix="derived-series-", suffix=".pem") as file:
        file.write(errand.ca)
        file.flush()
        yield file.name


def _described(folders: tuple[str, ...]) -> Outcome:
    """Describe the blueprint folders, in the child process."""
    return Outcome(result=catalogue_to_json(describe(folders)))
