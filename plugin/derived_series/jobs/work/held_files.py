"""Caching large instances, of which pages read frames, as files in a folder that all workers share.

Orthanc only returns whole instances, but a page needs only a few frames at a time of a segmentation of some hundred MB.
Orthanc's process removes them (``scratch.remove_unused``), as it outlives the worker.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from derived_series.dicomweb.client import Client
from derived_series.jobs.scratch import HELD_SECONDS

#: The least bytes of an instance that is cached.
LARGE_BYTES = 8 << 20
#: The most bytes of all files.
_MOST_BYTES = 4 << 30
_CHUNK_BYTES = 1 << 20


def held_file(client: Client, instance: str, folder: str) -> Path | None:
    """The file of a large instance; None for a small one, or if there is no room.

    It is found by the UUID of Orthanc's file, so that a deleted or replaced instance is never returned.

    :param instance: its Orthanc identifier. :param folder: the workers' scratch folder.
    :raises NotFound: no such instance.
    """
    attachment = client.get_json(f"/instances/{instance}")
    if int(attachment["FileSize"]) < LARGE_BYTES:
        return None
    path = Path(folder) / f"instance-{attachment['FileUuid']}.dcm"
    try:
        if not path.exists():
            _remove_until_there_is_room(path.parent, int(attachment["FileSize"]))
            _fetch(client, instance, path)
        os.utime(path)
    except OSError:  # a full or read-only disk: it is fetched each time then
        return None
    return path


def _fetch(client: Client, instance: str, path: Path) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix="instance-", suffix=".part")
    try:
        with (
            open(handle, "wb") as file,
            client.streaming(client.connection.url(f"/instances/{instance}/file")) as answer,
        ):
            for chunk in answer.iter_content(_CHUNK_BYTES):
                file.write(chunk)
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)


def _remove_until_there_is_room(folder: Path, size: int) -> None:
    """Remove unused files, and then those used longest ago until there is room."""
    files = {file: file.stat() for file in folder.glob("instance-*")}
    total = size
    for file, status in sorted(files.items(), key=lambda item: item[1].st_mtime, reverse=True):
        total += status.st_size
        if total > _MOST_BYTES or time.time() - status.st_mtime > HELD_SECONDS:
            file.unlink(missing_ok=True)
