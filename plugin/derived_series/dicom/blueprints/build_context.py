"""BuildContext: what differs from one build to the next, besides the parent, the blueprint and the image."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace
from datetime import datetime

from derived_series.dicom.blueprints.algorithm import Algorithm
from derived_series.identifiers import free_series_number, output_seed, uid_of


@dataclass(frozen=True, slots=True)
class BuildContext:
    """The circumstances of one build.

    :param now: the time that is written as series, content and creation time, in the parent's time zone; a time
        without a zone is taken as this machine's local time.
    :param uid_seed: when given, all UIDs follow from it, so that a repeated build has the same ones;
        without it every build has new, random UIDs.
    :param taken_series_numbers: the SeriesNumbers that the study has already.
    :param reserved_series_number: the SeriesNumber reserved for this build, if any; with several outputs, the first of
        as many reserved numbers.
    :param output: the 0-based index of the series among the outputs of its job.
    :param algorithm: the algorithm that makes the image, if it is named.
    :param maker: the name of the pipeline or blueprint, used where nothing else says how the image was derived.
    :param output_name: tells the series apart from the others of its job; empty for the only one.
    :param tracked: give each segment a tracking identifier, because a report of the same job refers to it.
    """

    now: datetime = field(default_factory=datetime.now)
    uid_seed: str | None = None
    taken_series_numbers: frozenset[int] = frozenset()
    reserved_series_number: int | None = None
    output: int = 0
    output_name: str = ""
    maker: str = ""
    algorithm: Algorithm | None = None
    tracked: bool = False

    def seeded(self) -> BuildContext:
        """This context with a seed: its own, or a random one."""
        if self.uid_seed is not None:
            return self
        return replace(self, uid_seed=uuid.uuid4().hex)

    def uid(self, *role: str | int) -> str:
        """The UID for a role in the build, such as ``("instance", 3)``."""
        if self.uid_seed is None:
            return f"2.25.{uuid.uuid4().int}"
        return uid_of(output_seed(self.uid_seed, self.output), *role)

    def shared_uid(self, *role: str | int) -> str:
        """The UID for a role that all outputs of the job share, such as a new frame of reference."""
        return replace(self, output=0).uid(*role)

    def series_number(self, parent_number: int | None) -> int:
        """The reserved SeriesNumber, or else a free one that follows from the parent's."""
        if self.reserved_series_number is not None:
            return self.reserved_series_number + self.output
        taken = set(self.taken_series_numbers)
        for _ in range(self.output):
            taken.add(free_series_number(parent_number, taken))
        return free_series_number(parent_number, taken)
