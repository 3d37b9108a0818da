"""Running an errand in a dask worker, with the box that its preload has created."""

from __future__ import annotations

from typing import Protocol, cast

#: The attribute of dask's worker for the box.
BOX = "derived_series_box"

#: The name of the box's report in the scheduler's data about a worker.
REPORT = "derived_series"


class Box(Protocol):
    """The interface of the box that runs errands on a worker's machine."""

    def run(self, errand: str) -> str: ...


def run_here(errand: str) -> str:
    """Run an errand in this worker; its outcome does not come back this way.

    :raises RuntimeError: the worker runs without the preload.
    """
    from distributed import get_worker

    box = getattr(get_worker(), BOX, None)
    if box is None:
        raise RuntimeError("this worker runs without --preload derived_series.jobs.box.preload")
    return cast(Box, box).run(errand)
