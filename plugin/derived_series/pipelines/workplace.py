"""Workplace: the folder, progress and log of a pipeline's run."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

_log = logging.getLogger(__name__)


def _unheard(_: float, text: str) -> None:
    _log.debug("%s", text)


@dataclass(frozen=True, slots=True)
class Workplace:
    """Where a run of a pipeline takes place.

    :param folder: for files of the run; None makes one when it is needed, which is removed with this process.
    :param progress: called with the part of ``process`` that is done, from 0 to 1, and the current step.
    :param log: called with each line.
    """

    folder: Path | None = None
    progress: Callable[[float, str], None] = _unheard
    log: Callable[[str], None] = _log.info


def temporary_folder() -> Path:
    """A folder that is removed with this process, so that its files can be read until then."""
    folder = tempfile.TemporaryDirectory(prefix="derived-series-", ignore_cleanup_errors=True)
    atexit.register(folder.cleanup)
    return Path(folder.name)


@contextlib.contextmanager
def temporary_files_in(folder: Path) -> Iterator[None]:
    """Make ``tempfile`` and started programs use a folder for temporary files (TMPDIR)."""
    before, directory = os.environ.get("TMPDIR"), tempfile.tempdir
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = directory
        if before is None:
            os.environ.pop("TMPDIR", None)
        else:
            os.environ["TMPDIR"] = before
