"""What the processes and files of a running Orthanc take at one moment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orthanc_server import OrthancServer
from soak_course import ENVIRONMENT, ORTHANC, OTHERS, WORKERS, Process, Sample

_UNFINISHED = ("Pending", "Running", "Retry")


def unfinished(status: Mapping[str, Any]) -> int:
    """Jobs that wait or run. :param status: /derived-series/status."""
    return sum(int(status["Jobs"][state]) for state in _UNFINISHED)


def sample(server: OrthancServer, status: Mapping[str, Any], at: float) -> Sample:
    """The present sizes of processes and files. :param status: /derived-series/status, which lists the processes."""
    who = {server.pid: ORTHANC, **{int(each["Pid"]): WORKERS for each in status["Processes"]}}
    for environment in status["Environments"].values():
        who.update({int(each["Pid"]): ENVIRONMENT for each in environment.get("Processes", [])})
    processes = [
        process for pid in (server.pid, *server.children()) if (process := _process(pid, who.get(pid, OTHERS)))
    ]
    jobs_file = server.jobs_folder / "jobs.sqlite"
    return Sample(
        at=at,
        processes=tuple(processes),
        jobs_file=_size(jobs_file),
        wal=_size(jobs_file.with_name("jobs.sqlite-wal")),
        jobs_folder=_size_of_all(server.jobs_folder),
        storage=_size_of_all(server.folder / "storage"),
        unfinished=unfinished(status),
        load=os.getloadavg()[0],
    )


def _process(pid: int, who: str) -> Process | None:
    """None when it has ended meanwhile."""
    folder = Path(f"/proc/{pid}")
    try:
        memory = _fields(folder / "smaps_rollup")
        return Process(
            pid,
            who,
            memory=(memory["Pss_Anon"] + memory["Pss_Shmem"]) * 1024,
            rss=memory["Rss"] * 1024,
            descriptors=len(list((folder / "fd").iterdir())),
            threads=_fields(folder / "status")["Threads"],
        )
    except (OSError, KeyError):
        return None


def _fields(path: Path) -> dict[str, int]:
    """The lines ``Name: number`` of a file of proc(5)."""
    lines = (line.partition(":") for line in path.read_text().splitlines())
    return {name: int(text.split()[0]) for name, _, text in lines if text.split()[:1] and text.split()[0].isdigit()}


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _size_of_all(folder: Path) -> int:
    return sum(_size(Path(place, name)) for place, _, names in os.walk(folder) for name in names)
