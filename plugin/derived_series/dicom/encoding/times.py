"""Dates and times (DA, TM, DT: PS3.5 6.2): read as instants that can be compared, written in the parent's time zone.

Components may be left out from the end, and a DT may end with an offset from UTC. The other times of an instance are in
its TimezoneOffsetFromUTC (PS3.3 C.12.1.1.8). If an instance names no offset, all its times are taken to be on one
clock, so that the differences between them are right; an offset in one of them only says where that clock is.
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
#: A leap second, which Python cannot represent.
_LEAP = re.compile(r"(?<=^\d{4})60(?!\d)|(?<=^\d{12})60(?!\d)")
#: How long the time lasts that a number of digits names.
_DT_LASTS = {
    4: timedelta(days=366),
    6: timedelta(days=31),
    8: timedelta(days=1),
    10: timedelta(hours=1),
    12: timedelta(minutes=1),
    14: timedelta(0),
}
_TM_LASTS = {2: timedelta(hours=1), 4: timedelta(minutes=1), 6: timedelta(0)}
#: Time zones reach from 12 hours behind UTC to 14 ahead of it.
_FARTHEST_ZONE = timedelta(hours=14)


@dataclass(frozen=True, slots=True)
class Moment:
    """A time as a dataset gives it.

    :param at: the time with its zone; components that are left out count as their lowest value.
    :param lasts: how much later the time may have been: an hour if the minutes are left out.
    """

    at: datetime
    lasts: timedelta = timedelta(0)

    def agrees(self, other: Moment, tolerance: timedelta = timedelta(0)) -> bool:
        """Whether both may be the same time."""
        first, last = sorted((self, other), key=lambda moment: moment.at)
        return last.at - first.at <= first.lasts + tolerance


def zone_of(dataset: Dataset) -> timezone | None:
    """TimezoneOffsetFromUTC (0008,0201); None if it is missing or not an offset."""
    match = OFFSET.fullmatch(str(dataset.get("TimezoneOffsetFromUTC") or "").strip())
    if match is None:
        return None
    offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
    return timezone(-offset if match[1] == "-" else offset) if offset <= _FARTHEST_ZONE else None


def read_datetime(value: Any, zone: timezone | None) -> Moment | None:
    """Read a DT; None if it is empty or invalid.

    :param zone: the time zone of the instance that holds it.
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
    """Read a DA and a TM; None if one of them is empty or invalid."""
    on, at = read_date(day), read_time(clock)
    if on is None or at is None:
        return None
    digits = str(clock).split(".")[0].replace(":", "").strip()
    return Moment(datetime.combine(on, at, zone or UTC), _TM_LASTS[len(digits)])


def moment_of(dataset: Dataset, name: str, zone: timezone | None = None) -> Moment | None:
    """Read the time in ``{name}Date`` and ``{name}Time``, or else in ``{name}DateTime``.

    :param zone: the time zone of the instance, if the dataset is a sequence item; by default the dataset's own.
    """
    known = zone or zone_of(dataset)
    moment = read_date_and_time(dataset.get(f"{name}Date"), dataset.get(f"{name}Time"), known)
    return moment or read_datetime(dataset.get(f"{name}DateTime"), known)


def read_date(value: Any) -> date | None:
    """Read a DA; None if it is empty or invalid."""
    try:
        parsed = DA(str(value or "").strip())
    except ValueError:
        return None
    return None if parsed is None else date(parsed.year, parsed.month, parsed.day)


def read_time(value: Any) -> time | None:
    """Read a TM; None if it is empty or invalid."""
    try:
        text = str(value or "").replace(":", "").strip()  # colons are from ACR-NEMA, before DICOM
        parsed = TM(_LEAP.sub("59", text))
    except ValueError:
        return None
    return None if parsed is None else time(parsed.hour, parsed.minute, parsed.second, parsed.microsecond)


def split_datetime(value: Any, zone: timezone | None) -> tuple[str, str] | None:
    """Split a DT into (DA, TM) in the instance's time zone, with as many digits as it has; None without an hour."""
    moment = read_datetime(value, zone)
    if moment is None or moment.lasts > timedelta(hours=1):
        return None
    match = _DT.fullmatch(str(value).strip())
    assert match is not None
    shown = moment.at if zone is None else moment.at.astimezone(zone)
    digits = f"{shown:%Y%m%d%H%M%S}"[: len(match["digits"])]
    return digits[:8], digits[8:] + (match["fraction"] or "" if len(digits) == 14 else "")


def in_zone(moment: datetime, zone: timezone | None) -> datetime:
    """Convert a time to a zone; with None it stays as it is.

    :param moment: without a zone it is taken as this machine's local time.
    """
    return moment if zone is None else moment.astimezone(zone)


def as_date(moment: datetime) -> str:
    """Format a time as DA."""
    return f"{moment:%Y%m%d}"


def as_time(moment: datetime) -> str:
    """Format a time as TM."""
    return f"{moment:%H%M%S.%f}"


def as_datetime(moment: datetime) -> str:
    """Format a time as DT, without an offset: it is in the time zone of the instance that it is written to."""
    return f"{moment:%Y%m%d%H%M%S.%f}"
