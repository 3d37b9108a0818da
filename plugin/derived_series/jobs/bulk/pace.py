"""How many jobs of a run may be begun now, and when it will be over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from derived_series.jobs.hours import Hours

_HOUR_SECONDS = 3600.0

#: Ends that a rate is made of, and without so many there is none.
RATE_ENDS, _FEWEST_ENDS = 50, 3


@dataclass(frozen=True, slots=True)
class Pace:
    """What bounds a run.

    :param at_once: jobs of it that wait or run. :param per_hour: jobs that are begun within any hour; None: any number.
    """

    at_once: int
    per_hour: int | None
    hours: Hours

    def allowed(self, now: float, submitted: int, begun: Sequence[float]) -> int:
        """Jobs that may be begun now.

        :param submitted: those that wait or run. :param begun: when those of the last hour were, in seconds since 1970.
        """
        if not self.hours.are_now(now):
            return 0
        free = self.at_once - submitted
        if self.per_hour is not None:
            free = min(free, self.per_hour - sum(when > now - _HOUR_SECONDS for when in begun))
        return max(0, free)

    def waits(self, now: float, begun: Sequence[float]) -> tuple[str, float | None]:
        """What it waits for beside a worker, and until when; empty: for nothing.

        :param begun: see ``allowed``.
        """
        if not self.hours.are_now(now):
            return "Hours", self.hours.begin(now)
        recent = sorted(when for when in begun if when > now - _HOUR_SECONDS)
        if self.per_hour is not None and len(recent) >= self.per_hour:
            return "PerHour", recent[len(recent) - self.per_hour] + _HOUR_SECONDS
        return "", None


def per_hour(ends: Sequence[float]) -> float | None:
    """Members an hour, by when the last ones were over; None: too few to tell.

    :param ends: the latest first.
    """
    if len(ends) < _FEWEST_ENDS or ends[0] <= ends[-1]:
        return None
    return (len(ends) - 1) / (ends[0] - ends[-1]) * _HOUR_SECONDS


def expected_end(now: float, left: int, rate: float | None, hours: Hours) -> float | None:
    """When a run will be over, in seconds since 1970; None: nothing tells.

    :param left: members that are not over. :param rate: members an hour.
    """
    if left == 0:
        return now
    return None if rate is None else hours.after(now, left / rate * _HOUR_SECONDS)
