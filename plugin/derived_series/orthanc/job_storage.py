"""The storage of jobs: the folder of this Orthanc, and the database of all Orthancs that share them."""

from __future__ import annotations

import logging
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from derived_series.errors import Busy, DerivedSeriesError
from derived_series.jobs.queue.database import Database
from derived_series.jobs.queue.folder_lock import lock_folder
from derived_series.jobs.queue.full_store import FullStore
from derived_series.jobs.queue.job_files import TableFiles
from derived_series.jobs.queue.nodes import Nodes, OneNode
from derived_series.jobs.queue.sqlite_database import is_full
from derived_series.jobs.queue.store import JobStore
from derived_series.orthanc.config import OrthancConfiguration, Settings

if TYPE_CHECKING:
    from derived_series.jobs.queue.postgresql_database import PostgresqlDatabase

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class JobStorage:
    """The jobs, and the Orthancs that share them.

    :param store: the jobs; if their disk is full at the start, its stand-in.
    :param nodes: the Orthancs, including this one.
    :param place: the location of the jobs, for people.
    :param database: what is shared; None if this Orthanc is alone.
    """

    store: JobStore
    nodes: Nodes
    place: str
    database: PostgresqlDatabase | None

    @classmethod
    def open(cls, settings: Settings, around: OrthancConfiguration, server: str) -> JobStorage:
        """Open the configured storage. :param server: Orthanc's name.

        :raises DerivedSeriesError: another Orthanc uses the folder, it cannot be used, or the database is unreachable.
        """
        holder = f"{server!r} at {around.url}"
        folder = around.storage / "derived-series"
        if settings.jobs_folder is not None:
            folder = around.folder / settings.jobs_folder
        if settings.jobs_database is None:
            return cls(_opened(folder, holder, None), OneNode(), str(folder), None)
        name = settings.node_name or f"{socket.gethostname()[:30]}-{urlsplit(around.url).port}"
        database = _shared_database(settings.jobs_database, name)
        store = _opened(folder / name, holder, database)
        return cls(store, _nodes(database), f"PostgreSQL (this Orthanc is {name})", database)

    def close(self) -> None:
        """End the session with the database, so that the leader's lock goes to another Orthanc at once."""
        if self.database is not None:
            self.database.close()


def _shared_database(address: str, name: str) -> PostgresqlDatabase:
    """The shared database. :raises DerivedSeriesError: it cannot be reached, or its driver is not installed."""
    try:
        from derived_series.jobs.queue.postgresql_database import PostgresqlDatabase
    except ImportError as error:
        raise DerivedSeriesError(
            f"JobsDatabase names PostgreSQL, which cannot be spoken to: {error}",
            remedy="install it beside the plugin: pip install 'derived-series-orthanc[postgresql]'",
        ) from error
    return PostgresqlDatabase(address, name)


def _nodes(database: PostgresqlDatabase) -> Nodes:
    from derived_series.jobs.queue.postgresql_nodes import ManyNodes

    return ManyNodes(database)


def _opened(folder: Path, holder: str, database: Database | None) -> JobStore:
    """The jobs; if their disk is full, a stand-in.

    :param folder: for this Orthanc alone. :param database: if it shares the jobs with others.
    :raises DerivedSeriesError: another Orthanc uses the folder, or it cannot be used.
    """
    try:
        try:
            lock_folder(folder, holder)
        except OSError as error:
            if is_full(folder, error):
                raise Busy(f"the disk of the jobs folder {folder} is full") from error
            if database is not None:  # a jobs file in it would fail by itself
                raise DerivedSeriesError(
                    f"the jobs folder {folder} cannot be used: {error}",
                    remedy="name a folder that Orthanc may write to: JobsFolder in the configuration",
                ) from error
            _log.warning("the jobs folder %s cannot be locked: %s", folder, error)
        _emptied(folder / "scratch")
        return JobStore(folder, database, None if database is None else TableFiles(database))
    except Busy as error:
        _log.error("%s: Orthanc starts, but nothing is derived; make room there and restart Orthanc", error.message)
        return FullStore(folder, error.message)


def _emptied(folder: Path) -> Path:
    """Delete and create again the workers' scratch folder."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir(exist_ok=True)
    except OSError:  # a full or read-only disk: workers then use the system's folder for temporary files
        _log.warning("%s cannot be made", folder)
    return folder
