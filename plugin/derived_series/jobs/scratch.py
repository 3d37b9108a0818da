"""The folders of running jobs: a worker that is killed cannot remove its own."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from derived_series.jobs.record import JobRecord, State


def prefix_of(job_id: str) -> str:
    """What the names of a job's folders begin with."""
    return f"derived-series-{job_id}-"


def without_scratch(text: str, job_id: str) -> str:
    """A text that names no folder of a job, which is gone when the text is read: they are ``{folder}`` there."""
    return re.sub(rf"[^\s'\"=:]*{re.escape(prefix_of(job_id))}\w+(/tmp\w+)?", "{folder}", text)


def remove_scratch(folder: Path, job: JobRecord) -> None:
    """Remove what is left of a job that does not run: nothing of a patient stays there."""
    if job.state is not State.RUNNING:
        remove_folders(folder, job.id)


def remove_folders(folder: Path, job_id: str = "") -> None:
    """Remove the folders of a job; by default of all jobs."""
    for left in folder.glob(f"{prefix_of(job_id)}*" if job_id else "derived-series-*"):
        shutil.rmtree(left, ignore_errors=True)
