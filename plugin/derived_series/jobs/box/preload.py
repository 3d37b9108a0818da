"""The module that a dask worker preloads to run attempts.

``derived-series worker`` does, and ``dask worker SCHEDULER --nthreads 1 --preload derived_series.jobs.box.preload``.

The environment says where it keeps its things: ``DERIVED_SERIES_SCRATCH`` (a folder; by default the worker's own) and
``DERIVED_SERIES_CREDENTIALS`` (a file with who it is to Orthanc).
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from distributed import Worker

from derived_series.errors import DerivedSeriesError
from derived_series.jobs.box.box import Box, Place
from derived_series.jobs.box.credentials import read_credentials
from derived_series.jobs.remote.runs import BOX, REPORT

#: As for other commands of ours that cannot begin.
_EXIT_STATUS = 2


async def dask_setup(worker: Worker) -> None:
    """Create the box; called by dask before the worker registers with the scheduler.

    A worker that cannot have one ends: dask would only log the error, and run it without.
    """
    try:
        box = await asyncio.to_thread(_box, str(worker.name), worker.local_directory)
    except DerivedSeriesError as error:
        print(error, file=sys.stderr, flush=True)
        os._exit(_EXIT_STATUS)
    setattr(worker, BOX, box)
    worker.metrics[REPORT] = lambda _: box.report()


def _box(name: str, local_directory: str) -> Box:
    credentials = os.environ.get("DERIVED_SERIES_CREDENTIALS")
    headers = read_credentials(Path(credentials)) if credentials else ()
    return Box(name, Place(Path(os.environ.get("DERIVED_SERIES_SCRATCH") or local_directory), headers))


async def dask_teardown(worker: Worker) -> None:
    """Close the box; called by dask when the worker ends."""
    if (box := getattr(worker, BOX, None)) is not None:
        await asyncio.to_thread(box.close)
