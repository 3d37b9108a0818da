"""When a run goes on, and how fast: hours of the wall clock, jobs at once and an hour, and the expected end."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from derived_series.jobs.bulk.pace import Pace, expected_end, per_hour
from derived_series.jobs.hours import Hours

BRUSSELS = ZoneInfo("Europe/Brussels")
ALWAYS = Hours()


def at(text: str, fold: int = 0) -> float:
    """A time of the clock in Brussels, in seconds since 1970. :param fold: 1: the second of two such times."""
    return datetime.fromisoformat(text).replace(tzinfo=BRUSSELS, fold=fold).timestamp()


NIGHT = Hours.of(["20:00-06:00"], BRUSSELS)


@pytest.mark.parametrize(
    ("when", "open_"),
    [
        ("2026-01-10T19:59:59", False),
        ("2026-01-10T20:00:00", True),
        ("2026-01-11T00:00:00", True),
        ("2026-01-11T05:59:59", True),
        ("2026-01-11T06:00:00", False),
    ],
)
def test_a_window_goes_over_midnight_and_ends_before_its_end(when: str, open_: bool) -> None:
    assert NIGHT.are_now(at(when)) is open_


def test_several_windows_and_none() -> None:
    hours = Hours.of(["12:00-13:00", "22:00-24:00"], BRUSSELS)
    assert [hours.are_now(at(f"2026-01-10T{time}")) for time in ("11:59", "12:30", "13:00", "23:59")] == [0, 1, 0, 1]
    assert not hours.are_now(at("2026-01-11T00:00"))
    assert Hours.of([]).are_now(0.0)


def test_the_clock_on_the_wall_decides_in_the_nights_when_it_jumps() -> None:
    spring, autumn = "2026-03-29", "2026-10-25"  # 02:00 becomes 03:00; 03:00 becomes 02:00
    early = Hours.of(["03:00-04:00"], BRUSSELS)
    assert early.begin(at(f"{spring}T01:30")) == at(f"{spring}T01:30") + 30 * 60, "the next hour on the wall is 03:00"
    within = Hours.of(["02:30-03:30"], BRUSSELS)
    assert within.begin(at(f"{spring}T01:59")) == at(f"{spring}T03:00"), "02:30 is left out: it begins at 03:00"
    only = Hours.of(["02:10-02:50"], BRUSSELS)
    assert only.begin(at(f"{spring}T01:30")) == at("2026-03-30T02:10"), "that night it is left out"
    twice = [at(f"{autumn}T02:30"), at(f"{autumn}T02:30", fold=1)]
    assert twice[1] - twice[0] == 3600 and all(only.are_now(when) for when in twice)
    assert NIGHT.after(at("2026-03-28T20:00"), 9 * 3600) == at(f"{spring}T06:00"), "that night has 9 hours"
    assert NIGHT.after(at("2026-10-24T20:00"), 11 * 3600) == at(f"{autumn}T06:00"), "that one has 11"


@pytest.mark.parametrize("text", ["20-06", "25:00-06:00", "20:00-06:00 ", "20:60-06:00", "06:00-06:00", "20:00-24:30"])
def test_what_is_not_a_window_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a window"):
        Hours.of([text])


def test_a_run_has_so_many_jobs_at_once_and_an_hour() -> None:
    assert Pace(3, None, ALWAYS).allowed(1e6, 1, []) == 2
    assert Pace(3, None, ALWAYS).allowed(1e6, 5, []) == 0
    begun = [1e6 - 3601, 1e6 - 3599, 1e6 - 10]
    pace = Pace(9, 3, ALWAYS)
    assert pace.allowed(1e6, 0, begun) == 1, "the first is more than an hour ago"
    assert Pace(9, 2, ALWAYS).allowed(1e6, 0, begun) == 0
    assert Pace(9, 2, ALWAYS).waits(1e6, begun) == ("PerHour", 1e6 + 1)
    assert pace.waits(1e6, begun) == ("", None)
    closed = Pace(9, None, NIGHT)
    noon = at("2026-01-10T12:00")
    assert closed.allowed(noon, 0, []) == 0 and closed.waits(noon, []) == ("Hours", at("2026-01-10T20:00"))


def test_what_a_clock_that_was_set_back_has_written_does_not_stop_a_run() -> None:
    pace = Pace(9, 1, ALWAYS)
    assert pace.allowed(1e6, 0, [1e6 + 86400]) == 1 and pace.waits(1e6, [1e6 + 86400]) == ("", None)
    assert pace.allowed(1e6, 0, [1e6]) == 0


def test_the_rate_and_the_expected_end() -> None:
    assert per_hour([1000.0, 999.0]) is None, "too few"
    rate = per_hour([3600.0, 1800.0, 0.0])
    assert rate == 2.0
    assert expected_end(0.0, 4, rate, ALWAYS) == 7200.0
    assert expected_end(5.0, 0, None, ALWAYS) == 5.0 and expected_end(0.0, 4, None, ALWAYS) is None
    assert expected_end(at("2026-01-10T12:00"), 24, rate, NIGHT) == at("2026-01-11T22:00"), "10 hours, then 2"
