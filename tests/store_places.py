"""The places for a job store: a file of SQLite, or a PostgreSQL. Tests of stores run on both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

from derived_series.jobs.queue.job_files import TableFiles
from derived_series.jobs.queue.store import JobStore
from installed import not_installed
from postgresql_server import PostgresqlServer, programs


@dataclass(frozen=True)
class StorePlace:
    """Where a job store keeps its data. :param address: None: a file in the folder."""

    folder: Path
    address: str | None = None

    def open(self, node: str = "node") -> JobStore:
        """The store of an Orthanc that leads, unless another one does; earlier content is kept."""
        if self.address is None:
            return JobStore(self.folder)
        from derived_series.jobs.queue.postgresql_database import PostgresqlDatabase

        database = PostgresqlDatabase(self.address, node)
        database.contend()
        return JobStore(self.folder, database, TableFiles(database))

    def kept_images(self) -> set[str]:
        """The jobs whose images are stored."""
        if self.address is None:
            images = self.folder / "images"
            return {path.name for path in images.iterdir()} if images.exists() else set()
        import psycopg

        with psycopg.connect(self.address) as connection:
            rows = connection.execute("SELECT DISTINCT job FROM derived_series.images").fetchall()
        return {job for (job,) in rows}


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    """One PostgreSQL for the session; skips if it is not installed."""
    if programs() is None or find_spec("psycopg") is None:
        not_installed("PostgreSQL, or psycopg", "run scripts/setup.sh")
    with PostgresqlServer() as server:
        server.new_database("jobs")
        yield server


@pytest.fixture
def jobs_address(postgresql: PostgresqlServer) -> str:
    """The address of a database without our tables."""
    import psycopg

    address = postgresql.address("jobs")
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'jobs' AND pid <> pg_backend_pid()"
        )
        connection.execute("DROP SCHEMA IF EXISTS derived_series CASCADE")
    return address


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def store_place(request: pytest.FixtureRequest, tmp_path: Path) -> StorePlace:
    """Each of the databases."""
    address = request.getfixturevalue("jobs_address") if request.param == "postgresql" else None
    return StorePlace(tmp_path / "jobs", address)
