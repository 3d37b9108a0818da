"""The hours of a day at which a run goes on, by the clock on the wall."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo

_WINDOW = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-4]):([0-5][0-9])")
_MINUTE_SECONDS = 60
_DAY_MINUTES = 24 * 60

#: Looked at from now on: a window of the wall clock that there is, is there within two days, whatever the clock jumps.
_AHEAD_MINUTES = 3 * _DAY_MINUTES


@dataclass(frozen=True, slots=True)
class Window:
    """From a minute of the day to another, which is not in it; over midnight where it ends before it begins."""

    begin: int
    end: int

    @classmethod
    def of(cls, text: str) -> Window:
        """:param text: ``20:00-06:00``. :raises ValueError: it is not of this form."""
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
    """Windows of the day; always, where there are none.

    What the clock on the wall shows decides: in the night when it is put forward or back, too.

    :param zone: of the clock; None: that of this computer.
    """

    windows: tuple[Window, ...] = ()
    zone: tzinfo | None = None

    @classmethod
    def of(cls, texts: Sequence[str], zone: tzinfo | None = None) -> Hours:
        """:raises ValueError: one that is not of the form ``20:00-06:00``."""
        return cls(tuple(map(Window.of, texts)), zone)

    def are_now(self, now: float) -> bool:
        """:param now: seconds since 1970."""
        if not self.windows:
            return True
        wall = datetime.fromtimestamp(now, self.zone)
        return any(window.has(wall.hour * 60 + wall.minute) for window in self.windows)

    def begin(self, now: float) -> float | None:
        """When the next window begins, in seconds since 1970; now, when one is open; None: never."""
        if self.are_now(now):
            return now
        first = (int(now) // _MINUTE_SECONDS + 1) * _MINUTE_SECONDS
        minutes = range(first, first + _AHEAD_MINUTES * _MINUTE_SECONDS, _MINUTE_SECONDS)
        return next((float(minute) for minute in minutes if self.are_now(minute)), None)

    def after(self, now: float, seconds: float) -> float | None:
        """When so many seconds of open hours will have passed; None: not within a month."""
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
