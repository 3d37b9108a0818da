"""Workplace: what surrounds a run of a pipeline: a folder for files, and somebody who listens."""

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
    """
    :param folder: for files of the run; None makes one where it is asked for, which goes away with this process.
    :param progress: called with how far ``process`` is, from 0 to 1, and what it is about.
    :param log: called with each line.
    """

    folder: Path | None = None
    progress: Callable[[float, str], None] = _unheard
    log: Callable[[str], None] = _log.info


def temporary_folder() -> Path:
    """A folder that goes away with this process: what is made of its files may be read until then."""
    folder = tempfile.TemporaryDirectory(prefix="derived-series-", ignore_cleanup_errors=True)
    atexit.register(folder.cleanup)
    return Path(folder.name)


@contextlib.contextmanager
def temporary_files_in(folder: Path) -> Iterator[None]:
    """Let ``tempfile`` and the programs that are started put their temporary files into a folder (TMPDIR)."""
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
