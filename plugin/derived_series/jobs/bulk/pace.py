"""Pace: how many jobs of a run may begin now, and when the run will end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from derived_series.jobs.hours import Hours

_HOUR_SECONDS = 3600.0

#: The number of ended members from which a rate is computed, and the fewest for one.
RATE_ENDS, _FEWEST_ENDS = 50, 3


@dataclass(frozen=True, slots=True)
class Pace:
    """The limits of a run.

    :param at_once: the most jobs that wait or run. :param per_hour: the most jobs begun in any hour; None: any number.
    """

    at_once: int
    per_hour: int | None
    hours: Hours

    def allowed(self, now: float, submitted: int, begun: Sequence[float]) -> int:
        """The number of jobs that may begin now.

        :param submitted: the number of jobs that wait or run.
        :param begun: when the jobs of the last hour began, in seconds since 1970.
        """
        if not self.hours.are_now(now):
            return 0
        free = self.at_once - submitted
        if self.per_hour is not None:
            free = min(free, self.per_hour - len(_within_hour(now, begun)))
        return max(0, free)

    def waits(self, now: float, begun: Sequence[float]) -> tuple[str, float | None]:
        """What the run waits for besides a worker, and until when; empty if nothing.

        :param begun: see ``allowed``.
        """
        if not self.hours.are_now(now):
            return "Hours", self.hours.begin(now)
        recent = _within_hour(now, begun)
        if self.per_hour is not None and len(recent) >= self.per_hour:
            return "PerHour", recent[len(recent) - self.per_hour] + _HOUR_SECONDS
        return "", None


def _within_hour(now: float, begun: Sequence[float]) -> list[float]:
    """The times of the last hour, earliest first. Later ones are of a clock that was set back since."""
    return sorted(when for when in begun if now - _HOUR_SECONDS < when <= now)


def per_hour(ends: Sequence[float]) -> float | None:
    """Members per hour, by when the last ones ended; None if there are too few.

    :param ends: the times, latest first.
    """
    if len(ends) < _FEWEST_ENDS or ends[0] <= ends[-1]:
        return None
    return (len(ends) - 1) / (ends[0] - ends[-1]) * _HOUR_SECONDS


def expected_end(now: float, left: int, rate: float | None, hours: Hours) -> float | None:
    """When a run will end, in seconds since 1970; None if unknown.

    :param left: the number of members that are not over. :param rate: members per hour.
    """
    if left == 0:
        return now
    return None if rate is None else hours.after(now, left / rate * _HOUR_SECONDS)
