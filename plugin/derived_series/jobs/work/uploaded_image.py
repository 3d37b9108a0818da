"""The image that was uploaded with a request, as a file of the worker's."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from derived_series.dicom.factories.nifti import announced_size
from derived_series.errors import InvalidImage
from derived_series.jobs.work.attempt import Attempt
from derived_series.kinds import reader_of


@contextmanager
def uploaded_image(attempt: Attempt) -> Iterator[Path | None]:
    """The uploaded image as a file: the server's own, or a copy where the worker has another disk. None: no image."""
    task = attempt.task
    path = None if task.image_path is None else Path(task.image_path)
    if path is None or (path.is_absolute() and path.exists()):
        _check_size(path, task.image_limit)
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="derived-series-") as folder:
        copy = Path(folder) / path.name
        copy.write_bytes(attempt.client.get_bytes(task.image_route or ""))
        _check_size(copy, task.image_limit)
        yield copy


def _check_size(path: Path | None, limit: int) -> None:
    """Other files are no larger than they are; a small compressed NIfTI file may unfold to any size."""
    if path is None or reader_of(path.name) != "nifti":
        return
    size = announced_size(path)
    if size > limit:
        raise InvalidImage(
            f"the image's header announces {size} bytes, over the limit of {limit}",
            remedy="raise MaxImageMB in the configuration",
        )
