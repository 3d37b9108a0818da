"""What varies from one build to the next and is not the parent, the blueprint or the image."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace
from datetime import datetime

from derived_series.dicom.blueprints.algorithm import Algorithm
from derived_series.identifiers import free_series_number, output_seed, uid_of


@dataclass(frozen=True, slots=True)
class BuildContext:
    """The circumstances of one build.

    :param now: the time that is written as series, content and creation time, on the clock of the parent's time zone;
        without a zone of its own it is on this machine's clock.
    :param uid_seed: when given, all UIDs follow from it and a repeated build has the same ones;
        without it every build has new, random ones.
    :param taken_series_numbers: the SeriesNumbers that the study has already.
    :param reserved_series_number: the SeriesNumber that is kept free for this build, where one is; of several outputs
        that of the first, and as many after it are kept free too.
    :param output: the place of the series among the outputs of its job, from 0 on.
    :param algorithm: what makes the image, where that is said.
    :param maker: what makes the image where nothing else says how it is derived: the name of a pipeline or a blueprint.
    :param output_name: tells the series apart from the others of its job; empty for the only one.
    :param tracked: each segment gets a tracking identifier, since a report of the same job refers to it.
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
        """The reserved number; else the first free one for a parent with this number."""
        if self.reserved_series_number is not None:
            return self.reserved_series_number + self.output
        taken = set(self.taken_series_numbers)
        for _ in range(self.output):
            taken.add(free_series_number(parent_number, taken))
        return free_series_number(parent_number, taken)
