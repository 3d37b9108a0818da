"""Deterministic identifiers, for Orthanc's process and the workers: UIDs, SeriesNumbers, digests of code."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Collection, Mapping
from functools import lru_cache
from itertools import count
from typing import Any

#: Added to the parent's SeriesNumber (0020,0011), then raised until the number is free in the study.
SERIES_NUMBER_OFFSET = 1000

#: The largest value of an IS (PS3.5 6.2).
_LARGEST_NUMBER = 2**31 - 1

_NAMESPACE = uuid.UUID("0a2f4c5e-6f0f-5d3c-9d53-1d2f5f8f6a11")


def code_digest(sha256: str, beside: Mapping[str, Any]) -> str:
    """A digest that changes with any part of a pipeline's code.

    :param sha256: the digest of the pipeline's file, which is the result if there is nothing else.
    :param beside: its helper files and algorithm, with the keys of the provenance.
    """
    if not beside:
        return sha256
    return hashlib.sha256(json.dumps([sha256, dict(beside)], sort_keys=True).encode()).hexdigest()


def uid_of(seed: str, *role: str | int) -> str:
    """The UID for a role such as ``("instance", 3)``, always the same.

    It is derived from a UUID (PS3.5 B.2): ``2.25.`` and the decimal UUID, at most 44 characters.
    """
    return _named("\x00".join([seed, *map(str, role)]))


#: The most series of one job; leftovers of a job are looked for under this many UIDs.
MOST_OUTPUTS = 32


def output_seed(seed: str, output: int) -> str:
    """The seed for the UIDs of one output of a job; that of the first output is the job's.

    :param output: the 0-based index of the output in the pipeline.
    """
    return f"{seed}/{output}" if output else seed


def series_uid_of(job_id: str, output: int = 0) -> str:
    """The SeriesInstanceUID of an output's series, the same in every attempt at the job."""
    return uid_of(output_seed(job_id, output), "series")


def series_uids_of(job_id: str) -> tuple[str, ...]:
    """All SeriesInstanceUIDs that a job could use, whatever its pipeline's outputs are."""
    return tuple(series_uid_of(job_id, output) for output in range(MOST_OUTPUTS))


def free_series_number(parent_number: int | None, taken: Collection[int]) -> int:
    """The parent's number plus SERIES_NUMBER_OFFSET, or the next free number after it.

    If that is more than an IS can hold, it is the first free number from 1 on.
    """
    number = max(parent_number or 0, 0) + SERIES_NUMBER_OFFSET
    while number in taken:
        number += 1
    return number if number <= _LARGEST_NUMBER else next(free for free in count(1) if free not in taken)


def free_series_numbers(parent_number: int | None, taken: Collection[int], count: int) -> int:
    """The first of ``count`` consecutive free numbers."""
    blocked = set(taken)
    while True:
        number = free_series_number(parent_number, blocked)
        if blocked.isdisjoint(range(number, number + count)):
            return number
        blocked.add(number)


@lru_cache(maxsize=8192)
def _named(name: str) -> str:
    """Cached, because each instance's UID is needed several times: to list, to check and to write it."""
    return f"2.25.{uuid.uuid5(_NAMESPACE, name).int}"
