"""Shared by the tests of crashes, overload and full disks: processes to kill, small disks, and the audit afterwards."""

from __future__ import annotations

import hashlib
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from derived_series.dicom.source.parent_series import ParentSeries
from derived_series.dicomweb.client import Client, Connection
from derived_series.dicomweb.wado import fetch_series
from derived_series.jobs.pool.process import main
from orthanc_server import OrthancServer

_WORKERS_MODULE = main.__module__


def workers(server: OrthancServer) -> list[int]:
    """The plugin's worker processes, by the module in their command line."""
    return [pid for pid in server.children() if _WORKERS_MODULE in command_line(pid)]


def command_line(pid: int) -> str:
    """The command line of a process; empty if the process is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return ""


def kill(pid: int) -> None:
    """Send SIGKILL to a process that may be gone already."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def alive(pid: int) -> bool:
    """Whether a process lives; a zombie does not."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] not in "ZX"


def survivors(pids: list[int], seconds: float) -> list[int]:
    """The processes that still live after some seconds; returns as soon as there are none."""
    end = time.monotonic() + seconds
    while (alive_pids := [pid for pid in pids if alive(pid)]) and time.monotonic() < end:
        time.sleep(0.01)
    return alive_pids


def parts(server: OrthancServer, series_id: str) -> list[bytes]:
    """The Part 10 files of a series."""
    series = server.json(f"/series/{series_id}")
    study = server.json(f"/series/{series_id}/study")["MainDicomTags"]["StudyInstanceUID"]
    token = server.session.auth
    assert token is None, "for servers without authentication"
    with Client(Connection(server.url)) as client:
        uid = series["MainDicomTags"]["SeriesInstanceUID"]
        return list(fetch_series(client, study, uid, expected=len(series["Instances"])))


def volume(server: OrthancServer, series_id: str) -> ParentSeries:
    """A stored series with every instance read."""
    return ParentSeries.from_bytes(parts(server, series_id))


def fingerprint(server: OrthancServer, series_id: str) -> list[str]:
    """A value that changes when anything in a series does."""
    return sorted(hashlib.sha256(part).hexdigest() for part in parts(server, series_id))


def all_jobs(server: OrthancServer) -> list[Any]:
    return [server.json(job["Path"]) for job in server.json("/derived-series/jobs?expand")]


def all_over(server: OrthancServer, seconds: float) -> list[Any]:
    """All jobs, once each is over."""
    end = time.monotonic() + seconds
    while True:
        jobs = all_jobs(server)
        waiting = [job for job in jobs if job["State"] not in ("Success", "Failure")]
        if not waiting:
            return jobs
        assert time.monotonic() < end, f"{len(waiting)} of {len(jobs)} jobs are not over, such as {waiting[0]}"
        time.sleep(0.1)


def jobs_folder_is_tidy(folder: Path) -> None:
    """Require that no image of a successful job is left, and that the database of a stopped server is intact."""
    assert sorted(path.name for path in (folder / "images").glob("*")) == []
    database = sqlite3.connect(folder / "jobs.sqlite")
    try:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    finally:
        database.close()


def rows_of_jobs(server: OrthancServer, statement: str) -> list[tuple[Any, ...]]:
    """Rows of the jobs' database, of either kind, while Orthanc uses it."""
    if address := server.config["DerivedSeries"].get("JobsDatabase"):
        import psycopg

        with psycopg.connect(address, options="-c search_path=derived_series") as connection:
            return connection.execute(statement.encode()).fetchall()
    path = server.jobs_folder / "jobs.sqlite"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        return database.execute(statement).fetchall()


@contextmanager
def small_disk(folder: Path, megabytes: float) -> Iterator[Path]:
    """A file system of its own at ``folder``, which is created; skips the test if that is not allowed."""
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("a small disk can be mounted by root only")
    options = f"size={int(megabytes * 1024)}k"
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def remount(folder: Path, how: str) -> None:
    """Mount a file system again. ``how``: "ro" or "rw"."""
    done = subprocess.run(["mount", "-o", f"remount,{how}", folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def fill(folder: Path, but: int = 0) -> Path:
    """Fill a file system except for some bytes; return the file to remove to make room again."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(1 << 16)):
                pass
        except OSError:
            file.truncate(max(0, file.tell() - but))
    return filler
