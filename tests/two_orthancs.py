"""Two Orthancs with their index, their files and their jobs in one PostgreSQL."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from orthanc_server import INDEX_PLUGINS, NEEDED, OrthancServer, free_port, merged
from phantoms import ct_phantom
from postgresql_server import PostgresqlServer
from server_fixtures import settings


def over_postgresql(server: PostgresqlServer, database: str) -> dict[str, Any]:
    """The configuration of an Orthanc that keeps everything in an existing database."""
    return {
        "Plugins": [str(path) for path in (*NEEDED, *INDEX_PLUGINS)],
        "PostgreSQL": server.orthanc(database),
        "DerivedSeries": {"JobsDatabase": server.address(database)},
    }


class TwoOrthancs:
    """The servers ``a`` and ``b``; which of them leads can be asked."""

    def __init__(self, folder: Path, postgresql: PostgresqlServer, database: str, changes: Mapping[str, Any]):
        self.postgresql = postgresql
        postgresql.new_database(database)
        self.servers = []
        for name in ("a", "b"):
            server_folder = folder / name
            server_folder.mkdir()
            keys = {"NodeName": name, "RetryPause": 0.1, "Attempts": 100, "JobsHistory": 100_000}
            configuration = merged(settings(folder / "library", **keys), over_postgresql(postgresql, database))
            configuration = merged(configuration, {"Name": name, "HttpPort": free_port(), **changes})
            self.servers.append(OrthancServer(server_folder, configuration))
        self.a, self.b = self.servers

    def __enter__(self) -> TwoOrthancs:
        try:
            for server in self.servers:  # one after the other: the first makes Orthanc's tables
                server.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        for server in self.servers:
            server.close()

    def leads(self, server: OrthancServer) -> bool:
        return bool(server.json("/derived-series/status")["Nodes"]["Leads"])

    @property
    def leader(self) -> OrthancServer:
        return self.a if self.leads(self.a) else self.b

    @property
    def follower(self) -> OrthancServer:
        return self.b if self.leads(self.a) else self.a


def for_rule(number: int) -> list[Dataset]:
    """A series that fits a rule with ``"SeriesDescription": "for the rule"``."""
    datasets = ct_phantom(2, 8, 8, patient_id="R", study=f"r{number}", series=f"r{number}")
    for dataset in datasets:
        dataset.SeriesDescription = "for the rule"
    return datasets


@contextmanager
def frozen(server: OrthancServer) -> Iterator[None]:
    """Freeze Orthanc and its workers, as if their machine stood still."""
    family = [server.pid, *server.children()]
    for pid in family:
        _signal(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in family:
            _signal(pid, signal.SIGCONT)


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
