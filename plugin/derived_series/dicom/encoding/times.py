"""Dates and times (DA, TM, DT: PS3.5 6.2): read as instants that can be compared, written in the parent's time zone.

Components may be left out from the end, and a DT may end with an offset from UTC. The other times of an instance are in
its TimezoneOffsetFromUTC (PS3.3 C.12.1.1.8). Where an instance names none, all its times are taken to be on one clock:
the differences between them are right, and an offset in one of them tells no more than where that clock is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Any

from pydicom.dataset import Dataset
from pydicom.valuerep import DA, DT, TM

#: An offset from UTC, -1200 to +1400.
OFFSET = re.compile(r"([+-])(0\d|1[0-4])([0-5]\d)")
_DT = re.compile(r"(?P<digits>\d{4,14})(?P<fraction>\.\d{1,6})?(?P<offset>[+-]\d{4})?")
#: The seconds of a leap second, which Python has none of.
_LEAP = re.compile(r"(?<=^\d{4})60(?!\d)|(?<=^\d{12})60(?!\d)")
#: By the number of digits that are there: how long the time that they name lasts.
_DT_LASTS = {
    4: timedelta(days=366),
    6: timedelta(days=31),
    8: timedelta(days=1),
    10: timedelta(hours=1),
    12: timedelta(minutes=1),
    14: timedelta(0),
}
_TM_LASTS = {2: timedelta(hours=1), 4: timedelta(minutes=1), 6: timedelta(0)}
#: UTC has places from 12 hours behind it to 14 before it.
_FARTHEST_ZONE = timedelta(hours=14)


@dataclass(frozen=True, slots=True)
class Moment:
    """A time as a dataset tells it.

    :param at: with its zone; what is left out counts as the smallest that it can be.
    :param lasts: how much later it may have been: an hour where the minutes are left out.
    """

    at: datetime
    lasts: timedelta = timedelta(0)

    def agrees(self, other: Moment, tolerance: timedelta = timedelta(0)) -> bool:
        """Whether both may be the same time."""
        first, last = sorted((self, other), key=lambda moment: moment.at)
        return last.at - first.at <= first.lasts + tolerance


def zone_of(dataset: Dataset) -> timezone | None:
    """TimezoneOffsetFromUTC (0008,0201); None where it is missing or is not an offset."""
    match = OFFSET.fullmatch(str(dataset.get("TimezoneOffsetFromUTC") or "").strip())
    if match is None:
        return None
    offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
    return timezone(-offset if match[1] == "-" else offset) if offset <= _FARTHEST_ZONE else None


def read_datetime(value: Any, zone: timezone | None) -> Moment | None:
    """A DT. None where it is empty or none.

    :param zone: of the instance that it is of.
    """
    match = _DT.fullmatch(str(value or "").strip())
    if match is None or len(match["digits"]) not in _DT_LASTS:
        return None
    try:
        at = datetime.fromisoformat(DT(_LEAP.sub("59", match[0])).isoformat())
    except ValueError:
        return None
    if at.tzinfo is None or zone is None:
        at = at.replace(tzinfo=zone or UTC)
    return Moment(at, _DT_LASTS[len(match["digits"])])


def read_date_and_time(day: Any, clock: Any, zone: timezone | None) -> Moment | None:
    """A DA and a TM. None where one of them is empty or none."""
    on, at = read_date(day), read_time(clock)
    if on is None or at is None:
        return None
    digits = str(clock).split(".")[0].replace(":", "").strip()
    return Moment(datetime.combine(on, at, zone or UTC), _TM_LASTS[len(digits)])


def moment_of(dataset: Dataset, name: str, zone: timezone | None = None) -> Moment | None:
    """The time that ``{name}Date`` and ``{name}Time`` tell, or ``{name}DateTime`` where these are not there.

    :param zone: of the instance that an item of a sequence is of; the dataset's own when not given.
    """
    known = zone or zone_of(dataset)
    moment = read_date_and_time(dataset.get(f"{name}Date"), dataset.get(f"{name}Time"), known)
    return moment or read_datetime(dataset.get(f"{name}DateTime"), known)


def read_date(value: Any) -> date | None:
    """A DA. None where it is empty or none."""
    try:
        parsed = DA(str(value or "").strip())
    except ValueError:
        return None
    return None if parsed is None else date(parsed.year, parsed.month, parsed.day)


def read_time(value: Any) -> time | None:
    """A TM. None where it is empty or none."""
    try:
        text = str(value or "").replace(":", "").strip()  # colons are of the standard before DICOM
        parsed = TM(_LEAP.sub("59", text))
    except ValueError:
        return None
    return None if parsed is None else time(parsed.hour, parsed.minute, parsed.second, parsed.microsecond)


def split_datetime(value: Any, zone: timezone | None) -> tuple[str, str] | None:
    """(DA, TM) of a DT, on the clock of the instance that it is of; as many digits as it has. None without an hour."""
    moment = read_datetime(value, zone)
    if moment is None or moment.lasts > timedelta(hours=1):
        return None
    match = _DT.fullmatch(str(value).strip())
    assert match is not None
    shown = moment.at if zone is None else moment.at.astimezone(zone)
    digits = f"{shown:%Y%m%d%H%M%S}"[: len(match["digits"])]
    return digits[:8], digits[8:] + (match["fraction"] or "" if len(digits) == 14 else "")


def in_zone(moment: datetime, zone: timezone | None) -> datetime:
    """A time on the clock of a zone; as it is where there is none.

    :param moment: without a zone of its own it is on this machine's clock.
    """
    return moment if zone is None else moment.astimezone(zone)


def as_date(moment: datetime) -> str:
    """A time's DA."""
    return f"{moment:%Y%m%d}"


def as_time(moment: datetime) -> str:
    """A time's TM."""
    return f"{moment:%H%M%S.%f}"


def as_datetime(moment: datetime) -> str:
    """A time's DT; in the zone of the instance that it is written to, and so without an offset."""
    return f"{moment:%Y%m%d%H%M%S.%f}"
