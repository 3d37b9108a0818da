"""UIDs and SeriesNumbers of derived series: values that follow from others, for Orthanc's process and the workers."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from functools import lru_cache
from itertools import count

#: Added to the parent's SeriesNumber (0020,0011); moved on by one while the study has the number.
SERIES_NUMBER_OFFSET = 1000

#: The largest value of an IS (PS3.5 6.2).
_LARGEST_NUMBER = 2**31 - 1

_NAMESPACE = uuid.UUID("0a2f4c5e-6f0f-5d3c-9d53-1d2f5f8f6a11")


def uid_of(seed: str, *role: str | int) -> str:
    """The UID for a role such as ``("instance", 3)``: the same each time.

    UUID derived UIDs (PS3.5 B.2): ``2.25.`` and the decimal UUID, at most 44 characters.
    """
    return _named("\x00".join([seed, *map(str, role)]))


def series_uid_of(job_id: str) -> str:
    """The SeriesInstanceUID that every attempt at a job gives to its series."""
    return uid_of(job_id, "series")


def free_series_number(parent_number: int | None, taken: Collection[int]) -> int:
    """The parent's number plus SERIES_NUMBER_OFFSET, moved on past those that are taken.

    Where that is beyond what an IS holds, the first free number from 1 on.
    """
    number = max(parent_number or 0, 0) + SERIES_NUMBER_OFFSET
    while number in taken:
        number += 1
    return number if number <= _LARGEST_NUMBER else next(free for free in count(1) if free not in taken)


@lru_cache(maxsize=8192)
def _named(name: str) -> str:
    """Asked for several times for each instance: to list, to check and to write it."""
    return f"2.25.{uuid.uuid5(_NAMESPACE, name).int}"
