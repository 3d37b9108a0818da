"""The workers' scratch folder: what is in it has to be removed for a worker that was killed."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

from derived_series.jobs.record import JobRecord, State

#: Seconds without use after which a file is removed that is held for the review page, and a folder of a comparison.
HELD_SECONDS = 300.0
_COMPARISON_SECONDS = 3600.0


def prefix_of(job_id: str) -> str:
    """The prefix of the names of a job's folders."""
    return f"derived-series-{job_id}-"


def without_scratch(text: str, job_id: str) -> str:
    """Replace a job's folders in a text by ``{folder}``, since they are gone when it is read."""
    return re.sub(rf"[^\s'\"=:]*{re.escape(prefix_of(job_id))}\w+(/tmp\w+)?", "{folder}", text)


def remove_scratch(folder: Path, job: JobRecord) -> None:
    """Remove the folders of a job that does not run, so that no patient data stays there."""
    if job.state is not State.RUNNING:
        remove_folders(folder, job.id)


def remove_folders(folder: Path, job_id: str = "") -> None:
    """Remove the folders of a job; by default of all jobs."""
    for left in folder.glob(f"{prefix_of(job_id)}*" if job_id else "derived-series-*"):
        shutil.rmtree(left, ignore_errors=True)


def remove_unused(folder: Path) -> None:
    """Remove what workers hold there for later, or would have removed, after a time without use."""
    for pattern, seconds in (("instance-*", HELD_SECONDS), ("compare-*", _COMPARISON_SECONDS)):
        for left in folder.glob(pattern):
            try:
                if time.time() - left.stat().st_mtime < seconds:
                    continue
                if left.is_dir():
                    shutil.rmtree(left, ignore_errors=True)
                else:
                    left.unlink()
            except OSError:  # a worker has removed it, or the disk refuses
                continue
