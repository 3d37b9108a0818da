"""What varies from one build to the next and is not the parent, the blueprint or the image."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

#: Added to the parent's SeriesNumber (0020,0011); moved on by one while the study has the number.
SERIES_NUMBER_OFFSET = 1000

_NAMESPACE = uuid.UUID("0a2f4c5e-6f0f-5d3c-9d53-1d2f5f8f6a11")


@dataclass(frozen=True, slots=True)
class BuildContext:
    """The circumstances of one build.

    :param now: the time that is written as series, content and creation time (local time).
    :param uid_seed: when given, all UIDs follow from it and a repeated build has the same ones;
        without it every build has new, random ones.
    :param taken_series_numbers: the SeriesNumbers that the study has already.
    """

    now: datetime = field(default_factory=datetime.now)
    uid_seed: str | None = None
    taken_series_numbers: frozenset[int] = frozenset()

    def seeded(self) -> BuildContext:
        """This context with a seed: its own, or a random one."""
        if self.uid_seed is not None:
            return self
        return BuildContext(self.now, uuid.uuid4().hex, self.taken_series_numbers)

    def uid(self, *role: str | int) -> str:
        """The UID for a role in the build, such as ``("instance", 3)``.

        UUID derived UIDs (PS3.5 B.2): ``2.25.`` and the decimal UUID, at most 44 characters.
        """
        if self.uid_seed is None:
            return f"2.25.{uuid.uuid4().int}"
        return _named("\x00".join([self.uid_seed, *map(str, role)]))

    def series_number(self, parent_number: int | None) -> int:
        """The parent's number plus SERIES_NUMBER_OFFSET, moved on past those that are taken."""
        found = max(parent_number or 0, 0) + SERIES_NUMBER_OFFSET
        while found in self.taken_series_numbers:
            found += 1
        return found


@lru_cache(maxsize=8192)
def _named(name: str) -> str:
    """Asked for several times for each instance: to list, to check and to write it."""
    return f"2.25.{uuid.uuid5(_NAMESPACE, name).int}"
