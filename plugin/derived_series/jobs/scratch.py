"""The scratch folders of jobs, which have to be removed for a worker that was killed."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from derived_series.jobs.record import JobRecord, State


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
