"""Storing a derived series in Orthanc, and verifying it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from derived_series.dicom.series.interface import Series
from derived_series.dicomweb.readback import Sample, find_series, instances_held, remove_series, verify
from derived_series.dicomweb.stow import BatchLimits, Part10, store
from derived_series.errors import StorageError
from derived_series.jobs.work.attempt import Attempt


def store_and_verify(attempt: Attempt, series: Series, before: int, total: int) -> str:
    """Send a series and verify it; return its Orthanc identifier.

    :param before: the number of the job's instances that are stored already, of ``total``.

    The number and the UIDs of all instances are compared, and of the first, the middle and the last one the file; of
    every one, where instances of a former attempt may come in between.
    """
    client, task, progress = attempt.client, attempt.task, attempt.progress
    progress.tell("Storing", before, total)
    uids = [series.instance_uid(index) for index in range(len(series))]
    if (complete := _stored_already(attempt, series, uids)) is not None:
        return complete
    if find_series(client, series.series_instance_uid):
        progress.check()  # series of another attempt must not be removed
        remove_series(client, series.series_instance_uid)
    samples: list[Sample] = []
    compared = {0, len(uids) // 2, len(uids) - 1}

    def encoded() -> Iterator[Part10]:
        for index, uid in enumerate(uids):
            with progress.part("Encoding"):
                data = series.buffer(index)
            if index in compared:
                samples.append(Sample(uid, data))
            yield Part10(uid, data)

    store(
        client,
        series.study_instance_uid,
        encoded(),
        limits=BatchLimits(connections=task.connections).within(_largest_request(attempt)),
        stored=lambda count: progress.tell("Storing", before + count, total),
    )
    with progress.part("Verifying"):
        if not task.thorough:
            return verify(client, series.series_instance_uid, uids, samples)
        try:
            return verify(client, series.series_instance_uid, uids, _all(series, uids))
        except StorageError as error:  # something of a former attempt has come in between
            raise StorageError(error.message, remedy=error.remedy, details=error.details, transient=True) from error


def _largest_request(attempt: Attempt) -> int | None:
    """The most bytes of a request that Orthanc takes, if it says so (from 1.12.11 on, where 0 means any number)."""
    megabytes = attempt.client.get_json("/system").get("MaximumRequestBodySizeMB")
    return megabytes << 20 if isinstance(megabytes, int) and megabytes > 0 else None


def _stored_already(attempt: Attempt, series: Series, uids: Sequence[str]) -> str | None:
    """The series, if an earlier attempt stored all of it but ended before reporting it; else None."""
    client = attempt.client
    for orthanc_id in find_series(client, series.series_instance_uid):
        if set(instances_held(client, orthanc_id)) == set(uids):
            samples = _all(series, uids) if attempt.task.thorough else ()
            try:
                return verify(client, series.series_instance_uid, uids, samples)
            except StorageError:
                return None
    return None


def _all(series: Series, uids: Sequence[str]) -> Iterator[Sample]:
    return (Sample(uid, series.buffer(index)) for index, uid in enumerate(uids))
