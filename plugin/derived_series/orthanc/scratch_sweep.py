"""Removes files that workers have left in their scratch folder, from Orthanc's process, which outlives all workers."""

from __future__ import annotations

import threading
from pathlib import Path

from derived_series.jobs.scratch import remove_unused

_PAUSE_SECONDS = 60.0


class ScratchSweep:
    """Looks at the scratch folder from time to time, while Orthanc runs. :param folder: the folder."""

    def __init__(self, folder: Path, pause: float = _PAUSE_SECONDS):
        self._folder = folder
        self._pause = pause
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scratch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(self._pause):
            remove_unused(self._folder)
