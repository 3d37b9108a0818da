"""Bundles: the bundle of the blueprint folders, read on first use."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from derived_series.jobs.remote.bundle import Bundle


class Bundles:
    """Reads the bundle once for each process, as workers load the folders. :param folders: the blueprint folders."""

    def __init__(self, folders: Sequence[str]):
        self._folders = tuple(folders)
        self._lock = threading.Lock()
        self._bundle: Bundle | None = None

    def bundle(self) -> Bundle:
        with self._lock:
            if self._bundle is None:
                self._bundle = Bundle.of(self._folders)
            return self._bundle

    def digest(self) -> str:
        return self.bundle().digest
