"""The bridge: a process that submits errands to dask for Orthanc and reports what dask says about them.

It is a child process of Orthanc like the workers, so that dask's event loop, modules and unpickling stay here. Workers
send outcomes directly to Orthanc, so nothing has to be fetched from a worker's machine.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import pickle
import signal
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

import distributed

from derived_series import claim_users
from derived_series.errors import DerivedSeriesError, StorageError
from derived_series.jobs.pool.process import end_with
from derived_series.jobs.remote.errand import to_be_done
from derived_series.jobs.remote.runs import REPORT, run_here
from derived_series.scheduler_connection import CertificateFiles, obstacle
from derived_series.shortening import shortened

#: Seconds between two queries for workers, that connecting may take, and between two tries.
_ASK_SECONDS = 1.0
_CONNECT_SECONDS = 10.0
_AGAIN_SECONDS = 1.0

_TEXT_CHARACTERS = 500

#: A class of dask, which has no type information.
_CLIENT: Any = distributed.Client
_SECURITY: Any = distributed.Security


def main(pipe: int, life: int, *, greets: bool) -> None:
    """Serve over a file descriptor; see ``pool.process.main``."""
    for number in (pipe, life, *claim_users.descriptors()):
        os.set_inheritable(number, False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with(life)
    logging.disable()  # silence dask's loggers: everything relevant is sent over the pipe
    asyncio.run(Bridge(Connection(pipe)).serve())


class Bridge:
    """The connection to a scheduler, restored whenever it is lost."""

    def __init__(self, pipe: Connection):
        self._pipe = pipe
        self._ended = asyncio.Event()
        self._client: Any = None
        self._connect: Mapping[str, Any] = {}
        self._wanted: dict[str, Mapping[str, Any]] = {}  # the errands to run, by key
        self._futures: dict[str, Any] = {}
        self._seen: dict[
            str, tuple[object, float]
        ] = {}  # by worker, when the scheduler last heard of it, and since when we know
        self._watching: set[asyncio.Task[None]] = set()
        self._state: Mapping[str, Any] = {}

    async def serve(self) -> None:
        """Serve until Orthanc closes the pipe."""
        self._connect = json.loads(await asyncio.to_thread(self._pipe.recv_bytes))
        asyncio.get_running_loop().add_reader(self._pipe.fileno(), self._read)
        working = asyncio.create_task(self._work())
        await self._ended.wait()
        working.cancel()
        os._exit(0)  # dask would take seconds to shut down

    def _read(self) -> None:
        try:
            message = json.loads(self._pipe.recv_bytes())
        except (EOFError, OSError):
            asyncio.get_running_loop().remove_reader(self._pipe.fileno())
            self._ended.set()
            return
        key = message["Key"]
        if message["Do"] == "run":
            self._wanted[key] = message
            self._submit(key)
        elif message["Do"] == "forget":
            self._wanted.pop(key, None)
            if (future := self._futures.pop(key, None)) is not None:
                self._watch(_cancel(future))

    def _say(self, message: Mapping[str, Any]) -> None:
        try:
            self._pipe.send_bytes(json.dumps(message).encode())
        except OSError:
            self._ended.set()

    def _watch(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._watching.add(task)
        task.add_done_callback(self._watching.discard)

    async def _work(self) -> None:
        while True:
            try:
                await self._be_connected()
                problem = "the connection is lost"
            except Exception as error:  # the boundary to dask: after any error, try again
                problem = await asyncio.to_thread(_problem, self._connect, error)
            self._client = None
            lost, self._futures = self._futures, {}
            self._tell({"Problem": problem, "Workers": []})
            for key in lost:
                self._end(key, "the connection to the scheduler was lost")
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _be_connected(self) -> None:
        """Connect, and query the workers as long as the scheduler answers."""
        connect = self._connect
        client: Any = _CLIENT(
            connect["Scheduler"],
            security=_security(connect),
            asynchronous=True,
            timeout=_CONNECT_SECONDS,
            name="derived-series",
            set_as_default=False,
        )
        try:
            await client
            self._client = client
            for key in [key for key in self._wanted if key not in self._futures]:
                self._submit(key)
            while client.status == "running":
                await self._ask(client)
                await asyncio.sleep(_ASK_SECONDS)
        finally:
            self._client = None
            self._watch(_close(client))

    async def _ask(self, client: Any) -> None:
        """Query the workers, and give up errands on those that the scheduler no longer hears of."""
        identity = await asyncio.wait_for(client.scheduler.identity(n_workers=-1), _CONNECT_SECONDS)
        workers = identity["workers"]
        silent = {address for address, each in workers.items() if self._is_silent(address, each.get("last_seen"))}
        self._seen = {address: seen for address, seen in self._seen.items() if address in workers}
        rows = [_worker(address, each, address in silent) for address, each in workers.items()]
        self._tell({"Problem": None, "Workers": rows})
        if silent and self._futures:
            processing = await asyncio.wait_for(client.processing(), _CONNECT_SECONDS)
            for address in silent:
                for key in map(str, processing.get(address, ())):
                    if key in self._futures:
                        self._end(key, "the scheduler hears nothing of its machine")

    def _is_silent(self, address: str, last_seen: object) -> bool:
        """Whether a worker is silent, by our own clock, since the scheduler's may differ."""
        now = time.monotonic()
        if self._seen.get(address, (None, 0.0))[0] != last_seen:
            self._seen[address] = (last_seen, now)
        return now - self._seen[address][1] > float(self._connect["LostAfter"])

    def _tell(self, state: Mapping[str, Any]) -> None:
        if state != self._state:
            self._state = state
            self._say({"Say": "state", **state})

    def _submit(self, key: str) -> None:
        client, message = self._client, self._wanted[key]
        if client is None:
            return
        future: Any = client.submit(
            pickle.load,
            to_be_done(run_here, message["Errand"]),
            key=key,
            resources=message["Resources"] or None,
            workers=message["Workers"] or None,
            retries=0,
            pure=False,
        )
        self._futures[key] = future
        self._watch(self._await(key, future))

    async def _await(self, key: str, future: Any) -> None:
        """Report how a task ended, unless Orthanc has dropped it."""
        try:
            error = await future.exception()
        except asyncio.CancelledError:
            error = None
        if key not in self._futures or self._futures[key] is not future:
            return
        del self._futures[key]
        if future.status == "finished":
            self._end(key, "it ended without an outcome")
        elif future.status != "error":
            self._end(key, "the scheduler has lost it")
        elif _may_pass(error):
            self._end(key, _text(error))
        elif self._wanted.pop(key, None) is not None:
            self._say({"Say": "failed", "Key": key, "Why": _text(error)})

    def _end(self, key: str, why: str) -> None:
        if self._wanted.pop(key, None) is not None:
            self._say({"Say": "ended", "Key": key, "Why": why})


def _may_pass(error: object) -> bool:
    """Whether a task failed because of its worker or connections; otherwise the worker cannot run tasks at all."""
    if isinstance(error, DerivedSeriesError):
        return isinstance(error, StorageError) and error.transient
    return isinstance(error, OSError) or type(error).__module__.startswith(
        ("distributed", "dask", "tornado", "asyncio")
    )


def _text(error: object) -> str:
    return shortened(f"{type(error).__name__}: {error}", _TEXT_CHARACTERS)


def _problem(connect: Mapping[str, Any], error: Exception) -> str:
    """Why the scheduler cannot be reached, in plainer words than dask's if possible."""
    files = CertificateFiles(connect["Ca"], connect["Certificate"], connect["Key"]) if connect["Ca"] else None
    try:
        plain = obstacle(connect["Scheduler"], files)
    except DerivedSeriesError as unusable:
        return unusable.message
    if plain is not None:
        return plain
    hint = "" if files is not None else " (one that was started with certificates is reached by tls:// alone)"
    return f"{_text(error)}{hint}"


def _security(connect: Mapping[str, Any]) -> Any:
    if not connect["Ca"]:
        return _SECURITY(require_encryption=False)
    return _SECURITY(
        require_encryption=True,
        tls_ca_file=connect["Ca"],
        tls_client_cert=connect["Certificate"],
        tls_client_key=connect["Key"],
    )


def _worker(address: str, identity: Mapping[str, Any], silent: bool) -> dict[str, Any]:
    return {
        "Address": address,
        "Name": str(identity.get("name")),
        "Resources": {str(name): float(count) for name, count in (identity.get("resources") or {}).items()},
        "Report": (identity.get("metrics") or {}).get(REPORT),
        "Silent": silent,
        "Threads": int(identity.get("nthreads", 0)),
    }


async def _cancel(future: Any) -> None:
    try:
        await future.cancel()
    except Exception:  # the boundary to dask, whose connection may be gone
        return


async def _close(client: Any) -> None:
    try:
        await asyncio.wait_for(client.close(), _CONNECT_SECONDS)
    except Exception:  # the boundary to dask, whose connection may be gone
        return
