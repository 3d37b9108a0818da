"""Storing the derived series of a job in Orthanc, and verifying them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import groupby

from derived_series.dicom.series.interface import Series
from derived_series.dicomweb.readback import Sample, find_series, instances_held, remove_series, verify
from derived_series.dicomweb.stow import BatchLimits, Part10, store
from derived_series.errors import StorageError
from derived_series.jobs.work.attempt import Attempt


@dataclass(frozen=True, slots=True)
class _Instance:
    """An instance to send. :param number: counted from 0."""

    series: Series
    number: int

    @property
    def uid(self) -> str:
        return self.series.instance_uid(self.number)

    @property
    def is_compared(self) -> bool:
        """Whether its stored file is compared: the first, the middle and the last one of a series."""
        return self.number in (0, len(self.series) // 2, len(self.series) - 1)

    def encoded(self) -> bytes | memoryview:
        return self.series.buffer(self.number)


def store_and_verify(attempt: Attempt, outputs: Mapping[str, Series]) -> dict[str, str]:
    """Send the series of a job and verify them; return their Orthanc identifiers by output.

    The number and the UIDs of all instances are compared, and of the first, the middle and the last one of each series
    the file; of every one, where instances of a former attempt may come in between.

    The last instance of each series is sent only when Orthanc has all others and the server has said that the job is
    wanted. So of a job that is cancelled before, no series is ever complete.
    """
    total = sum(map(len, outputs.values()))
    attempt.progress.tell("Storing", 0, total)
    stored: dict[str, str] = {}
    for name, series in outputs.items():
        if (complete := _stored_already(attempt, series)) is not None:
            stored[name] = complete
    missing = {name: series for name, series in outputs.items() if name not in stored}
    lasts = [_Instance(series, len(series) - 1) for series in missing.values()]
    others = [_Instance(series, number) for series in missing.values() for number in range(len(series) - 1)]
    limits = BatchLimits(connections=attempt.task.connections).within(_largest_request(attempt) if missing else None)
    before = total - len(others) - len(lasts)
    samples = _send(attempt, others, limits, before, total)
    attempt.progress.begin_completion({series.series_instance_uid: len(series) for series in outputs.values()})
    samples |= _send(attempt, lasts, limits, before + len(others), total)
    with attempt.progress.part("Verifying"):
        stored |= {name: _verified(attempt, series, samples) for name, series in missing.items()}
    return {name: stored[name] for name in outputs}


def _send(
    attempt: Attempt, instances: Sequence[_Instance], limits: BatchLimits, before: int, total: int
) -> dict[str, Sample]:
    """Send instances, and return those whose files are compared, by SOPInstanceUID.

    :param before: the number of the job's instances that are stored already, of ``total``.
    """
    samples: dict[str, Sample] = {}

    def encoded(some: Iterable[_Instance]) -> Iterator[Part10]:
        for instance in some:
            with attempt.progress.part("Encoding"):
                data = instance.encoded()
            if instance.is_compared:
                samples[instance.uid] = Sample.of(instance.uid, data, instance.encoded)
            yield Part10(instance.uid, data)

    def tell(already: int, count: int) -> None:
        attempt.progress.tell("Storing", already + count, total)

    for study, some in groupby(instances, lambda instance: instance.series.study_instance_uid):
        before += store(attempt.client, study, encoded(some), limits=limits, stored=partial(tell, before))
    return samples


def _verified(attempt: Attempt, series: Series, samples: Mapping[str, Sample]) -> str:
    """Verify a series that was sent; return its Orthanc identifier."""
    uids = _uids(series)
    if not attempt.task.thorough:
        compared = [samples[uid] for uid in uids if uid in samples]
        return verify(attempt.client, series.series_instance_uid, uids, compared)
    try:
        return verify(attempt.client, series.series_instance_uid, uids, _all(series))
    except StorageError as error:  # something of a former attempt has come in between
        raise StorageError(error.message, remedy=error.remedy, details=error.details, transient=True) from error


def _largest_request(attempt: Attempt) -> int | None:
    """The most bytes of a request that Orthanc takes, if it says so (from 1.12.11 on, where 0 means any number)."""
    megabytes = attempt.client.get_json("/system").get("MaximumRequestBodySizeMB")
    return megabytes << 20 if isinstance(megabytes, int) and megabytes > 0 else None


def _stored_already(attempt: Attempt, series: Series) -> str | None:
    """The series, if an earlier attempt stored all of it but ended before reporting it.

    :returns: None: it has to be stored; what an earlier attempt stored of it is removed.
    """
    client = attempt.client
    there = find_series(client, series.series_instance_uid)
    uids = _uids(series)
    for orthanc_id in there:
        if set(instances_held(client, orthanc_id)) == set(uids):
            samples = _all(series) if attempt.task.thorough else ()
            with suppress(StorageError):
                return verify(client, series.series_instance_uid, uids, samples)
    if there:
        attempt.progress.check()  # series of another attempt must not be removed
        remove_series(client, series.series_instance_uid)
    return None


def _uids(series: Series) -> list[str]:
    return [series.instance_uid(number) for number in range(len(series))]


def _all(series: Series) -> Iterator[Sample]:
    for number in range(len(series)):
        instance = _Instance(series, number)
        yield Sample.of(instance.uid, instance.encoded(), instance.encoded)
