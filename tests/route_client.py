"""The plugin's routes without a server: requests are values, Orthanc is a dictionary, workers are threads."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar
from urllib.parse import parse_qsl

from derived_series.errors import NotFound
from derived_series.jobs.pool.claims import Claims
from derived_series.jobs.pool.executor import Keeping, ProcessExecutor
from derived_series.jobs.pool.launch import Interpreter
from derived_series.jobs.remote.attempts import Attempts
from derived_series.orthanc.abstract_gateway import Gateway
from derived_series.orthanc.app import start
from derived_series.orthanc.browsers import Doorkeeper
from derived_series.orthanc.http import Answer, Request, Route
from derived_series.orthanc.respond import respond

P = ParamSpec("P")
T = TypeVar("T")


class FakeGateway(Gateway):
    """An Orthanc with the content that a test puts there.

    :ivar resources: the answers of GET, by path.
    :ivar written: the bodies of PUT, by path.
    :ivar acts: the entries of the audit log: user, series, action, data.
    :ivar stable: the series that were made stable.
    :ivar around: the configuration besides our section.
    """

    def __init__(self, folder: Path, section: Mapping[str, Any]):
        self.folder = folder
        self.section = dict(section)
        self.resources: dict[str, Any] = {"/plugins/python": {"Version": "4.2"}, "/modalities": []}
        self.written: dict[str, bytes] = {}
        self.acts: list[tuple[str, str, str, bytes]] = []
        self.around: dict[str, Any] = {}
        self.stable: list[str] = []
        self.routes: Sequence[Route] = ()
        self.doorkeeper: Doorkeeper | None = None
        self.begin: Callable[[], None] = lambda: None
        self.end: Callable[[], None] = lambda: None

    def configuration(self) -> dict[str, Any]:
        return {"Name": "none", "StorageDirectory": "storage", "DerivedSeries": self.section, **self.around}

    def configuration_path(self) -> Path:
        return self.folder / "orthanc.json"

    def authorization(self) -> str:
        return "Bearer of no token"

    def get(self, path: str) -> Any:
        if path not in self.resources:
            raise NotFound(f"Orthanc has no {path}")
        return self.resources[path]

    def get_any(self, path: str) -> Any:
        return [] if path.endswith("/servers") else self.get(path)

    def post(self, path: str, body: str) -> Any:
        return []  # nothing is found

    def put(self, path: str, body: bytes) -> None:
        self.written[path] = body

    def delete(self, path: str) -> None:
        if path not in self.resources:
            raise NotFound(f"Orthanc has no {path}")
        del self.resources[path]

    def log_as(self, lines: logging.Formatter) -> None:
        """Do nothing, as there is no log."""

    def features(self) -> dict[str, bool]:
        return {"SetStableStatus": True, "EmitAuditLog": True}

    def set_stable(self, series: str) -> None:
        self.stable.append(series)

    def audit(self, user: str, series: str, action: str, data: bytes) -> None:
        self.acts.append((user, series, action, data))

    def metric(self, name: str, value: float) -> None:
        """Do nothing."""

    def tag_number(self, keyword: str) -> str | None:
        return {"Modality": "0008,0060", "SeriesDescription": "0008,103e", "PatientID": "0010,0020"}.get(keyword)

    def extend_explorer(self, script: str) -> None:
        """Do nothing, as there is no Explorer."""

    def on_changes(self, start: Callable[[], None], stop: Callable[[], None], stable: Callable[[], None]) -> None:
        self.begin, self.end = start, stop

    def serve(self, routes: Sequence[Route], doorkeeper: Doorkeeper, attempts: Attempts) -> None:
        self.routes, self.doorkeeper = routes, doorkeeper

    def add_series(self, series: str, *instances: str, study: str = "study", **tags: str) -> None:
        """Add a series."""
        self.resources[f"/series/{series}"] = {
            "ID": series,
            "ParentStudy": study,
            "Instances": list(instances),
            "IsStable": True,
            "MainDicomTags": {"SeriesInstanceUID": f"1.2.{len(self.resources)}", **tags},
        }
        study_json = self.resources.setdefault(
            f"/studies/{study}", {"ID": study, "ParentPatient": "patient", "Series": [], "MainDicomTags": {}}
        )
        study_json["Series"].append(series)


class ThreadedWorkers(ProcessExecutor):
    """Workers that are threads of this process."""

    def __init__(
        self,
        workers: int,
        *,
        initializer: Callable[..., None],
        initargs: tuple[Any, ...] = (),
        interpreter: Interpreter | None = None,
        keeping: Keeping | None = None,
        claims: Claims | None = None,
    ):
        self.workers = workers
        self._threads_of_tasks = ThreadPoolExecutor(workers)

    @property
    def idle(self) -> int:
        return self.workers

    def processes(self) -> list[dict[str, Any]]:
        return []

    def replace_dead(self) -> None:
        """Do nothing, as no thread dies."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        return self._threads_of_tasks.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._threads_of_tasks.shutdown(wait, cancel_futures=cancel_futures)


@dataclass(frozen=True)
class Reply:
    """A parsed answer."""

    answer: Answer

    @property
    def status(self) -> int:
        return self.answer.status

    @property
    def json(self) -> Any:
        return json.loads(self.answer.body)


class RouteClient:
    """Sends requests to the routes of a plugin that is put together as in Orthanc.

    :param folder: an empty folder. :param around: the configuration besides the ``DerivedSeries`` section.
    :param section: that section.
    """

    def __init__(self, folder: Path, around: Mapping[str, Any] | None = None, **section: Any):
        (folder / "storage").mkdir()
        self.gateway = FakeGateway(folder, section)
        self.gateway.around = dict(around or {})
        start(self.gateway, Path(sys.executable), ThreadedWorkers)

    @classmethod
    def again(cls, former: RouteClient) -> RouteClient:
        """The plugin put together once more, over the files of the former one."""
        client = cls.__new__(cls)
        client.gateway = FakeGateway(former.gateway.folder, former.gateway.section)
        client.gateway.around, client.gateway.resources = former.gateway.around, former.gateway.resources
        start(client.gateway, Path(sys.executable), ThreadedWorkers)
        return client

    def request(
        self, method: str, path: str, body: bytes | object = b"", headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Send a request to the first route whose pattern fits. :raises LookupError: there is none."""
        path, _, query = path.partition("?")
        for route in self.gateway.routes:
            if match := re.fullmatch(route.pattern, path):
                request = Request(
                    method,
                    path,
                    match.groups(),
                    dict(parse_qsl(query, keep_blank_values=True)),
                    {"host": "localhost", **{name.lower(): value for name, value in (headers or {}).items()}},
                    body if isinstance(body, bytes) else json.dumps(body).encode(),
                    "192.0.2.7",
                )
                assert self.gateway.doorkeeper is not None
                return Reply(respond(route, request, self.gateway.doorkeeper))
        raise LookupError(f"no route for {path}")

    def get(self, path: str, **headers: str) -> Reply:
        return self.request("GET", path, headers=headers)

    def post(self, path: str, body: bytes | object = b"", **headers: str) -> Reply:
        return self.request("POST", path, body, headers)

    def delete(self, path: str) -> Reply:
        return self.request("DELETE", path)
