"""Converting the times at which a finished dataset was made to the parent's time zone, like its other times.

Libraries write this machine's local time, and datasets copied from the parent contain the parent's times.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from pydicom.dataset import Dataset

from derived_series.dicom.encoding.times import (
    as_date,
    as_datetime,
    as_time,
    in_zone,
    read_date_and_time,
    read_datetime,
    zone_of,
)
from derived_series.dicom.source.parent_series import ParentSeries

#: The keywords of dates and times that say when an object was made.
_MADE = (
    *((f"{name}Date", f"{name}Time") for name in ("Series", "Content", "InstanceCreation")),
    *((f"{name}Date", f"{name}Time") for name in ("StructureSet", "PresentationCreation")),
    ("DateOfSecondaryCapture", "TimeOfSecondaryCapture"),
)
#: A time farther than this from the build was not written when the dataset was made.
_NEAR = timedelta(days=1)


def tell_making(dataset: Dataset, own_zone: timezone | None, parent: ParentSeries, now: datetime) -> None:
    """Convert the times at which a dataset was made to the parent's zone.

    SeriesDate and SeriesTime of PET stay: the pixels are decay corrected to them.

    :param own_zone: the zone that the dataset named before it got the parent's.
    :param now: the time of the build; replaces times copied from the parent, and missing ones.
    """
    zone = zone_of(parent.pivot)
    here = in_zone(now, zone)
    for date, time in _MADE:
        stamp = (dataset.get(date), dataset.get(time))
        if not any(stamp):
            if date == "InstanceCreationDate":
                setattr(dataset, date, as_date(here))
                setattr(dataset, time, as_time(here))
            continue
        if date == "SeriesDate" and dataset.get("Modality") == "PT":
            continue
        copied = any(stamp == (instance.get(date), instance.get(time)) for instance in parent.instances)
        parsed = read_date_and_time(*stamp, None)
        moment = here if copied else None if parsed is None else _moved(parsed.at, own_zone, zone, now)
        if moment is not None:
            setattr(dataset, date, as_date(moment))
            setattr(dataset, time, as_time(moment))
    parents = {
        str(item.get("ContributionDateTime")) for item in parent.pivot.get("ContributingEquipmentSequence") or ()
    }
    for item in dataset.get("ContributingEquipmentSequence") or ():
        text = str(item.get("ContributionDateTime") or "")
        when = None if text in parents or text[-5:-4] in ("+", "-") else read_datetime(text, None)
        moved = None if when is None else _moved(when.at, own_zone, zone, now)
        if moved is not None:
            item.ContributionDateTime = as_datetime(moved)


def _moved(clock: datetime, own_zone: timezone | None, zone: timezone | None, now: datetime) -> datetime | None:
    """Convert a clock time to a zone; None if it is in the zone already, or is not when the dataset was made.

    The clock was in the dataset's zone or this machine's, whichever is nearer to the time of the build, or to the
    present: a build that had to wait may be much earlier.
    """
    if zone is None:
        return None
    shown = clock.replace(tzinfo=None)
    readings = [shown.astimezone(), *([shown.replace(tzinfo=own_zone)] if own_zone else [])]
    nows = (now.astimezone(), datetime.now(UTC))
    distance, nearest = min((abs(reading - moment), reading) for reading in readings for moment in nows)
    return nearest.astimezone(zone) if distance < _NEAR else None
