"""Locking a jobs folder for one Orthanc at a time, with a lock that the kernel releases when the process ends."""

from __future__ import annotations

import fcntl
import os
import socket
from pathlib import Path

from derived_series.errors import DerivedSeriesError

_MOST_BYTES = 500


def lock_folder(folder: Path, holder: str) -> None:
    """Lock a folder for this process until it ends.

    :param holder: a description of this process, to show to a second one.
    :raises DerivedSeriesError: another process has locked it; the error names that one.
    :raises OSError: the lock file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)  # never closed, which would unlock it
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:  # POSIX allows both
        first = os.read(file, _MOST_BYTES).decode("utf-8", "replace").strip()
        os.close(file)
        raise DerivedSeriesError(
            f"the jobs folder {folder} is in use by another Orthanc: {first or 'it does not say which'}",
            remedy="give each Orthanc a JobsFolder of its own in the configuration",
        ) from error
    try:
        os.truncate(file, 0)
        os.write(file, f"{holder}, process {os.getpid()} on {socket.gethostname()}\n".encode())
    except OSError:  # if the disk is full, it is locked all the same
        return
