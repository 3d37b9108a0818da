"""Large instances that pages read frames of, a while as files in a folder that all workers share.

Orthanc gives out an instance as a whole only, and of a segmentation of some hundred MB a page asks for a few frames at
a time.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from pathlib import Path

from derived_series.dicomweb.client import Client

#: Smaller instances are fetched each time.
LARGE_BYTES = 8 << 20
#: Seconds without a question after which a file is removed, and bytes of all files.
_KEPT_SECONDS = 300.0
_MOST_BYTES = 4 << 30
_CHUNK_BYTES = 1 << 20


def held_file(client: Client, instance: str, folder: str) -> Path | None:
    """The file of a large instance; None for a small one, and where there is no room.

    It is looked up by what Orthanc stores it as: one that was deleted or replaced is never given out.

    :param instance: its Orthanc identifier. :param folder: of the workers' scratch files.
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
            _remove_later(path)
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
    """The files that were asked for longest ago go first; those that nobody asks for any more all go."""
    files = {file: file.stat() for file in folder.glob("instance-*")}
    total = size
    for file, status in sorted(files.items(), key=lambda item: item[1].st_mtime, reverse=True):
        total += status.st_size
        if total > _MOST_BYTES or time.time() - status.st_mtime > _KEPT_SECONDS:
            file.unlink(missing_ok=True)


def _remove_later(path: Path) -> None:
    """Remove the file once nobody has asked for it for a while."""

    def look() -> None:
        try:
            unused = time.time() - path.stat().st_mtime
            if unused >= _KEPT_SECONDS:
                path.unlink()
                return
        except OSError:
            return
        wait(_KEPT_SECONDS - unused)

    def wait(seconds: float) -> None:
        timer = threading.Timer(seconds + 1, look)
        timer.daemon = True
        timer.start()

    wait(_KEPT_SECONDS)
