"""Getting the image that was uploaded with a request as a file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from derived_series.dicom.factories.nifti import announced_size
from derived_series.errors import InvalidImage, StorageError
from derived_series.jobs.scratch import prefix_of
from derived_series.jobs.work.attempt import Attempt
from derived_series.kinds import reader_of


@contextmanager
def uploaded_image(attempt: Attempt) -> Iterator[Path | None]:
    """The uploaded image as a file: the server's file, or a copy for a worker with another disk; None without image."""
    task = attempt.task
    path = None if task.image_path is None else Path(task.image_path)
    if task.image_route is None or (path is not None and path.is_absolute() and path.exists()):
        _check_size(path, task.image_limit)
        yield path
        return
    with tempfile.TemporaryDirectory(prefix=prefix_of(task.job_id), dir=task.scratch) as folder:
        copy = Path(folder) / (path.name if path is not None else task.image_name)
        _fetch(attempt, copy)
        _check_size(copy, task.image_limit)
        yield copy


def _fetch(attempt: Attempt, copy: Path) -> None:
    """Fetch the image in parts, since the server limits the size of an answer."""
    size = attempt.task.image_size
    with copy.open("wb") as file:
        while file.tell() < size:
            part = attempt.client.get_bytes(f"{attempt.task.image_route}?offset={file.tell()}")
            if not part:
                raise StorageError(f"the uploaded image ends after {file.tell()} of {size} bytes", transient=True)
            file.write(part)


def _check_size(path: Path | None, limit: int) -> None:
    """Refuse an image that would be too large in memory, as a small compressed NIfTI file may be."""
    if path is None or reader_of(path.name) != "nifti":
        return
    size = announced_size(path)
    if size > limit:
        raise InvalidImage(
            f"the image's header announces {size} bytes, over the limit of {limit}",
            remedy="raise MaxImageMB in the configuration",
        )
