"""What a dask worker calls for an errand: the box that its preload has put there."""

from __future__ import annotations

from typing import Protocol, cast

#: Where the preload puts the box, on dask's worker.
BOX = "derived_series_box"

#: What the scheduler calls what the preload tells of a worker.
REPORT = "derived_series"


class Box(Protocol):
    """What runs errands on a worker's machine."""

    def run(self, errand: str) -> str: ...


def run_here(errand: str) -> str:
    """Run an errand in this worker; nothing of its outcome comes back this way.

    :raises RuntimeError: the worker runs without the preload.
    """
    from distributed import get_worker

    box = getattr(get_worker(), BOX, None)
    if box is None:
        raise RuntimeError("this worker runs without --preload derived_series.jobs.box.preload")
    return cast(Box, box).run(errand)
