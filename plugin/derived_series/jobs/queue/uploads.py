"""Images that were uploaded for jobs that failed: kept so that the job can be resubmitted, but not for ever."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from derived_series.jobs.queue.limits import Limits
from derived_series.jobs.queue.store import JobStore

_DAY_SECONDS = 86400.0


@dataclass(frozen=True, slots=True)
class Upload:
    """:param size: in bytes; :param since: when its job failed, in seconds since 1970."""

    job_id: str
    size: int
    since: float


def failed_uploads(store: JobStore) -> list[Upload]:
    """What is there, that of the newest failure first."""
    uploads = []
    for job in store.failed_with_image():
        if (size := store.image_size(job)) is not None:  # else it was removed before
            uploads.append(Upload(job.id, size, job.completed or job.created))
    return sorted(uploads, key=lambda upload: upload.since, reverse=True)


def superfluous(uploads: Sequence[Upload], limits: Limits, now: float) -> Iterator[tuple[Upload, str]]:
    """Those that go, and why: too old, or beyond what all together may have, the oldest first.

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
