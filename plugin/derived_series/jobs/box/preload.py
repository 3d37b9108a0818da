"""The module that a dask worker preloads to run attempts.

``derived-series worker`` does, and ``dask worker SCHEDULER --nthreads 1 --preload derived_series.jobs.box.preload``.

The environment says where it keeps its things: ``DERIVED_SERIES_SCRATCH`` (a folder; by default the worker's own) and
``DERIVED_SERIES_CREDENTIALS`` (a file with who it is to Orthanc).
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from distributed import Worker

from derived_series.jobs.box.box import Box, Place
from derived_series.jobs.box.credentials import read_credentials
from derived_series.jobs.remote.runs import BOX, REPORT


async def dask_setup(worker: Worker) -> None:
    """Create the box; called by dask before the worker registers with the scheduler."""
    credentials = os.environ.get("DERIVED_SERIES_CREDENTIALS")
    headers = read_credentials(Path(credentials)) if credentials else ()
    scratch = Path(os.environ.get("DERIVED_SERIES_SCRATCH") or worker.local_directory)
    box = await asyncio.to_thread(Box, str(worker.name), Place(scratch, headers))
    setattr(worker, BOX, box)
    worker.metrics[REPORT] = lambda _: box.report()


async def dask_teardown(worker: Worker) -> None:
    """Close the box; called by dask when the worker ends."""
    if (box := getattr(worker, BOX, None)) is not None:
        await asyncio.to_thread(box.close)
