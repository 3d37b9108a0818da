"""Hours: the times of day at which a run may continue, by local time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo

_WINDOW = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-4]):([0-5][0-9])")
_MINUTE_SECONDS = 60
_DAY_MINUTES = 24 * 60

#: How far ahead windows are searched: each window occurs within two days, also when the clock is changed.
_AHEAD_MINUTES = 3 * _DAY_MINUTES


@dataclass(frozen=True, slots=True)
class Window:
    """From one minute of the day until before another; it includes midnight if it ends before it begins."""

    begin: int
    end: int

    @classmethod
    def of(cls, text: str) -> Window:
        """Read a window. :param text: such as ``20:00-06:00``. :raises ValueError: it does not have this form."""
        match = _WINDOW.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not a window of hours such as '20:00-06:00'")
        hours = [int(part) for part in match.groups()]
        begin, end = hours[0] * 60 + hours[1], hours[2] * 60 + hours[3]
        if end > _DAY_MINUTES or begin == end:
            raise ValueError(f"{text!r} is not a window: it ends where it begins, or after 24:00")
        return cls(begin, end)

    def has(self, minute: int) -> bool:
        """Whether a minute of the day is in it."""
        if self.begin < self.end:
            return self.begin <= minute < self.end
        return minute >= self.begin or minute < self.end


@dataclass(frozen=True, slots=True)
class Hours:
    """Windows of the day; without any, always.

    Local time decides, also in nights when the clock is changed.

    :param zone: the time zone; None: this computer's.
    """

    windows: tuple[Window, ...] = ()
    zone: tzinfo | None = None

    @classmethod
    def of(cls, texts: Sequence[str], zone: tzinfo | None = None) -> Hours:
        """Read windows. :raises ValueError: one does not have the form ``20:00-06:00``."""
        return cls(tuple(map(Window.of, texts)), zone)

    def are_now(self, now: float) -> bool:
        """Whether a window is open. :param now: seconds since 1970."""
        if not self.windows:
            return True
        wall = datetime.fromtimestamp(now, self.zone)
        return any(window.has(wall.hour * 60 + wall.minute) for window in self.windows)

    def begin(self, now: float) -> float | None:
        """When the next window begins, in seconds since 1970; now if one is open; None: never."""
        if self.are_now(now):
            return now
        first = (int(now) // _MINUTE_SECONDS + 1) * _MINUTE_SECONDS
        minutes = range(first, first + _AHEAD_MINUTES * _MINUTE_SECONDS, _MINUTE_SECONDS)
        return next((float(minute) for minute in minutes if self.are_now(minute)), None)

    def after(self, now: float, seconds: float) -> float | None:
        """When ``seconds`` of open hours will have passed; None: not within a month."""
        if not self.windows:
            return now + seconds
        when, left = float(now), seconds
        for _ in range(31 * _DAY_MINUTES):
            if self.are_now(when):
                if left <= _MINUTE_SECONDS:
                    return when + left
                left -= _MINUTE_SECONDS
            when += _MINUTE_SECONDS
        return None
