"""Images that were uploaded for jobs that failed: kept so that the job can be resubmitted, but not for ever."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from derived_series.jobs.about_job import about_job
from derived_series.jobs.queue.limits import Limits
from derived_series.jobs.queue.store import JobStore

_log = logging.getLogger(__name__)

_DAY_SECONDS = 86400.0
_TIDY_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Upload:
    """The image of a failed job.

    :param size: in bytes. :param since: when its job failed, in seconds since 1970.
    """

    job_id: str
    size: int
    since: float


def failed_uploads(store: JobStore) -> list[Upload]:
    """The images of failed jobs, that of the newest failure first."""
    uploads = []
    for job in store.failed_with_image():
        if (size := store.image_size(job)) is not None:  # else it was removed before
            uploads.append(Upload(job.id, size, job.completed or job.created))
    return sorted(uploads, key=lambda upload: upload.since, reverse=True)


def superfluous(uploads: Sequence[Upload], limits: Limits, now: float) -> Iterator[tuple[Upload, str]]:
    """The images to remove, each with the reason: it is too old, or all together are too large.

    :param uploads: the newest first.
    """
    kept = 0
    for upload in uploads:
        if now - upload.since > limits.upload_days * _DAY_SECONDS:
            yield upload, f"its job failed more than {limits.upload_days:g} days ago (FailedUploadsDays)"
        elif kept + upload.size > limits.upload_bytes:
            yield upload, f"uploads of failed jobs have more than {limits.upload_bytes >> 20} MB (FailedUploadsMB)"
        else:
            kept += upload.size


class KeptUploads:
    """The images of failed jobs, and the regular removal of those that are too old or too many."""

    def __init__(self, store: JobStore, limits: Limits):
        self._store = store
        self._limits = limits
        self._tidy_at = 0.0

    def all(self) -> list[Upload]:
        """The images that are kept, that of the newest failure first."""
        return failed_uploads(self._store)

    def tidy_soon(self) -> None:
        """Have ``tidy_when_due`` look at once."""
        self._tidy_at = 0.0

    def tidy_when_due(self, now: float) -> None:
        """Remove what is too old or too many, unless that was done a short while ago.

        :param now: seconds since 1970. :raises Busy, OSError: the disk refuses it.
        """
        if time.monotonic() < self._tidy_at:
            return
        self._tidy_at = time.monotonic() + _TIDY_SECONDS
        for upload, why in superfluous(failed_uploads(self._store), self._limits, now):
            if self._store.remove_image_of_failed(upload.job_id):
                with about_job(upload.job_id):
                    _log.warning("the image of job %s (%d bytes) is removed: %s", upload.job_id, upload.size, why)
